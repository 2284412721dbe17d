# The checks of the baseline level: what is known to break out of a container.
package railgate.kubernetes.pod_security

import data.railgate.lib

# METADATA
# title: A container runs privileged
# description: "Baseline, every release: no container has `securityContext.privileged`."
# custom:
#   rule: PSS-privileged
#   code: PSS-privileged
#   class: policy_denied
#   short_name: unprivileged
#   message: "{who} runs privileged."
#   solution: "Leave securityContext.privileged out, or set it to false."
privileged_refused(at, params) := lib.refuse(rego.metadata.rule(), at, params)

privileged contains privileged_refused(context(c, "privileged"), {"who": container(c)}) if {
	some c in pod.containers
	c.privileged == true
}

# METADATA
# title: A container adds a capability that containers don't have by default
# description: "Baseline, every release: `capabilities.add` names none but AUDIT_WRITE, CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, MKNOD, NET_BIND_SERVICE, SETFCAP, SETGID, SETPCAP, SETUID, SYS_CHROOT."
# custom:
#   rule: PSS-capabilities_baseline
#   code: PSS-capabilities_baseline
#   class: policy_denied
#   short_name: capabilities_default
#   message: "{who} adds the capabilities {capabilities}."
#   solution: "Take them out of securityContext.capabilities.add; only the default ones may be added."
capabilities_baseline_refused(at, params) := lib.refuse(rego.metadata.rule(), at, params)

capabilities_baseline contains capabilities_baseline_refused(context(c, "capabilities.add"), params) if {
	some c in pod.containers
	added := {lib.text(name) | some name in c.capabilities.add; not default_capabilities[name]}
	count(added) > 0
	params := {"who": container(c), "capabilities": listed(added)}
}

default_capabilities := {
	"AUDIT_WRITE": true,
	"CHOWN": true,
	"DAC_OVERRIDE": true,
	"FOWNER": true,
	"FSETID": true,
	"KILL": true,
	"MKNOD": true,
	"NET_BIND_SERVICE": true,
	"SETFCAP": true,
	"SETGID": true,
	"SETPCAP": true,
	"SETUID": true,
	"SYS_CHROOT": true,
}

# As a sentence lists them, and no longer than a sentence may be.
listed(names) := lib.text(concat(", ", sort(names)))

# METADATA
# title: The pod shares a namespace of its host
# description: "Baseline, every release: none of `hostNetwork`, `hostPID` and `hostIPC` is true."
# custom:
#   rule: PSS-hostNamespaces
#   code: PSS-hostNamespaces
#   class: policy_denied
#   short_name: own_namespaces
#   message: "The pod shares its host's namespace: {namespace} is true."
#   solution: "Leave {namespace} out, or set it to false."
host_namespaces_refused(at, params) := lib.refuse(rego.metadata.rule(), at, params)

host_namespaces contains host_namespaces_refused(field(pod, name), {"namespace": name}) if {
	some name in pod.host_namespaces
}

# METADATA
# title: The pod mounts a path of its host
# description: "Baseline, every release: no volume is a `hostPath`. The level restricted has PSS-restrictedVolumes in its place."
# custom:
#   rule: PSS-hostPathVolumes
#   code: PSS-hostPathVolumes
#   class: policy_denied
#   short_name: no_host_paths
#   message: "The volume {volume} is a path of the host."
#   solution: "Use a volume of another type, such as a persistentVolumeClaim, a configMap or an emptyDir."
host_path_volumes_refused(at, params) := lib.refuse(rego.metadata.rule(), at, params)

host_path_volumes contains host_path_volumes_refused(field(volume, "hostPath"), {"volume": lib.text(volume.name)}) if {
	some volume in pod.volumes
	"hostPath" in volume.sources
}

# METADATA
# title: A container takes a port of its host
# description: "Baseline, every release: no container's port has a `hostPort` other than 0."
# custom:
#   rule: PSS-hostPorts
#   code: PSS-hostPorts
#   class: policy_denied
#   short_name: no_host_ports
#   message: "{who} takes the port {port} of its host."
#   solution: "Leave hostPort out, and reach the container through a Service."
host_ports_refused(at, params) := lib.refuse(rego.metadata.rule(), at, params)

host_ports contains host_ports_refused(field(port, "hostPort"), {"who": container(c), "port": port.port}) if {
	some c in pod.containers
	some port in c.host_ports
}

