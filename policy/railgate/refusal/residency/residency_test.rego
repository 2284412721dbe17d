# Shows what the rules beside it refuse and accept.
package railgate.refusal.residency_test

import data.railgate.fixture

test_a_placement_within_all_limits_is_accepted if fixture.accepts("residency", fixture.container)

test_baseline_without_placement_is_passed_over if {
	fixture.accepts("residency", fixture.without(fixture.container, "/request/placement"))
}

test_no_limits_are_none if {
	fixture.accepts("residency", fixture.without(fixture.container, "/request/workload/jurisdictions"))
}

test_no_residency_is_no_limit_for_baseline if {
	fixture.accepts("residency", fixture.without(fixture.container, "/request/workload/residency"))
}

test_a_tenant_without_a_list_of_its_own_has_no_limit if {
	fixture.accepts_by({"tenants": {"acme": {}}}, "residency", fixture.container)
}

test_a_tenant_within_its_list_is_accepted if {
	fixture.accepts_by({"tenants": {"acme": {"jurisdictions": ["EU"]}}}, "residency", fixture.container)
}

test_a_placement_outside_the_tenants_list_is_refused if {
	fixture.refuses_by({"tenants": {"acme": {"jurisdictions": ["NO"]}}}, "residency", fixture.container, {
		["JUR-01", "/placement/jurisdiction", {"jurisdiction": "DE", "limited_by": "tenant"}],
	})
}

test_a_placement_outside_everything_is_refused if {
	fixture.refuses("residency", fixture.with_set(fixture.container, {"/request/placement/jurisdiction": "US"}), {
		["JUR-01", "/placement/jurisdiction", {"jurisdiction": "US", "limited_by": "workload"}],
		["JUR-02", "/placement/jurisdiction", {"place": "the placement in US"}],
	})
}

test_a_missing_placement_is_refused_above_baseline if {
	fixture.refuses(
		"residency", fixture.without(
			fixture.with_set(fixture.container, {"/request/workload/governance_profile": "admissible"}),
			"/request/placement",
		),
		{
			["JUR-01", "/placement", {"jurisdiction": "none", "limited_by": "workload"}],
			["JUR-02", "/placement", {"place": "the placement in none"}],
		},
	)
}

test_a_dependency_elsewhere_is_refused if {
	fixture.refuses("residency", fixture.with_set(fixture.container, {"/request/workload/dependencies/1/jurisdiction": "US"}), {
		["JUR-02", "/workload/dependencies/1/jurisdiction", {"place": "registry.example in US"}],
	})
}

test_a_profile_that_needs_residency_is_refused_without if {
	fixture.refuses(
		"residency", fixture.without(
			fixture.with_set(fixture.container, {"/request/workload/governance_profile": "ncp"}),
			"/request/workload/residency",
		),
		{["JUR-02", "/workload/residency", {"place": "any placement"}]},
	)
}

test_an_unknown_profile_is_left_to_its_own_rule if {
	fixture.accepts("residency", fixture.without(
		fixture.with_set(fixture.container, {"/request/workload/governance_profile": "x"}),
		"/request/workload/residency",
	))
}
