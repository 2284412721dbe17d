# The checks that the level restricted adds to the baseline, or has in place of one there: how a hardened pod is declared.
package railgate.kubernetes.pod_security

import data.railgate.lib

# METADATA
# title: A container may gain privileges
# description: "Restricted, from release 1.8: every container sets `allowPrivilegeEscalation` to false; from 1.25 Windows pods need not."
# custom:
#   rule: PSS-allowPrivilegeEscalation
#   code: PSS-allowPrivilegeEscalation
#   class: policy_denied
#   short_name: no_escalation
#   message: "{who} may gain more privileges than it started with."
#   solution: "Set securityContext.allowPrivilegeEscalation to false."
escalation_refused(at, params) := lib.refuse(rego.metadata.rule(), at, params)

escalation(minor) := set() if {
	minor < 8
} else := set() if {
	windows_exempt(minor)
} else := escalating

escalating contains escalation_refused(context(c, "allowPrivilegeEscalation"), {"who": container(c)}) if {
	some c in pod.containers
	not c.allow_privilege_escalation == false
}

# METADATA
# title: A container keeps capabilities that it does not need
# description: "Restricted, from release 1.22, in place of PSS-capabilities_baseline: every container drops ALL and adds none but NET_BIND_SERVICE; from 1.25 Windows pods need not."
# custom:
#   rule: PSS-capabilities_restricted
#   code: PSS-capabilities_restricted
#   class: policy_denied
#   short_name: capabilities_dropped
#   message: "{who} {fault}."
#   solution: "Set securityContext.capabilities.drop to [\"ALL\"], and add none but NET_BIND_SERVICE."
capabilities_restricted_refused(at, params) := lib.refuse(rego.metadata.rule(), at, params)

capabilities(minor) := capabilities_baseline if {
	minor < 22
} else := set() if {
	windows_exempt(minor)
} else := capabilities_kept

capabilities_kept contains capabilities_restricted_refused(context(c, "capabilities.drop"), params) if {
	some c in pod.containers
	not drops_all(c)
	params := {"who": container(c), "fault": "does not drop ALL capabilities"}
}

capabilities_kept contains capabilities_restricted_refused(context(c, "capabilities.add"), params) if {
	some c in pod.containers
	added := {lib.text(name) | some name in c.capabilities.add; name != "NET_BIND_SERVICE"}
	count(added) > 0
	params := {"who": container(c), "fault": concat(" ", ["adds the capabilities", listed(added)])}
}

drops_all(c) if "ALL" in c.capabilities.drop

# METADATA
# title: A container sees more of /proc than it may
# description: "Restricted, from release 1.35, in place of PSS-procMount: `procMount` is Default, in a user namespace too."
# custom:
#   rule: PSS-procMount_restricted
#   code: PSS-procMount_restricted
#   class: policy_denied
#   short_name: proc_masked_always
#   message: "{who} sets procMount to {proc_mount}."
#   solution: "Leave securityContext.procMount out, or set it to Default."
proc_mount_restricted_refused(at, params) := lib.refuse(rego.metadata.rule(), at, params)

proc_mount_strict(minor) := proc_mount if {
	minor < 35
} else := {proc_mount_restricted_refused(context(c, "procMount"), proc_mount_params(c)) |
	some c in unmasked
}

# METADATA
# title: A volume is of a type that is not allowed
# description: "Restricted, every release, in place of PSS-hostPathVolumes: volumes are of the types configMap, csi, downwardAPI, emptyDir, ephemeral, image, persistentVolumeClaim, projected and secret."
# custom:
#   rule: PSS-restrictedVolumes
#   code: PSS-restrictedVolumes
#   class: policy_denied
#   short_name: volumes_restricted
#   message: "The volume {volume} is of the type {type}."
#   solution: "Use a configMap, csi, downwardAPI, emptyDir, ephemeral, image, persistentVolumeClaim, projected or secret volume."
restricted_volumes_refused(at, params) := lib.refuse(rego.metadata.rule(), at, params)

