# Shows what the rules beside it refuse and accept.
package railgate.refusal.supply_test

import data.railgate.fixture
import data.railgate.refusal.supply

test_an_unknown_kind_has_no_artifacts if {
	fixture.accepts("supply", fixture.with_set(fixture.container, {"/request/workload/envelope/kind": "wasm"}))
	supply.sound("wasm", {}) with input as {}
}

test_pinned_verified_artifacts_are_accepted if fixture.accepts("supply", fixture.container)

test_the_lists_of_a_vm_are_accepted if fixture.accepts("supply", fixture.vm)

test_the_images_of_a_tee_are_accepted if fixture.accepts("supply", fixture.tee)

test_an_unpinned_image_is_refused if {
	fixture.refuses("supply", fixture.with_set(fixture.container, {"/facts/artifacts/0/pinned": false}), {
		[
			"SUP-01",
			"/workload/envelope/container/images/0/reference",
			{"artifact": "/workload/envelope/container/images/0/reference"},
		],
	})
}

test_unpinned_firmware_is_refused if {
	fixture.refuses("supply", fixture.with_set(fixture.vm, {"/facts/artifacts/0/pinned": false}), {
		[
			"SUP-01",
			"/workload/envelope/vm/firmware/0/digest",
			{"artifact": "/workload/envelope/vm/firmware/0/digest"},
		],
	})
}

test_an_unpinned_artifact_without_pointer_is_refused_all_the_same if {
	fixture.refuses("supply", fixture.with_set(fixture.container, {"/facts/artifacts": [{}]}), {
		["SUP-01", "/workload/envelope", {"artifact": "/workload/envelope"}],
	})
}

test_an_empty_list_is_refused_where_one_is_needed if {
	fixture.refuses(
		"supply", fixture.with_set(fixture.vm, {
			"/request/workload/envelope/vm/firmware": [],
			"/facts/artifacts": [{"pointer": "x", "pinned": true}, {"pointer": "y", "pinned": true}],
		}),
		{["SUP-01", "/workload/envelope/vm/firmware", {"artifact": "firmware"}]},
	)
}

test_a_container_without_images_is_refused if {
	fixture.refuses(
		"supply", fixture.with_set(fixture.container, {
			"/request/workload/envelope/container/images": [],
			"/facts/artifacts": [],
		}),
		{
			["SUP-01", "/workload/envelope/container/images", {"artifact": "images"}],
		},
	)
}

test_an_accepted_issuer_alone_is_not_enough if {
	fixture.refuses(
		"supply", fixture.with_set(fixture.container, {
			"/request/workload/envelope/container/images/0/provenance/verified": false,
		}),
		{
			["SUP-04", "/workload/envelope/container/images/0/provenance/verified", {"artifact": "api"}],
		},
	)
}

test_facts_that_cover_too_little_are_refused if {
	fixture.refuses("supply", fixture.with_set(fixture.container, {"/facts/artifacts": []}), {
		["SUP-01", "/workload/envelope/container/images", {"artifact": "images"}],
	})
}

test_unverified_provenance_is_refused if {
	fixture.refuses(
		"supply", fixture.with_set(fixture.container, {
			"/request/workload/envelope/container/images/0/provenance": {"verified": false, "issuer": "x"},
		}),
		{
			["SUP-04", "/workload/envelope/container/images/0/provenance/issuer", {"artifact": "api"}],
			["SUP-04", "/workload/envelope/container/images/0/provenance/verified", {"artifact": "api"}],
		},
	)
}

test_missing_provenance_is_refused if {
	fixture.refuses("supply", fixture.without(fixture.container, "/request/workload/envelope/container/images/0/provenance"), {
		["SUP-04", "/workload/envelope/container/images/0/provenance", {"artifact": "api"}],
	})
}
