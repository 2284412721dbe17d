# Shows what the rules beside it refuse and accept.
package railgate.refusal.attestation_test

import data.railgate.fixture
import data.railgate.refusal.attestation

test_a_fresh_pass_of_a_vm_is_accepted if {
	attestation.refusals == set() with input as fixture.vm
	attestation.sound(data.railgate.lib.kind) with input as fixture.vm
}

test_a_fresh_pass_of_a_tee_is_accepted if {
	attestation.refusals == set() with input as fixture.tee
	attestation.sound(data.railgate.lib.kind) with input as fixture.tee
}

test_a_report_is_accepted_where_the_profile_says_so if {
	attestation.refusals == set() with input as fixture.with_set(fixture.tee, {"/facts/attestation/form": "report", "/facts/attestation/status": "reported", "/facts/attestation/debuggable": null})
	attestation.sound(data.railgate.lib.kind) with input as fixture.with_set(fixture.tee, {"/facts/attestation/form": "report", "/facts/attestation/status": "reported", "/facts/attestation/debuggable": null})
}

test_a_named_issuer_is_accepted if {
	attestation.refusals == set() with input as fixture.tee with data.railgate.settings.attestation.issuers.baseline as ["https://verifier.example"]
	attestation.sound(data.railgate.lib.kind) with input as fixture.tee with data.railgate.settings.attestation.issuers.baseline as ["https://verifier.example"]
}

test_no_attestation_of_a_tee_is_refused if {
	attestation.refusals == {{"class": "evidence_precondition_failed", "rule": "TEE-01", "code": "attestation_incomplete", "pointer": "/attestation", "params": {"missing": "report_ref, platform_type, result"}}} with input as fixture.without(fixture.with_set(fixture.tee, {"/facts/attestation": null}), "/request/attestation")
	not attestation.sound(data.railgate.lib.kind) with input as fixture.without(fixture.with_set(fixture.tee, {"/facts/attestation": null}), "/request/attestation")
}

test_no_attestation_of_a_vm_is_not_judged_here if {
	attestation.refusals == set() with input as fixture.without(fixture.with_set(fixture.vm, {"/facts/attestation": null}), "/request/attestation")
	attestation.sound(data.railgate.lib.kind) with input as fixture.without(fixture.with_set(fixture.vm, {"/facts/attestation": null}), "/request/attestation")
}

test_an_incomplete_report_of_a_tee_is_refused_at_each_member if {
	attestation.refusals == {{"class": "evidence_precondition_failed", "rule": "TEE-01", "code": "attestation_incomplete", "pointer": "/attestation/report_ref", "params": {"missing": "report_ref"}}, {"class": "evidence_precondition_failed", "rule": "TEE-01", "code": "attestation_incomplete", "pointer": "/attestation/result", "params": {"missing": "result"}}} with input as fixture.with_set(fixture.tee, {"/facts/attestation/form": "report", "/facts/attestation/status": "reported", "/facts/attestation/report_ref": null, "/facts/attestation/result": ""})
	not attestation.sound(data.railgate.lib.kind) with input as fixture.with_set(fixture.tee, {"/facts/attestation/form": "report", "/facts/attestation/status": "reported", "/facts/attestation/report_ref": null, "/facts/attestation/result": ""})
}

test_an_incomplete_token_of_a_vm_is_refused if {
	attestation.refusals == {{"class": "evidence_precondition_failed", "rule": "VM-04", "code": "attestation_incomplete", "pointer": "/attestation/token", "params": {"missing": "report_ref, result"}}} with input as fixture.with_set(fixture.vm, {"/facts/attestation/report_ref": null, "/facts/attestation/result": null})
	not attestation.sound(data.railgate.lib.kind) with input as fixture.with_set(fixture.vm, {"/facts/attestation/report_ref": null, "/facts/attestation/result": null})
}

test_a_rejected_token_is_refused_whole if {
	attestation.refusals == {{"class": "evidence_precondition_failed", "rule": "TEE-02", "code": "attestation_failed", "pointer": "/attestation/token", "params": {"reason": "nonce"}}} with input as fixture.with_set(fixture.tee, {"/facts/attestation/status": "rejected", "/facts/attestation/error": "nonce", "/facts/attestation/result": null})
	not attestation.sound(data.railgate.lib.kind) with input as fixture.with_set(fixture.tee, {"/facts/attestation/status": "rejected", "/facts/attestation/error": "nonce", "/facts/attestation/result": null})
}

test_a_token_of_which_the_host_says_nothing_is_refused if {
	attestation.refusals == {{"class": "evidence_precondition_failed", "rule": "TEE-02", "code": "attestation_failed", "pointer": "/attestation/token", "params": {"reason": "not verified"}}} with input as fixture.with_set(fixture.tee, {"/facts/attestation": null})
	not attestation.sound(data.railgate.lib.kind) with input as fixture.with_set(fixture.tee, {"/facts/attestation": null})
}

