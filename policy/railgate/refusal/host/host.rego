# The three rules that no policy can say of itself: the host says them. Their texts are kept here so that the
# catalogue, the host and the documentation have one source. Only POL-03 is ever part of a policy's own decision, where
# a subject is unsound in silence.
package railgate.refusal.host

import data.railgate.lib

# METADATA
# title: No policy is active
# description: "A policy is active, and its signature and integrity were verified."
# custom:
#   rule: POL-01
#   code: policy_unavailable
#   class: dependency_unavailable_fail_closed
#   short_name: policy_available
#   message: "No policy is active on this node, or the signature or integrity of its bundle failed."
#   solution: "Give the node a policy bundle signed by a key it trusts; `railgate doctor` says what is wrong with the present one."
#   source: "If policy cannot be evaluated, governed actions MUST fail-closed with refusal evidence."
policy_unavailable := lib.refuse(rego.metadata.rule(), "", {})

# METADATA
# title: The policy could not decide
# description: "Evaluation ends within its limits and returns a decision the host recognises."
# custom:
#   rule: POL-03
#   code: policy_error
#   class: dependency_unavailable_fail_closed
#   short_name: policy_evaluated
#   message: "Evaluating the policy failed, ran over its limit, or gave an answer that is not a decision."
#   solution: "Look for this decision's id in the node's log, replay its stored input with `opa eval`, and repair the policy."
#   source: "If policy cannot be evaluated, governed actions MUST fail-closed with refusal evidence."
policy_error := lib.refuse(rego.metadata.rule(), "", {})

# METADATA
# title: Evidence could not be recorded
# description: "The decision and its evidence are durable before the caller is answered."
# custom:
#   rule: EVI-01
#   code: evidence_unavailable
#   class: dependency_unavailable_fail_closed
#   http_status: 503
#   short_name: evidence_recorded
#   message: "The decision could not be made durable, so this answer admits nothing; `recorded` says whether it is certain that nothing is on record."
#   solution: "Make room on the node's disk or make its data directory writable, then ask again; where `recorded` is unknown, look for the event `event_id` first. The node recovers by itself."
#   source: "Admission decisions during partition MUST be locally enforceable and evidenced."
evidence_unavailable := lib.refuse(rego.metadata.rule(), "", {})
