# The entrypoint of the lifecycle law, and what an accepted and a refused step look like.

# METADATA
# title: The life of an admitted workload
# description: |
#   Decides the transitions of an execution envelope, its re-attestations, and whether a deadline for one was missed.
#   What an attestation must be, how old a policy may be and what a partition withholds is said where admissions are
#   judged; the same rules judge here.
# scope: package
# schemas:
#   - input: schema.lifecycle
# custom:
#   http_status: 409
package railgate.lifecycle

import data.railgate.lib

# METADATA
# title: The decision on one step of a workload's life
# description: Always defined. Whatever no other rule answers, an unknown command or facts of the wrong shape, is refused.
# entrypoint: true
decision := answer if {
	answer := answered(input.request, input.facts)
} else := refused(command_unreadable, null)

answered(request, facts) := transition_decision(request, facts) if {
	request.command == "transition"
} else := attest_decision(request, facts) if {
	request.command == "attest"
} else := deadline_decision(request, facts) if {
	request.command == "deadline"
}

# METADATA
# title: The lifecycle command can't be read
# description: A command the policy does not know, or facts of the wrong shape.
# custom:
#   rule: LIFE-00
#   code: policy_error
#   class: dependency_unavailable_fail_closed
#   short_name: lifecycle_command_unreadable
#   message: The command or the state given with it is not what the policy knows.
#   solution: Send a transition, an attestation or a deadline, complete and with the right types.
#   source: If policy cannot be evaluated, governed actions MUST fail-closed with refusal evidence.
command_unreadable := lib.refuse(rego.metadata.rule(), "", {})

# With the state that it leads to, the standing of the attestation after it, and what it obliges to.
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

# The state stays; only the standing of the attestation may change.
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

# By rule, then pointer, as decisions on admissions are sorted. Undefined where there is none.
first_of(refusals) := min({[refusal.rule, refusal.pointer, refusal] | some refusal in refusals})[2]
