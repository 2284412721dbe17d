# Which envelope the workload needs and why, and the least isolation rail that follows from it.

# METADATA
# scope: package
# schemas:
#   - input: schema.input
package railgate.envelope

import data.railgate.lib
import data.railgate.settings

# The fields that classify a workload, in the order decisions list them.
classifying := ["classification", "governance_profile", "risk", "tenant_tier"]

# Most workloads are of low or medium risk and nothing else asks for more than the default either. Told first, because
# such a request needs no list of what asks for what.
undemanding if {
	workload := lib.workload
	tables := settings.triggers
	tables.classification[workload.classification] == "container"
	tables.governance_profile[workload.governance_profile] == "container"
	tables.risk[workload.risk] == "container"
	tables.tenant_tier[workload.tenant_tier] == "container"
}

# Null where no kind is declared.
declared(workload) := lib.text(workload.envelope.kind) if {
	is_string(workload.envelope.kind)
} else := null

# Per classifying field, the envelope that its value asks for. A field is absent where its value is missing or unknown
# to the tables; such a field triggers nothing and is refused by ENV-04.
demands := {field: kind |
	some field in classifying
	kind := demand(field, lib.workload[field])
	rank(kind)
}

# A table's value is a kind, or kinds by classification, as for regulated-ml.
demand(field, value) := entry if {
	entry := settings.triggers[field][value]
	is_string(entry)
} else := entry[lib.workload.classification] if {
	entry := settings.triggers[field][value]
	entry[lib.workload.classification]
} else := settings.triggers[field][value].otherwise

rank(kind) := 1 if {
	kind == "container"
} else := 2 if {
	kind == "vm"
} else := 3 if {
	kind == "tee"
}

# An array in the fixed field order, not a set: WASM does not sort sets. Nothing is triggered where the default is required.
triggers(needed) := [] if {
	needed == "container"
} else := [trigger |
	some field in classifying
	kind := demands[field]
	kind != "container"
	trigger := {"trigger": field, "requires": kind, "because": lib.workload[field]}
]

required := "container" if {
	undemanding
} else := strongest([kind | some kind in demands])

strongest(kinds) := "tee" if {
	"tee" in kinds
} else := "vm" if {
	"vm" in kinds
} else := "container"

# The stronger of the required and the declared envelope decides. A live workload's level never falls, and where the one
# it holds is not known, nothing less than the strictest will do.
least_level(workload, needed) := level(workload, needed) if {
	not live(input.facts.workload)
} else := level(workload, needed) if {
	lib.level_rank(input.facts.workload.least_level) <= lib.level_rank(level(workload, needed))
} else := input.facts.workload.least_level if {
	lib.level_rank(input.facts.workload.least_level)
} else := "hardware_isolated"

level(workload, needed) := settings.rails[workload.envelope.kind] if {
	rank(workload.envelope.kind) > rank(needed)
} else := settings.rails[needed] if {
	needed != "container"
} else := settings.rails.container_sandboxed if {
	settings.container.sandboxing_runtimes[workload.envelope.container.runtime]
	workload.envelope.kind == "container"
} else := settings.rails.container

live(held) if {
	is_object(held)
	not held.state == "destroyed"
}
