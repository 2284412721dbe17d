# Shows the whole decision: accepted, refused, lifted, extended, and whatever the input.
package railgate.admission_test

import data.railgate.admission
import data.railgate.fixture

accepted := {
	"outcome": "accepted",
	"envelope": {"declared": "container", "required": "container", "triggers": []},
	"refusals": [],
	"obligations": [],
	"rail": {"least_level": "sandbox_isolated"},
}

writable := {
	"class": "policy_denied",
	"rule": "CTR-03",
	"code": "root_filesystem_writable",
	"pointer": "/workload/envelope/container/read_only_root_filesystem",
	"params": {},
}

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

test_a_container_is_accepted if fixture.admitted(fixture.container) == accepted

test_a_vm_is_accepted if {
	fixture.admitted(fixture.vm) == object.union(accepted, {"envelope": {
		"declared": "vm",
		"required": "vm",
		"triggers": [{"trigger": "risk", "requires": "vm", "because": "high"}],
	}})
}

test_a_tee_is_accepted_and_bound_to_attest_again if {
	fixture.admitted(fixture.tee) == object.union(accepted, {
		"envelope": {
			"declared": "tee",
			"required": "tee",
			"triggers": [{"trigger": "classification", "requires": "tee", "because": "restricted"}],
		},
		"obligations": [{"obligation": "reattest", "by": "2026-11-25T08:15:00Z"}],
		"rail": {"least_level": "hardware_isolated"},
	})
}

test_refusals_are_sorted_by_rule_then_pointer if {
	changed := fixture.with_set(fixture.container, {
		"/request/workload/network": {},
		"/request/workload/envelope/container/read_only_root_filesystem": false,
	})
	fixture.admitted(changed) == object.union(accepted, {
		"outcome": "refused",
		"refusals": array.concat([writable], [refusal |
			some flag in ["default_deny", "policy_id", "tenant_isolated"]
			refusal := {
				"class": "policy_denied",
				"rule": "CTR-05",
				"code": "network_not_isolated",
				"pointer": concat("/", ["/workload/network", flag]),
				"params": {"missing": flag},
			}
		]),
	})
}

test_a_vm_and_a_tee_are_judged_by_their_own_rules if {
	vm := fixture.with_set(fixture.vm, {"/request/workload/envelope/vm/hypervisor/type": "x"})
	rules_of(vm) == ["VM-01"]
	tee := fixture.with_set(fixture.tee, {"/facts/attestation/result": "fail"})
	rules_of(tee) == ["TEE-02"]
}

test_every_subject_is_heard if {
	changed := fixture.with_set(fixture.container, {
		"/request/workload/risk": "high",
		"/request/workload/governance_profile": "ncp",
		"/request/workload/network/default_deny": false,
		"/request/workload/dependencies/0/available": false,
		"/request/workload/envelope/container/runtime": "runc",
		"/request/placement/jurisdiction": "US",
		"/facts/artifacts/0/pinned": false,
		"/context/policy/age_s": 86401,
	})
	rules_of(changed) == ["AUT-01", "CTR-01", "CTR-05", "DEP-02", "ENV-03", "JUR-01", "JUR-02", "POL-02", "SUP-01"]
}

rules_of(request) := rules if {
	refusals := fixture.admitted(request).refusals
	rules := [refusal.rule | some refusal in refusals]
}

test_an_exception_is_named_with_what_it_lifted if {
	changed := fixture.with_set(fixture.container, {
		"/request/workload/envelope/container/read_only_root_filesystem": false,
		"/facts/exceptions": [exception, object.union(exception, {"rules": ["CTR-01"]})],
	})
	fixture.admitted(changed) == object.union(accepted, {"exceptions": [{
		"digest": exception.digest,
		"issuer": exception.issuer,
		"rules": ["CTR-03"],
		"reason": exception.reason,
		"not_after_ms": exception.not_after_ms,
	}]})
}

