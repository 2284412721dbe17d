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

says(members) := fixture.with_set(fixture.tee, {concat("", ["/facts/attestation/", name]): value | some name, value in members})

# Refused at the token for this reason alone.
only(reason) := {["TEE-02", "/attestation/token", {"reason": reason}]}

accepts_with(table, given) if fixture.accepts_by({"attestation": table}, "attestation", given)

refuses_with(table, given, reason) if refuses_at(table, given, "/attestation/token", reason)

refuses_at(table, given, location, reason) if {
	fixture.refuses_by({"attestation": table}, "attestation", given, {["TEE-02", location, {"reason": reason}]})
}

test_a_step_that_a_word_does_not_explain_is_told_in_a_sentence if {
	every step in ["size", "key", "certificate", "age", "policy"] {
		rejected := says({"status": "rejected", "error": step})
		some refusal in fixture.refused("attestation", rejected, fixture.settings)
		startswith(refusal[2].reason, concat("", [step, ": "]))
	}
	fixture.refuses("attestation", says({"status": "rejected", "error": "token used elsewhere"}), only("token used elsewhere"))
}

tcb(status) := says({"tcb": {"status": status, "date": null, "advisories": []}})

test_a_revoked_platform_is_refused_and_any_other_accepted_where_no_state_is_listed if {
	every status in [null, "UpToDate", "OutOfDate"] {
		fixture.accepts("attestation", tcb(status))
		accepts_with({"tcb": {"baseline": []}}, tcb(status))
	}
	reason := "TCB status Revoked not accepted (update the platform, or list the state in attestation.tcb)"
	fixture.refuses("attestation", tcb("Revoked"), only(reason))
}

test_listed_states_alone_count if {
	every list in [["UpToDate"], {"UpToDate": true, "OutOfDate": false}] {
		table := {"tcb": {"baseline": list}}
		accepts_with(table, tcb("UpToDate"))
		refuses_with(
			table, tcb("OutOfDate"),
			"TCB status OutOfDate not accepted (update the platform, or list the state in attestation.tcb)",
		)
		refuses_with(
			table, fixture.tee,
			"TCB status not stated (attest by a verifier that states it, or list none in attestation.tcb)",
		)
	}
	accepts_with({"tcb": {"baseline": ["Revoked"]}}, tcb("Revoked"))
}

unmeasured(name) := concat("", [
	"measurement ", name,
	" not allowed (run what was released, or add the value to attestation.measurements)",
])

allows(table) := {"measurements": table}

test_measurements_are_held_to_the_tenants_values_or_everybodys if {
	given := says({"measurements": {"measurement": "ab", "host_data": "cd"}})
	accepts_with(allows({"*": {"amd-sev-snp": {"measurement": ["00", "AB"]}}}), given)
	accepts_with(allows({"*": {"amd-sev-snp": {"measurement": {"ab": true}}}}), given)
	accepts_with(allows({"globex": {"amd-sev-snp": {"measurement": ["00"]}}}), given)
	accepts_with(allows({"*": {"intel-tdx": {"measurement": ["00"]}}}), given)
	refuses_with(allows({"*": {"amd-sev-snp": {"measurement": ["00"]}}}), given, unmeasured("measurement"))
	refuses_with(allows({"*": {"amd-sev-snp": {"measurement": {"ab": false}}}}), given, unmeasured("measurement"))
	refuses_with(allows({"*": {"amd-sev-snp": {"mr_td": ["ab"]}}}), given, unmeasured("mr_td"))
	refuses_with(allows({"*": {"amd-sev-snp": {"measurement": ["ab"]}}}), fixture.tee, unmeasured("measurement"))
	own := {"*": {"amd-sev-snp": {"measurement": ["00"]}}, "acme": {"amd-sev-snp": {"measurement": ["ab"]}}}
	accepts_with(allows(own), given)
	other := {"*": {"amd-sev-snp": {"measurement": ["ab"]}}, "acme": {"amd-sev-snp": {"measurement": ["00"]}}}
	refuses_with(allows(other), given, unmeasured("measurement"))
}

