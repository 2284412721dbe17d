# The entrypoint of the mesh law, and what an accepted and a refused command look like.

# METADATA
# title: The isolation mesh
# description: |
#   Decides the four commands of a mesh: reload its topology, place, elevate and remove a workload. The host gives the
#   slice of the mesh that the command is about; nothing of the mesh is decided anywhere else.
# scope: package
# schemas:
#   - input: schema.mesh
# custom:
#   http_status: 409
package railgate.mesh

import data.railgate.lib

# METADATA
# title: The decision on one mesh command
# description: |
#   Always defined. Whatever no other rule answers, an unknown command or a slice of the wrong shape, is refused.
# entrypoint: true
decision := answer if {
	answer := answered(input.request, input.facts)
} else := refused(command_unreadable, null)

answered(request, facts) := place_decision(request, facts) if {
	request.command == "place"
} else := elevate_decision(request, facts) if {
	request.command == "elevate"
} else := remove_decision(request, facts) if {
	request.command == "remove"
} else := reload_decision(request, facts) if {
	request.command == "reload"
}

# METADATA
# title: The mesh command can't be read
# description: A command the policy does not know, or a slice of the wrong shape.
# custom:
#   rule: MESH-00
#   code: policy_error
#   class: dependency_unavailable_fail_closed
#   short_name: mesh_command_unreadable
#   message: The mesh command or the state given with it is not what the policy knows.
#   solution: Send one of the commands reload, place, elevate or remove, complete and with the right types.
#   source: "INV-MESH-FAIL-CLOSED: unknown rails, workloads, levels and policies, and demotions, are refused"
command_unreadable := lib.refuse(rego.metadata.rule(), "", {})

# The mesh event says what happened.
accepted(mesh_event) := {
	"outcome": "accepted",
	"error_code": null,
	"mesh_event": mesh_event,
	"class": null,
	"rule": null,
	"pointer": null,
	"params": {},
}

# The mesh event is null where the contract has none for this refusal.
refused(refusal, mesh_event) := {
	"outcome": "refused",
	"error_code": refusal.code,
	"mesh_event": mesh_event,
	"class": refusal.class,
	"rule": refusal.rule,
	"pointer": refusal.pointer,
	"params": refusal.params,
}
