# What a mesh command may rely on while upstream is out of reach.
package railgate.mesh

import data.railgate.refusal.freshness

# POL-02 and CRP-01, the rules of admissions, asked about the workload's admission. They come after the mesh's own checks,
# so that the order of those stays what the contract says.
upstream_refusal(admission) := object.union(refusal, {"pointer": ""}) if {
	not upstream_untroubled
	workload := admitted(admission)
	refusals := freshness.refusals with input as {"request": {"workload": workload}, "context": input.context}
	refusal := min({[refusal.rule, refusal] | some refusal in refusals})[1]
}

# Upstream is in reach and the policy has no age: the rules would find nothing and need not be asked.
upstream_untroubled if {
	input.context.policy.age_s == null
	input.context.partition.state == "connected"
}

# For a workload that was never admitted, and for a topology, the baseline profile counts, confirmed by nobody.
admitted(admission) := {
	"governance_profile": admission.governance_profile,
	"crp": {"designated": admission.crp},
} if {
	admission != null
} else := {"governance_profile": "baseline", "crp": {"designated": true}}
