# What a topology must be, and what a reload may not take from the workloads that are placed.

# METADATA
# title: The topology is invalid
# scope: package
# schemas:
#   - input: schema.mesh
# custom:
#   code: ERR_MESH_INVALID_TOPOLOGY
#   class: policy_denied
#   http_status: 422
#   message: "The topology of mesh {mesh_id} is invalid: {because}."
#   solution: Correct the rail that the pointer names; an occupied rail keeps its level, and room and latency for its workloads.
package railgate.mesh.topology

import data.railgate.lib
import data.railgate.mesh

# Holds where no rule below refuses.
sound if {
	has_rails
	count(offered_ids) == count(input.request.rails)
	every rail in input.request.rails {
		defined(rail)
		not changes_level(rail)
		not lacks_room(rail)
		not exceeds_budget(rail)
	}
	every rail_id, _ in occupied {
		rail_id in offered_ids
	}
}

defined(rail) if {
	has_id(rail)
	has_level(rail)
	has_capacity(rail)
	has_overhead(rail)
	not has_others(rail)
}

# What they have in common is said once, for the package; the first of the faults says which rule, where and why, and all
# are listed: those of the topology itself, and where it has none those against the workloads that are placed.
refusal(mesh_id) := lib.refuse({"custom": object.union(package_scope.custom, {"rule": rule})}, pointer, {
	"mesh_id": mesh_id,
	"because": because,
	"errors": [{"pointer": at, "message": message} | some [_, _, at, message] in sort(found)],
}) if {
	package_scope := rego.metadata.chain()[1].annotations
	found := faults_found
	[rule, _, pointer, because] := min(found)
}

faults_found := faults if {
	count(faults) > 0
} else := reload_faults

at_rail(index) := concat("/", ["/rails", format_int(index, 10)])

at_member(index, member) := concat("/", [at_rail(index), member])

offered_ids contains rail.rail_id if some rail in input.request.rails

# The host gives each once; given twice and differently, evaluation fails and the command is refused.
occupied := {rail.rail_id: rail | some rail in input.facts.occupied}

# METADATA
# title: The topology has no rails
# description: A mesh is a list of at least one rail.
# custom:
#   rule: TOPOLOGY-01
#   short_name: mesh_topology_valid
#   source: "define or reload topology: at least one rail"
faults contains [rego.metadata.rule().custom.rule, 0, "/rails", "it needs a list of at least one rail"] if not has_rails

has_rails if {
	is_array(input.request.rails)
	count(input.request.rails) > 0
}

# METADATA
# title: A rail without identifier
# description: Every rail has a rail_id, spelled as identifiers are.
# custom:
#   rule: TOPOLOGY-02
#   short_name: mesh_topology_valid
#   source: "define or reload topology: non-empty unique rail_id"
faults contains [rego.metadata.rule().custom.rule, index, at_member(index, "rail_id"), because] if {
	some index, rail in input.request.rails
	not has_id(rail)
	because := "a rail needs a rail_id, spelled as identifiers are"
}

