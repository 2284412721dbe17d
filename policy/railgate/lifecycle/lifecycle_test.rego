# The lifecycle law, case by case; test/lifecycle drives it through every combination of facts.
package railgate.lifecycle_test

import data.railgate.fixture

now_ms := 1000000000

context := {
	"partition": {"state": "connected", "since": null},
	"policy": {"age_s": null, "snapshot_id": "sha256:0"},
	"authority": {"age_s": null, "snapshot_id": "sha256:1"},
}

container := {
	"state": "admitted",
	"envelope_kind": "container",
	"platform": null,
	"governance_profile": "baseline",
	"crp": false,
	"valid_until_ms": null,
	"attestation": null,
	"measured_at_ms": null,
	"used_tokens": [],
	"reattestation": null,
	"least_level": "sandbox_isolated",
}

tee := object.union(container, {
	"envelope_kind": "tee",
	"platform": "intel-tdx",
	"governance_profile": "ncp",
	"attestation": {"measured_at_ms": now_ms - 60000, "standing": "passed"},
	"measured_at_ms": now_ms - 60000,
	"reattestation": {"by_ms": now_ms, "missed": false},
})

vm := object.union(container, {
	"envelope_kind": "vm",
	"attestation": {"measured_at_ms": now_ms - 60000, "standing": "passed"},
	"measured_at_ms": now_ms - 60000,
})

token := {
	"form": "token",
	"status": "verified",
	"error": null,
	"issuer": "https://verifier.example",
	"report_ref": "report-1",
	"platform_type": "intel-tdx",
	"result": "pass",
	"measured_at_ms": now_ms - 1000,
	"debuggable": false,
	"nonce": {"form": "challenge", "ok": true},
	"token_digest": "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
}

transition(name, workload) := {
	"request": {"command": "transition", "workload_id": "w", "transition": name},
	"facts": {"now_ms": now_ms, "workload": workload},
	"context": context,
}

attest(workload, attestation) := {
	"request": {"command": "attest", "workload_id": "w", "attestation": {"token": "t"}},
	"facts": {
		"now_ms": now_ms,
		"workload": workload,
		"attestation": attestation,
		"reattestation": {"interval_s": 900, "by": "1970-01-12T14:01:40Z"},
	},
	"context": context,
}

deadline(workload) := {
	"request": {"command": "deadline", "workload_id": "w"},
	"facts": {"now_ms": now_ms, "workload": workload},
	"context": context,
}

in_state(workload, state) := object.union(workload, {"state": state})

# What the cases differ in.
verdict(case) := [answer.error_code, answer.rule, answer.to_state] if {
	answer := fixture.stepped(case)
}

standing(case) := [answer.error_code, answer.rule, answer.standing] if {
	answer := fixture.stepped(case)
}

reached(state) := [null, null, state]

unreadable := ["policy_error", "LIFE-00", null]

invalid := ["lifecycle_transition_invalid", "LIFE-02", null]

stale := ["attestation_stale", "TEE-03", null]

test_an_accepted_step_says_all if {
	answer := fixture.stepped(attest(tee, token))
	answer == {
		"outcome": "accepted",
		"error_code": null,
		"class": null,
		"rule": null,
		"pointer": null,
		"params": {},
		"to_state": null,
		"standing": "passed",
		"obligations": [{"obligation": "reattest", "by": "1970-01-12T14:01:40Z"}],
	}
}

test_a_refused_step_says_all if {
	answer := fixture.stepped(transition("stop", container))
	answer == {
		"outcome": "refused",
		"error_code": "lifecycle_transition_invalid",
		"class": "policy_denied",
		"rule": "LIFE-02",
		"pointer": "/transition",
		"params": {"workload_id": "w", "state": "admitted", "transition": "stop"},
		"to_state": null,
		"standing": null,
		"obligations": [],
	}
}

test_the_whole_table if {
	table := {
		"create": {"admitted": "created"},
		"start": {"created": "running", "stopped": "running"},
		"stop": {"running": "stopped"},
		"destroy": {
			"admitted": "destroyed",
			"created": "destroyed",
			"running": "destroyed",
			"stopped": "destroyed",
		},
	}
	every name in ["create", "start", "stop", "destroy", "pause"] {
		every state in ["admitted", "created", "running", "stopped", "destroyed"] {
			to_state := object.get(table, [name, state], null)
			expected := {true: invalid, false: reached(to_state)}[to_state == null]
			verdict(transition(name, in_state(container, state))) == expected
		}
	}
}

