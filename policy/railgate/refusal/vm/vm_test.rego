# Shows what the rules beside it refuse and accept.
package railgate.refusal.vm_test

import data.railgate.fixture

test_a_verified_attested_vm_is_accepted if fixture.accepts("vm", fixture.vm)

test_measured_boot_alone_is_accepted if {
	fixture.accepts("vm", fixture.with_set(fixture.vm, {"/request/workload/envelope/vm/boot/secure_boot": false}))
}

test_no_vtpm_needs_no_attestation if {
	fixture.accepts("vm", fixture.with_set(fixture.vm, {
		"/request/workload/envelope/vm/vtpm/present": false,
		"/facts/attestation": null,
	}))
}

test_an_unknown_hypervisor_is_refused if {
	fixture.refuses("vm", fixture.with_set(fixture.vm, {"/request/workload/envelope/vm/hypervisor/type": "x"}), {
		["VM-01", "/workload/envelope/vm/hypervisor/type", {"hypervisor": "x"}],
	})
}

test_a_missing_hypervisor_is_refused if {
	fixture.refuses("vm", fixture.without(fixture.vm, "/request/workload/envelope/vm/hypervisor"), {
		["VM-01", "/workload/envelope/vm/hypervisor", {"hypervisor": "none"}],
	})
}

test_unverified_boot_is_refused if {
	fixture.refuses("vm", fixture.with_set(fixture.vm, {"/request/workload/envelope/vm/boot": {}}), {
		["VM-02", "/workload/envelope/vm/boot", {}],
		["VM-02", "/workload/envelope/vm/boot/verified", {}],
	})
}

test_a_vtpm_without_attestation_is_refused if {
	fixture.refuses(
		"vm", fixture.without(
			fixture.with_set(fixture.vm, {"/facts/attestation": null}),
			"/request/attestation",
		),
		{["VM-03", "/attestation", {}]},
	)
}

test_saying_nothing_of_a_vtpm_is_refused if {
	fixture.refuses("vm", fixture.without(fixture.vm, "/request/workload/envelope/vm/vtpm"), {
		["VM-03", "/workload/envelope/vm/vtpm", {}],
	})
}
