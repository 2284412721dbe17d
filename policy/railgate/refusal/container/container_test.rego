# Shows what the rules beside it refuse and accept.
package railgate.refusal.container_test

import data.railgate.fixture

test_a_hardened_confined_container_is_accepted if fixture.accepts("container", fixture.container)

test_a_localhost_profile_confines if {
	fixture.accepts("container", fixture.with_set(fixture.container, {
		"/request/workload/envelope/container/seccomp": "Localhost/a",
		"/request/workload/envelope/container/apparmor": null,
	}))
}

test_an_apparmor_profile_confines if {
	fixture.accepts("container", fixture.with_set(fixture.container, {
		"/request/workload/envelope/container/seccomp": "Unconfined",
	}))
}

by_apparmor(profile) := fixture.with_set(fixture.container, {
	"/request/workload/envelope/container/seccomp": "Unconfined",
	"/request/workload/envelope/container/apparmor": profile,
})

test_the_known_forms_of_apparmor_profiles_confine if {
	every profile in ["runtime/default (enforce)", "localhost/profiles/payments", "docker-default"] {
		fixture.accepts("container", by_apparmor(profile))
	}
}

test_no_other_form_does if {
	every profile in ["crun (unconfined)", "none", "localhost/", "localhost/unconfined", "runtime/other", "..", "a (complain)", 3] {
		fixture.rules("container", by_apparmor(profile)) == {"CTR-02"}
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
	fixture.rules("container", given) == {"CTR-02", "CTR-03"}
	fixture.rules("container", fixture.without(given, "/facts/blank")) == {"CTR-02", "CTR-03"}
	fixture.rules("container", fixture.with_set(given, {"/facts/blank": []})) == set()
}

test_enforcing_selinux_confines if {
	fixture.accepts("container", fixture.with_set(fixture.container, {
		"/request/workload/envelope/container/seccomp": "Localhost/",
		"/request/workload/envelope/container/apparmor": "unconfined",
		"/request/workload/envelope/container/selinux": "enforcing",
	}))
}

test_a_justified_writable_root_is_accepted if {
	fixture.accepts("container", fixture.with_set(fixture.container, {
		"/request/workload/envelope/container/read_only_root_filesystem": false,
		"/request/workload/envelope/container/writable_justification": "WAL",
	}))
}

test_an_accepted_capability_may_be_added if {
	fixture.accepts("container", fixture.with_set(fixture.container, {
		"/request/workload/envelope/container/added_capabilities": ["NET_BIND_SERVICE"],
	}))
}

test_a_plain_runtime_is_refused if {
	fixture.refuses(
		"container", fixture.with_set(fixture.container, {
			"/request/workload/envelope/container/runtime": "runc",
		}),
		{
			["CTR-01", "/workload/envelope/container/runtime", {"runtime": "runc"}],
		},
	)
}

test_no_confinement_is_refused if {
	fixture.refuses(
		"container", fixture.with_set(fixture.container, {
			"/request/workload/envelope/container/seccomp": null,
			"/request/workload/envelope/container/apparmor": "",
		}),
		{["CTR-02", "/workload/envelope/container/seccomp", {}]},
	)
}

test_an_unexplained_writable_root_is_refused if {
	fixture.refuses(
		"container", fixture.with_set(fixture.container, {
			"/request/workload/envelope/container/read_only_root_filesystem": false,
		}),
		{
			["CTR-03", "/workload/envelope/container/read_only_root_filesystem", {}],
		},
	)
}

test_every_excess_of_privilege_is_refused if {
	fixture.refuses(
		"container", fixture.with_set(fixture.container, {
			"/request/workload/envelope/container/privileged": true,
			"/request/workload/envelope/container/host_paths": ["/"],
			"/request/workload/envelope/container/host_namespaces": null,
			"/request/workload/envelope/container/added_capabilities": ["ALL", 3],
		}),
		{
			["CTR-04", "/workload/envelope/container/added_capabilities/0", {"excess": "ALL"}],
			["CTR-04", "/workload/envelope/container/added_capabilities/1", {"excess": "number"}],
			["CTR-04", "/workload/envelope/container/host_namespaces", {"excess": "host_namespaces"}],
			["CTR-04", "/workload/envelope/container/host_paths/0", {"excess": "/"}],
			["CTR-04", "/workload/envelope/container/privileged", {"excess": "privileged"}],
		},
	)
}
