# Placing a workload on its first rail.
package railgate.mesh

import data.railgate.lib

# Undefined, thus refused, where the slice can't be read.
place_decision(request, facts) := place_checked(request, facts.rail, facts) if {
	is_id(request.mesh_id)
	is_id(request.workload_id)
	is_id(request.rail_id)
	is_policy(request.policy)
	is_rail_fact(facts.rail, request.rail_id)
	is_placement_fact(facts.placement, request.workload_id)
	is_level_fact(facts.departed_level)
	is_admission_fact(facts.admission)
}

# The checks of a placement, in order: the first that fails gives the code.
place_checked(request, rail, facts) := refused(place_unknown_rail(request), null) if {
	rail == null
} else := refused(place_duplicate(request, facts.placement), null) if {
	facts.placement != null
} else := refused(place_below_departed(request, rail, facts.departed_level), "MESH_007") if {
	lib.level_rank(rail.level) < lib.level_rank(facts.departed_level)
} else := refused(place_below_admission(request, rail, facts.admission.least_level), "MESH_007") if {
	lib.level_rank(rail.level) < lib.level_rank(facts.admission.least_level)
} else := refused(place_over_budget(request, rail), null) if {
	request.policy.preserve_latency_budget
	rail.latency_overhead_us > request.policy.latency_budget_us
} else := refused(place_over_capacity(rail), null) if {
	rail.active_count >= rail.capacity
} else := refused(refusal, null) if {
	refusal := upstream_refusal(facts.admission)
} else := accepted("MESH_001")

# METADATA
# title: The mesh has no such rail
# description: A workload may be placed only on a rail that the mesh has.
# custom:
#   rule: PLACE-01
#   code: ERR_MESH_UNKNOWN_RAIL
#   class: policy_denied
#   http_status: 404
#   short_name: mesh_unknown_rail
#   message: Mesh {mesh_id} has no rail {rail_id}.
#   solution: Name a rail of the mesh's topology, or add this one by reloading the topology.
#   source: "place: ERR_MESH_UNKNOWN_RAIL"
place_unknown_rail(request) := lib.refuse(rego.metadata.rule(), "/rail_id", {
	"mesh_id": request.mesh_id,
	"rail_id": request.rail_id,
})

# METADATA
# title: The workload is placed already
# description: A workload is on one rail of a mesh at a time.
# custom:
#   rule: PLACE-02
#   code: ERR_MESH_DUPLICATE_WORKLOAD
#   class: policy_denied
#   short_name: mesh_duplicate_workload
#   message: Workload {workload_id} is placed on rail {rail_id} already.
#   solution: Elevate it to a stricter rail, or remove it first.
#   source: "place: ERR_MESH_DUPLICATE_WORKLOAD"
place_duplicate(request, placement) := lib.refuse(rego.metadata.rule(), "/workload_id", {
	"workload_id": request.workload_id,
	"rail_id": placement.rail_id,
})

# METADATA
# title: The workload would be demoted
# description: |
#   A workload that was on a stricter rail of this mesh may not come back on a weaker one, whatever became of its rail
#   meanwhile.
# custom:
#   rule: PLACE-03
#   code: ERR_MESH_DEMOTION_FORBIDDEN
#   class: policy_denied
#   short_name: mesh_demotion_forbidden
#   message: Rail {rail_id} is {level}, but workload {workload_id} may not go below {floor}, {because}.
#   solution: Choose a rail of level {floor} or stricter.
#   source: "a workload that was on a stricter rail in this mesh may not come back lower after removal"
place_below_departed(request, rail, departed_level) := lib.refuse(rego.metadata.rule(), "/rail_id", {
	"workload_id": request.workload_id,
	"rail_id": rail.rail_id,
	"level": rail.level,
	"floor": departed_level,
	"because": "the level it had in this mesh before",
})

# METADATA
# title: The workload would be demoted
# description: A workload may not be placed under the least rail level of its admission.
# custom:
#   rule: PLACE-04
#   code: ERR_MESH_DEMOTION_FORBIDDEN
#   class: policy_denied
#   short_name: mesh_demotion_forbidden
#   message: Rail {rail_id} is {level}, but workload {workload_id} may not go below {floor}, {because}.
#   solution: Choose a rail of level {floor} or stricter.
#   source: "the least rail level of its admission, where it has one, above the rail's"
place_below_admission(request, rail, least_level) := lib.refuse(rego.metadata.rule(), "/rail_id", {
	"workload_id": request.workload_id,
	"rail_id": rail.rail_id,
	"level": rail.level,
	"floor": least_level,
	"because": "the least level of its admission",
})

# METADATA
# title: The rail is slower than the workload's latency budget
# description: A workload that preserves its latency budget may not be placed on a rail whose overhead exceeds it.
# custom:
#   rule: PLACE-05
#   code: ERR_MESH_LATENCY_EXCEEDED
#   class: policy_denied
#   short_name: mesh_latency_exceeded
#   message: Rail {rail_id} adds {latency_overhead_us} µs, over the budget of {latency_budget_us} µs that workload {workload_id} preserves.
#   solution: Choose a faster rail, or give the workload a larger budget when it is placed.
#   source: "place: ERR_MESH_LATENCY_EXCEEDED where its policy preserves a budget that the rail's overhead exceeds"
place_over_budget(request, rail) := lib.refuse(rego.metadata.rule(), "/policy/latency_budget_us", {
	"workload_id": request.workload_id,
	"rail_id": rail.rail_id,
	"latency_overhead_us": rail.latency_overhead_us,
	"latency_budget_us": request.policy.latency_budget_us,
})

# METADATA
# title: The rail is full
# description: A rail holds no more workloads than its capacity.
# custom:
#   rule: PLACE-06
#   code: ERR_MESH_RAIL_AT_CAPACITY
#   class: policy_denied
#   short_name: mesh_rail_at_capacity
#   message: Rail {rail_id} holds {active_count} workloads, which is its capacity of {capacity}.
#   solution: Choose another rail, remove a workload from this one, or raise its capacity by reloading the topology.
#   source: "place: ERR_MESH_RAIL_AT_CAPACITY"
place_over_capacity(rail) := lib.refuse(rego.metadata.rule(), "/rail_id", {
	"rail_id": rail.rail_id,
	"active_count": rail.active_count,
	"capacity": rail.capacity,
})