# METADATA
# title: A probe or a lifecycle hook goes to another host
# description: "Baseline, from release 1.34: no probe and no lifecycle hook of a container names a `host`."
# custom:
#   rule: PSS-hostProbesAndHostLifecycle
#   code: PSS-hostProbesAndHostLifecycle
#   class: policy_denied
#   short_name: own_host_probed
#   message: "{who} has a probe or a lifecycle hook for the host {host}."
#   solution: "Leave host out: the kubelet then asks the pod itself."
probe_hosts_refused(at, params) := lib.refuse(rego.metadata.rule(), at, params)

probe_hosts(minor) := set() if {
	minor < 34
} else := named_hosts

named_hosts contains probe_hosts_refused(field(named, "host"), params) if {
	some c in pod.containers
	some named in c.hosts
	params := {"who": container(c), "host": lib.text(named.host)}
}

# METADATA
# title: A container sees more of /proc than it may
# description: "Baseline, every release: `procMount` is Default. From release 1.35 a pod in a user namespace (`hostUsers: false`) may have any."
# custom:
#   rule: PSS-procMount
#   code: PSS-procMount
#   class: policy_denied
#   short_name: proc_masked
#   message: "{who} sets procMount to {proc_mount}."
#   solution: "Leave securityContext.procMount out, or give the pod a user namespace (hostUsers: false)."
proc_mount_refused(at, params) := lib.refuse(rego.metadata.rule(), at, params)

proc_mount_baseline(minor) := set() if {
	user_namespace_exempt(minor)
} else := proc_mount

proc_mount contains proc_mount_refused(context(c, "procMount"), proc_mount_params(c)) if some c in unmasked

unmasked := [c |
	some c in pod.containers
	c.proc_mount != "Default"
]

proc_mount_params(c) := {"who": container(c), "proc_mount": lib.text(c.proc_mount)}

# METADATA
# title: SELinux options are not those of containers
# description: "Baseline, every release: `seLinuxOptions.type` is empty, container_t, container_init_t or container_kvm_t (from release 1.31 also container_engine_t), user and role are empty."
# custom:
#   rule: PSS-seLinuxOptions
#   code: PSS-seLinuxOptions
#   class: policy_denied
#   short_name: selinux_of_containers
#   message: "{who} sets the SELinux {option} to {value}."
#   solution: "Leave seLinuxOptions.user and role out, and the type as well or one of container_t, container_init_t, container_kvm_t."
selinux_refused(at, params) := lib.refuse(rego.metadata.rule(), at, params)

selinux(minor) := (selinux_names | selinux_types) - engines if {
	minor >= 31
	engines := {refusal | some refusal in selinux_types; refusal.params.value == "container_engine_t"}
} else := selinux_names | selinux_types

selinux_types contains selinux_option(setter, "type") if {
	some setter in setters
	not container_types[setter.set.selinux.type]
	is_string(setter.set.selinux.type)
}

selinux_names contains selinux_option(setter, option) if {
	some setter in setters
	some option in ["user", "role"]
	setter.set.selinux[option] != ""
}

selinux_option(setter, option) := selinux_refused(context(setter, concat(".", ["seLinuxOptions", option])), {
	"who": setter.who,
	"option": option,
	"value": lib.text(setter.set.selinux[option]),
})

container_types := {"": true, "container_t": true, "container_init_t": true, "container_kvm_t": true}

# METADATA
# title: A system call filter is turned off
# description: "Baseline: from release 1.19 no `seccompProfile.type` but RuntimeDefault and Localhost is set; before it, no such annotation but runtime/default, docker/default and localhost/*. The level restricted has PSS-seccompProfile_restricted in its place."
# custom:
#   rule: PSS-seccompProfile_baseline
#   code: PSS-seccompProfile_baseline
#   class: policy_denied
#   short_name: seccomp_not_off
#   message: "{who} sets the seccomp profile {profile}."
#   solution: "Leave seccompProfile out, or set its type to RuntimeDefault or Localhost."
seccomp_baseline_refused(at, params) := lib.refuse(rego.metadata.rule(), at, params)

seccomp_baseline(minor) := seccomp_annotations if {
	minor < 19
} else := {seccomp_baseline_refused(context(setter, "seccompProfile.type"), seccomp_params(setter)) |
	some setter in seccomp_off
}

seccomp_params(setter) := {"who": setter.who, "profile": lib.text(setter.set.seccomp)}

seccomp_off := [setter |
	some setter in setters
	not filtered[setter.set.seccomp]
	is_string(setter.set.seccomp)
]

filtered := {"RuntimeDefault": true, "Localhost": true}

seccomp_annotations contains seccomp_baseline_refused(annotation(name), params) if {
	some who, name in seccomp_annotated
	value := pod.annotations[name]
	not seccomp_annotation(value)
	params := {"who": who, "profile": lib.text(value)}
}

