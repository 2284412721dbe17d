# What a mesh command may rely on while upstream is out of reach.
package railgate.mesh

import data.railgate.refusal.freshness

# METADATA
# title: What the link upstream holds against a command
# description: |
#   POL-02 and CRP-01, the rules of admissions, asked about the workload's admission. They come after the mesh's own
#   checks, so that the order of those stays what the contract says; a removal is never held up.
upstream_refusal(admission) := {
	"outcome": "refused",
	"error_code": refusal.code,
	"mesh_event": null,
	"class": refusal.class,
	"rule": refusal.rule,
	"pointer": "",
	"params": refusal.params,
} if {
	not upstream_untroubled
	workload := admitted(admission)
	refusals := freshness.refusals with input as {"request": {"workload": workload}, "context": input.context}
	refusal := min({[refusal.rule, refusal] | some refusal in refusals})[1]
}

# METADATA
# title: Nothing is wrong upstream
# description: It is in reach and the policy has no age. The rules would find nothing and need not be asked.
upstream_untroubled if {
	input.context.policy.age_s == null
	input.context.partition.state == "connected"
}

# METADATA
# title: The admission as the rules of admissions see it
# description: For a workload that was never admitted, and for a topology, the baseline profile counts, confirmed by nobody.
admitted(admission) := {
	"governance_profile": admission.governance_profile,
	"crp": {"designated": admission.crp},
} if {
	admission != null
}

else := {"governance_profile": "baseline", "crp": {"designated": true}}
