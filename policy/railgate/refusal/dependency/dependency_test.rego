# Shows what the rules beside it refuse and accept.
package railgate.refusal.dependency_test

import data.railgate.fixture
import data.railgate.refusal.dependency

test_declared_available_dependencies_are_accepted if {
	dependency.refusals == set() with input as fixture.container
	dependency.sound(data.railgate.lib.workload) with input as fixture.container
}

test_a_local_substitute_is_accepted if {
	dependency.refusals == set() with input as fixture.with_set(fixture.container, {"/request/workload/dependencies/1/available": false, "/request/workload/dependencies/2": {"dependency_id": "mirror", "kind": "image_registry", "available": true, "local": true}})
	dependency.sound(data.railgate.lib.workload) with input as fixture.with_set(fixture.container, {"/request/workload/dependencies/1/available": false, "/request/workload/dependencies/2": {"dependency_id": "mirror", "kind": "image_registry", "available": true, "local": true}})
}

test_an_undeclared_critical_dependency_is_refused if {
	dependency.refusals == {{"class": "evidence_precondition_failed", "rule": "DEP-01", "code": "dependency_undeclared", "pointer": "/workload/dependencies", "params": {"kind": "container", "missing": "image_registry, runtime"}}} with input as fixture.with_set(fixture.container, {"/request/workload/dependencies": []})
	not dependency.sound(data.railgate.lib.workload) with input as fixture.with_set(fixture.container, {"/request/workload/dependencies": []})
}

test_an_unavailable_critical_dependency_is_refused if {
	dependency.refusals == {{"class": "dependency_unavailable_fail_closed", "rule": "DEP-02", "code": "dependency_unavailable", "pointer": "/workload/dependencies/0/available", "params": {"dependency": "runsc", "kind": "runtime"}}} with input as fixture.with_set(fixture.container, {"/request/workload/dependencies/0/available": false})
	not dependency.sound(data.railgate.lib.workload) with input as fixture.with_set(fixture.container, {"/request/workload/dependencies/0/available": false})
}

test_dependencies_by_name_are_judged_too if {
	dependency.refusals == {{"class": "dependency_unavailable_fail_closed", "rule": "DEP-02", "code": "dependency_unavailable", "pointer": "/workload/dependencies/r/available", "params": {"dependency": "r", "kind": "image_registry"}}} with input as fixture.with_set(fixture.container, {"/request/workload/dependencies": {"a/b": {"dependency_id": "runsc", "kind": "runtime", "available": true, "local": true}, "r": {"dependency_id": "r", "kind": "image_registry", "available": false, "local": true}}})
	not dependency.sound(data.railgate.lib.workload) with input as fixture.with_set(fixture.container, {"/request/workload/dependencies": {"a/b": {"dependency_id": "runsc", "kind": "runtime", "available": true, "local": true}, "r": {"dependency_id": "r", "kind": "image_registry", "available": false, "local": true}}})
}

test_what_lies_outside_the_partition_is_refused if {
	dependency.refusals == {{"class": "dependency_unavailable_fail_closed", "rule": "DEP-02", "code": "dependency_unavailable", "pointer": "/workload/dependencies/1/local", "params": {"dependency": "registry.example", "kind": "image_registry"}}} with input as fixture.with_set(fixture.container, {"/context/partition/state": "partitioned"})
	not dependency.sound(data.railgate.lib.workload) with input as fixture.with_set(fixture.container, {"/context/partition/state": "partitioned"})
}
