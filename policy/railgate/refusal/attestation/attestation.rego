# What an attestation of a vm or tee must say, how it must have been verified, and how old it may be.
package railgate.refusal.attestation

import data.railgate.lib
import data.railgate.settings

# Holds where no rule below refuses.
sound(kind) if {
	vm_attestation_complete(kind)
	tee_attestation_complete(kind)
	attestation_passed(kind)
	attestation_fresh(kind)
	reattestation_interval_valid(kind)
}

# METADATA
# title: The attestation is incomplete
# description: "A vm's attestation, where given, has a report reference and a pass or fail outcome."
# custom:
#   rule: VM-04
#   code: attestation_incomplete
#   class: evidence_precondition_failed
#   short_name: vm_attestation_complete
#   message: "The attestation lacks {missing}."
#   solution: "Give an attestation with its report reference, platform type and verification result."
#   source: "Evidence: attestation report reference and pass/fail outcome."
vm_attestation_incomplete(location, params) := lib.refuse(rego.metadata.rule(), location, params)

refusals contains vm_attestation_incomplete(location, params) if {
	not vm_attestation_complete(lib.kind)
	some location in incomplete
	params := {"missing": concat(", ", missing_at(location))}
}

# METADATA
# title: The attestation is incomplete
# description: "A tee's attestation has a report reference, a platform type and a verification result."
# custom:
#   rule: TEE-01
#   code: attestation_incomplete
#   class: evidence_precondition_failed
#   short_name: tee_attestation_complete
#   message: "The attestation lacks {missing}."
#   solution: "Give an attestation with its report reference, platform type and verification result."
#   source: "Attestation MUST include report reference, platform type, and verification result."
tee_attestation_incomplete(location, params) := lib.refuse(rego.metadata.rule(), location, params)

refusals contains tee_attestation_incomplete(location, params) if {
	not tee_attestation_complete(lib.kind)
	some location in incomplete
	params := {"missing": concat(", ", missing_at(location))}
}

vm_attestation_complete(kind) if {
	kind != "vm"
} else if {
	missing == []
}

tee_attestation_complete(kind) if {
	kind != "tee"
} else if {
	missing == []
}

# In the order a message lists them.
members := {"vm": ["report_ref", "result"], "tee": ["report_ref", "platform_type", "result"]}

# Nothing that a rejected token says is looked at: TEE-02 refuses it whole.
judged if {
	lib.attestation_given
	lib.attestation.status in ["verified", "reported"]
}

missing := [member |
	some member in members[lib.kind]
	missing_from_given(member)
]

# A tee must be attested; whether a vm must is VM-03.
missing_from_given(member) if {
	judged
	not present(member)
} else if {
	lib.kind == "tee"
	not lib.attestation_given
}

present(member) if lib.stated(lib.attestation[member])

incomplete := {location_of(member) | some member in missing}

missing_at(location) := [member | some member in missing; location_of(member) == location]

# A token is one location whatever it lacks; a report has its members.
location_of(member) := lib.pointer(["/attestation", member]) if {
	lib.attestation.form == "report"
} else := "/attestation/token" if {
	lib.attestation_given
} else := "/attestation"

# METADATA
# title: The attestation failed
# description: "The verification result is a pass; the platform is allowed, the declared one and not debuggable, and says so where `settings.attestation.debug_state_required` wants it; the form, signature, issuer and nonce are accepted; it was not measured in the future."
# custom:
#   rule: TEE-02
#   code: attestation_failed
#   class: evidence_precondition_failed
#   short_name: attestation_passed
#   message: "The attestation is not accepted: {reason}."
#   solution: "Attest again on an allowed platform, in a form and by an issuer that the profile accepts, and give the new attestation."
#   source: "Attestation MUST include report reference, platform type, and verification result."
failed(location, reason) := lib.refuse(rego.metadata.rule(), location, {"reason": reason})

refusals contains failed(location, reason) if {
	not attestation_passed(lib.kind)
	some location in {where | some [where, _] in failures}
	reason := concat(", ", sort({why | some [location, why] in failures}))
}

attestation_passed(_) if failures == set()

# A report can only be rejected for its nonce.
failures contains [location_of("nonce"), reason] if {
	lib.attestation_given
	not judged
	reason := lib.error_of(lib.attestation)
}

