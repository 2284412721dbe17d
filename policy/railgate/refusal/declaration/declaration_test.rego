# Shows what the rules beside it refuse and accept.
package railgate.refusal.declaration_test

import data.railgate.fixture

test_a_known_sufficient_classified_envelope_is_accepted if fixture.accepts("declaration", fixture.container)

test_a_stronger_envelope_is_accepted if {
	fixture.accepts("declaration", fixture.with_set(fixture.vm, {"/request/workload/risk": "low"}))
}

test_no_envelope_is_refused if {
	fixture.refuses("declaration", fixture.without(fixture.container, "/request/workload/envelope"), {
		["ENV-01", "/workload/envelope", {}],
	})
}

test_no_kind_is_refused if {
	fixture.refuses("declaration", fixture.without(fixture.container, "/request/workload/envelope/kind"), {
		["ENV-01", "/workload/envelope/kind", {}],
	})
}

test_an_unknown_kind_is_refused if {
	fixture.refuses("declaration", fixture.with_set(fixture.container, {"/request/workload/envelope/kind": "wasm"}), {
		["ENV-02", "/workload/envelope/kind", {"declared": "wasm"}],
	})
}

test_a_weaker_envelope_is_refused if {
	fixture.refuses("declaration", fixture.with_set(fixture.container, {"/request/workload/risk": "high"}), {
		["ENV-03", "/workload/envelope/kind", {"declared": "container", "required": "vm"}],
	})
}

test_a_missing_field_is_refused if {
	fixture.refuses("declaration", fixture.without(fixture.container, "/request/workload/risk"), {
		["ENV-04", "/workload/risk", {"field": "risk", "value": "none"}],
	})
}

test_an_unknown_value_of_any_type_is_refused if {
	fixture.refuses("declaration", fixture.with_set(fixture.container, {"/request/workload/tenant_tier": 7}), {
		["ENV-04", "/workload/tenant_tier", {"field": "tenant_tier", "value": "number"}],
	})
}

test_words_without_end_are_cut_where_they_are_shown if {
	word := concat("", ["k" | some _ in numbers.range(1, 300)])
	shown := concat("", [substring(word, 0, 256), "…"])
	given := {"/request/workload/envelope/kind": word, "/request/workload/risk": word}
	fixture.refuses("declaration", fixture.with_set(fixture.container, given), {
		["ENV-02", "/workload/envelope/kind", {"declared": shown}],
		["ENV-04", "/workload/risk", {"field": "risk", "value": shown}],
	})
}