test_an_unknown_workload_has_no_life if {
	unknown := ["workload_unknown", "LIFE-01", null]
	verdict(transition("create", null)) == unknown
	verdict(attest(null, token)) == unknown
	verdict(deadline(null)) == unknown
}

test_an_expired_admission_creates_and_starts_nothing if {
	expired := object.union(container, {"valid_until_ms": now_ms - 1})
	refused := ["admission_expired", "LIFE-03", null]
	verdict(transition("create", expired)) == refused
	verdict(transition("start", in_state(expired, "created"))) == refused
	verdict(transition("stop", in_state(expired, "running"))) == reached("stopped")
	verdict(transition("destroy", expired)) == reached("destroyed")
	verdict(transition("create", object.union(container, {"valid_until_ms": now_ms}))) == reached("created")
}

test_start_wants_a_current_attestation if {
	every workload in [tee, vm] {
		created := in_state(workload, "created")
		verdict(transition("start", created)) == reached("running")
		failed := object.union(created, {"attestation": {"standing": "failed"}})
		verdict(transition("start", failed)) == ["attestation_failed", "TEE-02", null]
		old := object.union(created, {"attestation": {"measured_at_ms": now_ms - 86400001}})
		verdict(transition("start", old)) == stale
		timeless := object.union(created, {"attestation": {"measured_at_ms": null}})
		verdict(transition("start", timeless)) == stale
		missed := object.union(created, {"reattestation": {"by_ms": now_ms, "missed": true}})
		verdict(transition("start", missed)) == stale
		late := object.union(created, {"reattestation": {"by_ms": now_ms - 1, "missed": false}})
		verdict(transition("start", late)) == stale
		verdict(transition("stop", in_state(late, "running"))) == reached("stopped")
	}
	verdict(transition("start", in_state(object.union(tee, {"attestation": null}), "created"))) == stale
	verdict(transition("start", in_state(object.union(vm, {"attestation": null}), "created"))) == reached("running")
	verdict(transition("create", object.union(tee, {"attestation": null}))) == reached("created")
}

when(case, over) := object.union(case, {"context": over})

test_partitioned_only_the_designated_advance if {
	partitioned := {"partition": {"state": "partitioned"}}
	withheld := ["partition_not_designated", "CRP-01", null]
	created := in_state(tee, "created")
	verdict(when(transition("start", created), partitioned)) == withheld
	verdict(when(transition("create", tee), partitioned)) == withheld
	verdict(when(transition("start", object.union(created, {"crp": true})), partitioned)) == reached("running")
	verdict(when(transition("create", container), partitioned)) == reached("created")
	verdict(when(transition("stop", in_state(tee, "running")), partitioned)) == reached("stopped")
	standing(when(attest(tee, token), partitioned)) == [null, null, "passed"]
}

test_on_a_stale_policy_none_advances if {
	aged := {"policy": {"age_s": 31536000}}
	answer := fixture.stepped(when(transition("create", container), aged))
	answer.error_code == "policy_stale"
	answer.class == "dependency_unavailable_fail_closed"
	answer.pointer == "/workload_id"
	verdict(when(transition("destroy", container), aged)) == reached("destroyed")
}

test_attestations_are_judged_as_on_admission if {
	failed := ["attestation_failed", "TEE-02", null]
	standing(attest(vm, object.union(token, {"platform_type": "vtpm"}))) == [null, null, "passed"]
	standing(attest(tee, object.union(token, {"result": "fail"}))) == ["attestation_failed", "TEE-02", "failed"]
	standing(attest(tee, object.union(token, {"platform_type": "toaster"}))) == failed
	standing(attest(tee, object.union(token, {"platform_type": "amd-sev-snp"}))) == failed
	standing(attest(tee, object.union(token, {"form": "report", "status": "reported"}))) == failed
	standing(attest(tee, object.union(token, {"status": "rejected", "error": "signature", "result": "fail"}))) == failed
	standing(attest(tee, object.union(token, {"measured_at_ms": now_ms + 60001}))) == failed
	standing(attest(tee, object.union(token, {"report_ref": null}))) == ["attestation_incomplete", "TEE-01", null]
	old := object.union(tee, {"measured_at_ms": 0})
	standing(attest(old, object.union(token, {"measured_at_ms": now_ms - 3600001}))) == stale
}

