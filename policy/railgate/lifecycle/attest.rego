# Re-attestations and their deadlines.
package railgate.lifecycle

import data.railgate.refusal.attestation
import data.railgate.settings

# Undefined, thus refused, where the facts can't be read.
attest_decision(request, facts) := attest_checked(request, facts, facts.workload) if {
	readable(request, facts)
	is_object(facts.attestation)
}

# The checks of a re-attestation, in order: the first that fails gives the code. A measurement that says fail changes how
# the workload stands; a token that can't be believed changes nothing.
attest_checked(request, facts, workload) := refused(workload_unknown(request), null) if {
	workload == null
} else := refused(transition_invalid(request, workload, "/workload_id", "an attestation"), null) if {
	workload.state == "destroyed"
} else := refused(attestation.failed("/attestation", no_platform(workload.envelope_kind)), null) if {
	not settings.attestation.platforms[workload.envelope_kind]
} else := refused(attestation.stale("/attestation", workload.envelope_kind), null) if {
	is_number(facts.attestation.measured_at_ms)
	known(facts.attestation, workload)
} else := refused(refusal, measured(facts.attestation)) if {
	refusal := attestation_refusal(request, facts, workload)
} else := accepted(null, "passed", next_obligations(facts.reattestation))

# A measurement no later than the last that passed proves nothing new, nor does a token that was used before. One without
# a time, as one that could not be verified has none, is judged by what is wrong with it; a report has no token, so only its
# time tells.
known(attestation, workload) if attestation.measured_at_ms <= workload.measured_at_ms

known(attestation, workload) if attestation.token_digest in workload.used_tokens

# A container has nothing that could be attested.
no_platform(kind) := concat("", ["no platform is known for the envelope ", kind])

# The rules that judge an attestation on admission, TEE-01 to TEE-04 and VM-04, asked about the admitted envelope.
attestation_refusal(request, facts, workload) := first_of(refusals) if {
	kind := workload.envelope_kind
	envelope := {"kind": kind, kind: admitted_profile(workload, object.get(facts, "bound", {}))}
	admitted := {
		"tenant_id": object.get(facts, ["bound", "tenant_id"], null),
		"governance_profile": workload.governance_profile,
		"envelope": envelope,
	}
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

# What of the admitted envelope an attestation is held to; inputs of 0.1 have nothing of it but the platform.
admitted_profile(workload, bound) := {
	"platform": object.get(workload, "platform", null),
	"images": [{"reference": concat("", ["@", digest])} | some digest in object.get(bound, "images", [])],
	"init_data_digest": digest_text,
} if {
	digest_text := bound.init_data_digest
	is_string(digest_text)
} else := {
	"platform": object.get(workload, "platform", null),
	"images": [{"reference": concat("", ["@", digest])} | some digest in object.get(bound, "images", [])],
}

# Failed where a measurement was made and says so; nothing where there is none that could be believed.
measured(fact) := "failed" if {
	fact.status in {"verified", "reported"}
	fact.result == "fail"
} else := null

# To the next one, where the envelope is attested periodically.
next_obligations(reattestation) := [{"obligation": "reattest", "by": reattestation.by}] if {
	reattestation != null
} else := []

# The host asks once a deadline may have passed. Refused with TEE-03 where it was missed and is not on record as missed;
# accepted where nothing is due.
deadline_decision(request, facts) := deadline_checked(request, facts.workload, facts.now_ms) if readable(request, facts)

deadline_checked(request, workload, now_ms) := refused(workload_unknown(request), null) if {
	workload == null
} else := refused(attestation.stale("/workload_id", workload.envelope_kind), "missed") if {
	workload.state != "destroyed"
	not workload.reattestation.missed
	now_ms > workload.reattestation.by_ms
} else := accepted(null, null, [])
