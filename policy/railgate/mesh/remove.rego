# Taking a workload out of the mesh.
package railgate.mesh

# METADATA
# title: The decision on removing a workload
# description: Undefined, thus refused, where the slice can't be read.
remove_decision(request, facts) := remove_checked(request, facts) if {
	is_id(request.mesh_id)
	is_id(request.workload_id)
	is_placement_fact(facts.placement, request.workload_id)
}

# METADATA
# title: The check of a removal
# description: A removal is held up by nothing else, whatever the state of the link upstream.
remove_checked(request, facts) := refusal if refusal := remove_unknown_workload(request, facts.placement)

else := accepted("MESH_005")

# METADATA
# title: The workload is not placed in this mesh
# description: Only a placed workload can be removed.
# custom:
#   rule: REMOVE-01
#   code: ERR_MESH_UNKNOWN_WORKLOAD
#   class: policy_denied
#   short_name: mesh_unknown_workload
#   message: Workload {workload_id} is not placed in mesh {mesh_id}.
#   solution: Place the workload on a rail of this mesh first.
#   source: Isolation mesh contract, INV-MESH-FAIL-CLOSED
remove_unknown_workload(request, placement) := denied("ERR_MESH_UNKNOWN_WORKLOAD", "REMOVE-01", null, "/workload_id", {
	"mesh_id": request.mesh_id,
	"workload_id": request.workload_id,
}) if {
	placement == null
}
