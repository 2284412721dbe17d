# Moving a placed workload to a stricter rail.
package railgate.mesh

import data.railgate.lib

# Undefined, thus refused, where the slice can't be read.
elevate_decision(request, facts) := elevate_checked(request, facts.rail, facts.placement, facts.admission) if {
	is_id(request.mesh_id)
	is_id(request.workload_id)
	is_id(request.target_rail_id)
	is_rail_fact(facts.rail, request.target_rail_id)
	is_placement_fact(facts.placement, request.workload_id)
	is_admission_fact(facts.admission)
}

# The checks of an elevation, in order: the first that fails gives the code.
elevate_checked(request, rail, placement, admission) := refused(elevate_unknown_rail(request), null) if {
	rail == null
} else := refused(elevate_unknown_workload(request), null) if {
	placement == null
} else := refused(elevate_demotes(request, rail, placement), "MESH_007") if {
	lib.level_rank(rail.level) < lib.level_rank(placement.level)
} else := refused(elevate_not_allowed(request, rail), "MESH_003") if {
	not placement.policy.elevation_allowed
} else := refused(elevate_same_level(request, rail), "MESH_003") if {
	rail.level == placement.level
} else := refused(elevate_above_target(request, rail), "MESH_003") if {
	lib.level_rank(rail.level) > lib.level_rank(placement.policy.max_target_level)
} else := refused(elevate_over_budget(request, rail, placement.policy), "MESH_004") if {
	placement.policy.preserve_latency_budget
	rail.latency_overhead_us > placement.policy.latency_budget_us
} else := refused(elevate_over_capacity(rail), null) if {
	rail.active_count >= rail.capacity
} else := refused(refusal, null) if {
	refusal := upstream_refusal(admission)
} else := accepted("MESH_002")

# METADATA
# title: The mesh has no such rail
# description: A workload may be elevated only to a rail that the mesh has.
# custom:
#   rule: ELEVATE-01
#   code: ERR_MESH_UNKNOWN_RAIL
#   class: policy_denied
#   http_status: 404
#   short_name: mesh_unknown_rail
#   message: Mesh {mesh_id} has no rail {rail_id}.
#   solution: Name a rail of the mesh's topology, or add this one by reloading the topology.
#   source: "elevate: ERR_MESH_UNKNOWN_RAIL"
elevate_unknown_rail(request) := lib.refuse(rego.metadata.rule(), "/target_rail_id", {
	"mesh_id": request.mesh_id,
	"rail_id": request.target_rail_id,
})

# METADATA
# title: The workload is not placed in this mesh
# description: Only a placed workload can be elevated.
# custom:
#   rule: ELEVATE-02
#   code: ERR_MESH_UNKNOWN_WORKLOAD
#   class: policy_denied
#   http_status: 404
#   short_name: mesh_unknown_workload
#   message: Workload {workload_id} is not placed in mesh {mesh_id}.
#   solution: Place the workload on a rail of this mesh first.
#   source: "elevate: ERR_MESH_UNKNOWN_WORKLOAD"
elevate_unknown_workload(request) := lib.refuse(rego.metadata.rule(), "/workload_id", {
	"mesh_id": request.mesh_id,
	"workload_id": request.workload_id,
})

# METADATA
# title: The workload would be demoted
# description: A workload never moves to a weaker rail.
# custom:
#   rule: ELEVATE-03
#   code: ERR_MESH_DEMOTION_FORBIDDEN
#   class: policy_denied
#   short_name: mesh_demotion_forbidden
#   message: Rail {rail_id} is {level}, but workload {workload_id} may not go below {floor}, {because}.
#   solution: Choose a rail of level {floor} or stricter.
#   source: "elevate: lower level"
elevate_demotes(request, rail, placement) := lib.refuse(rego.metadata.rule(), "/target_rail_id", {
	"workload_id": request.workload_id,
	"rail_id": rail.rail_id,
	"level": rail.level,
	"floor": placement.level,
	"because": "the level it has now",
})

