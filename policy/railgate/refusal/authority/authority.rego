# Who vouches for the workload: the authority binding, where required or given, and its delegation chain.
package railgate.refusal.authority

import data.railgate.lib
import data.railgate.settings

# Holds where no rule below refuses; first for the many requests that neither need nor give an authority.
sound(workload) if {
	input.facts.authority == null
	not input.request.authority
	not required(workload)
} else if {
	authority_given(workload)
	authority_valid(workload)
	delegation_valid(workload)
}

# METADATA
# title: No authority binding is given
# description: "Profiles and tenant tiers in `settings.authority` require an authority binding."
# custom:
#   rule: AUT-01
#   code: authority_missing
#   class: authority_missing_or_invalid
#   short_name: authority_given
#   message: "This workload needs an authority binding and none is given."
#   solution: "Give in `authority` a binding signed by a trusted issuer."
#   source: "Admission gate: policy/authority decision point that validates envelope declaration before execution."
authority_missing(location, params) := lib.refuse(rego.metadata.rule(), location, params)

refusals contains authority_missing("/authority", {}) if {
	not authority_given(lib.workload)
}

authority_given(workload) if {
	given
} else if {
	not required(workload)
}

required(workload) if requiring(workload, settings.authority)

requiring(workload, wanted) if {
	wanted.profiles[workload.governance_profile]
} else if {
	wanted.tenant_tiers[workload.tenant_tier]
}

given if {
	is_object(input.facts.authority)
} else if {
	input.request.authority
}

binding := input.facts.authority if {
	is_object(input.facts.authority)
} else := {}

# METADATA
# title: The authority binding is invalid
# description: "A binding that is given is verified, for this workload, with the scope to admit, within its validity window, and on authority material that is fresh."
# custom:
#   rule: AUT-02
#   code: authority_invalid
#   class: authority_missing_or_invalid
#   short_name: authority_valid
#   message: "The authority binding is not valid: {reason}."
#   solution: "Obtain a binding from a trusted issuer for this workload, with the scope in `settings.authority.scope`, that is valid now."
#   source: "Interface points with Policy/Authority and Interop APIs."
authority_invalid(location, params) := lib.refuse(rego.metadata.rule(), location, params)

refusals contains authority_invalid("/authority", params) if {
	not authority_valid(lib.workload)
	params := {"reason": concat(", ", sort(faults)), "authority_snapshot_id": lib.snapshot("authority")}
}

authority_valid(_) if {
	not given
} else if {
	count(faults) == 0
}

faults contains lib.error_of(binding) if not verified

faults contains "tenant" if {
	verified
	not binding.tenant_id == lib.workload.tenant_id
}

faults contains "subject" if {
	verified
	not subject_matches
}

faults contains "scope" if {
	verified
	not scope_admits
}

faults contains "window" if {
	verified
	not in_window(binding)
}

faults contains "stale" if not lib.fresh("authority")

verified if binding.status == "verified"

# A binding is for one workload, or for all of its tenant's.
subject_matches if binding.subject in [lib.workload.workload_id, "*"]

scope_admits if settings.authority.scope in binding.scope

in_window(link) if {
	is_number(link.valid_from_ms)
	is_number(link.valid_to_ms)
	link.valid_from_ms <= input.facts.now_ms
	link.valid_to_ms >= input.facts.now_ms
}

# METADATA
# title: The delegation chain is invalid
# description: "A delegation chain is verified, unbroken, no longer than `settings.authority.delegation_max`, within its windows, and never widens scope."
# custom:
#   rule: AUT-03
#   code: delegation_invalid
#   class: delegation_invalid
#   short_name: delegation_valid
#   message: "The delegation chain is not valid: {reason}."
#   solution: "Obtain a binding whose chain starts at a trusted root, links issuer to subject, stays within its length and only narrows scope."
#   source: "Interface points with Policy/Authority and Interop APIs."
delegation_invalid(location, params) := lib.refuse(rego.metadata.rule(), location, params)

refusals contains delegation_invalid("/authority", params) if {
	not delegation_valid(lib.workload)
	params := {"reason": concat(", ", sort(delegation_faults))}
}

delegation_valid(_) if {
	not given
} else if {
	count(delegation_faults) == 0
}

# A fact the host did not give is no error; the links themselves are judged below.
delegation_faults contains lib.text(binding.delegation_error) if binding.delegation_error != null

delegation_faults contains "length" if count(links) > settings.authority.delegation_max

delegation_faults contains lib.error_of(link) if {
	some link in links
	not link.status == "verified"
}

# A link that names no tenant is for all.
delegation_faults contains "tenant" if {
	some link in links
	not for_this_tenant(link)
}

for_this_tenant(link) if {
	link.tenant_id == null
} else if {
	link.tenant_id == lib.workload.tenant_id
}

delegation_faults contains "window" if {
	some link in links
	not in_window(link)
}

# The chain from its root, the binding itself last.
chain := array.concat(links, [binding])

links := binding.delegation if {
	is_array(binding.delegation)
} else := []

delegation_faults contains "issuer" if {
	verified
	some i, link in links
	not issued_by_subject(chain[i + 1], link)
}

delegation_faults contains "scope" if {
	verified
	some i, link in links
	not narrows(chain[i + 1], link)
}

issued_by_subject(next, link) if next.issuer == link.subject

narrows(next, link) if {
	is_array(next.scope)
	every scope in next.scope {
		scope in link.scope
	}
}