test_an_attestation_that_is_not_newer_proves_nothing if {
	on_record := object.union(tee, {"measured_at_ms": now_ms - 1001})
	standing(attest(on_record, token)) == [null, null, "passed"]
	standing(attest(on_record, object.union(token, {"measured_at_ms": now_ms - 1001}))) == stale
	standing(attest(on_record, object.union(token, {"measured_at_ms": now_ms - 1002, "result": "fail"}))) == stale
	unverified := {"status": "rejected", "error": "signature", "measured_at_ms": null, "result": null}
	standing(attest(on_record, object.union(token, unverified))) == ["attestation_failed", "TEE-02", null]
	never_passed := object.union(tee, {"measured_at_ms": null})
	standing(attest(never_passed, token)) == [null, null, "passed"]
}

test_a_token_used_before_proves_nothing if {
	used := object.union(tee, {"measured_at_ms": null, "used_tokens": ["sha256:x", token.token_digest]})
	standing(attest(used, token)) == stale
	standing(attest(used, object.union(token, {"token_digest": "sha256:y"}))) == [null, null, "passed"]
	unverified := {"status": "rejected", "error": "window", "measured_at_ms": null, "result": null}
	standing(attest(used, object.union(token, unverified))) == ["attestation_failed", "TEE-02", null]
}

test_what_has_no_platform_is_not_attested if {
	standing(attest(container, token)) == ["attestation_failed", "TEE-02", null]
	standing(attest(in_state(tee, "destroyed"), token)) == invalid
	standing(attest(tee, null)) == unreadable
}

test_without_interval_no_deadline_follows if {
	case := object.union(
		attest(vm, object.union(token, {"platform_type": "vtpm"})),
		{"facts": {"reattestation": null}},
	)
	answer := fixture.stepped(case)
	answer.outcome == "accepted"
	answer.obligations == []
}

test_a_deadline_is_missed_once if {
	missed := ["attestation_stale", "TEE-03", "missed"]
	nothing := [null, null, null]
	late := object.union(tee, {"reattestation": {"by_ms": now_ms - 1}})
	standing(deadline(late)) == missed
	standing(deadline(tee)) == nothing
	standing(deadline(container)) == nothing
	standing(deadline(object.union(late, {"reattestation": {"missed": true}}))) == nothing
	standing(deadline(in_state(late, "destroyed"))) == nothing
}

test_unreadable_facts_are_refused if {
	verdict({}) == unreadable
	verdict("start") == unreadable
	verdict(object.union(transition("create", container), {"request": {"command": "resurrect"}})) == unreadable
	every member, _ in object.remove(container, ["platform", "least_level", "measured_at_ms", "used_tokens"]) {
		verdict(json.remove(transition("create", container), [concat("/", ["facts/workload", member])])) == unreadable
	}
	every path in ["facts/now_ms", "facts/workload", "request/workload_id", "request/transition"] {
		verdict(json.remove(transition("create", container), [path])) == unreadable
	}
	verdict(transition("start", in_state(object.union(tee, {"attestation": {"standing": "odd"}}), "created"))) == unreadable
	verdict(transition("start", in_state(object.union(tee, {"reattestation": {"by_ms": "soon"}}), "created"))) == unreadable
	verdict(json.remove(attest(tee, token), ["facts/reattestation"])) == ["reattestation_interval_invalid", "TEE-04", null]
}

# What was declared on admission holds for every attestation.
digest := "sha256:abcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcd"

bound(over) := object.union(
	attest(tee, object.union(token, {"init_data_digest": digest, "image_digests": [digest]})),
	{"facts": {"bound": object.union({"tenant_id": "acme", "init_data_digest": digest, "images": [digest]}, over)}},
)