failures contains ["/attestation", "form not accepted"] if {
	judged
	not form_accepted
}

failures contains ["/attestation/token", "issuer not accepted"] if {
	judged
	lib.attestation.form != "report"
	not issuer_accepted
}

failures contains [location_of("result"), "no pass"] if {
	judged
	present("result")
	lib.attestation.result != "pass"
}

failures contains [location_of("debuggable"), "debuggable"] if {
	judged
	not lib.attestation.debuggable == false
	not lib.attestation.debuggable == null
}

# Null where nothing in the token says.
failures contains [location_of("debuggable"), "debug state not stated"] if {
	judged
	lib.attestation.debuggable == null
	settings.attestation.debug_state_required[lib.profile]
}

failures contains [location_of("platform_type"), "platform not allowed"] if {
	judged
	platform_judged
	not platform_allowed
}

failures contains ["/workload/envelope/tee/platform", "platform not allowed"] if {
	lib.kind == "tee"
	not declared_platform_allowed
}

failures contains [location_of("measured_at"), "measured in the future"] if {
	judged
	lib.attestation.measured_at_ms > input.facts.now_ms + (settings.attestation.future_max_s * 1000)
}

form_accepted if settings.attestation.forms[lib.profile][lib.attestation.form]

form_accepted if not lib.profile_known

issuer_accepted if "*" in settings.attestation.issuers[lib.profile]

issuer_accepted if lib.attestation.issuer in settings.attestation.issuers[lib.profile]

issuer_accepted if not lib.profile_known

# A tee's missing platform type is TEE-01's.
platform_judged if lib.kind == "vm"

platform_judged if present("platform_type")

platform_allowed if {
	settings.attestation.platforms[lib.kind][lib.attestation.platform_type]
	matches_declared
}

matches_declared if lib.kind == "vm"

matches_declared if lib.attestation.platform_type == lib.declared.platform

# A declared platform that is not allowed is at fault itself.
matches_declared if not declared_platform_allowed

declared_platform_allowed if settings.attestation.platforms.tee[lib.declared.platform]

# METADATA
# title: The attestation is too old
# description: "The attestation was measured within `settings.attestation.freshness_s` of now."
# custom:
#   rule: TEE-03
#   code: attestation_stale
#   class: evidence_precondition_failed
#   short_name: attestation_fresh
#   message: "The attestation is older than {limit_s} s, or does not say when it was measured."
#   solution: "Attest again and give the new attestation."
#   source: "Evidence MUST be recorded for admission and periodic re-attestation."
stale(location, kind) := lib.refuse(rego.metadata.rule(), location, {"limit_s": limit_s(kind)})

limit_s(kind) := object.get(settings.attestation.freshness_s, kind, null)

refusals contains stale(location_of("measured_at"), lib.kind) if {
	not attestation_fresh(lib.kind)
}

attestation_fresh(kind) if {
	not judged
} else if {
	is_number(lib.attestation.measured_at_ms)
	input.facts.now_ms - lib.attestation.measured_at_ms <= settings.attestation.freshness_s[kind] * 1000
}

# METADATA
# title: The re-attestation interval is not acceptable
# description: "A tee says how often it is attested again, within `settings.attestation.reattestation`."
# custom:
#   rule: TEE-04
#   code: reattestation_interval_invalid
#   class: policy_denied
#   short_name: reattestation_interval_valid
#   message: "The re-attestation interval is missing or not between {interval_min_s} s and {interval_max_s} s."
#   solution: "Declare `tee.reattestation_interval` within the limits of `settings.attestation.reattestation`."
#   source: "Evidence MUST be recorded for admission and periodic re-attestation."
reattestation_interval_invalid(location, params) := lib.refuse(rego.metadata.rule(), location, params)

refusals contains reattestation_interval_invalid(location, params) if {
	not reattestation_interval_valid(lib.kind)
	location := "/workload/envelope/tee/reattestation_interval"
	params := settings.attestation.reattestation
}

reattestation_interval_valid(kind) if {
	kind != "tee"
} else if {
	input.facts.reattestation.interval_s >= settings.attestation.reattestation.interval_min_s
	input.facts.reattestation.interval_s <= settings.attestation.reattestation.interval_max_s
	is_string(input.facts.reattestation.by)
}
