# Shows which labels of a namespace are refused, and which are let be because they were there before.
package railgate.kubernetes.namespace_test

import data.railgate.fixture
import data.railgate.kubernetes.namespace

decide(labels, before, faults) := decision if {
	given := {
		"facts": {"now_ms": 1},
		"context": fixture.container.context,
		"kubernetes": {
			"review": {"operation": "CREATE", "kind": "Namespace", "subresource": "", "user": "ann"},
			"namespace": {"name": "shop", "source": "review", "seen_ms": 1, "labels": labels, "pattern": null},
			"before": before,
			"faults": faults,
		},
	}
	decision := namespace.decision with input as given with data.railgate.settings as fixture.settings
}

places(decision) := {error.pointer | some error in decision.params.errors}

test_labels_that_can_be_read_are_accepted if {
	decision := decide({"pod-security.kubernetes.io/enforce": "baseline", "railgate.dev/law": "deny"}, {}, [])
	decision == {
		"outcome": "accepted",
		"error_code": null,
		"class": null,
		"rule": null,
		"pointer": null,
		"params": {},
		"modes": {
			"pod_security": {"enforce": "baseline:latest", "audit": "privileged:latest", "warn": "baseline:latest"},
			"law": "deny",
		},
	}
}

bad := {
	"pod-security.kubernetes.io/enforce": "strict",
	"pod-security.kubernetes.io/warn-version": "1.30",
	"railgate.dev/law": "on",
}

test_labels_that_cannot_be_read_are_refused_all_at_once if {
	decision := decide(bad, {}, [{"at": "metadata.annotations[railgate.dev/x]", "message": "railgate.dev/x is none of Railgate's"}])
	decision.outcome == "refused"
	[decision.rule, decision.error_code] == ["KUB-02", "namespace_label_unreadable"]
	decision.pointer == "metadata.annotations[railgate.dev/x]"
	places(decision) == {
		"metadata.annotations[railgate.dev/x]",
		"metadata.labels[pod-security.kubernetes.io/enforce]",
		"metadata.labels[pod-security.kubernetes.io/warn-version]",
		"metadata.labels[railgate.dev/law]",
	}
}

test_what_it_had_before_may_stay if {
	decide(bad, bad, []).outcome == "accepted"
	decide(bad, object.union(bad, {"railgate.dev/law": "off"}), []).params.errors == [{
		"pointer": "metadata.labels[railgate.dev/law]",
		"message": "railgate.dev/law must be deny, warn, audit or off",
	}]
}