test_a_lifted_interval_leaves_no_deadline if {
	changed := fixture.with_set(fixture.tee, {
		"/facts/reattestation": null,
		"/facts/exceptions": [object.union(exception, {"rules": ["TEE-04"]})],
	})
	fixture.admitted(changed).outcome == "accepted"
	fixture.admitted(changed).obligations == []
}

elevations(base, placements) := obligations if {
	obligations := fixture.admitted(fixture.with_set(base, {"/facts/placements": placements})).obligations
}

test_a_rail_under_the_least_level_obliges_to_elevate if {
	elevations(fixture.container, []) == []
	elevations(fixture.container, [{"mesh_id": "a", "level": "sandbox_isolated"}]) == []
	elevations(fixture.container, [
		{"mesh_id": "b", "level": "shared"},
		{"mesh_id": "c", "level": "hardware_isolated"},
		{"mesh_id": "a", "level": "process_isolated"},
	]) == [
		{"obligation": "elevate", "mesh_id": "a", "least_level": "sandbox_isolated"},
		{"obligation": "elevate", "mesh_id": "b", "least_level": "sandbox_isolated"},
	]
	elevations(fixture.tee, [{"mesh_id": "m", "level": "sandbox_isolated"}]) == [
		{"obligation": "reattest", "by": "2026-11-25T08:15:00Z"},
		{"obligation": "elevate", "mesh_id": "m", "least_level": "hardware_isolated"},
	]
}

test_the_level_that_never_falls_is_the_one_to_elevate_to if {
	held := fixture.with_set(
		fixture.container,
		{"/facts/workload": {"state": "running", "least_level": "hardware_isolated"}},
	)
	elevations(held, [{"mesh_id": "m", "level": "sandbox_isolated"}]) == [{
		"obligation": "elevate",
		"mesh_id": "m",
		"least_level": "hardware_isolated",
	}]
}

test_what_is_refused_obliges_to_nothing if {
	refused := fixture.with_set(fixture.container, {"/request/workload/network/default_deny": false})
	elevations(refused, [{"mesh_id": "m", "level": "shared"}]) == []
}

test_what_is_lifted_obliges_like_the_rest if {
	lifted := fixture.with_set(fixture.container, {
		"/request/workload/envelope/container/read_only_root_filesystem": false,
		"/facts/exceptions": [exception],
	})
	elevations(lifted, [{"mesh_id": "m", "level": "shared"}]) == [{
		"obligation": "elevate",
		"mesh_id": "m",
		"least_level": "sandbox_isolated",
	}]
}

test_an_extension_can_only_add_refusals if {
	extension := {"quota": {"refusals": {{
		"class": "policy_denied",
		"rule": "ACME-01",
		"code": "acme_quota_exceeded",
		"pointer": "/workload",
		"params": {},
	}}}}
	admission.decision == object.union(accepted, {
		"outcome": "refused",
		"refusals": [{
			"class": "policy_denied",
			"rule": "ACME-01",
			"code": "acme_quota_exceeded",
			"pointer": "/workload",
			"params": {},
		}],
	}) with input as fixture.container with data.railgate.settings as fixture.settings with data.railgate.extensions as extension
}

test_an_extensions_refusal_of_any_shape_refuses if {
	admission.decision == object.union(accepted, {"outcome": "refused", "refusals": ["no"]}) with input as fixture.container with data.railgate.settings as fixture.settings
		with data.railgate.extensions as {"odd": {"refusals": {"no"}}}
}

test_a_subject_that_is_not_sound_but_says_nothing_refuses if {
	changed := fixture.with_set(fixture.container, {"/request/workload/envelope/container/runtime": "runc"})
	fixture.admitted(changed) == object.union(accepted, {
		"outcome": "refused",
		"refusals": [{
			"class": "dependency_unavailable_fail_closed",
			"rule": "POL-03",
			"code": "policy_error",
			"pointer": "",
			"params": {},
		}],
		"rail": {"least_level": "shared"},
	}) with data.railgate.refusal.container.refusals as set()
}

