# Shows what the rules beside it refuse and accept.
package railgate.refusal.supply_test

import data.railgate.fixture
import data.railgate.refusal.supply

test_an_unknown_kind_has_no_artifacts if {
	changed := fixture.with_set(fixture.container, {"/request/workload/envelope/kind": "wasm"})
	supply.refusals == set() with input as changed
	supply.sound("wasm", {}) with input as changed
	supply.sound("wasm", {}) with input as {}
}

test_pinned_verified_artifacts_are_accepted if {
	supply.refusals == set() with input as fixture.container
	supply.sound(data.railgate.lib.kind, data.railgate.lib.declared) with input as fixture.container
}

test_the_lists_of_a_vm_are_accepted if {
	supply.refusals == set() with input as fixture.vm
	supply.sound(data.railgate.lib.kind, data.railgate.lib.declared) with input as fixture.vm
}

test_the_images_of_a_tee_are_accepted if {
	supply.refusals == set() with input as fixture.tee
	supply.sound(data.railgate.lib.kind, data.railgate.lib.declared) with input as fixture.tee
}

test_an_unpinned_image_is_refused if {
	supply.refusals == {{"class": "evidence_precondition_failed", "rule": "SUP-01", "code": "artifact_unpinned", "pointer": "/workload/envelope/container/images/0/reference", "params": {"artifact": "/workload/envelope/container/images/0/reference"}}} with input as fixture.with_set(fixture.container, {"/facts/artifacts/0/pinned": false})
	not supply.sound(data.railgate.lib.kind, data.railgate.lib.declared) with input as fixture.with_set(fixture.container, {"/facts/artifacts/0/pinned": false})
}

test_unpinned_firmware_is_refused if {
	supply.refusals == {{"class": "evidence_precondition_failed", "rule": "SUP-01", "code": "artifact_unpinned", "pointer": "/workload/envelope/vm/firmware/0/digest", "params": {"artifact": "/workload/envelope/vm/firmware/0/digest"}}} with input as fixture.with_set(fixture.vm, {"/facts/artifacts/0/pinned": false})
	not supply.sound(data.railgate.lib.kind, data.railgate.lib.declared) with input as fixture.with_set(fixture.vm, {"/facts/artifacts/0/pinned": false})
}

test_an_unpinned_artifact_without_pointer_is_refused_all_the_same if {
	supply.refusals == {{"class": "evidence_precondition_failed", "rule": "SUP-01", "code": "artifact_unpinned", "pointer": "/workload/envelope", "params": {"artifact": "/workload/envelope"}}} with input as fixture.with_set(fixture.container, {"/facts/artifacts": [{}]})
	not supply.sound(data.railgate.lib.kind, data.railgate.lib.declared) with input as fixture.with_set(fixture.container, {"/facts/artifacts": [{}]})
}

test_an_empty_list_is_refused_where_one_is_needed if {
	supply.refusals == {{"class": "evidence_precondition_failed", "rule": "SUP-01", "code": "artifact_unpinned", "pointer": "/workload/envelope/vm/firmware", "params": {"artifact": "firmware"}}} with input as fixture.with_set(fixture.vm, {"/request/workload/envelope/vm/firmware": [], "/facts/artifacts": [{"pointer": "x", "pinned": true}, {"pointer": "y", "pinned": true}]})
	not supply.sound(data.railgate.lib.kind, data.railgate.lib.declared) with input as fixture.with_set(fixture.vm, {"/request/workload/envelope/vm/firmware": [], "/facts/artifacts": [{"pointer": "x", "pinned": true}, {"pointer": "y", "pinned": true}]})
}

test_a_container_without_images_is_refused if {
	supply.refusals == {{"class": "evidence_precondition_failed", "rule": "SUP-01", "code": "artifact_unpinned", "pointer": "/workload/envelope/container/images", "params": {"artifact": "images"}}} with input as fixture.with_set(fixture.container, {"/request/workload/envelope/container/images": [], "/facts/artifacts": []})
	not supply.sound(data.railgate.lib.kind, data.railgate.lib.declared) with input as fixture.with_set(fixture.container, {"/request/workload/envelope/container/images": [], "/facts/artifacts": []})
}

test_an_accepted_issuer_alone_is_not_enough if {
	supply.refusals == {{"class": "evidence_precondition_failed", "rule": "SUP-04", "code": "artifact_unverified", "pointer": "/workload/envelope/container/images/0/provenance/verified", "params": {"artifact": "api"}}} with input as fixture.with_set(fixture.container, {"/request/workload/envelope/container/images/0/provenance/verified": false})
	not supply.sound(data.railgate.lib.kind, data.railgate.lib.declared) with input as fixture.with_set(fixture.container, {"/request/workload/envelope/container/images/0/provenance/verified": false})
}

test_facts_that_cover_too_little_are_refused if {
	supply.refusals == {{"class": "evidence_precondition_failed", "rule": "SUP-01", "code": "artifact_unpinned", "pointer": "/workload/envelope/container/images", "params": {"artifact": "images"}}} with input as fixture.with_set(fixture.container, {"/facts/artifacts": []})
	not supply.sound(data.railgate.lib.kind, data.railgate.lib.declared) with input as fixture.with_set(fixture.container, {"/facts/artifacts": []})
}

test_unverified_provenance_is_refused if {
	supply.refusals == {{"class": "evidence_precondition_failed", "rule": "SUP-04", "code": "artifact_unverified", "pointer": "/workload/envelope/container/images/0/provenance/verified", "params": {"artifact": "api"}}, {"class": "evidence_precondition_failed", "rule": "SUP-04", "code": "artifact_unverified", "pointer": "/workload/envelope/container/images/0/provenance/issuer", "params": {"artifact": "api"}}} with input as fixture.with_set(fixture.container, {"/request/workload/envelope/container/images/0/provenance": {"verified": false, "issuer": "x"}})
	not supply.sound(data.railgate.lib.kind, data.railgate.lib.declared) with input as fixture.with_set(fixture.container, {"/request/workload/envelope/container/images/0/provenance": {"verified": false, "issuer": "x"}})
}

test_missing_provenance_is_refused if {
	supply.refusals == {{"class": "evidence_precondition_failed", "rule": "SUP-04", "code": "artifact_unverified", "pointer": "/workload/envelope/container/images/0/provenance", "params": {"artifact": "api"}}} with input as fixture.without(fixture.container, "/request/workload/envelope/container/images/0/provenance")
	not supply.sound(data.railgate.lib.kind, data.railgate.lib.declared) with input as fixture.without(fixture.container, "/request/workload/envelope/container/images/0/provenance")
}
