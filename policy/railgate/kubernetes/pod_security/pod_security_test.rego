# Shows each check of both levels: what passes, what does not, and from which release on. The agreement with the published standard, pod by pod, is in test/kubernetes.
package railgate.kubernetes.pod_security_test

import data.railgate.fixture
import data.railgate.kubernetes.pod_security

# A pod that both levels let pass in every release.
pod := {
	"at": "spec",
	"metadata_at": "metadata",
	"annotations": {},
	"os": null,
	"user_namespace": false,
	"host_namespaces": [],
	"runtime_class": null,
	"security": {"run_as_non_root": true, "seccomp": "RuntimeDefault", "sysctls": []},
	"volumes": [{"name": "v", "at": "spec.volumes[0]", "sources": ["configMap"]}],
	"containers": [{
		"name": "app",
		"at": "spec.containers[0]",
		"allow_privilege_escalation": false,
		"capabilities": {"add": [], "drop": ["ALL"]},
	}],
}

found(level, minor, changes) := {[r.rule, r.pointer] | some r in refusals(level, minor, changes)}

refusals(level, minor, changes) := set_of if {
	set_of := pod_security.found(level, minor) with input as {"kubernetes": {"pod": fixture.with_set(pod, changes)}}
}

# What a change breaks: [rule, place], from which release on, and up to which, at each level.
container := "spec.containers[0].securityContext"

test_a_sound_pod_passes_every_release if {
	every minor in numbers.range(0, 37) {
		found("baseline", minor, {}) == set()
		found("restricted", minor, {}) == set()
	}
}

test_privileged_judges_nothing if found("privileged", 37, {"/containers/0/privileged": true}) == set()

test_what_is_no_level_is_the_strictest if {
	found("unheard-of", 37, {"/security/run_as_user": 0}) == {["PSS-runAsUser", "spec.securityContext.runAsUser"]}
}

# Those that hold in every release and at both levels.
test_checks_of_the_baseline if {
	every case in [
		["PSS-privileged", concat(".", [container, "privileged"]), {"/containers/0/privileged": true}],
		["PSS-hostNamespaces", "spec.hostNetwork", {"/host_namespaces": ["hostNetwork"]}],
		["PSS-hostNamespaces", "spec.hostPID", {"/host_namespaces": ["hostPID"]}],
		["PSS-hostNamespaces", "spec.hostIPC", {"/host_namespaces": ["hostIPC"]}],
		["PSS-hostPorts", "spec.containers[0].ports[1].hostPort", {"/containers/0/host_ports": [{"at": "spec.containers[0].ports[1]", "port": 80}]}],
		["PSS-windowsHostProcess", "spec.securityContext.windowsOptions.hostProcess", {"/security/host_process": true}],
		["PSS-windowsHostProcess", concat(".", [container, "windowsOptions.hostProcess"]), {"/containers/0/host_process": true}],
		["PSS-appArmorProfile", "spec.securityContext.appArmorProfile.type", {"/security/apparmor": "Unconfined"}],
		["PSS-appArmorProfile", concat(".", [container, "appArmorProfile.type"]), {"/containers/0/apparmor": ""}],
		[
			"PSS-appArmorProfile",
			"metadata.annotations[container.apparmor.security.beta.kubernetes.io/app]",
			{"/annotations": {"container.apparmor.security.beta.kubernetes.io/app": "unconfined"}},
		],
		["PSS-seLinuxOptions", "spec.securityContext.seLinuxOptions.type", {"/security/selinux": {"type": "spc_t", "user": "", "role": ""}}],
		["PSS-seLinuxOptions", concat(".", [container, "seLinuxOptions.user"]), {"/containers/0/selinux": {"type": "", "user": "u", "role": ""}}],
		["PSS-seLinuxOptions", concat(".", [container, "seLinuxOptions.role"]), {"/containers/0/selinux": {"type": "container_t", "user": "", "role": "r"}}],
		["PSS-sysctls", "spec.securityContext.sysctls[1].name", {"/security/sysctls": ["kernel.shm_rmid_forced", "kernel.msgmax"]}],
	] {
		[rule, place, changes] := case
		every level in ["baseline", "restricted"] {
			found(level, 0, changes) == {[rule, place]}
			found(level, 37, changes) == {[rule, place]}
		}
	}
}

passing := [
	{"/containers/0/host_ports": []},
	{"/containers/0/privileged": false},
	{"/security/host_process": false},
	{"/security/apparmor": "Localhost"},
	{"/annotations": {
		"container.apparmor.security.beta.kubernetes.io/app": "localhost/x",
		"container.apparmor.security.beta.kubernetes.io/b": "runtime/default",
		"container.apparmor.security.beta.kubernetes.io/c": "",
	}},
	{"/security/selinux": {"type": "container_kvm_t", "user": "", "role": ""}},
	{"/containers/0/seccomp": "Localhost"},
	{"/containers/0/proc_mount": "Default"},
	{"/containers/0/run_as_user": 1000},
	{"/volumes": []},
]

