# Defining the rails of a mesh, and reloading them under the workloads that are placed.
package railgate.mesh

import data.railgate.mesh.topology

# Undefined, thus refused, where the slice can't be read; the topology itself is judged, not assumed.
reload_decision(request, facts) := reload_checked(request) if {
	is_id(request.mesh_id)
	is_array(facts.occupied)
	every rail in facts.occupied {
		is_id(rail.rail_id)
		is_level(rail.level)
		is_count(rail.active_count)
		is_budget_fact(rail.least_budget_us)
	}
}

# Should a topology not be sound and no rule say why, this is undefined, thus refused.
reload_checked(request) := reload_unhindered if {
	topology.sound
} else := refused(topology.refusal(request.mesh_id), null)

reload_unhindered := refused(refusal, null) if {
	refusal := upstream_refusal(null)
} else := accepted("MESH_006")
