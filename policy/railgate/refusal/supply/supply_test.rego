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
			["SUP-04", "/workload/envelope/container/images/0/provenance/verified", because(unsaid)],
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
			["SUP-04", "/workload/envelope/container/images/0/provenance/issuer", because("its issuer is not among the accepted ones")],
			["SUP-04", "/workload/envelope/container/images/0/provenance/verified", because(unsaid)],
		},
	)
}

test_missing_provenance_is_refused if {
	fixture.refuses("supply", fixture.without(fixture.container, "/request/workload/envelope/container/images/0/provenance"), {
		["SUP-04", "/workload/envelope/container/images/0/provenance", because("nothing vouches for it")],
	})
}

unsaid := "nobody says that it was verified"

because(reason) := {"artifact": "api", "reason": reason}

provenance := "/workload/envelope/container/images/0/provenance"

bundles := "/workload/envelope/container/images/0/provenance/bundles"

verified := {
	"status": "verified",
	"error": null,
	"issuer": "https://ci.example",
	"subject": "s",
	"builder": "b",
	"source": null,
	"predicate_type": "https://slsa.dev/provenance/v1",
	"level": 2,
	"signed_at_ms": 1,
	"trusted_root_age_s": 1,
}

# What the host found of bundles that came with the request.
bundled(changes) := fixture.with_set(fixture.container, {
	"/request/workload/envelope/container/images/0/provenance": {"bundles": ["sha256:00"]},
	"/facts/artifacts/0/provenance": object.union(verified, changes),
})

# What the host found of bundles that it keeps, beside what the caller says.
kept(changes) := fixture.with_set(fixture.container, {"/facts/artifacts/0/provenance": object.union(verified, changes)})

test_a_verified_bundle_is_accepted if fixture.accepts("supply", bundled({}))

test_a_kept_bundle_is_accepted_for_an_artifact_that_says_nothing if {
	fixture.accepts("supply", fixture.without(kept({}), "/request/workload/envelope/container/images/0/provenance"))
}

test_every_step_is_refused_in_words if {
	every step, reason in supply.words {
		fixture.refuses("supply", bundled({"status": "rejected", "error": step, "issuer": null, "level": null}), {
			["SUP-04", bundles, because(reason)],
		})
	}
}

test_a_step_that_the_law_does_not_know_is_refused if {
	fixture.refuses("supply", bundled({"status": "rejected", "error": "new"}), {
		["SUP-04", bundles, because("a bundle of it could not be verified")],
	})
}

test_an_unknown_status_is_refused if {
	fixture.refuses("supply", bundled({"status": "likely", "error": null}), {
		["SUP-04", bundles, because("a bundle of it could not be verified")],
	})
}

test_a_bad_bundle_is_not_outweighed_by_the_callers_word if {
	fixture.refuses("supply", kept({"status": "rejected", "error": "signature"}), {
		["SUP-04", provenance, because("a bundle's signature does not hold")],
	})
}

test_a_verified_issuer_must_be_accepted if {
	fixture.refuses("supply", bundled({"issuer": "https://other.example"}), {
		["SUP-04", bundles, because("it is verified, but https://other.example is not among the accepted issuers")],
	})
}

test_a_level_too_low_is_refused if {
	fixture.refuses_by(
		{"supply": {"level": {"baseline": 3}}},
		"supply", bundled({}),
		{["SUP-04", bundles, because("it is verified for SLSA build level 2, and the least for this governance profile is 3")]},
	)
}

test_a_level_that_is_unknown_is_refused if {
	fixture.refuses_by({"supply": {"level": {"baseline": 0}}}, "supply", bundled({"level": null}), {
		["SUP-04", bundles, because("it is verified for SLSA build level none, and the least for this governance profile is 0")],
	})
}

test_the_word_may_not_count if {
	fixture.refuses_by(
		{"supply": {"declared_accepted": {"baseline": false}}},
		"supply", fixture.container,
		{["SUP-04", bundles, because("the caller's word alone does not count for this governance profile")]},
	)
}

test_what_is_verified_counts_where_the_word_does_not if {
	fixture.accepts_by({"supply": {"declared_accepted": {"baseline": false}}}, "supply", bundled({}))
}

test_one_verified_artifact_leaves_the_others_to_the_word if {
	image := fixture.container.request.workload.envelope.container.images[0]
	at := "/workload/envelope/container/images/1"
	every status in ["declared", "absent"] {
		fixture.accepts("supply", fixture.with_set(bundled({}), {
			"/request/workload/envelope/container/images/1": image,
			"/facts/artifacts/1": {"pointer": at, "pinned": true, "provenance": {"status": status}},
		}))
	}
}
