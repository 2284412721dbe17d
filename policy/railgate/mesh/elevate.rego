# Moving a placed workload to a stricter rail.
package railgate.mesh

# METADATA
# title: The decision on elevating a workload
# description: |
#   The first check that fails gives the code. Undefined, thus refused, where the slice can't be read.
elevate_decision(request, facts) := elevate_checked(request, facts) if {
	is_id(request.mesh_id)
	is_id(request.workload_id)
	is_id(request.target_rail_id)
	is_rail_fact(facts.rail, request.target_rail_id)
	is_placement_fact(facts.placement, request.workload_id)
	is_admission_fact(facts.admission)
}

# METADATA
# title: The checks of an elevation, in order
# description: Each is undefined where it holds nothing against the elevation.
elevate_checked(request, facts) := refusal if refusal := elevate_unknown_rail(request, facts.rail)

else := refusal if refusal := elevate_unknown_workload(request, facts.placement)

else := refusal if refusal := elevate_demotes(request, facts.rail, facts.placement)

else := refusal if refusal := elevate_not_allowed(request, facts.rail, facts.placement)

else := refusal if refusal := elevate_same_level(request, facts.rail, facts.placement)

else := refusal if refusal := elevate_above_target(request, facts.rail, facts.placement)

else := refusal if refusal := elevate_over_budget(request, facts.rail, facts.placement)

else := refusal if refusal := elevate_over_capacity(facts.rail)

else := refusal if refusal := upstream_refusal(facts.admission)

else := accepted("MESH_002")

# METADATA
# title: The mesh has no such rail
# description: A workload may be elevated only to a rail that the mesh has.
# custom:
#   rule: ELEVATE-01
#   code: ERR_MESH_UNKNOWN_RAIL
#   class: policy_denied
#   short_name: mesh_unknown_rail
#   message: Mesh {mesh_id} has no rail {rail_id}.
#   solution: Name a rail of the mesh's topology, or add this one by reloading the topology.
#   source: Isolation mesh contract, INV-MESH-FAIL-CLOSED
elevate_unknown_rail(request, rail) := denied("ERR_MESH_UNKNOWN_RAIL", "ELEVATE-01", null, "/target_rail_id", {
	"mesh_id": request.mesh_id,
	"rail_id": request.target_rail_id,
}) if {
	rail == null
}

# METADATA
# title: The workload is not placed in this mesh
# description: Only a placed workload can be elevated.
# custom:
#   rule: ELEVATE-02
#   code: ERR_MESH_UNKNOWN_WORKLOAD
#   class: policy_denied
#   short_name: mesh_unknown_workload
#   message: Workload {workload_id} is not placed in mesh {mesh_id}.
#   solution: Place the workload on a rail of this mesh first.
#   source: Isolation mesh contract, INV-MESH-FAIL-CLOSED
elevate_unknown_workload(request, placement) := denied("ERR_MESH_UNKNOWN_WORKLOAD", "ELEVATE-02", null, "/workload_id", {
	"mesh_id": request.mesh_id,
	"workload_id": request.workload_id,
}) if {
	placement == null
}

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
#   source: Isolation mesh contract, INV-MESH-MONOTONIC-ELEVATION
elevate_demotes(request, rail, placement) := denied("ERR_MESH_DEMOTION_FORBIDDEN", "ELEVATE-03", "MESH_007", "/target_rail_id", {
	"workload_id": request.workload_id,
	"rail_id": rail.rail_id,
	"level": rail.level,
	"floor": placement.level,
	"because": "the level it has now",
}) if {
	rank[rail.level] < rank[placement.level]
}

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
#   source: Isolation mesh contract
elevate_not_allowed(request, rail, placement) := elevation_denied(request, rail, "ELEVATE-04", "its policy allows no elevation") if {
	not placement.policy.elevation_allowed
}

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
#   source: Isolation mesh contract
elevate_same_level(request, rail, placement) := elevation_denied(request, rail, "ELEVATE-05", "the rail is of the level that it has now") if {
	rail.level == placement.level
}

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
#   source: Isolation mesh contract
elevate_above_target(request, rail, placement) := elevation_denied(request, rail, "ELEVATE-06", "the rail is above the max_target_level of its policy") if {
	rank[rail.level] > rank[placement.policy.max_target_level]
}

# METADATA
# title: An elevation denied by policy
# description: What the three checks of the elevation policy answer.
elevation_denied(request, rail, rule, because) := denied("ERR_MESH_ELEVATION_DENIED", rule, "MESH_003", "/target_rail_id", {
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
#   source: Isolation mesh contract, INV-MESH-LATENCY-BUDGET
elevate_over_budget(request, rail, placement) := denied("ERR_MESH_LATENCY_EXCEEDED", "ELEVATE-07", "MESH_004", "/target_rail_id", {
	"workload_id": request.workload_id,
	"rail_id": rail.rail_id,
	"latency_overhead_us": rail.latency_overhead_us,
	"latency_budget_us": placement.policy.latency_budget_us,
}) if {
	placement.policy.preserve_latency_budget
	rail.latency_overhead_us > placement.policy.latency_budget_us
}

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
#   source: Isolation mesh contract
elevate_over_capacity(rail) := denied("ERR_MESH_RAIL_AT_CAPACITY", "ELEVATE-08", null, "/target_rail_id", {
	"rail_id": rail.rail_id,
	"active_count": rail.active_count,
	"capacity": rail.capacity,
}) if {
	rail.active_count >= rail.capacity
}
