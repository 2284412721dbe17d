# Shows what the rules beside it refuse and accept.
package railgate.refusal.vm_test

import data.railgate.fixture
import data.railgate.refusal.vm

test_a_verified_attested_vm_is_accepted if {
	vm.refusals == set() with input as fixture.vm
	vm.sound(data.railgate.lib.declared) with input as fixture.vm
}

test_measured_boot_alone_is_accepted if {
	vm.refusals == set() with input as fixture.with_set(fixture.vm, {"/request/workload/envelope/vm/boot/secure_boot": false})
	vm.sound(data.railgate.lib.declared) with input as fixture.with_set(fixture.vm, {"/request/workload/envelope/vm/boot/secure_boot": false})
}

test_no_vtpm_needs_no_attestation if {
	vm.refusals == set() with input as fixture.with_set(fixture.vm, {"/request/workload/envelope/vm/vtpm/present": false, "/facts/attestation": null})
	vm.sound(data.railgate.lib.declared) with input as fixture.with_set(fixture.vm, {"/request/workload/envelope/vm/vtpm/present": false, "/facts/attestation": null})
}

test_an_unknown_hypervisor_is_refused if {
	vm.refusals == {{"class": "policy_denied", "rule": "VM-01", "code": "hypervisor_not_allowed", "pointer": "/workload/envelope/vm/hypervisor/type", "params": {"hypervisor": "x"}}} with input as fixture.with_set(fixture.vm, {"/request/workload/envelope/vm/hypervisor/type": "x"})
	not vm.sound(data.railgate.lib.declared) with input as fixture.with_set(fixture.vm, {"/request/workload/envelope/vm/hypervisor/type": "x"})
}

test_a_missing_hypervisor_is_refused if {
	vm.refusals == {{"class": "policy_denied", "rule": "VM-01", "code": "hypervisor_not_allowed", "pointer": "/workload/envelope/vm/hypervisor", "params": {"hypervisor": "none"}}} with input as fixture.without(fixture.vm, "/request/workload/envelope/vm/hypervisor")
	not vm.sound(data.railgate.lib.declared) with input as fixture.without(fixture.vm, "/request/workload/envelope/vm/hypervisor")
}

test_unverified_boot_is_refused if {
	vm.refusals == {{"class": "evidence_precondition_failed", "rule": "VM-02", "code": "boot_unverified", "pointer": "/workload/envelope/vm/boot", "params": {}}, {"class": "evidence_precondition_failed", "rule": "VM-02", "code": "boot_unverified", "pointer": "/workload/envelope/vm/boot/verified", "params": {}}} with input as fixture.with_set(fixture.vm, {"/request/workload/envelope/vm/boot": {}})
	not vm.sound(data.railgate.lib.declared) with input as fixture.with_set(fixture.vm, {"/request/workload/envelope/vm/boot": {}})
}

test_a_vtpm_without_attestation_is_refused if {
	vm.refusals == {{"class": "evidence_precondition_failed", "rule": "VM-03", "code": "attestation_missing", "pointer": "/attestation", "params": {}}} with input as fixture.without(fixture.with_set(fixture.vm, {"/facts/attestation": null}), "/request/attestation")
	not vm.sound(data.railgate.lib.declared) with input as fixture.without(fixture.with_set(fixture.vm, {"/facts/attestation": null}), "/request/attestation")
}

test_saying_nothing_of_a_vtpm_is_refused if {
	vm.refusals == {{"class": "evidence_precondition_failed", "rule": "VM-03", "code": "attestation_missing", "pointer": "/workload/envelope/vm/vtpm", "params": {}}} with input as fixture.without(fixture.vm, "/request/workload/envelope/vm/vtpm")
	not vm.sound(data.railgate.lib.declared) with input as fixture.without(fixture.vm, "/request/workload/envelope/vm/vtpm")
}