test_an_image_that_is_not_the_envelopes_is_refused_where_it_must_be if {
	table := {"bind_image": {"baseline": true}}
	reference := fixture.tee.request.workload.envelope.tee.images[0].reference
	digest := split(reference, "@")[1]
	accepts_with(table, says({"image_digests": [digest]}))
	accepts_with({"bind_image": {"baseline": false}}, says({"image_digests": ["sha256:0"]}))
	refuses_with(
		table, says({"image_digests": [digest, "sha256:0"]}),
		"image not one of the envelope's (run the declared image, or declare the one that runs)",
	)
	every nothing in [null, []] {
		refuses_with(
			table, says({"image_digests": nothing}),
			"image not stated (attest by a verifier that states it, or clear attestation.bind_image)",
		)
	}
}

test_declared_init_data_must_be_the_attested if {
	declared := "/workload/envelope/tee/init_data_digest"
	given := fixture.with_set(says({"init_data_digest": "sha256:ab"}), {concat("", ["/request", declared]): "sha256:ab"})
	fixture.accepts("attestation", given)
	refuses_at(
		{}, fixture.with_set(given, {"/facts/attestation/init_data_digest": "sha256:cd"}), declared,
		"init data not the declared (start the guest with it, or declare what it was started with)",
	)
	refuses_at(
		{}, fixture.with_set(given, {"/facts/attestation/init_data_digest": null}), declared,
		"init data not stated (attest by a verifier that states it, or declare none)",
	)
	fixture.accepts("attestation", says({"init_data_digest": "sha256:cd"}))
}

device(members) := object.union({"kind": "gpu", "model": null, "result": "pass", "error": null}, members)

test_devices_that_were_given_must_be_well if {
	fixture.accepts("attestation", says({"devices": [device({})]}))
	fixture.refuses(
		"attestation", says({"devices": [device({"result": "fail"})]}),
		only("device gpu failed (attest it again once it is well)"),
	)
	refuses_at(
		{}, fixture.with_set(
			says({"devices": [device({}), device({"kind": null, "result": null, "error": "nonce"})]}),
			{"/request/attestation/devices": []},
		),
		"/attestation/devices", "device not verified: nonce (attest it again under the same nonce)",
	)
}

test_devices_that_must_be_there_are_named if {
	missing := "no gpu attested (give its bundle in attestation.devices)"
	every list in [["gpu"], {"gpu": true, "switch": false}] {
		table := {"devices_required": {"baseline": list}}
		accepts_with(table, says({"devices": [device({})]}))
		refuses_with(table, fixture.tee, missing)
		refuses_with(table, says({"devices": [device({"kind": "switch"})]}), missing)
	}
}

nonce(form) := says({"nonce": {"form": form, "ok": form != "none"}})

table(mode) := {"nonce": {"baseline": mode}}

test_what_an_attestation_must_be_bound_to_is_data if {
	every form in ["none", "correlation", "challenge"] {
		accepts_with(table("any"), nonce(form))
	}
	missing := "nonce missing (attest with a challenge, or the correlation_id, as nonce)"
	refuses_with(table("bound"), nonce("none"), missing)
	refuses_with(table("bound"), says({"nonce": {"form": "challenge", "ok": false}}), missing)
	accepts_with(table("bound"), nonce("correlation"))
	no_challenge := "nonce is no challenge (ask for one, and attest with it as nonce)"
	refuses_with(table("challenge"), nonce("none"), no_challenge)
	refuses_with(table("challenge"), nonce("correlation"), no_challenge)
	accepts_with(table("challenge"), nonce("challenge"))
	unbound := fixture.with_set(nonce("none"), {"/request/workload/governance_profile": "ncp"})
	fixture.refuses("attestation", unbound, only(missing))
}

test_an_ear_without_a_vector_is_refused_where_one_must_be_there if {
	table := {"vector_required": {"baseline": true}}
	accepts_with(table, says({"format": "maa"}))
	accepts_with(table, says({"format": "ear", "vector": {"hardware": 2}}))
	fixture.accepts("attestation", says({"format": "ear"}))
	refuses_with(
		table, says({"format": "ear"}),
		"no trustworthiness vector (have the verifier issue one, or clear attestation.vector_required)",
	)
}

test_a_report_is_held_to_the_same if {
	report := says({"form": "report", "status": "reported", "debuggable": null})
	table := {"measurements": {"*": {"amd-sev-snp": {"measurement": ["ab"]}}}}
	refuses_at(table, report, "/attestation", unmeasured("measurement"))
}
