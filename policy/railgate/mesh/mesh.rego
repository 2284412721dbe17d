# The entrypoint of the mesh law, and what an accepted and a refused command look like.

# METADATA
# title: The isolation mesh
# description: |
#   Decides the four commands of a mesh: reload its topology, place, elevate and remove a workload. The host gives the
#   slice of the mesh that the command is about; nothing of the mesh is decided anywhere else.
# scope: package
package railgate.mesh

# METADATA
# title: The decision on one mesh command
# description: |
#   Always defined. Whatever no other rule answers, an unknown command or a slice of the wrong shape, is refused.
# entrypoint: true
# scope: document
# custom:
#   rule: MESH-00
#   code: policy_error
#   class: dependency_unavailable_fail_closed
#   short_name: mesh_command_unreadable
#   message: The mesh command or the state given with it is not what the policy knows.
#   solution: Send one of the commands reload, place, elevate or remove, complete and with the right types.
#   source: Isolation mesh contract, INV-MESH-FAIL-CLOSED
default decision := {
	"outcome": "refused",
	"error_code": "policy_error",
	"mesh_event": null,
	"class": "dependency_unavailable_fail_closed",
	"rule": "MESH-00",
	"pointer": "",
	"params": {},
}

decision := place_decision(input.request, input.facts) if input.request.command == "place"

decision := elevate_decision(input.request, input.facts) if input.request.command == "elevate"

decision := remove_decision(input.request, input.facts) if input.request.command == "remove"

decision := reload_decision(input.request, input.facts) if input.request.command == "reload"

# METADATA
# title: Isolation levels by rank
# description: From the weakest to the strictest.
rank := {
	"shared": 1,
	"process_isolated": 2,
	"sandbox_isolated": 3,
	"hardware_isolated": 4,
}

# METADATA
# title: An accepted command
# description: The mesh event says what happened.
accepted(mesh_event) := {
	"outcome": "accepted",
	"error_code": null,
	"mesh_event": mesh_event,
	"class": null,
	"rule": null,
	"pointer": null,
	"params": {},
}

# METADATA
# title: A command refused by policy
# description: The mesh event is null where the contract has none for this refusal.
denied(code, rule, mesh_event, pointer, params) := {
	"outcome": "refused",
	"error_code": code,
	"mesh_event": mesh_event,
	"class": "policy_denied",
	"rule": rule,
	"pointer": pointer,
	"params": params,
}
