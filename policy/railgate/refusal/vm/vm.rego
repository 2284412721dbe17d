# The vm profile: an allowed hypervisor, verified boot, and an attestation where a vTPM can give one.
package railgate.refusal.vm

import data.railgate.lib
import data.railgate.settings

# Holds where no rule below refuses.
sound(vm) if {
	hypervisor_allowed(vm)
	boot_verified(vm)
	vm_attested(vm)
}

# METADATA
# title: The hypervisor is not allowed
# description: "The hypervisor is declared and its type is one of `settings.vm.hypervisors`."
# custom:
#   rule: VM-01
#   code: hypervisor_not_allowed
#   class: policy_denied
#   short_name: hypervisor_allowed
#   message: "The hypervisor {hypervisor} is not one of those allowed here."
#   solution: "Declare `hypervisor.type` as one of `settings.vm.hypervisors`, such as kvm or firecracker."
#   source: "Hypervisor isolation; vTPM/TEE attestation where available."
hypervisor_not_allowed(location, params) := lib.refuse(rego.metadata.rule(), location, params)

refusals contains hypervisor_not_allowed(location, params) if {
	not hypervisor_allowed(lib.declared)
	location := member_at("hypervisor", "type")
	params := {"hypervisor": lib.shown(part("hypervisor"), "type")}
}

hypervisor_allowed(vm) if settings.vm.hypervisors[vm.hypervisor.type]

# METADATA
# title: Boot integrity is not verified
# description: "The machine booted with secure or measured boot, and that was verified."
# custom:
#   rule: VM-02
#   code: boot_unverified
#   class: evidence_precondition_failed
#   short_name: boot_verified
#   message: "Secure or measured boot of the virtual machine was not verified."
#   solution: "Boot with secure or measured boot, verify it, and declare `boot.verified` true."
#   source: "Boot integrity verification; driver/firmware provenance (SUP-01/04)."
boot_unverified(location, params) := lib.refuse(rego.metadata.rule(), location, params)

refusals contains boot_unverified(location, {}) if {
	not boot_verified(lib.declared)
	some location in boot_faults
}

boot_verified(vm) if {
	vm.boot.verified == true
	protected(vm.boot)
}

protected(boot) if {
	boot.secure_boot == true
} else if {
	boot.measured_boot == true
}

boot_faults contains member_at("boot", "verified") if not lib.declared.boot.verified == true

# Either kind of boot would do, so neither is the one at fault.
boot_faults contains "/workload/envelope/vm/boot" if {
	is_object(lib.declared.boot)
	not protected(lib.declared.boot)
}

# METADATA
# title: No attestation is given
# description: "A vm with a vTPM is attested; whether it has one must be declared."
# custom:
#   rule: VM-03
#   code: attestation_missing
#   class: evidence_precondition_failed
#   short_name: vm_attested
#   message: "The virtual machine has a vTPM, or does not say whether it has one, and no attestation is given for it."
#   solution: "Give an `attestation` made with the vTPM, or declare `vtpm.present` false where there is none."
#   source: "Attestation MUST be captured where available; critical dependencies MUST be declared."
attestation_missing(location, params) := lib.refuse(rego.metadata.rule(), location, params)

refusals contains attestation_missing(location, {}) if {
	not vm_attested(lib.declared)
	some location in attestation_faults
}

vm_attested(vm) if {
	vm.vtpm.present == true
	lib.attestation_given
} else if {
	vm.vtpm.present == false
}

attestation_faults contains "/attestation" if {
	lib.declared.vtpm.present == true
	not lib.attestation_given
}

# Saying nothing of a vTPM must not spare anyone the attestation that it would have given.
attestation_faults contains member_at("vtpm", "present") if not vtpm_declared

vtpm_declared if is_boolean(lib.declared.vtpm.present)

# The part itself where it is missing, else its member.
member_at(name, member) := lib.pointer(["/workload/envelope/vm", name, member]) if {
	is_object(lib.declared[name])
} else := lib.pointer(["/workload/envelope/vm", name])

part(name) := lib.declared[name] if {
	is_object(lib.declared[name])
} else := {}
