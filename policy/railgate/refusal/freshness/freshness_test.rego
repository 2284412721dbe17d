# Shows what the rules beside it refuse and accept.
package railgate.refusal.freshness_test

import data.railgate.fixture
import data.railgate.refusal.freshness

test_policy_without_age_is_accepted if {
	freshness.refusals == set() with input as fixture.container
	freshness.sound(data.railgate.lib.workload) with input as fixture.container
}

test_policy_within_its_limit_is_accepted if {
	freshness.refusals == set() with input as fixture.with_set(fixture.container, {"/context/policy/age_s": 1})
	freshness.sound(data.railgate.lib.workload) with input as fixture.with_set(fixture.container, {"/context/policy/age_s": 1})
}

test_policy_within_its_grace_is_accepted_while_partitioned if {
	freshness.refusals == set() with input as fixture.with_set(fixture.container, {"/context/policy/age_s": 2592001, "/context/partition/state": "partitioned"})
	freshness.sound(data.railgate.lib.workload) with input as fixture.with_set(fixture.container, {"/context/policy/age_s": 2592001, "/context/partition/state": "partitioned"})
}

test_an_unknown_profile_is_left_to_its_own_rule if {
	freshness.refusals == set() with input as fixture.with_set(fixture.container, {"/context/policy/age_s": 1, "/request/workload/governance_profile": "x", "/context/partition/state": "partitioned"})
	freshness.sound(data.railgate.lib.workload) with input as fixture.with_set(fixture.container, {"/context/policy/age_s": 1, "/request/workload/governance_profile": "x", "/context/partition/state": "partitioned"})
}

test_stale_policy_is_refused if {
	freshness.refusals == {{"class": "dependency_unavailable_fail_closed", "rule": "POL-02", "code": "policy_stale", "pointer": "/workload/governance_profile", "params": {"age_s": 2592001, "policy_snapshot_id": "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}}} with input as fixture.with_set(fixture.container, {"/context/policy/age_s": 2592001})
	not freshness.sound(data.railgate.lib.workload) with input as fixture.with_set(fixture.container, {"/context/policy/age_s": 2592001})
}

test_a_missing_context_is_refused if {
	freshness.refusals == {{"class": "dependency_unavailable_fail_closed", "rule": "POL-02", "code": "policy_stale", "pointer": "/workload/governance_profile", "params": {"age_s": null, "policy_snapshot_id": "none"}}, {"class": "dependency_unavailable_fail_closed", "rule": "CRP-01", "code": "partition_not_designated", "pointer": "/workload/crp/designated", "params": {"profile": "ncp", "policy_snapshot_id": "none", "authority_snapshot_id": "none"}}} with input as fixture.without(fixture.with_set(fixture.vm, {"/request/workload/governance_profile": "ncp", "/request/workload/crp": {}}), "/context")
	not freshness.sound(data.railgate.lib.workload) with input as fixture.without(fixture.with_set(fixture.vm, {"/request/workload/governance_profile": "ncp", "/request/workload/crp": {}}), "/context")
}

test_a_designated_workload_goes_on if {
	freshness.refusals == set() with input as fixture.with_set(fixture.vm, {"/request/workload/governance_profile": "ncp", "/context/partition/state": "partitioned"})
	freshness.sound(data.railgate.lib.workload) with input as fixture.with_set(fixture.vm, {"/request/workload/governance_profile": "ncp", "/context/partition/state": "partitioned"})
}

test_a_reconciled_node_has_upstream if {
	freshness.refusals == set() with input as fixture.with_set(fixture.vm, {"/request/workload/governance_profile": "ncp", "/request/workload/crp": {}, "/context/partition/state": "reconciled"})
	freshness.sound(data.railgate.lib.workload) with input as fixture.with_set(fixture.vm, {"/request/workload/governance_profile": "ncp", "/request/workload/crp": {}, "/context/partition/state": "reconciled"})
}

test_a_degraded_node_has_upstream if {
	freshness.refusals == set() with input as fixture.with_set(fixture.vm, {"/request/workload/governance_profile": "ncp", "/request/workload/crp": {}, "/context/partition/state": "degraded"})
	freshness.sound(data.railgate.lib.workload) with input as fixture.with_set(fixture.vm, {"/request/workload/governance_profile": "ncp", "/request/workload/crp": {}, "/context/partition/state": "degraded"})
}

test_a_workload_without_profile_is_left_to_its_own_rule if {
	freshness.refusals == set() with input as fixture.without(fixture.with_set(fixture.vm, {"/request/workload/crp": {}, "/context/partition/state": "partitioned"}), "/request/workload/governance_profile")
	freshness.sound(data.railgate.lib.workload) with input as fixture.without(fixture.with_set(fixture.vm, {"/request/workload/crp": {}, "/context/partition/state": "partitioned"}), "/request/workload/governance_profile")
}
