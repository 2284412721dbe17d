package railgate.mesh

import data.railgate.lib
import data.railgate.settings

# METADATA
# title: What the link upstream holds against a move
# description: |
#   Comes after the mesh's own checks, so that their order stays what the contract says. A removal is never held up.
upstream_refusal(admission) := refusal if refusal := partition_not_designated(admission)

else := refusal if refusal := policy_stale(profile_of(admission))

# METADATA
# title: The profile whose limits count
# description: The admission's; baseline for a workload that was never admitted.
profile_of(admission) := admission.governance_profile if admission != null

else := "baseline"

# METADATA
# title: CRP-01 for a move in the mesh
# description: |
#   Upstream is out of reach, and an admitted workload is not CRP-designated while its profile demands upstream
#   confirmation. The catalogue has the words of CRP-01.
partition_not_designated(admission) := withheld("partition_not_designated", "CRP-01", "/workload_id", params) if {
	admission != null
	not lib.reachable
	not admission.crp
	not settings.partition.upstream_confirmation[admission.governance_profile] == false
	params := {"profile": admission.governance_profile}
}

# METADATA
# title: POL-02 for a mesh command
# description: The active policy is older than the limit of the profile. The catalogue has the words of POL-02.
policy_stale(profile) := withheld("policy_stale", "POL-02", "", {"profile": profile}) if not policy_fresh(profile)

# METADATA
# title: The policy is fresh
# description: It has no age, or one within the profile's limit, with grace while partitioned.
policy_fresh(profile) if input.context.policy.age_s == null

else if lib.within_limit(input.context.policy.age_s, settings.freshness.policy[profile])

# METADATA
# title: A command withheld for want of upstream
# description: No mesh event stands for it.
withheld(code, rule, pointer, params) := {
	"outcome": "refused",
	"error_code": code,
	"mesh_event": null,
	"class": "dependency_unavailable_fail_closed",
	"rule": rule,
	"pointer": pointer,
	"params": params,
}
