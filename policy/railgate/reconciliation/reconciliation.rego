# The entrypoint of the law of reconciliation: whether a partition may end, and which of several decisions stands.

# METADATA
# title: Reconciliation
# description: |
#   Decides whether what a node recorded while it was cut off may be taken for reconciled, and, where nodes have decided
#   differently about one workload, which decision stands on all of them.
# scope: package
# schemas:
#   - input: schema.reconciliation
# custom:
#   http_status: 409
package railgate.reconciliation

import data.railgate.envelope
import data.railgate.lib
import data.railgate.refusal.freshness
import data.railgate.settings

# METADATA
# title: The decision on a reconciliation
# description: Always defined. Whatever no other rule answers, an unknown command or decisions that cannot be compared, is refused.
# entrypoint: true
decision := answer if {
	answer := answered(input.request)
} else := refused(command_unreadable)

answered(request) := reconciled if {
	request.command == "reconcile"
} else := superseded(request.decisions) if {
	request.command == "supersede"
}

# METADATA
# title: The reconciliation can't be read
# description: A command the policy does not know, or decisions that it cannot compare.
# custom:
#   rule: RECON-00
#   code: policy_error
#   class: dependency_unavailable_fail_closed
#   short_name: reconciliation_unreadable
#   message: The reconciliation or the decisions given with it are not what the policy knows.
#   solution: Send a range of records, or decisions of several nodes on one workload, complete and with the right types.
#   source: If policy cannot be evaluated, governed actions MUST fail-closed with refusal evidence.
command_unreadable := lib.refuse(rego.metadata.rule(), "", {})

# The decision that stands, and those that no longer do; neither where a range is reconciled.
accepted(standing, others) := {
	"outcome": "accepted",
	"error_code": null,
	"class": null,
	"rule": null,
	"pointer": null,
	"params": {},
	"standing": standing,
	"superseded": others,
}

refused(refusal) := {
	"outcome": "refused",
	"error_code": refusal.code,
	"class": refusal.class,
	"rule": refusal.rule,
	"pointer": "",
	"params": refusal.params,
	"standing": null,
	"superseded": [],
}

# Policy that is too old for any profile ends no partition: it is confirmed first.
reconciled := refused(min(stale)[1]) if {
	count(stale) > 0
} else := accepted(null, []) if {
	count(settings.freshness.policy) > 0
}

# Grace is for a node that is cut off, and what ends here is that.
stale contains [refusal.rule, refusal] if {
	some profile, _ in settings.freshness.policy
	refusals := freshness.refusals with input as {
		"request": {"workload": {"governance_profile": profile, "crp": {"designated": true}}},
		"context": object.union(input.context, {"partition": {"state": "reconciled"}}),
	}
	some refusal in refusals
}

# The strictest stands, whoever made it and whenever it came; of those that are equally strict the first that was made.
superseded(decisions) := accepted(standing, others) if {
	ranks := [strictness(decision) | some decision in decisions]
	count(ranks) == count(decisions)
	strictest := max(ranks)
	standing := min({[decision.at, decision.event_id] |
		some decision in decisions
		strictness(decision) == strictest
	})[1]
	others := [decision.event_id |
		some decision in decisions
		strictness(decision) != strictest
	]
	count(others) > 0
}

# A refusal is stricter than any acceptance, a stronger envelope than a weaker one, a stricter rail than a weaker one.
strictness(decision) := [1, 0, 0] if {
	decision.outcome == "refused"
} else := [0, envelope.rank(decision.envelope), lib.level_rank(decision.least_level)] if {
	decision.outcome == "accepted"
}
