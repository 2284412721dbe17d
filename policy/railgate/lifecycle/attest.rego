# Re-attestations and their deadlines.
package railgate.lifecycle

import data.railgate.refusal.attestation
import data.railgate.settings

# METADATA
# title: The decision on a re-attestation
# description: |
#   The first check that fails gives the code. A measurement that says fail changes how the workload stands; a token
#   that can't be believed changes nothing.
attest_decision(request, facts) := attest_checked(request, facts) if {
	readable(request, facts)
	is_object(facts.attestation)
}

# METADATA
# title: The checks of a re-attestation, in order
# description: Each is undefined where it holds nothing against the attestation.
attest_checked(request, facts) := refused(refusal, null) if refusal := workload_unknown(request, facts.workload)

else := refused(refusal, null) if refusal := attested_too_late(request, facts.workload)

else := refused(refusal, null) if refusal := attestation_not_for_kind(facts.workload)

else := refused(refusal, null) if refusal := attestation_not_newer(facts)

else := refused(refusal, measured(facts.attestation)) if refusal := attestation_refusal(request, facts)

else := accepted(null, "passed", next_obligations(facts.reattestation))

# METADATA
# title: LIFE-02 for an attestation
# description: A destroyed workload is not attested any more. The catalogue has the words of LIFE-02.
attested_too_late(request, workload) := {
	"code": "lifecycle_transition_invalid",
	"class": "policy_denied",
	"rule": "LIFE-02",
	"pointer": "/workload_id",
	"params": {"workload_id": request.workload_id, "state": workload.state, "transition": "an attestation"},
} if {
	workload.state == "destroyed"
}

# METADATA
# title: TEE-02 for an envelope that has no platform
# description: A container has nothing that could be attested. The catalogue has the words of TEE-02.
attestation_not_for_kind(workload) := {
	"code": "attestation_failed",
	"class": "evidence_precondition_failed",
	"rule": "TEE-02",
	"pointer": "/attestation",
	"params": {"reason": concat("", ["no platform is known for the envelope ", workload.envelope_kind])},
} if {
	not settings.attestation.platforms[workload.envelope_kind]
}

# METADATA
# title: TEE-03 for an attestation that is not newer
# description: >-
#   A measurement no later than the last that passed proves nothing new, nor does a token that was used before. One
#   without a time, as one that could not be verified has none, is judged by what is wrong with it. The catalogue has the
#   words of TEE-03.
attestation_not_newer(facts) := object.union(stale(facts.workload.envelope_kind), {"pointer": "/attestation"}) if {
	is_number(facts.attestation.measured_at_ms)
	known(facts.attestation, facts.workload)
}

# METADATA
# title: What is known of the workload already
# description: A report has no token, so only its time tells.
known(attestation, workload) if attestation.measured_at_ms <= workload.measured_at_ms

known(attestation, workload) if attestation.token_digest in workload.used_tokens

# METADATA
# title: The rules that judge an attestation on admission
# description: TEE-01 to TEE-04 and VM-04, asked about the admitted envelope.
attestation_refusal(request, facts) := first_of(refusals) if {
	workload := facts.workload
	kind := workload.envelope_kind
	envelope := {"kind": kind, kind: {"platform": object.get(workload, "platform", null)}}
	admitted := {"governance_profile": workload.governance_profile, "envelope": envelope}
	refusals := attestation.refusals with input as {
		"request": {"workload": admitted, "attestation": request.attestation},
		"facts": {
			"now_ms": facts.now_ms,
			"attestation": facts.attestation,
			"reattestation": object.get(facts, "reattestation", null),
		},
		"context": input.context,
	}
}

# METADATA
# title: What a refused attestation says of the workload
# description: Failed where a measurement was made and says so; nothing where there is none that could be believed.
measured(fact) := "failed" if {
	fact.status in {"verified", "reported"}
	fact.result == "fail"
}

else := null

# METADATA
# title: What an attestation obliges to
# description: To the next one, where the envelope is attested periodically.
next_obligations(reattestation) := [{"obligation": "reattest", "by": reattestation.by}] if reattestation != null

else := []

# METADATA
# title: The decision on a deadline
# description: |
#   The host asks once a deadline may have passed. Refused with TEE-03 where it was missed and is not on record as
#   missed; accepted where nothing is due.
deadline_decision(request, facts) := refused(refusal, null) if {
	readable(request, facts)
	refusal := workload_unknown(request, facts.workload)
}

else := refused(stale(facts.workload.envelope_kind), "missed") if {
	readable(request, facts)
	facts.workload.state != "destroyed"
	not facts.workload.reattestation.missed
	facts.now_ms > facts.workload.reattestation.by_ms
}

else := accepted(null, null, []) if readable(request, facts)
