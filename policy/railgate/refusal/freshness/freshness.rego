# What may be relied on, how old it may be, and what needs upstream while there is none.
package railgate.refusal.freshness

import data.railgate.lib
import data.railgate.settings

# Holds where no rule below refuses.
sound(workload) if {
	policy_fresh(workload)
	partition_designated(workload)
}

# METADATA
# title: The policy is stale
# description: "The active policy was confirmed by its source within `settings.freshness.policy`; while partitioned, within the grace period on top."
# custom:
#   rule: POL-02
#   code: policy_stale
#   class: dependency_unavailable_fail_closed
#   short_name: policy_fresh
#   message: "The active policy was last confirmed {age_s} s ago, longer than the workload's profile accepts."
#   solution: "Restore the connection to the policy source, or admit the workload where policy is fresh."
#   source: "If policy cannot be evaluated, governed actions MUST fail-closed with refusal evidence."
policy_stale(location, params) := lib.refuse(rego.metadata.rule(), location, params)

refusals contains policy_stale(location, params) if {
	not policy_fresh(lib.workload)
	location := "/workload/governance_profile"
	params := {
		"age_s": object.get(lib.context("policy"), "age_s", null),
		"policy_snapshot_id": lib.snapshot("policy"),
	}
}

policy_fresh(_) if lib.fresh("policy")

# METADATA
# title: The workload may not be admitted while partitioned
# description: "While upstream is out of reach, a workload whose profile wants upstream confirmation is CRP-designated."
# custom:
#   rule: CRP-01
#   code: partition_not_designated
#   class: dependency_unavailable_fail_closed
#   short_name: partition_designated
#   message: "Upstream is out of reach, the profile {profile} wants its confirmation, and the workload is not CRP-designated."
#   solution: "Wait for the partition to heal, or designate the workload in `crp.designated`."
#   source: "CRP-designated envelopes MUST continue under local control when the upstream scheduler/control plane is unavailable."
partition_not_designated(location, params) := lib.refuse(rego.metadata.rule(), location, params)

refusals contains partition_not_designated(location, params) if {
	not partition_designated(lib.workload)
	location := "/workload/crp/designated"
	params := {
		"profile": lib.profile,
		"policy_snapshot_id": lib.snapshot("policy"),
		"authority_snapshot_id": lib.snapshot("authority"),
	}
}

partition_designated(workload) if {
	lib.reachable(input.context.partition.state)
} else if {
	workload.crp.designated == true
} else if {
	not settings.partition.upstream_confirmation[workload.governance_profile]
} else if {
	not lib.has(workload, "governance_profile")
}