test_there_is_a_decision_whatever_the_input if {
	every request in [{}, [], "x", 5, null, {"request": 5}, {"request": {"workload": {"envelope": "x", "dependencies": 7}}}] {
		fixture.admitted(request).outcome == "refused"
	}
}

test_there_is_a_decision_without_settings if {
	admission.decision.outcome == "refused" with input as fixture.container with data.railgate.extensions as {} with data.railgate.settings as {}
}

# A subject that is not sound while its rules say nothing is a defect of the law. It must refuse even where all that was
# said is lifted: here CTR-05, by an exception.
lifted_but_for(base, changes) := fixture.with_set(base, object.union(changes, {
	"/request/workload/network/default_deny": false,
	"/facts/exceptions": [object.union(exception, {
		"rules": ["CTR-05"],
		"workload_id": base.request.workload.workload_id,
	})],
}))

rules_refusing(decision) := [r.rule | some r in decision.refusals]

test_what_is_lifted_is_accepted if {
	every base in [fixture.container, fixture.vm, fixture.tee] {
		fixture.admitted(lifted_but_for(base, {})).outcome == "accepted"
	}
}

test_silence_of_declaration_refuses if {
	changed := lifted_but_for(fixture.container, {"/request/workload/risk": "x"})
	rules_refusing(fixture.admitted(changed)) == ["POL-03"] with data.railgate.refusal.declaration.refusals as set()
}

test_silence_of_tenancy_refuses if {
	changed := fixture.with_set(fixture.container, {
		"/request/workload/network": {},
		"/request/workload/envelope/container/read_only_root_filesystem": false,
		"/facts/exceptions": [exception],
	})
	rules_refusing(fixture.admitted(changed)) == ["POL-03"] with data.railgate.refusal.tenancy.refusals as set()
}

test_silence_of_residency_refuses if {
	changed := lifted_but_for(fixture.container, {"/request/placement/jurisdiction": "US"})
	rules_refusing(fixture.admitted(changed)) == ["POL-03"] with data.railgate.refusal.residency.refusals as set()
}

test_silence_of_authority_refuses if {
	changed := lifted_but_for(fixture.container, {"/facts/authority": {"status": "rejected"}})
	rules_refusing(fixture.admitted(changed)) == ["POL-03"] with data.railgate.refusal.authority.refusals as set()
}

test_silence_of_freshness_refuses if {
	changed := lifted_but_for(fixture.container, {"/context/policy/age_s": 1e9})
	rules_refusing(fixture.admitted(changed)) == ["POL-03"] with data.railgate.refusal.freshness.refusals as set()
}

test_silence_of_dependency_refuses if {
	changed := lifted_but_for(fixture.container, {"/request/workload/dependencies": []})
	rules_refusing(fixture.admitted(changed)) == ["POL-03"] with data.railgate.refusal.dependency.refusals as set()
}

test_silence_of_supply_refuses if {
	changed := lifted_but_for(fixture.container, {"/facts/artifacts": []})
	rules_refusing(fixture.admitted(changed)) == ["POL-03"] with data.railgate.refusal.supply.refusals as set()
}

test_silence_of_container_refuses if {
	changed := lifted_but_for(fixture.container, {"/request/workload/envelope/container/runtime": "x"})
	rules_refusing(fixture.admitted(changed)) == ["POL-03"] with data.railgate.refusal.container.refusals as set()
}

test_silence_of_vm_refuses if {
	changed := lifted_but_for(fixture.vm, {"/request/workload/envelope/vm/hypervisor/type": "x"})
	rules_refusing(fixture.admitted(changed)) == ["POL-03"] with data.railgate.refusal.vm.refusals as set()
}

test_silence_of_attestation_refuses if {
	changed := lifted_but_for(fixture.tee, {"/facts/reattestation": null})
	rules_refusing(fixture.admitted(changed)) == ["POL-03"] with data.railgate.refusal.attestation.refusals as set()
}