test_every_failure_is_named if {
	attestation.refusals == {{"class": "evidence_precondition_failed", "rule": "TEE-02", "code": "attestation_failed", "pointer": "/attestation/token", "params": {"reason": "debuggable, measured in the future, no pass, platform not allowed"}}} with input as fixture.with_set(fixture.tee, {"/facts/attestation/result": "fail", "/facts/attestation/debuggable": true, "/facts/attestation/platform_type": "intel-tdx", "/facts/attestation/measured_at_ms": 1795593660001})
	not attestation.sound(data.railgate.lib.kind) with input as fixture.with_set(fixture.tee, {"/facts/attestation/result": "fail", "/facts/attestation/debuggable": true, "/facts/attestation/platform_type": "intel-tdx", "/facts/attestation/measured_at_ms": 1795593660001})
}

test_a_platform_that_is_not_allowed_is_refused if {
	attestation.refusals == {{"class": "evidence_precondition_failed", "rule": "TEE-02", "code": "attestation_failed", "pointer": "/workload/envelope/tee/platform", "params": {"reason": "platform not allowed"}}} with input as fixture.with_set(fixture.tee, {"/request/workload/envelope/tee/platform": "x"})
	not attestation.sound(data.railgate.lib.kind) with input as fixture.with_set(fixture.tee, {"/request/workload/envelope/tee/platform": "x"})
}

test_a_form_the_profile_does_not_accept_is_refused if {
	attestation.refusals == {{"class": "evidence_precondition_failed", "rule": "TEE-02", "code": "attestation_failed", "pointer": "/attestation", "params": {"reason": "form not accepted"}}} with input as fixture.with_set(fixture.tee, {"/request/workload/governance_profile": "ncp", "/facts/attestation/form": "report", "/facts/attestation/status": "reported"})
	not attestation.sound(data.railgate.lib.kind) with input as fixture.with_set(fixture.tee, {"/request/workload/governance_profile": "ncp", "/facts/attestation/form": "report", "/facts/attestation/status": "reported"})
}

test_an_issuer_the_profile_does_not_accept_is_refused if {
	attestation.refusals == {{"class": "evidence_precondition_failed", "rule": "TEE-02", "code": "attestation_failed", "pointer": "/attestation/token", "params": {"reason": "issuer not accepted"}}} with input as fixture.tee with data.railgate.settings.attestation.issuers.baseline as ["https://other.example"]
	not attestation.sound(data.railgate.lib.kind) with input as fixture.tee with data.railgate.settings.attestation.issuers.baseline as ["https://other.example"]
}

test_an_unknown_profile_is_left_to_its_own_rule if {
	attestation.refusals == set() with input as fixture.with_set(fixture.tee, {"/request/workload/governance_profile": "x"})
	attestation.sound(data.railgate.lib.kind) with input as fixture.with_set(fixture.tee, {"/request/workload/governance_profile": "x"})
}

test_an_old_attestation_is_refused if {
	attestation.refusals == {{"class": "evidence_precondition_failed", "rule": "TEE-03", "code": "attestation_stale", "pointer": "/attestation/token", "params": {"limit_s": 3600}}} with input as fixture.with_set(fixture.tee, {"/facts/attestation/measured_at_ms": 1795589999999})
	not attestation.sound(data.railgate.lib.kind) with input as fixture.with_set(fixture.tee, {"/facts/attestation/measured_at_ms": 1795589999999})
}

test_too_long_an_interval_is_refused if {
	attestation.refusals == {{"class": "policy_denied", "rule": "TEE-04", "code": "reattestation_interval_invalid", "pointer": "/workload/envelope/tee/reattestation_interval", "params": {"interval_min_s": 1, "interval_max_s": 3600}}} with input as fixture.with_set(fixture.tee, {"/facts/reattestation/interval_s": 3601})
	not attestation.sound(data.railgate.lib.kind) with input as fixture.with_set(fixture.tee, {"/facts/reattestation/interval_s": 3601})
}

test_silence_on_the_debug_state_is_refused_where_data_wants_it_stated if {
	silent := fixture.with_set(fixture.tee, {"/request/workload/governance_profile": "ncp", "/facts/attestation/debuggable": null})
	reasons := {refusal.params.reason | some refusal in attestation.refusals} with input as silent
	reasons == {"debug state not stated"}
	not attestation.sound(data.railgate.lib.kind) with input as silent
	attestation.refusals == set() with input as fixture.with_set(silent, {"/request/workload/governance_profile": "baseline"})
	attestation.refusals == set() with input as silent with data.railgate.settings.attestation.debug_state_required as {}
}
