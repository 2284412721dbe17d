# Shows what the rules beside it refuse and accept.
package railgate.refusal.residency_test

import data.railgate.fixture
import data.railgate.refusal.residency

test_a_placement_within_all_limits_is_accepted if {
	residency.refusals == set() with input as fixture.container
	residency.sound(data.railgate.lib.workload) with input as fixture.container
}

test_baseline_without_placement_is_passed_over if {
	residency.refusals == set() with input as fixture.without(fixture.container, "/request/placement")
	residency.sound(data.railgate.lib.workload) with input as fixture.without(fixture.container, "/request/placement")
}

test_no_limits_are_none if {
	residency.refusals == set() with input as fixture.without(fixture.container, "/request/workload/jurisdictions")
	residency.sound(data.railgate.lib.workload) with input as fixture.without(fixture.container, "/request/workload/jurisdictions")
}

test_no_residency_is_no_limit_for_baseline if {
	residency.refusals == set() with input as fixture.without(fixture.container, "/request/workload/residency")
	residency.sound(data.railgate.lib.workload) with input as fixture.without(fixture.container, "/request/workload/residency")
}

test_a_tenant_without_a_list_of_its_own_has_no_limit if {
	residency.refusals == set() with input as fixture.container with data.railgate.settings.tenants as {"acme": {}}
	residency.sound(data.railgate.lib.workload) with input as fixture.container with data.railgate.settings.tenants as {"acme": {}}
}

test_a_tenant_within_its_list_is_accepted if {
	residency.refusals == set() with input as fixture.container with data.railgate.settings.tenants as {"acme": {"jurisdictions": ["EU"]}}
	residency.sound(data.railgate.lib.workload) with input as fixture.container with data.railgate.settings.tenants as {"acme": {"jurisdictions": ["EU"]}}
}

test_a_placement_outside_the_tenants_list_is_refused if {
	residency.refusals == {{"class": "jurisdiction_denied", "rule": "JUR-01", "code": "jurisdiction_denied", "pointer": "/placement/jurisdiction", "params": {"jurisdiction": "DE", "limited_by": "tenant"}}} with input as fixture.container with data.railgate.settings.tenants as {"acme": {"jurisdictions": ["NO"]}}
	not residency.sound(data.railgate.lib.workload) with input as fixture.container with data.railgate.settings.tenants as {"acme": {"jurisdictions": ["NO"]}}
}

test_a_placement_outside_everything_is_refused if {
	residency.refusals == {{"class": "jurisdiction_denied", "rule": "JUR-01", "code": "jurisdiction_denied", "pointer": "/placement/jurisdiction", "params": {"jurisdiction": "US", "limited_by": "workload"}}, {"class": "jurisdiction_denied", "rule": "JUR-02", "code": "residency_violated", "pointer": "/placement/jurisdiction", "params": {"place": "the placement in US"}}} with input as fixture.with_set(fixture.container, {"/request/placement/jurisdiction": "US"})
	not residency.sound(data.railgate.lib.workload) with input as fixture.with_set(fixture.container, {"/request/placement/jurisdiction": "US"})
}

test_a_missing_placement_is_refused_above_baseline if {
	residency.refusals == {{"class": "jurisdiction_denied", "rule": "JUR-01", "code": "jurisdiction_denied", "pointer": "/placement", "params": {"jurisdiction": "none", "limited_by": "workload"}}, {"class": "jurisdiction_denied", "rule": "JUR-02", "code": "residency_violated", "pointer": "/placement", "params": {"place": "the placement in none"}}} with input as fixture.without(fixture.with_set(fixture.container, {"/request/workload/governance_profile": "admissible"}), "/request/placement")
	not residency.sound(data.railgate.lib.workload) with input as fixture.without(fixture.with_set(fixture.container, {"/request/workload/governance_profile": "admissible"}), "/request/placement")
}

test_a_dependency_elsewhere_is_refused if {
	residency.refusals == {{"class": "jurisdiction_denied", "rule": "JUR-02", "code": "residency_violated", "pointer": "/workload/dependencies/1/jurisdiction", "params": {"place": "registry.example in US"}}} with input as fixture.with_set(fixture.container, {"/request/workload/dependencies/1/jurisdiction": "US"})
	not residency.sound(data.railgate.lib.workload) with input as fixture.with_set(fixture.container, {"/request/workload/dependencies/1/jurisdiction": "US"})
}

test_a_profile_that_needs_residency_is_refused_without if {
	residency.refusals == {{"class": "jurisdiction_denied", "rule": "JUR-02", "code": "residency_violated", "pointer": "/workload/residency", "params": {"place": "any placement"}}} with input as fixture.without(fixture.with_set(fixture.container, {"/request/workload/governance_profile": "ncp"}), "/request/workload/residency")
	not residency.sound(data.railgate.lib.workload) with input as fixture.without(fixture.with_set(fixture.container, {"/request/workload/governance_profile": "ncp"}), "/request/workload/residency")
}

test_an_unknown_profile_is_left_to_its_own_rule if {
	residency.refusals == set() with input as fixture.without(fixture.with_set(fixture.container, {"/request/workload/governance_profile": "x"}), "/request/workload/residency")
	residency.sound(data.railgate.lib.workload) with input as fixture.without(fixture.with_set(fixture.container, {"/request/workload/governance_profile": "x"}), "/request/workload/residency")
}
