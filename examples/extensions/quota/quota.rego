# An example of an extension: copied to policy/railgate/extensions/quota/, it refuses what its tenant has no quota for.
package railgate.extensions.quota

import data.railgate.lib

# METADATA
# title: The tenant's quota is used up
# description: A tenant runs high-risk workloads only where it has a quota for them.
# custom:
#   rule: ACME-01
#   code: acme_quota_exceeded
#   class: policy_denied
#   short_name: quota_kept
#   message: Tenant {tenant} has no quota for workloads of high risk.
#   solution: Ask for a quota, or lower the workload's risk.
#   source: "ACME platform handbook, section 3"
refusals contains lib.refuse(rego.metadata.rule(), "/workload/risk", params) if {
	lib.workload.risk == "high"
	not has_quota(lib.workload)
	params := {"tenant": lib.shown(lib.workload, "tenant_id")}
}

# A function, since `not` before a lookup whose key is missing would pass in silence.
has_quota(workload) if with_quota[workload.tenant_id]

with_quota := {"globex": true}
