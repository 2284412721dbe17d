# Shows the whole decision: two laws, each in its mode; exemptions, exceptions and where refusals point.
package railgate.kubernetes_test

import data.railgate.fixture
import data.railgate.kubernetes
import data.railgate.kubernetes.pod_security_test

# A pod that both laws let pass, in a namespace without labels.
sound := object.union(fixture.container, {"kubernetes": {
	"review": {"operation": "CREATE", "kind": "Pod", "subresource": "", "user": "ann"},
	"namespace": {"name": "shop", "source": "review", "seen_ms": 1, "labels": {}, "pattern": null},
	"pod": pod_security_test.pod,
	"origins": {
		"/workload/envelope/container/privileged": "spec.containers[0].securityContext.privileged",
		"/workload/envelope": "spec.runtimeClassName",
	},
	"faults": [],
}})

decide(changes) := decision if {
	decision := kubernetes.decision with input as fixture.with_set(sound, changes)
		with data.railgate.settings as fixture.settings
		with data.railgate.extensions as {}
}

modes_of(labels) := modes if {
	modes := kubernetes.modes with input as fixture.with_set(sound, {"/kubernetes/namespace/labels": labels})
		with data.railgate.settings as fixture.settings
}

pss(mode) := concat("", ["pod-security.kubernetes.io/", mode])

labelled(law, level) := {"/kubernetes/namespace/labels": {"railgate.dev/law": law, pss("enforce"): level}}

rooted := {"/kubernetes/pod/containers/0/privileged": true}

writable := {"/request/workload/envelope/container/privileged": true}

rules(decision) := [[r.rule, r.modes] | some r in decision.refusals]

test_a_sound_pod_is_accepted if {
	decide({}) == {
		"outcome": "accepted",
		"envelope": {"declared": "container", "required": "container", "triggers": []},
		"refusals": [],
		"obligations": [],
		"rail": {"least_level": "sandbox_isolated"},
		"kubernetes": {
			"allowed": true,
			"exempt": null,
			"modes": {
				"pod_security": {"enforce": "privileged:latest", "audit": "privileged:latest", "warn": "privileged:latest"},
				"law": "warn",
			},
			"unreadable_labels": [],
		},
	}
}

test_a_refusal_by_the_law_is_warned_of_by_default if {
	decision := decide(writable)
	decision.outcome == "refused"
	decision.kubernetes.allowed
	rules(decision) == [["CTR-04", ["warn"]]]
	[r.pointer | some r in decision.refusals] == ["spec.containers[0].securityContext.privileged"]
}

test_the_law_in_each_mode if {
	every case in [
		["deny", false, [["CTR-04", ["deny"]]]],
		["warn", true, [["CTR-04", ["warn"]]]],
		["audit", true, [["CTR-04", ["audit"]]]],
		["off", true, []],
		["nonsense", false, [["CTR-04", ["deny"]]]],
	] {
		[mode, allowed, due] := case
		decision := decide(object.union(writable, labelled(mode, "privileged")))
		decision.kubernetes.allowed == allowed
		rules(decision) == due
	}
}

test_off_asks_nothing_of_the_law_and_still_says_which_envelope if {
	decision := decide(object.union(writable, labelled("off", "privileged")))
	decision.outcome == "accepted"
	decision.envelope == {"declared": "container", "required": "container", "triggers": []}
	decision.rail == {"least_level": "sandbox_isolated"}
}

test_pod_security_in_each_mode if {
	every case in [
		[{pss("enforce"): "baseline"}, false, ["deny", "warn"]],
		[{pss("enforce"): "baseline", pss("warn"): "privileged"}, false, ["deny"]],
		[{pss("warn"): "baseline"}, true, ["warn"]],
		[{pss("audit"): "restricted", pss("audit-version"): "v1.0"}, true, ["audit"]],
	] {
		[labels, allowed, modes] := case
		decision := decide(object.union(rooted, {"/kubernetes/namespace/labels": labels}))
		decision.kubernetes.allowed == allowed
		rules(decision) == [["PSS-privileged", modes]]
	}
}

test_both_laws_are_heard_sorted_by_rule if {
	decision := decide(object.union(rooted, object.union(writable, labelled("deny", "baseline"))))
	rules(decision) == [["CTR-04", ["deny"]], ["PSS-privileged", ["deny", "warn"]]]
	decision.obligations == []
}

test_exempt_is_who_the_settings_name if {
	every case in [
		[{"/kubernetes/namespace/name": "kube-system"}, "namespace"],
		[{"/kubernetes/review/user": "system:serviceaccount:kube-system:replicaset-controller"}, "user"],
		[{"/kubernetes/pod/runtime_class": "exempt"}, "runtimeClass"],
	] {
		[changes, who] := case
		both := object.union(labelled("deny", "restricted"), object.union(rooted, writable))
		decision := decide(object.union(both, changes))
		decision.kubernetes.exempt == who
		decision.kubernetes.allowed
		decision.refusals == []
	}
}

