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
# description: "The verification result is a pass; the platform is allowed, the declared one and not debuggable, and says so where `settings.attestation.debug_state_required` wants it; the form, signature, issuer and nonce are accepted; it was not measured in the future; TCB, measurements, image, init data, devices and trustworthiness vector are as `settings.attestation` and the declaration want them."
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
	reason := error_reason
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

# The steps of the host that a word does not explain.
error_words := {
	"size": "size: larger than a token may be",
	"key": "key: none that its issuer has pinned",
	"certificate": "certificate: its chain leads to no pinned root, or is not valid now",
	"age": "age: older than its issuer's tokens may be (attest again)",
	"policy": "policy: the verifier did not hold it to a pinned policy, or it did not match",
}

error_reason := object.get(error_words, lib.error_of(lib.attestation), lib.error_of(lib.attestation))

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

# What an operator's data and the declaration ask of it beyond a pass. What it does not say is no answer.
subject := "/attestation/token" if {
	lib.attestation.form != "report"
} else := "/attestation"

on_list(list, value) if {
	is_array(list)
	value in list
}

# Lists may be written as objects of `true`.
on_list(list, value) if list[value] == true

listed(list) := list if {
	is_array(list)
} else := [value | some value, true in list]

tcb_listed if count(settings.attestation.tcb[lib.profile]) > 0

tcb_status := lib.attestation.tcb.status if {
	is_string(lib.attestation.tcb.status)
} else := null

tcb_accepted(status) if {
	tcb_listed
	on_list(settings.attestation.tcb[lib.profile], status)
}

tcb_accepted(status) if {
	not tcb_listed
	lower(status) != "revoked"
}

failures contains [subject, "TCB status not stated (attest by a verifier that states it, or list none in attestation.tcb)"] if {
	judged
	tcb_listed
	tcb_status == null
}

failures contains [subject, reason] if {
	judged
	tcb_status != null
	not tcb_accepted(tcb_status)
	reason := concat(" ", [
		"TCB status",
		lib.text(tcb_status),
		"not accepted (update the platform, or list the state in attestation.tcb)",
	])
}

# A tenant's own values stand in place of everybody's, name by name.
expected_of(tenant) := settings.attestation.measurements[tenant][lib.attestation.platform_type] if {
	is_object(settings.attestation.measurements[tenant][lib.attestation.platform_type])
} else := {}

expected := {name: allowed |
	own := expected_of(lib.workload.tenant_id)
	all := expected_of("*")
	some name in (object.keys(all) | object.keys(own))
	allowed := object.get(own, name, object.get(all, name, []))
}

measurement_allowed(name, allowed) if {
	value := lib.attestation.measurements[name]
	some each in listed(allowed)
	lower(each) == value
}

failures contains [subject, reason] if {
	judged
	some name, allowed in expected
	not measurement_allowed(name, allowed)
	reason := concat(" ", [
		"measurement",
		name,
		"not allowed (run what was released, or add the value to attestation.measurements)",
	])
}

image_bound if settings.attestation.bind_image[lib.profile] == true

image_digests := lib.attestation.image_digests if {
	is_array(lib.attestation.image_digests)
} else := []

image_declared(digest) if {
	some image in lib.declared.images
	endswith(image.reference, concat("", ["@", digest]))
}

failures contains [subject, "image not stated (attest by a verifier that states it, or clear attestation.bind_image)"] if {
	judged
	image_bound
	image_digests == []
}

failures contains [subject, "image not one of the envelope's (run the declared image, or declare the one that runs)"] if {
	judged
	image_bound
	some digest in image_digests
	not image_declared(digest)
}

failures contains ["/workload/envelope/tee/init_data_digest", reason] if {
	judged
	lib.kind == "tee"
	lib.declared.init_data_digest
	not lib.attestation.init_data_digest == lib.declared.init_data_digest
	reason := init_data_reason
}

init_data_reason := "init data not the declared (start the guest with it, or declare what it was started with)" if {
	is_string(lib.attestation.init_data_digest)
} else := "init data not stated (attest by a verifier that states it, or declare none)"

devices := lib.attestation.devices if {
	is_array(lib.attestation.devices)
} else := []

devices_at := "/attestation/devices" if {
	lib.has(input.request.attestation, "devices")
} else := subject

failures contains [devices_at, reason] if {
	judged
	some device in devices
	reason := device_reason(device)
}

device_reason(device) := concat("", ["device not verified: ", device.error, " (attest it again under the same nonce)"]) if {
	is_string(device.error)
} else := concat("", ["device ", lib.shown(device, "kind"), " failed (attest it again once it is well)"]) if {
	device.result != "pass"
}

failures contains [devices_at, reason] if {
	judged
	some kind in listed(settings.attestation.devices_required[lib.profile])
	not device_passed(kind)
	reason := concat("", ["no ", kind, " attested (give its bundle in attestation.devices)"])
}

device_passed(kind) if {
	some device in devices
	device.kind == kind
	device.result == "pass"
	device.error == null
}

# Of what this attestation was made for; absent in inputs of 0.1, and taken for nothing.
nonce_form := lib.attestation.nonce.form if {
	lib.attestation.nonce.ok == true
} else := "none"

failures contains [location_of("nonce"), "nonce missing (attest with a challenge, or the correlation_id, as nonce)"] if {
	judged
	settings.attestation.nonce[lib.profile] == "bound"
	nonce_form == "none"
}

failures contains [location_of("nonce"), "nonce is no challenge (ask for one, and attest with it as nonce)"] if {
	judged
	settings.attestation.nonce[lib.profile] == "challenge"
	nonce_form != "challenge"
}

failures contains [subject, "no trustworthiness vector (have the verifier issue one, or clear attestation.vector_required)"] if {
	judged
	settings.attestation.vector_required[lib.profile] == true
	lib.attestation.format == "ear"
	not is_object(lib.attestation.vector)
}

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
