# Shows what an exception must be to count, and what none can lift.
package railgate.exception_test

import data.railgate.exception as law
import data.railgate.fixture

exception := {
	"status": "verified",
	"error": null,
	"digest": "sha256:abababababababababababababababababababababababababababababababab",
	"issuer": "https://authority.example",
	"tenant_id": "acme",
	"workload_id": "payments-api",
	"rules": ["CTR-03"],
	"not_before_ms": 1795593599000,
	"not_after_ms": 1795593601000,
	"reason": "until the volume is migrated",
	"root": true,
	"may_except": true,
	"links": 0,
	"from_ms": 1795593599000,
	"until_ms": 1795593601000,
}

in_force(change) := value if {
	given := {"/facts/exceptions": [object.union(exception, change)]}
	value := law.in_force with input as fixture.with_set(fixture.container, given) with data.railgate.settings as fixture.settings
}

test_a_verified_one_for_this_workload_counts if in_force({}) == [exception]

test_any_other_does_not if {
	every change in [
		{"status": "rejected"},
		{"tenant_id": "globex"},
		{"workload_id": "other"},
		{"not_before_ms": 1795593600001},
		{"not_after_ms": 1795593599999},
		{"not_after_ms": null},
		{"reason": " "},
		{"reason": null},
		{"digest": null},
		{"issuer": null},
		{"may_except": false},
		{"links": 4},
		{"links": null},
		{"from_ms": null},
		{"from_ms": 1795593600001},
		{"until_ms": null},
		{"until_ms": 1795593599999},
	] {
		in_force(change) == []
	}
}

# Nobody looked who granted those that 0.1 recorded.
test_one_of_0_1_does_not if {
	every member in ["may_except", "links", "from_ms", "until_ms"] {
		value := object.remove(exception, [member])
		given := fixture.with_set(fixture.container, {"/facts/exceptions": [value]})
		found := law.in_force with input as given with data.railgate.settings as fixture.settings
		found == []
	}
}

test_it_lifts_what_it_names_by_rule_or_code if {
	law.lifts(exception, {"rule": "CTR-03", "code": "root_filesystem_writable"})
	law.lifts({"rules": ["root_filesystem_writable"]}, {"rule": "CTR-03", "code": "root_filesystem_writable"})
	not law.lifts(exception, {"rule": "CTR-04", "code": "privilege_excessive"})
}

test_safety_rules_are_never_lifted if {
	every refusal in [
		{"rule": "ENV-01"},
		{"rule": "ENV-02"},
		{"rule": "ENV-03", "params": {"required": "tee"}},
		{"rule": "ENV-04"},
		{"rule": "POL-03"},
		{"rule": "TEE-02"},
		{"rule": "TEN-01"},
		{"rule": "TEE-01", "code": "attestation_incomplete", "params": {"missing": "report_ref, result"}},
	] {
		not law.lifts({"rules": [refusal.rule]}, refusal)
	}
}

test_env_03_to_a_vm_may_be_lifted if {
	law.lifts({"rules": ["ENV-03"]}, {"rule": "ENV-03", "code": "envelope_insufficient", "params": {"required": "vm"}})
}

test_the_same_one_twice_counts_once if {
	given := {"/facts/exceptions": [exception, exception, object.union(exception, {"digest": "sha256:other"})]}
	digests := [held.digest | some held in law.in_force] with input as fixture.with_set(fixture.container, given) with data.railgate.settings as fixture.settings
	digests == [exception.digest, "sha256:other"]
}

test_who_is_no_root_lifts_nothing_that_vouches_for_roots if {
	every rule in ["AUT-01", "AUT-02", "AUT-03"] {
		law.lifts({"rules": [rule], "root": true}, {"rule": rule})
		not law.lifts({"rules": [rule], "root": false}, {"rule": rule})
		not law.lifts({"rules": [rule]}, {"rule": rule})
	}
	law.lifts({"rules": ["CTR-03"], "root": false}, {"rule": "CTR-03"})
}
