# The entrypoint of the lifecycle law, and what an accepted and a refused step look like.

# METADATA
# title: The life of an admitted workload
# description: |
#   Decides the transitions of an execution envelope, its re-attestations, and whether a deadline for one was missed.
#   What an attestation must be, how old a policy may be and what a partition withholds is said where admissions are
#   judged; the same rules judge here.
# scope: package
package railgate.lifecycle

# METADATA
# title: The decision on one step of a workload's life
# description: Always defined. Whatever no other rule answers, an unknown command or facts of the wrong shape, is refused.
# entrypoint: true
# scope: document
# custom:
#   rule: LIFE-00
#   code: policy_error
#   class: dependency_unavailable_fail_closed
#   short_name: lifecycle_command_unreadable
#   message: The command or the state given with it is not what the policy knows.
#   solution: Send a transition, an attestation or a deadline, complete and with the right types.
#   source: If policy cannot be evaluated, governed actions MUST fail-closed with refusal evidence.
default decision := {
	"outcome": "refused",
	"error_code": "policy_error",
	"class": "dependency_unavailable_fail_closed",
	"rule": "LIFE-00",
	"pointer": "",
	"params": {},
	"to_state": null,
	"standing": null,
	"obligations": [],
}

decision := transition_decision(input.request, input.facts) if input.request.command == "transition"

decision := attest_decision(input.request, input.facts) if input.request.command == "attest"

decision := deadline_decision(input.request, input.facts) if input.request.command == "deadline"

# METADATA
# title: An accepted step
# description: With the state that it leads to, the standing of the attestation after it, and what it obliges to.
accepted(to_state, standing, obligations) := {
	"outcome": "accepted",
	"error_code": null,
	"class": null,
	"rule": null,
	"pointer": null,
	"params": {},
	"to_state": to_state,
	"standing": standing,
	"obligations": obligations,
}

# METADATA
# title: A refused step
# description: The state stays; only the standing of the attestation may change.
refused(refusal, standing) := {
	"outcome": "refused",
	"error_code": refusal.code,
	"class": refusal.class,
	"rule": refusal.rule,
	"pointer": refusal.pointer,
	"params": refusal.params,
	"to_state": null,
	"standing": standing,
	"obligations": [],
}

# METADATA
# title: The first of several refusals
# description: By rule, then pointer, as decisions on admissions are sorted.
first_of(refusals) := min({[refusal.rule, refusal.pointer, refusal] | some refusal in refusals})[2]
