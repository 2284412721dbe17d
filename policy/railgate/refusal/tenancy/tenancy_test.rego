# Shows what the rules beside it refuse and accept.
package railgate.refusal.tenancy_test

import data.railgate.fixture

test_isolated_tenants_are_accepted if fixture.accepts("tenancy", fixture.container)

test_an_unauthenticated_caller_is_accepted if {
	fixture.accepts("tenancy", fixture.with_set(fixture.container, {"/facts/caller": null}))
}

test_a_dedicated_host_is_accepted if fixture.accepts("tenancy", fixture.tee)

test_baseline_without_placement_is_passed_over if {
	fixture.accepts("tenancy", fixture.without(fixture.tee, "/request/placement"))
}

test_no_network_is_refused if {
	fixture.refuses("tenancy", fixture.without(fixture.container, "/request/workload/network"), {
		["CTR-05", "/workload/network", {"missing": "network"}],
	})
}

test_an_open_network_is_refused if {
	fixture.refuses("tenancy", fixture.with_set(fixture.container, {"/request/workload/network": {"default_deny": false}}), {
		["CTR-05", "/workload/network/default_deny", {"missing": "default_deny"}],
		["CTR-05", "/workload/network/policy_id", {"missing": "policy_id"}],
		["CTR-05", "/workload/network/tenant_isolated", {"missing": "tenant_isolated"}],
	})
}

test_another_tenant_is_refused if {
	fixture.refuses("tenancy", fixture.with_set(fixture.container, {"/facts/caller/tenant_id": "globex"}), {
		["TEN-01", "/workload/tenant_id", {"reason": "the caller is of another tenant"}],
	})
}

test_a_shared_host_is_refused_where_isolation_is_required if {
	fixture.refuses(
		"tenancy", fixture.with_set(fixture.tee, {
			"/request/placement/tenancy": "shared",
			"/request/placement/tenants_on_host": ["acme", "globex"],
		}),
		{["TEN-01", "/placement/tenants_on_host/1", {"reason": "the host also runs globex"}]},
	)
}

test_a_host_of_unknown_tenants_is_refused_for_sovereign_tenants if {
	fixture.refuses(
		"tenancy", fixture.with_set(fixture.container, {
			"/request/workload/tenant_tier": "sovereign",
			"/request/placement": {"tenancy": "shared"},
		}),
		{
			["TEN-01", "/placement/tenancy", {"reason": "the host is shared"}],
		},
	)
}

test_a_shared_network_is_refused_for_regulated_ml if {
	fixture.refuses(
		"tenancy", fixture.with_set(fixture.container, {
			"/request/workload/governance_profile": "regulated-ml",
			"/request/placement/tenancy": "dedicated",
			"/request/workload/network/tenant_isolated": false,
		}),
		{
			["CTR-05", "/workload/network/tenant_isolated", {"missing": "tenant_isolated"}],
			["TEN-01", "/workload/network/tenant_isolated", {"reason": "the network is shared"}],
		},
	)
}

test_no_placement_is_refused_above_baseline if {
	fixture.refuses(
		"tenancy", fixture.without(
			fixture.with_set(fixture.tee, {"/request/workload/governance_profile": "admissible"}),
			"/request/placement",
		),
		{["TEN-01", "/placement", {"reason": "there is no placement"}]},
	)
}
