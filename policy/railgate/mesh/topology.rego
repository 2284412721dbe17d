# Defining the rails of a mesh, and reloading them under the workloads that are placed.
package railgate.mesh

# METADATA
# title: The decision on defining or reloading a topology
# description: Undefined, thus refused, where the slice can't be read; the topology itself is judged, not assumed.
reload_decision(request, facts) := reload_checked if {
	is_id(request.mesh_id)
	is_array(facts.occupied)
	every rail in facts.occupied {
		is_id(rail.rail_id)
		is_level(rail.level)
		is_count(rail.active_count)
		is_budget_fact(rail.least_budget_us)
	}
}

# METADATA
# title: The checks of a topology, in order
# description: The faults of the topology itself, then those against the workloads that are placed.
reload_checked := refusal if refusal := topology_refusal(topology_faults)

else := refusal if refusal := topology_refusal(reload_faults)

else := refusal if refusal := upstream_refusal(null)

else := accepted("MESH_006")

# METADATA
# title: Readable budget fact
# description: The smallest budget preserved on a rail, or null where none is.
is_budget_fact(value) if value == null

is_budget_fact(value) if is_count(value)

# METADATA
# title: A refused topology
# description: All faults have one code; the first of them says where and why. Undefined where there is none.
topology_refusal(faults) := denied("ERR_MESH_INVALID_TOPOLOGY", first[0], null, first[2], {
	"mesh_id": input.request.mesh_id,
	"because": first[3],
}) if {
	first := min(faults)
}

# METADATA
# title: Pointer to a rail
# description: Into the topology of the request.
rail_pointer(index, member) := concat("/", ["/rails", format_int(index, 10), member])

# METADATA
# title: The identifiers of the topology
# description: Without repetition.
offered_ids contains rail.rail_id if some rail in input.request.rails

# METADATA
# title: The occupied rails by identifier
# description: The host gives each once; given twice and differently, evaluation fails and the command is refused.
occupied := {rail.rail_id: rail | some rail in input.facts.occupied}

# METADATA
# title: The topology has no rails
# description: A mesh is a list of at least one rail.
# custom:
#   rule: TOPOLOGY-01
#   code: ERR_MESH_INVALID_TOPOLOGY
#   class: policy_denied
#   short_name: mesh_invalid_topology
#   message: "The topology of mesh {mesh_id} is invalid: {because}."
#   solution: Correct the rail that the pointer names; an occupied rail keeps its level, and room and latency for its workloads.
#   source: Isolation mesh contract, INV-MESH-FAIL-CLOSED
topology_faults contains ["TOPOLOGY-01", 0, "/rails", "it needs a list of at least one rail"] if {
	not has_rails
}

# METADATA
# title: Rails are there
# description: A list that is not empty.
has_rails if {
	is_array(input.request.rails)
	count(input.request.rails) > 0
}

# METADATA
# title: A rail without identifier
# description: Every rail has a rail_id, spelled as identifiers are.
# custom:
#   rule: TOPOLOGY-02
#   code: ERR_MESH_INVALID_TOPOLOGY
#   class: policy_denied
#   short_name: mesh_invalid_topology
#   message: "The topology of mesh {mesh_id} is invalid: {because}."
#   solution: Correct the rail that the pointer names; an occupied rail keeps its level, and room and latency for its workloads.
#   source: Isolation mesh contract, INV-MESH-FAIL-CLOSED
topology_faults contains ["TOPOLOGY-02", index, rail_pointer(index, "rail_id"), "a rail needs a rail_id, spelled as identifiers are"] if {
	some index, rail in input.request.rails
	not has_id(rail)
}