test_an_attestation_is_held_to_what_was_admitted if {
	standing(bound({})) == [null, null, "passed"]
	failed := ["attestation_failed", "TEE-02", null]
	standing(bound({"init_data_digest": "sha256:0"})) == failed
	standing(bound({"init_data_digest": null})) == [null, null, "passed"]
	image_bound := {"attestation": {"bind_image": {"ncp": true}}}
	fixture.stepped_by(image_bound, bound({})).outcome == "accepted"
	fixture.stepped_by(image_bound, bound({"images": []})).rule == "TEE-02"
	measured := {"attestation": {"measurements": {"acme": {"intel-tdx": {"mr_td": ["00"]}}}}}
	fixture.stepped_by(measured, bound({})).rule == "TEE-02"
}

# As 0.1 recorded them; policies of today are replayed on those too.
of_0_1(case) := json.remove(case, [
	"facts/attestation/nonce",
	"facts/attestation/token_digest",
	"facts/placements",
	"facts/workload/least_level",
	"facts/workload/measured_at_ms",
	"facts/workload/used_tokens",
])

test_inputs_of_0_1_are_judged_as_they_were if {
	every workload in [container, tee, vm] {
		verdict(of_0_1(transition("create", workload))) == reached("created")
		verdict(of_0_1(transition("start", in_state(workload, "created")))) == reached("running")
		verdict(of_0_1(transition("stop", in_state(workload, "running")))) == reached("stopped")
		verdict(of_0_1(transition("destroy", workload))) == reached("destroyed")
		standing(of_0_1(deadline(workload))) == [null, null, null]
	}
	baseline := object.union(tee, {"governance_profile": "baseline"})
	standing(of_0_1(attest(baseline, token))) == [null, null, "passed"]

	# What nothing binds is refused since then.
	standing(of_0_1(attest(tee, token))) == ["attestation_failed", "TEE-02", null]
	late := object.union(tee, {"reattestation": {"by_ms": now_ms - 1}})
	standing(of_0_1(deadline(late))) == ["attestation_stale", "TEE-03", "missed"]
	verdict(of_0_1(transition("start", in_state(late, "created")))) == stale
	standing(of_0_1(attest(tee, object.union(token, {"result": "fail"})))) == ["attestation_failed", "TEE-02", "failed"]
}

test_what_0_1_had_not_must_be_sound_where_it_is_given if {
	every wrong in [{"used_tokens": null}, {"used_tokens": "t"}, {"measured_at_ms": "now"}] {
		verdict(transition("create", object.union(container, wrong))) == unreadable
		standing(attest(object.union(tee, wrong), token)) == unreadable
	}
}

placed(levels) := [{"mesh_id": mesh_id, "level": level} | some mesh_id, level in levels]

on_rails(case, levels) := object.union(case, {"facts": {"placements": placed(levels)}})

test_start_wants_every_rail_to_reach_the_least_level if {
	start := transition("start", in_state(container, "created"))
	verdict(on_rails(start, {})) == reached("running")
	verdict(on_rails(start, {"a": "sandbox_isolated", "b": "hardware_isolated"})) == reached("running")
	answer := fixture.stepped(on_rails(start, {"c": "shared", "b": "process_isolated", "a": "sandbox_isolated"}))
	answer.error_code == "rail_insufficient"
	answer.rule == "LIFE-04"
	answer.class == "policy_denied"
	answer.pointer == "/workload_id"
	answer.params == {
		"workload_id": "w",
		"mesh_id": "b",
		"level": "process_isolated",
		"least_level": "sandbox_isolated",
	}
}

test_only_start_wants_it if {
	verdict(on_rails(transition("create", container), {"a": "shared"})) == reached("created")
	verdict(on_rails(transition("stop", in_state(container, "running")), {"a": "shared"})) == reached("stopped")
	verdict(on_rails(transition("destroy", container), {"a": "shared"})) == reached("destroyed")
}

test_a_workload_on_rails_that_was_never_admitted_is_unknown if {
	verdict(on_rails(transition("start", null), {"a": "shared"})) == ["workload_unknown", "LIFE-01", null]
}

test_placements_that_cannot_be_read_start_nothing if {
	start := transition("start", in_state(container, "created"))
	verdict(on_rails(start, {"a": "cosmic"})) == unreadable
	verdict(object.union(start, {"facts": {"placements": "a"}})) == unreadable
	verdict(json.remove(on_rails(start, {"a": "shared"}), ["facts/workload/least_level"])) == unreadable
	verdict(json.remove(start, ["facts/workload/least_level"])) == reached("running")
}
