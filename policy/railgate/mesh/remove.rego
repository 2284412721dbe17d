# Taking a workload out of the mesh.
package railgate.mesh

import data.railgate.lib

# Undefined, thus refused, where the slice can't be read. A removal is held up by nothing but an unknown workload, whatever
# the state of the link upstream.
remove_decision(request, facts) := remove_checked(request, facts.placement) if {
	is_id(request.mesh_id)
	is_id(request.workload_id)
	is_placement_fact(facts.placement, request.workload_id)
}

remove_checked(request, placement) := refused(remove_unknown_workload(request), null) if {
	placement == null
} else := accepted("MESH_005")

# METADATA
# title: The workload is not placed in this mesh
# description: Only a placed workload can be removed.
# custom:
#   rule: REMOVE-01
#   code: ERR_MESH_UNKNOWN_WORKLOAD
#   class: policy_denied
#   http_status: 404
#   short_name: mesh_unknown_workload
#   message: Workload {workload_id} is not placed in mesh {mesh_id}.
#   solution: Place the workload on a rail of this mesh first.
#   source: "remove: ERR_MESH_UNKNOWN_WORKLOAD"
remove_unknown_workload(request) := lib.refuse(rego.metadata.rule(), "/workload_id", {
	"mesh_id": request.mesh_id,
	"workload_id": request.workload_id,
})