test_what_passes if {
	every changes in passing {
		found("restricted", 0, changes) == set()
		found("restricted", 37, changes) == set()
	}
}

test_a_message_names_who_and_what if {
	[r] := [r | some r in refusals("baseline", 37, {"/containers/0/privileged": true})]
	r == {
		"rule": "PSS-privileged",
		"code": "PSS-privileged",
		"class": "policy_denied",
		"pointer": "spec.containers[0].securityContext.privileged",
		"params": {"who": "Container app"},
	}
}

adding(name) := {"/containers/0/capabilities/add": [name]}

test_capabilities_of_the_baseline if {
	broken := {["PSS-capabilities_baseline", concat(".", [container, "capabilities.add"])]}
	found("baseline", 0, adding("NET_RAW")) == broken
	found("baseline", 37, adding("NET_RAW")) == broken
	found("baseline", 37, adding("CHOWN")) == set()
	found("baseline", 37, {"/containers/0/capabilities": {"add": [], "drop": []}}) == set()
	found("restricted", 21, adding("NET_RAW")) == broken
	found("restricted", 21, adding("CHOWN")) == set()
}

test_capabilities_of_the_restricted_take_their_place_from_1_22_on if {
	add := {["PSS-capabilities_restricted", concat(".", [container, "capabilities.add"])]}
	drop := {["PSS-capabilities_restricted", concat(".", [container, "capabilities.drop"])]}
	found("restricted", 22, adding("NET_RAW")) == add
	found("restricted", 22, adding("CHOWN")) == add
	found("restricted", 22, adding("NET_BIND_SERVICE")) == set()
	found("restricted", 21, {"/containers/0/capabilities/drop": []}) == set()
	found("restricted", 22, {"/containers/0/capabilities/drop": ["NET_RAW"]}) == drop
	found("restricted", 24, {"/containers/0/capabilities/drop": [], "/os": "windows"}) == drop
	found("restricted", 25, {"/containers/0/capabilities/drop": [], "/os": "windows"}) == set()
}

test_host_paths if {
	changes := {"/volumes/0/sources": ["hostPath"]}
	found("baseline", 0, changes) == {["PSS-hostPathVolumes", "spec.volumes[0].hostPath"]}
	found("restricted", 0, changes) == {["PSS-restrictedVolumes", "spec.volumes[0]"]}
	found("restricted", 37, {"/volumes/0/sources": []}) == {["PSS-restrictedVolumes", "spec.volumes[0]"]}
	found("baseline", 37, {"/volumes/0/sources": ["nfs"]}) == set()
	[r] := [r | some r in refusals("restricted", 37, {"/volumes/0/sources": []})]
	r.params == {"volume": "v", "type": "unknown"}
}

test_probe_hosts_from_1_34_on if {
	changes := {"/containers/0/hosts": [{"at": "spec.containers[0].livenessProbe.httpGet", "host": "10.0.0.1"}]}
	broken := {["PSS-hostProbesAndHostLifecycle", "spec.containers[0].livenessProbe.httpGet.host"]}
	found("baseline", 33, changes) == set()
	found("baseline", 34, changes) == broken
	found("restricted", 34, changes) == broken
}

test_proc_mount_and_user_namespaces if {
	changes := {"/containers/0/proc_mount": "Unmasked"}
	apart := object.union(changes, {"/user_namespace": true})
	place := concat(".", [container, "procMount"])
	found("baseline", 37, changes) == {["PSS-procMount", place]}
	found("baseline", 34, apart) == {["PSS-procMount", place]}
	found("baseline", 35, apart) == set()
	found("restricted", 34, apart) == {["PSS-procMount", place]}
	found("restricted", 35, apart) == {["PSS-procMount_restricted", place]}
	found("restricted", 37, changes) == {["PSS-procMount_restricted", place]}
}

test_selinux_engines_from_1_31_on if {
	changes := {"/security/selinux": {"type": "container_engine_t", "user": "", "role": ""}}
	found("baseline", 30, changes) == {["PSS-seLinuxOptions", "spec.securityContext.seLinuxOptions.type"]}
	found("baseline", 31, changes) == set()
	named := {"/security/selinux": {"type": "", "user": "container_engine_t", "role": ""}}
	found("baseline", 31, named) == {["PSS-seLinuxOptions", "spec.securityContext.seLinuxOptions.user"]}
}