# METADATA
# title: The workload's policy denies the elevation
# description: A workload is elevated only where its policy allows elevation at all.
# custom:
#   rule: ELEVATE-04
#   code: ERR_MESH_ELEVATION_DENIED
#   class: policy_denied
#   short_name: mesh_elevation_denied
#   message: "Workload {workload_id} may not be elevated to rail {rail_id}: {because}."
#   solution: Choose a stricter rail within the workload's max_target_level; its policy is set when it is placed.
#   source: "elevate: elevation not allowed, same level, or above max_target_level"
elevate_not_allowed(request, rail) := elevation_denied(
	rego.metadata.rule(),
	request,
	rail,
	"its policy allows no elevation",
)

# METADATA
# title: The workload's policy denies the elevation
# description: An elevation goes to a stricter level, not to another rail of the same one.
# custom:
#   rule: ELEVATE-05
#   code: ERR_MESH_ELEVATION_DENIED
#   class: policy_denied
#   short_name: mesh_elevation_denied
#   message: "Workload {workload_id} may not be elevated to rail {rail_id}: {because}."
#   solution: Choose a stricter rail within the workload's max_target_level; its policy is set when it is placed.
#   source: "elevate: elevation not allowed, same level, or above max_target_level"
elevate_same_level(request, rail) := elevation_denied(
	rego.metadata.rule(),
	request,
	rail,
	"the rail is of the level that it has now",
)

# METADATA
# title: The workload's policy denies the elevation
# description: A workload is elevated no further than the highest level of its policy.
# custom:
#   rule: ELEVATE-06
#   code: ERR_MESH_ELEVATION_DENIED
#   class: policy_denied
#   short_name: mesh_elevation_denied
#   message: "Workload {workload_id} may not be elevated to rail {rail_id}: {because}."
#   solution: Choose a stricter rail within the workload's max_target_level; its policy is set when it is placed.
#   source: "elevate: elevation not allowed, same level, or above max_target_level"
elevate_above_target(request, rail) := elevation_denied(
	rego.metadata.rule(),
	request,
	rail,
	"the rail is above the max_target_level of its policy",
)

# What the three checks of the elevation policy answer.
elevation_denied(metadata, request, rail, because) := lib.refuse(metadata, "/target_rail_id", {
	"workload_id": request.workload_id,
	"rail_id": rail.rail_id,
	"level": rail.level,
	"because": because,
})

# METADATA
# title: The rail is slower than the workload's latency budget
# description: A workload that preserves its latency budget may not move to a rail whose overhead exceeds it.
# custom:
#   rule: ELEVATE-07
#   code: ERR_MESH_LATENCY_EXCEEDED
#   class: policy_denied
#   short_name: mesh_latency_exceeded
#   message: Rail {rail_id} adds {latency_overhead_us} µs, over the budget of {latency_budget_us} µs that workload {workload_id} preserves.
#   solution: Choose a faster rail, or give the workload a larger budget when it is placed.
#   source: "elevate: overhead over the preserved budget"
elevate_over_budget(request, rail, policy) := lib.refuse(rego.metadata.rule(), "/target_rail_id", {
	"workload_id": request.workload_id,
	"rail_id": rail.rail_id,
	"latency_overhead_us": rail.latency_overhead_us,
	"latency_budget_us": policy.latency_budget_us,
})

# METADATA
# title: The rail is full
# description: A rail holds no more workloads than its capacity.
# custom:
#   rule: ELEVATE-08
#   code: ERR_MESH_RAIL_AT_CAPACITY
#   class: policy_denied
#   short_name: mesh_rail_at_capacity
#   message: Rail {rail_id} holds {active_count} workloads, which is its capacity of {capacity}.
#   solution: Choose another rail, remove a workload from this one, or raise its capacity by reloading the topology.
#   source: "elevate: ERR_MESH_RAIL_AT_CAPACITY"
elevate_over_capacity(rail) := lib.refuse(rego.metadata.rule(), "/target_rail_id", {
	"rail_id": rail.rail_id,
	"active_count": rail.active_count,
	"capacity": rail.capacity,
})
