# Shows what the rules beside it refuse and accept.
package railgate.refusal.freshness_test

import data.railgate.fixture

test_policy_without_age_is_accepted if fixture.accepts("freshness", fixture.container)

test_policy_within_its_limit_is_accepted if {
	fixture.accepts("freshness", fixture.with_set(fixture.container, {"/context/policy/age_s": 1}))
}

test_policy_within_its_grace_is_accepted_while_partitioned if {
	fixture.accepts("freshness", fixture.with_set(fixture.container, {
		"/context/policy/age_s": 2592001,
		"/context/partition/state": "partitioned",
	}))
}

test_an_unknown_profile_is_left_to_its_own_rule if {
	fixture.accepts("freshness", fixture.with_set(fixture.container, {
		"/context/policy/age_s": 1,
		"/request/workload/governance_profile": "x",
		"/context/partition/state": "partitioned",
	}))
}

test_stale_policy_is_refused if {
	fixture.refuses("freshness", fixture.with_set(fixture.container, {"/context/policy/age_s": 2592001}), {
		[
			"POL-02",
			"/workload/governance_profile",
			{
				"age_s": 2592001,
				"policy_snapshot_id": "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
			},
		],
	})
}

test_a_missing_context_is_refused if {
	fixture.refuses(
		"freshness", fixture.without(
			fixture.with_set(fixture.vm, {"/request/workload/governance_profile": "ncp", "/request/workload/crp": {}}),
			"/context",
		),
		{
			[
				"CRP-01",
				"/workload/crp/designated",
				{"profile": "ncp", "policy_snapshot_id": "none", "authority_snapshot_id": "none"},
			],
			["POL-02", "/workload/governance_profile", {"age_s": null, "policy_snapshot_id": "none"}],
		},
	)
}

test_a_designated_workload_goes_on if {
	fixture.accepts("freshness", fixture.with_set(fixture.vm, {
		"/request/workload/governance_profile": "ncp",
		"/context/partition/state": "partitioned",
	}))
}

test_a_reconciled_node_has_upstream if {
	fixture.accepts("freshness", fixture.with_set(fixture.vm, {
		"/request/workload/governance_profile": "ncp",
		"/request/workload/crp": {},
		"/context/partition/state": "reconciled",
	}))
}

test_a_degraded_node_has_upstream if {
	fixture.accepts("freshness", fixture.with_set(fixture.vm, {
		"/request/workload/governance_profile": "ncp",
		"/request/workload/crp": {},
		"/context/partition/state": "degraded",
	}))
}

test_a_workload_without_profile_is_left_to_its_own_rule if {
	fixture.accepts("freshness", fixture.without(
		fixture.with_set(fixture.vm, {"/request/workload/crp": {}, "/context/partition/state": "partitioned"}),
		"/request/workload/governance_profile",
	))
}
