# The three rules that no policy can say of itself: the host says them. Their texts are kept here so that the
# catalogue and the documentation have one source; the rule below is never part of a decision.
package railgate.refusal.host

# METADATA
# title: No policy is active
# description: "A policy is active, and its signature and integrity were verified."
# custom:
#   rule: POL-01
#   code: policy_unavailable
#   class: dependency_unavailable_fail_closed
#   short_name: policy_available
#   message: "No verified policy is active, so nothing can be decided."
#   solution: "Activate a bundle whose signature verifies with a configured key."
#   source: "If policy cannot be evaluated, governed actions MUST fail-closed with refusal evidence."
said_by_host contains "POL-01"

# METADATA
# title: The policy could not be evaluated
# description: "Evaluation ends within its limits and returns a decision the host recognises."
# custom:
#   rule: POL-03
#   code: policy_error
#   class: dependency_unavailable_fail_closed
#   short_name: policy_evaluated
#   message: "The policy failed, ran over its limit, or returned something unrecognised."
#   solution: "Correct the policy; the evidence of this refusal names its digest."
#   source: "If policy cannot be evaluated, governed actions MUST fail-closed with refusal evidence."
said_by_host contains "POL-03"

# METADATA
# title: Evidence could not be recorded
# description: "The decision and its evidence are durable before the caller is answered."
# custom:
#   rule: EVI-01
#   code: evidence_unavailable
#   class: dependency_unavailable_fail_closed
#   short_name: evidence_recorded
#   message: "The evidence of this decision could not be recorded, so nothing was admitted."
#   solution: "Restore the evidence store (disk space, database connection) and ask again."
#   source: "Admission decisions during partition MUST be locally enforceable and evidenced."
said_by_host contains "EVI-01"