restricted_volumes contains restricted_volumes_refused(volume.at, params) if {
	some volume in pod.volumes
	not volume_allowed(volume)
	params := {"volume": lib.text(volume.name), "type": volume_type(volume)}
}

volume_allowed(volume) if {
	some source in volume.sources
	volume_types[source]
}

volume_type(volume) := lib.text(volume.sources[0]) if {
	count(volume.sources) > 0
} else := "unknown"

volume_types := {
	"configMap": true,
	"csi": true,
	"downwardAPI": true,
	"emptyDir": true,
	"ephemeral": true,
	"image": true,
	"persistentVolumeClaim": true,
	"projected": true,
	"secret": true,
}

# METADATA
# title: A container may run as root
# description: "Restricted, every release: `runAsNonRoot` is false nowhere, and true in the pod or in every container; from release 1.35 pods in a user namespace (`hostUsers: false`) need not."
# custom:
#   rule: PSS-runAsNonRoot
#   code: PSS-runAsNonRoot
#   class: policy_denied
#   short_name: non_root
#   message: "{who} may run as root."
#   solution: "Set securityContext.runAsNonRoot to true in the pod, and to false in none of its containers."
non_root_refused(at, params) := lib.refuse(rego.metadata.rule(), at, params)

non_root(minor) := set() if {
	user_namespace_exempt(minor)
} else := rooted

rooted contains non_root_refused(context(setter, "runAsNonRoot"), {"who": setter.who}) if {
	some setter in setters
	setter.set.run_as_non_root == false
}

rooted contains non_root_refused(context(c, "runAsNonRoot"), {"who": container(c)}) if {
	not pod_non_root
	some c in pod.containers
	not lib.has(c, "run_as_non_root")
}

pod_non_root if pod.security.run_as_non_root == true

# METADATA
# title: A container runs as root
# description: "Restricted, from release 1.23: `runAsUser` is 0 nowhere; from 1.35 it may be in a user namespace (`hostUsers: false`)."
# custom:
#   rule: PSS-runAsUser
#   code: PSS-runAsUser
#   class: policy_denied
#   short_name: user_not_root
#   message: "{who} runs as user 0, root."
#   solution: "Leave securityContext.runAsUser out, or set it to another user's number."
root_user_refused(at, params) := lib.refuse(rego.metadata.rule(), at, params)

root_user(minor) := set() if {
	minor < 23
} else := set() if {
	user_namespace_exempt(minor)
} else := root_users

root_users contains root_user_refused(context(setter, "runAsUser"), {"who": setter.who}) if {
	some setter in setters
	setter.set.run_as_user == 0
}

# METADATA
# title: No system call filter is set
# description: "Restricted, from release 1.19, in place of PSS-seccompProfile_baseline: `seccompProfile.type` is RuntimeDefault or Localhost, in the pod or in every container; from 1.25 Windows pods need not."
# custom:
#   rule: PSS-seccompProfile_restricted
#   code: PSS-seccompProfile_restricted
#   class: policy_denied
#   short_name: seccomp_set
#   message: "{who} has the seccomp profile {profile}."
#   solution: "Set securityContext.seccompProfile.type to RuntimeDefault or Localhost, in the pod or in each container."
seccomp_restricted_refused(at, params) := lib.refuse(rego.metadata.rule(), at, params)

seccomp(minor) := seccomp_baseline(minor) if {
	minor < 19
} else := set() if {
	windows_exempt(minor)
} else := unfiltered

unfiltered contains seccomp_restricted_refused(context(setter, "seccompProfile.type"), seccomp_params(setter)) if {
	some setter in seccomp_off
}

unfiltered contains seccomp_restricted_refused(context(c, "seccompProfile.type"), params) if {
	not pod_filtered
	some c in pod.containers
	not lib.has(c, "seccomp")
	params := {"who": container(c), "profile": "none"}
}

pod_filtered if filtered[pod.security.seccomp]