seccomp_annotated[who] := "seccomp.security.alpha.kubernetes.io/pod" if who := the_pod

seccomp_annotated[who] := concat("", ["container.seccomp.security.alpha.kubernetes.io/", c.name]) if {
	some c in pod.containers
	who := container(c)
}

seccomp_annotation("runtime/default") := true

seccomp_annotation("docker/default") := true

seccomp_annotation(value) if startswith(value, "localhost/")

annotation(name) := concat("", [pod.metadata_at, ".annotations[", lib.text(name), "]"])

# METADATA
# title: A kernel parameter is set that reaches beyond the pod
# description: "Baseline, every release: `sysctls` names none but those that are the pod's own. Releases 1.27, 1.29, 1.32 and 1.37 each add to the list."
# custom:
#   rule: PSS-sysctls
#   code: PSS-sysctls
#   class: policy_denied
#   short_name: sysctls_own
#   message: "The pod sets the kernel parameter {sysctl}."
#   solution: "Take it out of securityContext.sysctls, or have it set on the nodes."
sysctls_refused(at, params) := lib.refuse(rego.metadata.rule(), at, params)

sysctls(minor) := {sysctls_refused(sysctl_at(i), {"sysctl": lib.text(name)}) |
	some i, name in pod.security.sysctls
	not sysctl_safe(name, minor)
}

sysctl_at(i) := concat("", [pod.at, ".securityContext.sysctls[", format_int(i, 10), "].name"])

sysctl_safe(name, minor) if minor >= safe_sysctls[name]

# The release that a parameter is allowed from, 1.<n>.
safe_sysctls := {
	"kernel.shm_rmid_forced": 0,
	"net.ipv4.ip_local_port_range": 0,
	"net.ipv4.tcp_syncookies": 0,
	"net.ipv4.ping_group_range": 0,
	"net.ipv4.ip_unprivileged_port_start": 0,
	"net.ipv4.ip_local_reserved_ports": 27,
	"net.ipv4.tcp_keepalive_time": 29,
	"net.ipv4.tcp_fin_timeout": 29,
	"net.ipv4.tcp_keepalive_intvl": 29,
	"net.ipv4.tcp_keepalive_probes": 29,
	"net.ipv4.tcp_rmem": 32,
	"net.ipv4.tcp_wmem": 32,
	"net.ipv4.tcp_slow_start_after_idle": 37,
	"net.ipv4.tcp_notsent_lowat": 37,
}

# METADATA
# title: A Windows container runs as a process of its host
# description: "Baseline, every release: `windowsOptions.hostProcess` is true nowhere."
# custom:
#   rule: PSS-windowsHostProcess
#   code: PSS-windowsHostProcess
#   class: policy_denied
#   short_name: no_host_process
#   message: "{who} runs as a process of its host."
#   solution: "Leave securityContext.windowsOptions.hostProcess out, or set it to false."
windows_host_process_refused(at, params) := lib.refuse(rego.metadata.rule(), at, params)

windows_host_process contains windows_host_process_refused(context(setter, "windowsOptions.hostProcess"), params) if {
	some setter in setters
	setter.set.host_process == true
	params := {"who": setter.who}
}

# METADATA
# title: AppArmor is turned off
# description: "Baseline, every release: no `appArmorProfile.type` but RuntimeDefault and Localhost is set, and no such annotation but runtime/default and localhost/*."
# custom:
#   rule: PSS-appArmorProfile
#   code: PSS-appArmorProfile
#   class: policy_denied
#   short_name: apparmor_not_off
#   message: "{who} sets the AppArmor profile {profile}."
#   solution: "Leave appArmorProfile out, or set its type to RuntimeDefault or Localhost."
app_armor_refused(at, params) := lib.refuse(rego.metadata.rule(), at, params)

app_armor contains app_armor_refused(context(setter, "appArmorProfile.type"), params) if {
	some setter in setters
	not filtered[setter.set.apparmor]
	is_string(setter.set.apparmor)
	params := {"who": setter.who, "profile": lib.text(setter.set.apparmor)}
}

app_armor contains app_armor_refused(annotation(name), {"who": "An annotation", "profile": lib.text(value)}) if {
	some name, value in pod.annotations
	startswith(name, "container.apparmor.security.beta.kubernetes.io/")
	not app_armor_annotation(value)
}

app_armor_annotation("") := true

app_armor_annotation("runtime/default") := true

app_armor_annotation(value) if startswith(value, "localhost/")
