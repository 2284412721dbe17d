# Tenants kept apart: on the network always, on the host where isolation is required, and at the door.
package railgate.refusal.tenancy

import data.railgate.lib
import data.railgate.settings

# Holds where no rule below refuses.
sound(workload) if {
	network_isolated(workload)
	tenants_isolated(workload)
}

# METADATA
# title: The network is not isolated
# description: "Whatever the envelope, a network policy is named, denies by default and isolates tenants."
# custom:
#   rule: CTR-05
#   code: network_not_isolated
#   class: policy_denied
#   short_name: network_isolated
#   message: "The workload's network is not under a default-deny policy that isolates tenants: {missing}."
#   solution: "Name a network policy in `network.policy_id` and set `default_deny` and `tenant_isolated` to true."
#   source: "Network/policy enforcement aligned with tenant isolation."
network_not_isolated(location, params) := lib.refuse(rego.metadata.rule(), location, params)

refusals contains network_not_isolated(location, {"missing": fault}) if {
	not network_isolated(lib.workload)
	some location, fault in network_faults
}

network_isolated(workload) if {
	network := workload.network
	network.default_deny == true
	network.tenant_isolated == true
	network.policy_id != ""
	is_string(network.policy_id)
}

network_faults["/workload/network"] := "network" if not network_given

network_faults[location] := flag if {
	network_given
	some flag in ["default_deny", "tenant_isolated"]
	not lib.workload.network[flag] == true
	location := lib.pointer(["/workload/network", flag])
}

network_faults["/workload/network/policy_id"] := "policy_id" if {
	network_given
	not policy_named
}

network_given if is_object(lib.workload.network)

policy_named if {
	lib.workload.network.policy_id != ""
	is_string(lib.workload.network.policy_id)
}

# METADATA
# title: Tenants are not isolated
# description: "The caller acts for its own tenant; where isolation is required, neither the host nor the network is shared with another tenant."
# custom:
#   rule: TEN-01
#   code: tenant_isolation_violated
#   class: policy_denied
#   short_name: tenants_isolated
#   message: "The workload would not be isolated from other tenants: {reason}."
#   solution: "Act as the workload's own tenant; where isolation is required, use a dedicated host or one with only this tenant's workloads, and an isolated network."
#   source: "Envelopes MUST honor jurisdiction/residency constraints and tenant isolation."
tenant_isolation_violated(location, params) := lib.refuse(rego.metadata.rule(), location, params)

refusals contains tenant_isolation_violated(location, {"reason": reason}) if {
	not tenants_isolated(lib.workload)
	some location, reason in isolation_faults
}

tenants_isolated(workload) if {
	caller_entitled(workload)
	not isolation_required(workload)
} else if {
	caller_entitled(workload)
	count(shared) == 0
}

isolation_faults["/workload/tenant_id"] := "the caller is of another tenant" if not caller_entitled(lib.workload)

isolation_faults[location] := reason if {
	isolation_required(lib.workload)
	some location, reason in shared
}

# A null caller is the embedded library or an unauthenticated loopback: the tenant is the request's own.
caller_entitled(workload) if {
	is_string(workload.tenant_id)
	input.facts.caller == null
} else if {
	input.facts.caller.tenant_id == workload.tenant_id
}

isolation_required(workload) if isolating(workload, settings.isolation)

isolating(workload, wanted) if {
	wanted.tenant_tiers[workload.tenant_tier]
} else if {
	wanted.envelopes[workload.envelope.kind]
} else if {
	wanted.profiles[workload.governance_profile]
}

shared["/placement"] := "there is no placement" if {
	not lib.placement_given
	not lib.profile == "baseline"
}

shared["/placement/tenancy"] := "the host is shared" if {
	lib.placement_given
	not input.request.placement.tenancy == "dedicated"
	not tenants_listed
}

shared[location] := concat(" ", ["the host also runs", lib.text(tenant)]) if {
	some i, tenant in input.request.placement.tenants_on_host
	tenant != lib.workload.tenant_id
	location := lib.at("/placement/tenants_on_host", i)
}

shared["/workload/network/tenant_isolated"] := "the network is shared" if not lib.workload.network.tenant_isolated == true

tenants_listed if is_array(input.request.placement.tenants_on_host)
