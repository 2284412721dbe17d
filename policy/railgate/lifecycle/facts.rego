# What the lifecycle law reads: the shape of the facts that the host gives.
package railgate.lifecycle

import data.railgate.lib

# Facts that are not exactly of this shape are refused before any rule reads them, since an absent fact would make a
# check pass in silence.
readable(request, facts) if {
	is_string(request.workload_id)
	is_number(facts.now_ms)
	is_workload_fact(facts.workload)
}

# Null where the workload was never admitted. Inputs of 0.1 have neither a newest measurement nor tokens that were used:
# absent, they are none.
is_workload_fact(value) if value == null

is_workload_fact(value) if {
	value.state in {"admitted", "created", "running", "stopped", "destroyed"}
	value.envelope_kind in {"container", "vm", "tee"}
	is_string(value.governance_profile)
	is_boolean(value.crp)
	is_optional_number(value.valid_until_ms)
	is_attestation_fact(value.attestation)
	is_optional_number(object.get(value, "measured_at_ms", null))
	is_array(object.get(value, "used_tokens", []))
	is_deadline_fact(value.reattestation)
}

# When it was measured and how it stands; null where the workload was never attested.
is_attestation_fact(value) if value == null

is_attestation_fact(value) if {
	is_optional_number(value.measured_at_ms)
	value.standing in {"passed", "failed"}
}

# Of the next re-attestation; null where there is none.
is_deadline_fact(value) if value == null

is_deadline_fact(value) if {
	is_number(value.by_ms)
	is_boolean(value.missed)
}

# Where the workload is placed; absent in inputs of 0.1, and taken for none.
is_placements_fact(value, _) if value == []

is_placements_fact(value, workload) if {
	is_array(value)
	is_held(workload)
	every placement in value {
		is_string(placement.mesh_id)
		lib.level_rank(placement.level)
	}
}

# To a level that is known, where it was ever admitted.
is_held(workload) if workload == null

is_held(workload) if lib.level_rank(workload.least_level)

is_optional_number(value) if value == null

is_optional_number(value) if is_number(value)