test_levels_and_versions_by_label if {
	every case in [
		[{}, ["privileged:latest", "privileged:latest", "privileged:latest"]],
		[{pss("enforce"): "baseline"}, ["baseline:latest", "privileged:latest", "baseline:latest"]],
		[{pss("enforce"): "baseline", pss("enforce-version"): "v1.24"}, ["baseline:v1.24", "privileged:latest", "baseline:v1.24"]],
		[
			{pss("enforce"): "baseline", pss("enforce-version"): "v1.24", pss("warn-version"): "v1.30"},
			["baseline:v1.24", "privileged:latest", "baseline:v1.30"],
		],
		[{pss("enforce"): "privileged"}, ["privileged:latest", "privileged:latest", "privileged:latest"]],
		[{pss("enforce"): "bad"}, ["restricted:latest", "privileged:latest", "privileged:latest"]],
		[{pss("enforce"): ""}, ["restricted:latest", "privileged:latest", "privileged:latest"]],
		[{pss("audit"): "bad", pss("warn"): "bad"}, ["privileged:latest", "privileged:latest", "privileged:latest"]],
		[{pss("audit"): "baseline", pss("audit-version"): "1.2"}, ["privileged:latest", "baseline:latest", "privileged:latest"]],
		[{pss("enforce"): "restricted", pss("warn"): "baseline"}, ["restricted:latest", "privileged:latest", "baseline:latest"]],
	] {
		[labels, due] := case
		modes := modes_of(labels).pod_security
		[modes.enforce, modes.audit, modes.warn] == due
	}
}

test_settings_by_pattern_stand_where_labels_say_nothing if {
	modes := kubernetes.modes with input as fixture.with_set(sound, {"/kubernetes/namespace/pattern": "strict-*"})
		with data.railgate.settings as fixture.settings
	modes == {
		"pod_security": {"enforce": "restricted:v1.30", "audit": "privileged:latest", "warn": "privileged:latest"},
		"law": "deny",
	}
}

test_without_settings_the_strictest_holds if {
	modes := kubernetes.modes with input as sound with data.railgate.settings as {}
	modes == {
		"pod_security": {"enforce": "restricted:latest", "audit": "restricted:latest", "warn": "restricted:latest"},
		"law": "deny",
	}
}

test_no_labels_at_all_are_none if {
	modes := kubernetes.modes with input as fixture.without(sound, "/kubernetes/namespace/labels")
		with data.railgate.settings as fixture.settings
	modes.law == "warn"
}

test_versions if {
	every text in ["latest", "v1.0", "v1.9", "v1.37", "v1.999"] {
		kubernetes.readable_version(text) == text
	}
	every text in ["", "v1", "v1.", "v1.01", "v1.x", "1.30", "v2.1", "v1.1234567890123456", "v1.-1"] {
		kubernetes.readable_version(text) == "latest"
	}
	kubernetes.minor("latest") == 37
	kubernetes.minor("v1.999") == 37
	kubernetes.minor("v1.8") == 8
}

test_labels_that_cannot_be_read_are_told if {
	labels := {pss("enforce"): "bad", pss("warn-version"): "v9", pss("audit"): "baseline"}
	decide({"/kubernetes/namespace/labels": labels}).kubernetes.unreadable_labels == ["enforce", "warn-version"]
}

test_annotations_that_cannot_be_read_are_refused_in_the_mode_of_the_law if {
	decision := decide({"/kubernetes/faults": [{"at": "metadata.annotations[railgate.dev/x]", "message": "railgate.dev/x is none"}]})
	[r.pointer | some r in decision.refusals] == ["metadata.annotations[railgate.dev/x]"]
	rules(decision) == [["KUB-01", ["warn"]]]
	[r.params | some r in decision.refusals] == [{"fault": "railgate.dev/x is none"}]
}

test_refusals_point_into_the_manifest if {
	decision := decide({"/request/workload/network/default_deny": false, "/request/workload/risk": "none"})
	{[r.rule, r.pointer] | some r in decision.refusals} == {
		["CTR-05", "metadata.annotations[railgate.dev/network]"],
		["ENV-04", "metadata.annotations[railgate.dev/risk]"],
	}
	nowhere := decide({"/kubernetes/origins": {}, "/request/workload/envelope": {"kind": "container", "container": {}}})
	some r in nowhere.refusals
	r.pointer == "spec"
	other := decide({"/facts/caller": {"tenant_id": "other"}})
	{[o.rule, o.pointer] | some o in other.refusals} == {["TEN-01", "metadata.namespace"]}
	unpinned := decide({"/facts/artifacts/0/pinned": false, "/kubernetes/origins": {"/workload/envelope/container/images/0": "spec.containers[0].image"}})
	[u.params | some u in unpinned.refusals] == [{"artifact": "spec.containers[0].image"}]
	placed := decide({"/request/placement/jurisdiction": "US"})
	some p in placed.refusals
	p.pointer == "metadata.annotations[railgate.dev/placement]"
	vague := decide({"/request/workload/envelope/container/runtime": "crun"})
	[r.pointer | some r in vague.refusals] == ["spec.runtimeClassName"]
}

exception := {
	"status": "verified",
	"error": null,
	"digest": "sha256:abababababababababababababababababababababababababababababababab",
	"issuer": "https://authority.example",
	"tenant_id": "acme",
	"workload_id": "payments-api",
	"rules": ["CTR-04", "PSS-privileged"],
	"not_before_ms": 1795593599000,
	"not_after_ms": 1795593601000,
	"reason": "a node must be repaired",
	"root": true,
	"may_except": true,
	"links": 0,
	"from_ms": 1795593599000,
	"until_ms": 1795593601000,
}

test_an_exception_lifts_rules_of_both_laws if {
	both := object.union(labelled("deny", "baseline"), object.union(rooted, writable))
	decision := decide(object.union(both, {"/facts/exceptions": [exception]}))
	decision.outcome == "accepted"
	[e.rules | some e in decision.exceptions] == [["CTR-04", "PSS-privileged"]]
}

test_an_admission_keeps_its_obligations if {
	given := object.union(fixture.tee, {"kubernetes": sound.kubernetes})
	decision := kubernetes.decision with input as given
		with data.railgate.settings as fixture.settings
		with data.railgate.extensions as {}
	[o.obligation | some o in decision.obligations] == ["reattest"]
}