# METADATA
# title: A rail with identifier
# description: 1 to 253 letters, digits and -._:/@, other than the dots by which paths are walked.
has_id(rail) if {
	is_id(rail.rail_id)
	count(rail.rail_id) <= 253
	trim(rail.rail_id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._:/@") == ""
	not rail.rail_id in {".", ".."}
}

# METADATA
# title: A rail twice
# description: A rail_id stands for one rail.
# custom:
#   rule: TOPOLOGY-03
#   code: ERR_MESH_INVALID_TOPOLOGY
#   class: policy_denied
#   short_name: mesh_invalid_topology
#   message: "The topology of mesh {mesh_id} is invalid: {because}."
#   solution: Correct the rail that the pointer names; an occupied rail keeps its level, and room and latency for its workloads.
#   source: Isolation mesh contract, INV-MESH-FAIL-CLOSED
topology_faults contains ["TOPOLOGY-03", index, rail_pointer(index, "rail_id"), "two rails have this rail_id"] if {
	count(offered_ids) < count(input.request.rails)
	some index, rail in input.request.rails
	some earlier in array.slice(input.request.rails, 0, index)
	earlier.rail_id == rail.rail_id
}

# METADATA
# title: A rail of unknown level
# description: The level is one of the four.
# custom:
#   rule: TOPOLOGY-04
#   code: ERR_MESH_INVALID_TOPOLOGY
#   class: policy_denied
#   short_name: mesh_invalid_topology
#   message: "The topology of mesh {mesh_id} is invalid: {because}."
#   solution: Correct the rail that the pointer names; an occupied rail keeps its level, and room and latency for its workloads.
#   source: Isolation mesh contract, INV-MESH-FAIL-CLOSED
topology_faults contains ["TOPOLOGY-04", index, rail_pointer(index, "level"), "the level is unknown"] if {
	some index, rail in input.request.rails
	not has_level(rail)
}

# METADATA
# title: A rail with level
# description: One of the four. The predicates take the whole rail, since a missing member must make them false.
has_level(rail) if is_level(rail.level)

# METADATA
# title: A rail of wrong capacity
# description: The capacity is an integer from 1 to 2^53 - 1.
# custom:
#   rule: TOPOLOGY-05
#   code: ERR_MESH_INVALID_TOPOLOGY
#   class: policy_denied
#   short_name: mesh_invalid_topology
#   message: "The topology of mesh {mesh_id} is invalid: {because}."
#   solution: Correct the rail that the pointer names; an occupied rail keeps its level, and room and latency for its workloads.
#   source: Isolation mesh contract, INV-MESH-FAIL-CLOSED
topology_faults contains [
	"TOPOLOGY-05",
	index,
	rail_pointer(index, "capacity"),
	"the capacity must be an integer from 1 to 9007199254740991",
] if {
	some index, rail in input.request.rails
	not has_capacity(rail)
}

# METADATA
# title: A rail with capacity
# description: At least one.
has_capacity(rail) if {
	is_integer(rail.capacity)
	rail.capacity >= 1
}

# METADATA
# title: A rail of wrong overhead
# description: The overhead is an integer from 0 to 2^53 - 1, in microseconds.
# custom:
#   rule: TOPOLOGY-06
#   code: ERR_MESH_INVALID_TOPOLOGY
#   class: policy_denied
#   short_name: mesh_invalid_topology
#   message: "The topology of mesh {mesh_id} is invalid: {because}."
#   solution: Correct the rail that the pointer names; an occupied rail keeps its level, and room and latency for its workloads.
#   source: Isolation mesh contract, INV-MESH-FAIL-CLOSED
topology_faults contains [
	"TOPOLOGY-06",
	index,
	rail_pointer(index, "latency_overhead_us"),
	"the overhead must be an integer from 0 to 9007199254740991",
] if {
	some index, rail in input.request.rails
	not has_overhead(rail)
}

# METADATA
# title: A rail with overhead
# description: Zero is possible.
has_overhead(rail) if is_integer(rail.latency_overhead_us)

# METADATA
# title: A rail with unknown members
# description: A rail has the four members that define it and no other, so that a typing error is never a silent pass.
# custom:
#   rule: TOPOLOGY-07
#   code: ERR_MESH_INVALID_TOPOLOGY
#   class: policy_denied
#   short_name: mesh_invalid_topology
#   message: "The topology of mesh {mesh_id} is invalid: {because}."
#   solution: Correct the rail that the pointer names; an occupied rail keeps its level, and room and latency for its workloads.
#   source: Isolation mesh contract, INV-MESH-FAIL-CLOSED
topology_faults contains ["TOPOLOGY-07", index, concat("/", ["/rails", format_int(index, 10)]), "a rail has no such members"] if {
	some index, rail in input.request.rails
	count(object.remove(rail, ["rail_id", "level", "latency_overhead_us", "capacity"])) > 0
}

# METADATA
# title: An occupied rail dropped
# description: A rail on which a workload is placed stays in the topology.
# custom:
#   rule: TOPOLOGY-08
#   code: ERR_MESH_INVALID_TOPOLOGY
#   class: policy_denied
#   short_name: mesh_invalid_topology
#   message: "The topology of mesh {mesh_id} is invalid: {because}."
#   solution: Correct the rail that the pointer names; an occupied rail keeps its level, and room and latency for its workloads.
#   source: Isolation mesh contract, INV-MESH-MONOTONIC-ELEVATION
reload_faults contains ["TOPOLOGY-08", 0, "/rails", concat("", ["it lacks the occupied rail ", rail_id])] if {
	some rail_id, _ in occupied
	not rail_id in offered_ids
}

# METADATA
# title: The level of an occupied rail changed
# description: A rail on which a workload is placed keeps its level.
# custom:
#   rule: TOPOLOGY-09
#   code: ERR_MESH_INVALID_TOPOLOGY
#   class: policy_denied
#   short_name: mesh_invalid_topology
#   message: "The topology of mesh {mesh_id} is invalid: {because}."
#   solution: Correct the rail that the pointer names; an occupied rail keeps its level, and room and latency for its workloads.
#   source: Isolation mesh contract, INV-MESH-MONOTONIC-ELEVATION
reload_faults contains ["TOPOLOGY-09", index, rail_pointer(index, "level"), "the rail is occupied and changes its level"] if {
	some index, rail in input.request.rails
	rail.level != occupied[rail.rail_id].level
}

# METADATA
# title: The capacity of a rail cut under its occupation
# description: A rail keeps room for the workloads that are placed on it.
# custom:
#   rule: TOPOLOGY-10
#   code: ERR_MESH_INVALID_TOPOLOGY
#   class: policy_denied
#   short_name: mesh_invalid_topology
#   message: "The topology of mesh {mesh_id} is invalid: {because}."
#   solution: Correct the rail that the pointer names; an occupied rail keeps its level, and room and latency for its workloads.
#   source: Isolation mesh contract
reload_faults contains ["TOPOLOGY-10", index, rail_pointer(index, "capacity"), "the rail holds more workloads than that"] if {
	some index, rail in input.request.rails
	rail.capacity < occupied[rail.rail_id].active_count
}

# METADATA
# title: The overhead of a rail raised over a preserved budget
# description: A rail stays within the latency budget of every workload on it that preserves one.
# custom:
#   rule: TOPOLOGY-11
#   code: ERR_MESH_INVALID_TOPOLOGY
#   class: policy_denied
#   short_name: mesh_invalid_topology
#   message: "The topology of mesh {mesh_id} is invalid: {because}."
#   solution: Correct the rail that the pointer names; an occupied rail keeps its level, and room and latency for its workloads.
#   source: Isolation mesh contract, INV-MESH-LATENCY-BUDGET
reload_faults contains [
	"TOPOLOGY-11",
	index,
	rail_pointer(index, "latency_overhead_us"),
	"the overhead exceeds a latency budget that a workload on the rail preserves",
] if {
	some index, rail in input.request.rails
	occupied[rail.rail_id].least_budget_us != null
	rail.latency_overhead_us > occupied[rail.rail_id].least_budget_us
}
