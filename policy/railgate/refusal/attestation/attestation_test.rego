# Shows what the rules beside it refuse and accept.
package railgate.refusal.attestation_test

import data.railgate.fixture

test_a_fresh_pass_of_a_vm_is_accepted if fixture.accepts("attestation", fixture.vm)

test_a_fresh_pass_of_a_tee_is_accepted if fixture.accepts("attestation", fixture.tee)

test_a_report_is_accepted_where_the_profile_says_so if {
	fixture.accepts("attestation", fixture.with_set(fixture.tee, {
		"/facts/attestation/form": "report",
		"/facts/attestation/status": "reported",
		"/facts/attestation/debuggable": null,
	}))
}

test_a_named_issuer_is_accepted if {
	fixture.accepts_by({"attestation": {"issuers": {"baseline": ["https://verifier.example"]}}}, "attestation", fixture.tee)
}

test_no_attestation_of_a_tee_is_refused if {
	fixture.refuses(
		"attestation", fixture.without(
			fixture.with_set(fixture.tee, {"/facts/attestation": null}),
			"/request/attestation",
		),
		{["TEE-01", "/attestation", {"missing": "report_ref, platform_type, result"}]},
	)
}

test_no_attestation_of_a_vm_is_not_judged_here if {
	fixture.accepts("attestation", fixture.without(
		fixture.with_set(fixture.vm, {"/facts/attestation": null}),
		"/request/attestation",
	))
}

test_an_incomplete_report_of_a_tee_is_refused_at_each_member if {
	fixture.refuses(
		"attestation", fixture.with_set(fixture.tee, {
			"/facts/attestation/form": "report",
			"/facts/attestation/status": "reported",
			"/facts/attestation/report_ref": null,
			"/facts/attestation/result": "",
		}),
		{
			["TEE-01", "/attestation/report_ref", {"missing": "report_ref"}],
			["TEE-01", "/attestation/result", {"missing": "result"}],
		},
	)
}

test_an_incomplete_token_of_a_vm_is_refused if {
	fixture.refuses(
		"attestation", fixture.with_set(fixture.vm, {
			"/facts/attestation/report_ref": null,
			"/facts/attestation/result": null,
		}),
		{
			["VM-04", "/attestation/token", {"missing": "report_ref, result"}],
		},
	)
}

test_a_rejected_token_is_refused_whole if {
	fixture.refuses(
		"attestation", fixture.with_set(fixture.tee, {
			"/facts/attestation/status": "rejected",
			"/facts/attestation/error": "nonce",
			"/facts/attestation/result": null,
		}),
		{["TEE-02", "/attestation/token", {"reason": "nonce"}]},
	)
}

test_a_token_of_which_the_host_says_nothing_is_refused if {
	fixture.refuses("attestation", fixture.with_set(fixture.tee, {"/facts/attestation": null}), {
		["TEE-02", "/attestation/token", {"reason": "not verified"}],
	})
}

test_every_failure_is_named if {
	fixture.refuses(
		"attestation", fixture.with_set(fixture.tee, {
			"/facts/attestation/result": "fail",
			"/facts/attestation/debuggable": true,
			"/facts/attestation/platform_type": "intel-tdx",
			"/facts/attestation/measured_at_ms": 1795593660001,
		}),
		{
			[
				"TEE-02",
				"/attestation/token",
				{"reason": "debuggable, measured in the future, no pass, platform not allowed"},
			],
		},
	)
}

test_a_platform_that_is_not_allowed_is_refused if {
	fixture.refuses("attestation", fixture.with_set(fixture.tee, {"/request/workload/envelope/tee/platform": "x"}), {
		["TEE-02", "/workload/envelope/tee/platform", {"reason": "platform not allowed"}],
	})
}

test_a_form_the_profile_does_not_accept_is_refused if {
	fixture.refuses(
		"attestation", fixture.with_set(fixture.tee, {
			"/request/workload/governance_profile": "ncp",
			"/facts/attestation/form": "report",
			"/facts/attestation/status": "reported",
		}),
		{["TEE-02", "/attestation", {"reason": "form not accepted"}]},
	)
}

test_an_issuer_the_profile_does_not_accept_is_refused if {
	named := {"attestation": {"issuers": {"baseline": ["https://other.example"]}}}
	fixture.refuses_by(named, "attestation", fixture.tee, {
		["TEE-02", "/attestation/token", {"reason": "issuer not accepted"}],
	})
}

test_an_unknown_profile_is_left_to_its_own_rule if {
	fixture.accepts("attestation", fixture.with_set(fixture.tee, {"/request/workload/governance_profile": "x"}))
}

test_an_old_attestation_is_refused if {
	fixture.refuses("attestation", fixture.with_set(fixture.tee, {"/facts/attestation/measured_at_ms": 1795589999999}), {
		["TEE-03", "/attestation/token", {"limit_s": 3600}],
	})
}

test_too_long_an_interval_is_refused if {
	fixture.refuses("attestation", fixture.with_set(fixture.tee, {"/facts/reattestation/interval_s": 3601}), {
		[
			"TEE-04",
			"/workload/envelope/tee/reattestation_interval",
			{"interval_min_s": 1, "interval_max_s": 3600},
		],
	})
}

test_silence_on_the_debug_state_is_refused_where_data_wants_it_stated if {
	silent := fixture.with_set(fixture.tee, {
		"/request/workload/governance_profile": "ncp",
		"/facts/attestation/debuggable": null,
	})
	fixture.refuses("attestation", silent, {["TEE-02", "/attestation/token", {"reason": "debug state not stated"}]})
	fixture.accepts("attestation", fixture.with_set(silent, {"/request/workload/governance_profile": "baseline"}))
	fixture.accepts_by({"attestation": {"debug_state_required": {"ncp": false}}}, "attestation", silent)
}
