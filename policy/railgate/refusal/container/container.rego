# The container profile: a hardened runtime, confined, with no more privilege than it needs.
package railgate.refusal.container

import data.railgate.lib
import data.railgate.settings

# Holds where no rule below refuses.
sound(container) if {
	runtime_hardened(container)
	container_confined(container)
	root_filesystem_read_only(container)
	privilege_bounded(container)
}

# METADATA
# title: The container runtime is not hardened
# description: "The runtime is one of `settings.container.runtimes`."
# custom:
#   rule: CTR-01
#   code: runtime_not_hardened
#   class: policy_denied
#   short_name: runtime_hardened
#   message: "The container runtime {runtime} is not one of the hardened runtimes allowed here."
#   solution: "Use a runtime in `settings.container.runtimes`, such as gvisor, kata or runc-hardened."
#   source: "Runtime isolation (hardened runc, gVisor, Kata, or equivalent)."
runtime_not_hardened(location, params) := lib.refuse(rego.metadata.rule(), location, params)

refusals contains runtime_not_hardened(profile_at("runtime"), params) if {
	not runtime_hardened(lib.declared)
	params := {"runtime": lib.shown(lib.declared, "runtime")}
}

runtime_hardened(container) if settings.container.runtimes[container.runtime]

# METADATA
# title: The container is not confined
# description: "One of seccomp, AppArmor and SELinux confines it."
# custom:
#   rule: CTR-02
#   code: confinement_missing
#   class: policy_denied
#   short_name: container_confined
#   message: "Neither seccomp nor AppArmor nor SELinux confines the container."
#   solution: "Set `seccomp` to RuntimeDefault or Localhost/<name>, or `apparmor` to runtime/default, localhost/<profile> or the name of a profile, or `selinux` to enforcing."
#   source: "Mandatory controls: seccomp/apparmor or equivalent; read-only filesystem where feasible."
confinement_missing(location, params) := lib.refuse(rego.metadata.rule(), location, params)

refusals contains confinement_missing(profile_at("seccomp"), {}) if {
	not container_confined(lib.declared)
}

# A chain of `else` stops at the first control that holds; separate bodies would all be tried.
container_confined(container) if {
	settings.container.seccomp[container.seccomp]
} else if {
	startswith(container.seccomp, settings.container.seccomp_prefix)
	container.seccomp != settings.container.seccomp_prefix
	shows("seccomp")
} else if {
	apparmor_profile(trim_suffix(container.apparmor, " (enforce)"))
} else if {
	settings.container.selinux[container.selinux]
}

# The forms that AppArmor profiles are named in. Whatever else may be written there names none, or a mode.
apparmor_profile(name) if {
	name == "runtime/default"
} else if {
	startswith(name, "localhost/")
	profile_name(trim_prefix(name, "localhost/"), "/")
} else if {
	profile_name(name, "")
}

profile_name(name, separator) if {
	trim(name, "-._/") != ""
	not settings.container.apparmor_refused[lower(name)]
	trim(name, concat("", ["ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._", separator])) == ""
}

# The host lists what is given and shows nothing, however long it is.
shows(member) if {
	is_array(input.facts.blank)
	not profile_at(member) in input.facts.blank
}

# METADATA
# title: The root filesystem is writable
# description: "The root filesystem is read-only, or a justification says why it cannot be."
# custom:
#   rule: CTR-03
#   code: root_filesystem_writable
#   class: policy_denied
#   short_name: root_filesystem_read_only
#   message: "The root filesystem is writable and nothing says why."
#   solution: "Set `read_only_root_filesystem` to true, or to false with a `writable_justification`."
#   source: "Mandatory controls: seccomp/apparmor or equivalent; read-only filesystem where feasible."
root_filesystem_writable(location, params) := lib.refuse(rego.metadata.rule(), location, params)

refusals contains root_filesystem_writable(location, {}) if {
	not root_filesystem_read_only(lib.declared)
	location := profile_at("read_only_root_filesystem")
}

root_filesystem_read_only(container) if {
	container.read_only_root_filesystem == true
} else if {
	container.read_only_root_filesystem == false
	lib.stated(container.writable_justification)
	shows("writable_justification")
}

# METADATA
# title: The container has more privilege than it may
# description: "No privileged mode, privilege escalation, root user, host namespaces, host paths or added capabilities but those in `settings.container.added_capabilities`."
# custom:
#   rule: CTR-04
#   code: privilege_excessive
#   class: policy_denied
#   short_name: privilege_bounded
#   message: "The container asks for more privilege than it may have, or does not say that it does not: {excess}."
#   solution: "Set `privileged` and `allow_privilege_escalation` to false and `run_as_non_root` to true, leave `host_namespaces` and `host_paths` empty, and add only capabilities in `settings.container.added_capabilities`."
#   source: "Runtime isolation (hardened runc, gVisor, Kata, or equivalent)."
privilege_excessive(location, params) := lib.refuse(rego.metadata.rule(), location, params)

refusals contains privilege_excessive(profile_at(location), {"excess": excess}) if {
	not privilege_bounded(lib.declared)
	some [location, excess] in privilege_excesses
}

# Whether all is well, in few lookups; only where it is not is what is in excess looked for.
privilege_bounded(container) if {
	every flag, accepted in settings.container.privileges {
		container[flag] == accepted
	}
	container.host_namespaces == []
	container.host_paths == []
	capabilities_bounded(container.added_capabilities)
}

capabilities_bounded(capabilities) if {
	capabilities == []
} else if {
	is_array(capabilities)
	every capability in capabilities {
		settings.container.added_capabilities[capability]
	}
}

privilege_excesses contains [flag, flag] if {
	some flag, accepted in settings.container.privileges
	not lib.declared[flag] == accepted
}

privilege_excesses contains [location, excess] if {
	some list in ["host_namespaces", "host_paths"]
	not lib.declared[list] == []
	some [location, excess] in listed(list)
}

privilege_excesses contains [location, excess] if {
	not lib.declared.added_capabilities == []
	some [location, excess] in listed("added_capabilities")
	not settings.container.added_capabilities[excess]
}

# The items of a list that should be empty, or the list itself where it is absent or no list.
listed(list) := {[lib.at(list, i), lib.text(item)] | some i, item in lib.declared[list]} if {
	is_array(lib.declared[list])
} else := {[list, list]}

profile_at(member) := lib.pointer(["/workload/envelope/container", member])
