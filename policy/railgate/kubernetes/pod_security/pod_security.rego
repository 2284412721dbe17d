# The Kubernetes Pod Security Standards, as of release 1.37: which checks a level has in a release, and what they find in a pod.

# METADATA
# title: Pod Security Standards
# description: |
#   The levels baseline and restricted, complete, check by check under the names that Kubernetes gives them. The host gives
#   the pod in its own shape: what is not set is absent, and every container (init, main, ephemeral) says where it stands.
# scope: package
# schemas:
#   - input: schema.kubernetes
# custom:
#   source: "Kubernetes baseline controls (admission, policy, isolation)."
package railgate.kubernetes.pod_security

import data.railgate.lib

pod := input.kubernetes.pod

# Everything that speaks against the pod at a level, as of the release 1.<minor>. What is no level is the strictest.
found(level, minor) := set() if {
	level == "privileged"
} else := baseline(minor) if {
	level == "baseline"
} else := restricted(minor)

baseline(minor) := (((common(minor) | capabilities_baseline) | host_path_volumes) | proc_mount_baseline(minor)) | seccomp_baseline(minor)

# A restricted check that says the same more strictly stands in the place of the baseline one.
restricted(minor) := ((((((common(minor) | capabilities(minor)) | restricted_volumes) | proc_mount_strict(minor)) | seccomp(minor)) | escalation(minor)) | non_root(minor)) | root_user(minor)

# What both levels have.
common(minor) := ((((((app_armor | host_namespaces) | host_ports) | probe_hosts(minor)) | privileged) | selinux(minor)) | sysctls(minor)) | windows_host_process

windows if pod.os == "windows"

# Windows pods state nothing of what only Linux has.
windows_exempt(minor) if {
	minor >= 25
	windows
}

# Root in a user namespace is nobody on the host.
user_namespace_exempt(minor) if {
	minor >= 35
	pod.user_namespace == true
}

# Who is at fault, as a sentence begins.
container(c) := concat(" ", ["Container", lib.text(c.name)])

the_pod := "The pod"

field(parent, member) := concat(".", [parent.at, member])

context(parent, member) := concat(".", [parent.at, "securityContext", member])

# The pod and its containers: whoever may set what both can. A list, since in a set each would be hashed whole.
setters := array.concat(
	[{"who": the_pod, "at": pod.at, "set": pod.security}],
	[{"who": container(c), "at": c.at, "set": c} | some c in pod.containers],
)
