# Shows what the rules beside it refuse and accept.
package railgate.refusal.container_test

import data.railgate.fixture
import data.railgate.refusal.container

test_a_hardened_confined_container_is_accepted if {
	container.refusals == set() with input as fixture.container
	container.sound(data.railgate.lib.declared) with input as fixture.container
}

test_a_localhost_profile_confines if {
	container.refusals == set() with input as fixture.with_set(fixture.container, {"/request/workload/envelope/container/seccomp": "Localhost/a", "/request/workload/envelope/container/apparmor": null})
	container.sound(data.railgate.lib.declared) with input as fixture.with_set(fixture.container, {"/request/workload/envelope/container/seccomp": "Localhost/a", "/request/workload/envelope/container/apparmor": null})
}

test_an_apparmor_profile_confines if {
	container.refusals == set() with input as fixture.with_set(fixture.container, {"/request/workload/envelope/container/seccomp": "Unconfined"})
	container.sound(data.railgate.lib.declared) with input as fixture.with_set(fixture.container, {"/request/workload/envelope/container/seccomp": "Unconfined"})
}

by_apparmor(profile) := fixture.with_set(fixture.container, {
	"/request/workload/envelope/container/seccomp": "Unconfined",
	"/request/workload/envelope/container/apparmor": profile,
})

test_the_known_forms_of_apparmor_profiles_confine if {
	every profile in ["runtime/default (enforce)", "localhost/profiles/payments", "docker-default"] {
		container.refusals == set() with input as by_apparmor(profile)
		container.sound(data.railgate.lib.declared) with input as by_apparmor(profile)
	}
}

test_no_other_form_does if {
	every profile in ["crun (unconfined)", "none", "localhost/", "localhost/unconfined", "runtime/other", "..", "a (complain)", 3] {
		{refusal.rule | some refusal in container.refusals} == {"CTR-02"} with input as by_apparmor(profile)
		not container.sound(data.railgate.lib.declared) with input as by_apparmor(profile)
	}
}

test_what_shows_nothing_neither_confines_nor_justifies if {
	profile := "/workload/envelope/container/"
	given := fixture.with_set(fixture.container, {
		"/request/workload/envelope/container/seccomp": "Localhost/ ",
		"/request/workload/envelope/container/apparmor": null,
		"/request/workload/envelope/container/read_only_root_filesystem": false,
		"/request/workload/envelope/container/writable_justification": "-",
		"/facts/blank": [concat("", [profile, "seccomp"]), concat("", [profile, "writable_justification"])],
	})
	{refusal.rule | some refusal in container.refusals} == {"CTR-02", "CTR-03"} with input as given
	{refusal.rule | some refusal in container.refusals} == {"CTR-02", "CTR-03"} with input as json.remove(given, ["facts/blank"])
	{refusal.rule | some refusal in container.refusals} == set() with input as fixture.with_set(given, {"/facts/blank": []})
}

test_enforcing_selinux_confines if {
	container.refusals == set() with input as fixture.with_set(fixture.container, {"/request/workload/envelope/container/seccomp": "Localhost/", "/request/workload/envelope/container/apparmor": "unconfined", "/request/workload/envelope/container/selinux": "enforcing"})
	container.sound(data.railgate.lib.declared) with input as fixture.with_set(fixture.container, {"/request/workload/envelope/container/seccomp": "Localhost/", "/request/workload/envelope/container/apparmor": "unconfined", "/request/workload/envelope/container/selinux": "enforcing"})
}

test_a_justified_writable_root_is_accepted if {
	container.refusals == set() with input as fixture.with_set(fixture.container, {"/request/workload/envelope/container/read_only_root_filesystem": false, "/request/workload/envelope/container/writable_justification": "WAL"})
	container.sound(data.railgate.lib.declared) with input as fixture.with_set(fixture.container, {"/request/workload/envelope/container/read_only_root_filesystem": false, "/request/workload/envelope/container/writable_justification": "WAL"})
}

test_an_accepted_capability_may_be_added if {
	container.refusals == set() with input as fixture.with_set(fixture.container, {"/request/workload/envelope/container/added_capabilities": ["NET_BIND_SERVICE"]})
	container.sound(data.railgate.lib.declared) with input as fixture.with_set(fixture.container, {"/request/workload/envelope/container/added_capabilities": ["NET_BIND_SERVICE"]})
}

test_a_plain_runtime_is_refused if {
	container.refusals == {{"class": "policy_denied", "rule": "CTR-01", "code": "runtime_not_hardened", "pointer": "/workload/envelope/container/runtime", "params": {"runtime": "runc"}}} with input as fixture.with_set(fixture.container, {"/request/workload/envelope/container/runtime": "runc"})
	not container.sound(data.railgate.lib.declared) with input as fixture.with_set(fixture.container, {"/request/workload/envelope/container/runtime": "runc"})
}

test_no_confinement_is_refused if {
	container.refusals == {{"class": "policy_denied", "rule": "CTR-02", "code": "confinement_missing", "pointer": "/workload/envelope/container/seccomp", "params": {}}} with input as fixture.with_set(fixture.container, {"/request/workload/envelope/container/seccomp": null, "/request/workload/envelope/container/apparmor": ""})
	not container.sound(data.railgate.lib.declared) with input as fixture.with_set(fixture.container, {"/request/workload/envelope/container/seccomp": null, "/request/workload/envelope/container/apparmor": ""})
}

test_an_unexplained_writable_root_is_refused if {
	container.refusals == {{"class": "policy_denied", "rule": "CTR-03", "code": "root_filesystem_writable", "pointer": "/workload/envelope/container/read_only_root_filesystem", "params": {}}} with input as fixture.with_set(fixture.container, {"/request/workload/envelope/container/read_only_root_filesystem": false})
	not container.sound(data.railgate.lib.declared) with input as fixture.with_set(fixture.container, {"/request/workload/envelope/container/read_only_root_filesystem": false})
}

test_every_excess_of_privilege_is_refused if {
	container.refusals == {{"class": "policy_denied", "rule": "CTR-04", "code": "privilege_excessive", "pointer": "/workload/envelope/container/privileged", "params": {"excess": "privileged"}}, {"class": "policy_denied", "rule": "CTR-04", "code": "privilege_excessive", "pointer": "/workload/envelope/container/host_paths/0", "params": {"excess": "/"}}, {"class": "policy_denied", "rule": "CTR-04", "code": "privilege_excessive", "pointer": "/workload/envelope/container/host_namespaces", "params": {"excess": "host_namespaces"}}, {"class": "policy_denied", "rule": "CTR-04", "code": "privilege_excessive", "pointer": "/workload/envelope/container/added_capabilities/0", "params": {"excess": "ALL"}}, {"class": "policy_denied", "rule": "CTR-04", "code": "privilege_excessive", "pointer": "/workload/envelope/container/added_capabilities/1", "params": {"excess": "number"}}} with input as fixture.with_set(fixture.container, {"/request/workload/envelope/container/privileged": true, "/request/workload/envelope/container/host_paths": ["/"], "/request/workload/envelope/container/host_namespaces": null, "/request/workload/envelope/container/added_capabilities": ["ALL", 3]})
	not container.sound(data.railgate.lib.declared) with input as fixture.with_set(fixture.container, {"/request/workload/envelope/container/privileged": true, "/request/workload/envelope/container/host_paths": ["/"], "/request/workload/envelope/container/host_namespaces": null, "/request/workload/envelope/container/added_capabilities": ["ALL", 3]})
}
