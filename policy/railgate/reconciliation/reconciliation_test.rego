# The law of reconciliation, case by case.
package railgate.reconciliation_test

import data.railgate.reconciliation

context := {
	"partition": {"state": "partitioned", "since": "2026-01-01T00:00:00Z"},
	"policy": {"age_s": null, "snapshot_id": "sha256:0"},
	"authority": {"age_s": null, "snapshot_id": "sha256:1"},
}

aged(age_s) := object.union(context, {"policy": {"age_s": age_s}})

decide(request, surroundings) := answer if {
	answer := reconciliation.decision with input as {
		"request": request,
		"facts": {},
		"context": surroundings,
	}
}

reconcile := {"command": "reconcile", "chain_id": "acme/n1", "from_sequence": 1, "to_sequence": 5}

limits := {limit | limit := data.railgate.settings.freshness.policy[_].limit_s}

test_a_range_is_reconciled_while_policy_is_fresh if {
	every age_s in [null, 0, min(limits)] {
		answer := decide(reconcile, aged(age_s))
		answer.outcome == "accepted"
		answer.standing == null
	}
}

test_a_policy_that_is_stale_for_any_profile_ends_no_partition_and_has_no_grace if {
	answer := decide(reconcile, aged(min(limits) + 1))
	answer.outcome == "refused"
	answer.error_code == "policy_stale"
	answer.rule == "POL-02"
	answer.pointer == ""
	decide(reconcile, aged(min(limits))).outcome == "accepted"
}

admitted(id, at, kind, level) := {
	"event_id": id,
	"at": at,
	"outcome": "accepted",
	"envelope": kind,
	"least_level": level,
}

refusal(id, at) := {"event_id": id, "at": at, "outcome": "refused", "envelope": "container", "least_level": null}

supersede(decisions) := decide({"command": "supersede", "workload_id": "w", "decisions": decisions}, context)

stands(decisions) := [answer.standing, answer.superseded] if {
	answer := supersede(decisions)
	answer.outcome == "accepted"
}

test_a_refusal_stands_over_any_acceptance_whoever_came_first if {
	early := admitted("a", "2026-01-01T00:00:00.000Z", "tee", "hardware_isolated")
	late := refusal("r", "2026-01-02T00:00:00.000Z")
	stands([early, late]) == ["r", ["a"]]
	stands([late, early]) == ["r", ["a"]]
}

test_a_stronger_envelope_stands_then_a_stricter_rail if {
	container := admitted("c", "2026-01-01T00:00:00.000Z", "container", "sandbox_isolated")
	shared := admitted("s", "2026-01-01T00:00:00.000Z", "container", "shared")
	vm := admitted("v", "2026-01-01T00:00:00.000Z", "vm", "sandbox_isolated")
	stands([container, vm, shared]) == ["v", ["c", "s"]]
	stands([shared, container]) == ["c", ["s"]]
}

test_of_equals_the_first_stands_and_no_equal_is_superseded if {
	weak := admitted("w", "2026-01-01T00:00:00.000Z", "container", "shared")
	one := refusal("x", "2026-01-03T00:00:00.000Z")
	two := refusal("y", "2026-01-02T00:00:00.000Z")
	stands([weak, one, two]) == ["y", ["w"]]
}

test_what_cannot_be_compared_is_refused if {
	weak := admitted("w", "2026-01-01T00:00:00.000Z", "container", "shared")
	every decisions in [
		[],
		[weak],
		[weak, weak],
		[weak, admitted("u", "2026-01-01T00:00:00.000Z", "unheard-of", "shared")],
		[weak, object.union(weak, {"outcome": "warned"})],
	] {
		answer := supersede(decisions)
		answer.outcome == "refused"
		answer.error_code == "policy_error"
		answer.standing == null
	}
	decide({"command": "unheard-of"}, context).error_code == "policy_error"
}
