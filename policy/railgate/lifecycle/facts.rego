# What the lifecycle law reads: the shape of the facts that the host gives.
package railgate.lifecycle

# Facts that are not exactly of this shape are refused before any rule reads them, since an absent fact would make a
# check pass in silence.

# METADATA
# title: Readable workload fact
# description: What the host holds of the workload, or null where it was never admitted.
is_workload_fact(value) if value == null

is_workload_fact(value) if {
	value.state in {"admitted", "created", "running", "stopped", "destroyed"}
	value.envelope_kind in {"container", "vm", "tee"}
	is_string(value.governance_profile)
	is_boolean(value.crp)
	is_optional_number(value.valid_until_ms)
	is_attestation_fact(value.attestation)
	is_optional_number(value.measured_at_ms)
	is_array(value.used_tokens)
	is_deadline_fact(value.reattestation)
}

# METADATA
# title: Readable attestation on record
# description: When it was measured and how it stands, or null where the workload was never attested.
is_attestation_fact(value) if value == null

is_attestation_fact(value) if {
	is_optional_number(value.measured_at_ms)
	value.standing in {"passed", "failed"}
}

# METADATA
# title: Readable deadline
# description: The deadline of the next re-attestation, or null where there is none.
is_deadline_fact(value) if value == null

is_deadline_fact(value) if {
	is_number(value.by_ms)
	is_boolean(value.missed)
}

# METADATA
# title: Readable time
# description: Milliseconds, or null.
is_optional_number(value) if value == null

is_optional_number(value) if is_number(value)

# METADATA
# title: Readable command
# description: What all commands have in common.
readable(request, facts) if {
	is_string(request.workload_id)
	is_number(facts.now_ms)
	is_workload_fact(facts.workload)
}