test_seccomp_annotations_before_1_19 if {
	changes := {"/annotations": {
		"seccomp.security.alpha.kubernetes.io/pod": "unconfined",
		"container.seccomp.security.alpha.kubernetes.io/app": "docker/default",
	}}
	broken := {["PSS-seccompProfile_baseline", "metadata.annotations[seccomp.security.alpha.kubernetes.io/pod]"]}
	found("baseline", 18, changes) == broken
	found("restricted", 18, changes) == broken
	found("baseline", 19, changes) == set()
	found("baseline", 18, {"/annotations": {"container.seccomp.security.alpha.kubernetes.io/app": "unconfined"}}) == {[
		"PSS-seccompProfile_baseline",
		"metadata.annotations[container.seccomp.security.alpha.kubernetes.io/app]",
	]}
	found("baseline", 18, {"/annotations": {"seccomp.security.alpha.kubernetes.io/pod": "localhost/x"}}) == set()
	found("baseline", 18, {"/annotations": {"seccomp.security.alpha.kubernetes.io/pod": "runtime/default"}}) == set()
}

test_seccomp_profiles if {
	off := {"/containers/0/seccomp": "Unconfined"}
	place := concat(".", [container, "seccompProfile.type"])
	found("baseline", 18, off) == set()
	found("baseline", 19, off) == {["PSS-seccompProfile_baseline", place]}
	found("restricted", 19, off) == {["PSS-seccompProfile_restricted", place]}
	none := {"/security": {"run_as_non_root": true, "sysctls": []}}
	found("baseline", 37, none) == set()
	found("restricted", 18, none) == set()
	found("restricted", 19, none) == {["PSS-seccompProfile_restricted", place]}
	found("restricted", 24, object.union(none, {"/os": "windows"})) == {["PSS-seccompProfile_restricted", place]}
	found("restricted", 25, object.union(none, {"/os": "windows"})) == set()
	found("restricted", 37, object.union(none, {"/containers/0/seccomp": "RuntimeDefault"})) == set()
}

test_sysctls_by_release if {
	place := ["PSS-sysctls", "spec.securityContext.sysctls[0].name"]
	every name, minor in pod_security.safe_sysctls {
		found("baseline", minor, {"/security/sysctls": [name]}) == set()
		found("baseline", minor - 1, {"/security/sysctls": [name]}) == {place}
	}
}

test_escalation_from_1_8_on if {
	changes := {"/containers/0/allow_privilege_escalation": true}
	broken := {["PSS-allowPrivilegeEscalation", concat(".", [container, "allowPrivilegeEscalation"])]}
	found("baseline", 37, changes) == set()
	found("restricted", 7, changes) == set()
	found("restricted", 8, changes) == broken
	found("restricted", 24, object.union(changes, {"/os": "windows"})) == broken
	found("restricted", 25, object.union(changes, {"/os": "windows"})) == set()
	found("restricted", 37, {"/containers": [{"name": "b", "at": "x", "capabilities": {"add": [], "drop": ["ALL"]}}]}) == {[
		"PSS-allowPrivilegeEscalation",
		"x.securityContext.allowPrivilegeEscalation",
	]}
}

test_non_root if {
	place := concat(".", [container, "runAsNonRoot"])
	of_pod := {["PSS-runAsNonRoot", "spec.securityContext.runAsNonRoot"]}
	unset := {"/security": {"seccomp": "RuntimeDefault", "sysctls": []}}
	found("baseline", 37, unset) == set()
	found("restricted", 0, unset) == {["PSS-runAsNonRoot", place]}
	found("restricted", 37, object.union(unset, {"/containers/0/run_as_non_root": true})) == set()
	found("restricted", 37, {"/containers/0/run_as_non_root": false}) == {["PSS-runAsNonRoot", place]}
	denied := {"/security/run_as_non_root": false, "/containers/0/run_as_non_root": true}
	found("restricted", 34, object.union(denied, {"/user_namespace": true})) == of_pod
	found("restricted", 35, object.union(denied, {"/user_namespace": true})) == set()
}

test_root_user_from_1_23_on if {
	changes := {"/containers/0/run_as_user": 0}
	broken := {["PSS-runAsUser", concat(".", [container, "runAsUser"])]}
	found("restricted", 22, changes) == set()
	found("restricted", 23, changes) == broken
	found("restricted", 34, object.union(changes, {"/user_namespace": true})) == broken
	found("restricted", 35, object.union(changes, {"/user_namespace": true})) == set()
}

test_every_container_is_visited if {
	places := ["spec.initContainers[0]", "spec.containers[0]", "spec.ephemeralContainers[0]"]
	containers := [{"name": "c", "at": at, "privileged": true} | some at in places]
	count(found("baseline", 37, {"/containers": containers})) == 3
}
