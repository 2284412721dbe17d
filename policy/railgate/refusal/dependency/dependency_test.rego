# Shows what the rules beside it refuse and accept.
package railgate.refusal.dependency_test

import data.railgate.fixture

test_declared_available_dependencies_are_accepted if fixture.accepts("dependency", fixture.container)

test_a_local_substitute_is_accepted if {
	fixture.accepts("dependency", fixture.with_set(fixture.container, {
		"/request/workload/dependencies/1/available": false,
		"/request/workload/dependencies/2": {"dependency_id": "mirror", "kind": "image_registry", "available": true, "local": true},
	}))
}

test_an_undeclared_critical_dependency_is_refused if {
	fixture.refuses("dependency", fixture.with_set(fixture.container, {"/request/workload/dependencies": []}), {
		[
			"DEP-01",
			"/workload/dependencies",
			{"kind": "container", "missing": "image_registry, runtime"},
		],
	})
}

test_an_unavailable_critical_dependency_is_refused if {
	fixture.refuses("dependency", fixture.with_set(fixture.container, {"/request/workload/dependencies/0/available": false}), {
		["DEP-02", "/workload/dependencies/0/available", {"dependency": "runsc", "kind": "runtime"}],
	})
}

test_dependencies_by_name_are_judged_too if {
	fixture.refuses(
		"dependency", fixture.with_set(fixture.container, {
			"/request/workload/dependencies": {
				"a/b": {"dependency_id": "runsc", "kind": "runtime", "available": true, "local": true},
				"r": {"dependency_id": "r", "kind": "image_registry", "available": false, "local": true},
			},
		}),
		{
			[
				"DEP-02",
				"/workload/dependencies/r/available",
				{"dependency": "r", "kind": "image_registry"},
			],
		},
	)
}

test_what_lies_outside_the_partition_is_refused if {
	fixture.refuses("dependency", fixture.with_set(fixture.container, {"/context/partition/state": "partitioned"}), {
		[
			"DEP-02",
			"/workload/dependencies/1/local",
			{"dependency": "registry.example", "kind": "image_registry"},
		],
	})
}
