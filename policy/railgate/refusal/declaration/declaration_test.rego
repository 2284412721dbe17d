# Shows what the rules beside it refuse and accept.
package railgate.refusal.declaration_test

import data.railgate.fixture
import data.railgate.refusal.declaration

test_a_known_sufficient_classified_envelope_is_accepted if {
	declaration.refusals == set() with input as fixture.container
	declaration.sound(data.railgate.lib.workload) with input as fixture.container
}

test_a_stronger_envelope_is_accepted if {
	declaration.refusals == set() with input as fixture.with_set(fixture.vm, {"/request/workload/risk": "low"})
	declaration.sound(data.railgate.lib.workload) with input as fixture.with_set(fixture.vm, {"/request/workload/risk": "low"})
}

test_no_envelope_is_refused if {
	declaration.refusals == {{"class": "policy_denied", "rule": "ENV-01", "code": "envelope_undeclared", "pointer": "/workload/envelope", "params": {}}} with input as fixture.without(fixture.container, "/request/workload/envelope")
	not declaration.sound(data.railgate.lib.workload) with input as fixture.without(fixture.container, "/request/workload/envelope")
}

test_no_kind_is_refused if {
	declaration.refusals == {{"class": "policy_denied", "rule": "ENV-01", "code": "envelope_undeclared", "pointer": "/workload/envelope/kind", "params": {}}} with input as fixture.without(fixture.container, "/request/workload/envelope/kind")
	not declaration.sound(data.railgate.lib.workload) with input as fixture.without(fixture.container, "/request/workload/envelope/kind")
}

test_an_unknown_kind_is_refused if {
	declaration.refusals == {{"class": "policy_denied", "rule": "ENV-02", "code": "envelope_unknown", "pointer": "/workload/envelope/kind", "params": {"declared": "wasm"}}} with input as fixture.with_set(fixture.container, {"/request/workload/envelope/kind": "wasm"})
	not declaration.sound(data.railgate.lib.workload) with input as fixture.with_set(fixture.container, {"/request/workload/envelope/kind": "wasm"})
}

test_a_weaker_envelope_is_refused if {
	declaration.refusals == {{"class": "policy_denied", "rule": "ENV-03", "code": "envelope_insufficient", "pointer": "/workload/envelope/kind", "params": {"declared": "container", "required": "vm"}}} with input as fixture.with_set(fixture.container, {"/request/workload/risk": "high"})
	not declaration.sound(data.railgate.lib.workload) with input as fixture.with_set(fixture.container, {"/request/workload/risk": "high"})
}

test_a_missing_field_is_refused if {
	declaration.refusals == {{"class": "policy_denied", "rule": "ENV-04", "code": "workload_unclassified", "pointer": "/workload/risk", "params": {"field": "risk", "value": "none"}}} with input as fixture.without(fixture.container, "/request/workload/risk")
	not declaration.sound(data.railgate.lib.workload) with input as fixture.without(fixture.container, "/request/workload/risk")
}

test_an_unknown_value_of_any_type_is_refused if {
	declaration.refusals == {{"class": "policy_denied", "rule": "ENV-04", "code": "workload_unclassified", "pointer": "/workload/tenant_tier", "params": {"field": "tenant_tier", "value": "number"}}} with input as fixture.with_set(fixture.container, {"/request/workload/tenant_tier": 7})
	not declaration.sound(data.railgate.lib.workload) with input as fixture.with_set(fixture.container, {"/request/workload/tenant_tier": 7})
}
