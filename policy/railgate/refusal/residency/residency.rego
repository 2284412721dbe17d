# Where a workload may run and where its data may be.
package railgate.refusal.residency

import data.railgate.lib
import data.railgate.settings

# Holds where no rule below refuses.
sound(workload) if {
	jurisdiction_allowed(workload)
	residency_kept(workload)
}

# METADATA
# title: The placement is outside the allowed jurisdictions
# description: "The placement lies within the workload's `jurisdictions` and its tenant's, where either sets a limit."
# custom:
#   rule: JUR-01
#   code: jurisdiction_denied
#   class: jurisdiction_denied
#   short_name: jurisdiction_allowed
#   message: "A placement in {jurisdiction} is outside what the {limited_by} allows."
#   solution: "Place the workload in an allowed jurisdiction."
#   source: "Envelopes MUST honor jurisdiction/residency constraints and tenant isolation."
jurisdiction_denied(location, params) := lib.refuse(rego.metadata.rule(), location, params)

refusals contains jurisdiction_denied(location, params) if {
	not jurisdiction_allowed(lib.workload)
	location := placement_fault
	params := {
		"jurisdiction": lib.shown(placement, "jurisdiction"),
		"limited_by": concat(" and the ", sort(exceeded)),
	}
}

jurisdiction_allowed(workload) if {
	within_workload_limit(workload)
	within_tenant_limit(workload)
} else if {
	passed_over(workload)
}

# Baseline needs no placement.
passed_over(workload) if {
	workload.governance_profile == "baseline"
	not lib.placement_given
}

within_workload_limit(workload) if {
	within(input.request.placement, workload.jurisdictions)
} else if {
	not lib.has(workload, "jurisdictions")
}

within_tenant_limit(workload) if {
	not limited(workload)
} else if {
	within(input.request.placement, settings.tenants[workload.tenant_id].jurisdictions)
}

limited(workload) if _ = settings.tenants[workload.tenant_id].jurisdictions

exceeded contains "workload" if not within_workload_limit(lib.workload)

exceeded contains "tenant" if not within_tenant_limit(lib.workload)

placement := input.request.placement if {
	is_object(input.request.placement)
} else := {}

placement_fault := "/placement/jurisdiction" if {
	lib.placement_given
} else := "/placement"

# METADATA
# title: Data residency would be broken
# description: "The placement and every dependency that is not local lie within `residency`; a profile outside `settings.jurisdiction.residency_optional` declares one."
# custom:
#   rule: JUR-02
#   code: residency_violated
#   class: jurisdiction_denied
#   short_name: residency_kept
#   message: "The residency of the workload's data is not declared, or would be broken by {place}."
#   solution: "Declare `residency`, place the workload within it and use only dependencies that are local or within it."
#   source: "Envelopes MUST honor jurisdiction/residency constraints and tenant isolation."
residency_violated(location, params) := lib.refuse(rego.metadata.rule(), location, params)

refusals contains residency_violated(location, params) if {
	not residency_kept(lib.workload)
	some location, place in residency_faults
	params := {"place": place}
}

# Whether all is well, told first as it is for most requests.
residency_kept(workload) if {
	placed_within(workload)
	not spread(workload)
} else if {
	not lib.has(workload, "residency")
	residency_optional(workload)
}

placed_within(workload) if {
	within(input.request.placement, workload.residency)
} else if {
	passed_over(workload)
}

# Holds where a dependency would carry data out of the residency.
spread(workload) if {
	some dependency in workload.dependencies
	strays(dependency, workload.residency)
}

strays(dependency, residency) if {
	not dependency.local == true
	not within(dependency, residency)
}

residency_faults["/workload/residency"] := "any placement" if {
	not lib.has(lib.workload, "residency")
	not residency_optional(lib.workload)
}

residency_faults[placement_fault] := place_named("the placement", placement) if {
	lib.has(lib.workload, "residency")
	not placed_within(lib.workload)
}

residency_faults[location] := place_named(lib.shown(dependency, "dependency_id"), dependency) if {
	residency := lib.workload.residency
	some i, dependency in lib.workload.dependencies
	strays(dependency, residency)
	location := lib.pointer([lib.at("/workload/dependencies", i), "jurisdiction"])
}

place_named(subject, place) := concat(" in ", [subject, lib.shown(place, "jurisdiction")])

residency_optional(workload) if {
	settings.jurisdiction.residency_optional[workload.governance_profile]
} else if {
	not lib.profile_known
}

# Holds where the jurisdiction of `place` is one of `areas` or lies in one that data expands (EU, EEA).
within(place, areas) if {
	place.jurisdiction in areas
} else if {
	some area, members in settings.jurisdiction.areas
	members[place.jurisdiction]
	area in areas
}