# 1 to 253 letters, digits and -._:/@, other than the dots by which paths are walked.
has_id(rail) if {
	mesh.is_id(rail.rail_id)
	count(rail.rail_id) <= 253
	trim(rail.rail_id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._:/@") == ""
	not rail.rail_id in {".", ".."}
}

# METADATA
# title: A rail twice
# description: A rail_id stands for one rail.
# custom:
#   rule: TOPOLOGY-03
#   short_name: mesh_topology_valid
#   source: "define or reload topology: non-empty unique rail_id"
faults contains [rego.metadata.rule().custom.rule, index, at_member(index, "rail_id"), because] if {
	some index, rail in input.request.rails
	count(offered_ids) < count(input.request.rails)
	some earlier in array.slice(input.request.rails, 0, index)
	earlier.rail_id == rail.rail_id
	because := "two rails have this rail_id"
}

# METADATA
# title: A rail of unknown level
# description: The level is one of the four.
# custom:
#   rule: TOPOLOGY-04
#   short_name: mesh_topology_valid
#   source: "define or reload topology: known level"
faults contains [rego.metadata.rule().custom.rule, index, at_member(index, "level"), because] if {
	some index, rail in input.request.rails
	not has_level(rail)
	because := "the level is unknown"
}

# The predicates take the whole rail, since a missing member must make them false.
has_level(rail) if mesh.is_level(rail.level)

# METADATA
# title: A rail of wrong capacity
# description: The capacity is an integer from 1 to 2^53 - 1.
# custom:
#   rule: TOPOLOGY-05
#   short_name: mesh_topology_valid
#   source: "define or reload topology: capacity ≥ 1"
faults contains [rego.metadata.rule().custom.rule, index, at_member(index, "capacity"), because] if {
	some index, rail in input.request.rails
	not has_capacity(rail)
	because := "the capacity must be an integer from 1 to 9007199254740991"
}

has_capacity(rail) if {
	mesh.is_integer(rail.capacity)
	rail.capacity >= 1
}

# METADATA
# title: A rail of wrong overhead
# description: The overhead is an integer from 0 to 2^53 - 1, in microseconds.
# custom:
#   rule: TOPOLOGY-06
#   short_name: mesh_topology_valid
#   source: "define or reload topology: integers within 0…2^53-1"
faults contains [rego.metadata.rule().custom.rule, index, at_member(index, "latency_overhead_us"), because] if {
	some index, rail in input.request.rails
	not has_overhead(rail)
	because := "the overhead must be an integer from 0 to 9007199254740991"
}

has_overhead(rail) if mesh.is_integer(rail.latency_overhead_us)

# METADATA
# title: A rail with unknown members
# description: A rail has the four members that define it and no other, so that a typing error is never a silent pass.
# custom:
#   rule: TOPOLOGY-07
#   short_name: mesh_topology_valid
#   source: "define or reload topology: integers within 0…2^53-1"
faults contains [rego.metadata.rule().custom.rule, index, at_rail(index), because] if {
	some index, rail in input.request.rails
	has_others(rail)
	because := "a rail has no such members"
}

has_others(rail) if count(object.remove(rail, ["rail_id", "level", "latency_overhead_us", "capacity"])) > 0

# METADATA
# title: An occupied rail dropped
# description: A rail on which a workload is placed stays in the topology.
# custom:
#   rule: TOPOLOGY-08
#   short_name: mesh_topology_valid
#   source: "if it drops an occupied rail"
reload_faults contains [rego.metadata.rule().custom.rule, 0, "/rails", because] if {
	some rail_id, _ in occupied
	not rail_id in offered_ids
	because := concat("", ["it lacks the occupied rail ", rail_id])
}

# METADATA
# title: The level of an occupied rail changed
# description: A rail on which a workload is placed keeps its level.
# custom:
#   rule: TOPOLOGY-09
#   short_name: mesh_topology_valid
#   source: "changes the level of an occupied rail"
reload_faults contains [rego.metadata.rule().custom.rule, index, at_member(index, "level"), because] if {
	some index, rail in input.request.rails
	changes_level(rail)
	because := "the rail is occupied and changes its level"
}

changes_level(rail) if rail.level != occupied[rail.rail_id].level

# METADATA
# title: The capacity of a rail cut under its occupation
# description: A rail keeps room for the workloads that are placed on it.
# custom:
#   rule: TOPOLOGY-10
#   short_name: mesh_topology_valid
#   source: "cuts capacity under the active count"
reload_faults contains [rego.metadata.rule().custom.rule, index, at_member(index, "capacity"), because] if {
	some index, rail in input.request.rails
	lacks_room(rail)
	because := "the rail holds more workloads than that"
}

lacks_room(rail) if rail.capacity < occupied[rail.rail_id].active_count

# METADATA
# title: The overhead of a rail raised over a preserved budget
# description: A rail stays within the latency budget of every workload on it that preserves one.
# custom:
#   rule: TOPOLOGY-11
#   short_name: mesh_topology_valid
#   source: "raises overhead over the budget of a workload that must preserve it"
reload_faults contains [rego.metadata.rule().custom.rule, index, at_member(index, "latency_overhead_us"), because] if {
	some index, rail in input.request.rails
	exceeds_budget(rail)
	because := "the overhead exceeds a latency budget that a workload on the rail preserves"
}

exceeds_budget(rail) if {
	occupied[rail.rail_id].least_budget_us != null
	rail.latency_overhead_us > occupied[rail.rail_id].least_budget_us
}
