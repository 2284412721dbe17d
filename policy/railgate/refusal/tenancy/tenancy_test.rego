# Shows what the rules beside it refuse and accept.
package railgate.refusal.tenancy_test

import data.railgate.fixture
import data.railgate.refusal.tenancy

test_isolated_tenants_are_accepted if {
	tenancy.refusals == set() with input as fixture.container
	tenancy.sound(data.railgate.lib.workload) with input as fixture.container
}

test_an_unauthenticated_caller_is_accepted if {
	tenancy.refusals == set() with input as fixture.with_set(fixture.container, {"/facts/caller": null})
	tenancy.sound(data.railgate.lib.workload) with input as fixture.with_set(fixture.container, {"/facts/caller": null})
}

test_a_dedicated_host_is_accepted if {
	tenancy.refusals == set() with input as fixture.tee
	tenancy.sound(data.railgate.lib.workload) with input as fixture.tee
}

test_baseline_without_placement_is_passed_over if {
	tenancy.refusals == set() with input as fixture.without(fixture.tee, "/request/placement")
	tenancy.sound(data.railgate.lib.workload) with input as fixture.without(fixture.tee, "/request/placement")
}

test_no_network_is_refused if {
	tenancy.refusals == {{"class": "policy_denied", "rule": "CTR-05", "code": "network_not_isolated", "pointer": "/workload/network", "params": {"missing": "network"}}} with input as fixture.without(fixture.container, "/request/workload/network")
	not tenancy.sound(data.railgate.lib.workload) with input as fixture.without(fixture.container, "/request/workload/network")
}

test_an_open_network_is_refused if {
	tenancy.refusals == {{"class": "policy_denied", "rule": "CTR-05", "code": "network_not_isolated", "pointer": "/workload/network/default_deny", "params": {"missing": "default_deny"}}, {"class": "policy_denied", "rule": "CTR-05", "code": "network_not_isolated", "pointer": "/workload/network/tenant_isolated", "params": {"missing": "tenant_isolated"}}, {"class": "policy_denied", "rule": "CTR-05", "code": "network_not_isolated", "pointer": "/workload/network/policy_id", "params": {"missing": "policy_id"}}} with input as fixture.with_set(fixture.container, {"/request/workload/network": {"default_deny": false}})
	not tenancy.sound(data.railgate.lib.workload) with input as fixture.with_set(fixture.container, {"/request/workload/network": {"default_deny": false}})
}

test_another_tenant_is_refused if {
	tenancy.refusals == {{"class": "policy_denied", "rule": "TEN-01", "code": "tenant_isolation_violated", "pointer": "/workload/tenant_id", "params": {"reason": "the caller is of another tenant"}}} with input as fixture.with_set(fixture.container, {"/facts/caller/tenant_id": "globex"})
	not tenancy.sound(data.railgate.lib.workload) with input as fixture.with_set(fixture.container, {"/facts/caller/tenant_id": "globex"})
}

test_a_shared_host_is_refused_where_isolation_is_required if {
	tenancy.refusals == {{"class": "policy_denied", "rule": "TEN-01", "code": "tenant_isolation_violated", "pointer": "/placement/tenants_on_host/1", "params": {"reason": "the host also runs globex"}}} with input as fixture.with_set(fixture.tee, {"/request/placement/tenancy": "shared", "/request/placement/tenants_on_host": ["acme", "globex"]})
	not tenancy.sound(data.railgate.lib.workload) with input as fixture.with_set(fixture.tee, {"/request/placement/tenancy": "shared", "/request/placement/tenants_on_host": ["acme", "globex"]})
}

test_a_host_of_unknown_tenants_is_refused_for_sovereign_tenants if {
	tenancy.refusals == {{"class": "policy_denied", "rule": "TEN-01", "code": "tenant_isolation_violated", "pointer": "/placement/tenancy", "params": {"reason": "the host is shared"}}} with input as fixture.with_set(fixture.container, {"/request/workload/tenant_tier": "sovereign", "/request/placement": {"tenancy": "shared"}})
	not tenancy.sound(data.railgate.lib.workload) with input as fixture.with_set(fixture.container, {"/request/workload/tenant_tier": "sovereign", "/request/placement": {"tenancy": "shared"}})
}

test_a_shared_network_is_refused_for_regulated_ml if {
	tenancy.refusals == {{"class": "policy_denied", "rule": "TEN-01", "code": "tenant_isolation_violated", "pointer": "/workload/network/tenant_isolated", "params": {"reason": "the network is shared"}}, {"class": "policy_denied", "rule": "CTR-05", "code": "network_not_isolated", "pointer": "/workload/network/tenant_isolated", "params": {"missing": "tenant_isolated"}}} with input as fixture.with_set(fixture.container, {"/request/workload/governance_profile": "regulated-ml", "/request/placement/tenancy": "dedicated", "/request/workload/network/tenant_isolated": false})
	not tenancy.sound(data.railgate.lib.workload) with input as fixture.with_set(fixture.container, {"/request/workload/governance_profile": "regulated-ml", "/request/placement/tenancy": "dedicated", "/request/workload/network/tenant_isolated": false})
}

test_no_placement_is_refused_above_baseline if {
	tenancy.refusals == {{"class": "policy_denied", "rule": "TEN-01", "code": "tenant_isolation_violated", "pointer": "/placement", "params": {"reason": "there is no placement"}}} with input as fixture.without(fixture.with_set(fixture.tee, {"/request/workload/governance_profile": "admissible"}), "/request/placement")
	not tenancy.sound(data.railgate.lib.workload) with input as fixture.without(fixture.with_set(fixture.tee, {"/request/workload/governance_profile": "admissible"}), "/request/placement")
}
