# What the mesh law reads: the shape of the slice that the host gives.
package railgate.mesh

import data.railgate.lib

# A slice that is not exactly of this shape is refused before any rule reads it, because Rego orders values of different
# types and an absent fact would make a check pass in silence.

# From 0 to 2^53 - 1. Nothing but a number lies between two numbers: null and booleans come before them in Rego's order,
# strings and collections after.
is_count(value) if {
	value >= 0
	value <= 9007199254740991
}

is_integer(value) if {
	is_count(value)
	floor(value) == value
}

is_level(value) if lib.level_rank(value)

is_id(value) if {
	is_string(value)
	value != ""
}

is_policy(value) if {
	is_boolean(value.elevation_allowed)
	is_level(value.max_target_level)
	is_boolean(value.preserve_latency_budget)
	is_count(value.latency_budget_us)
}

# The rail that the command names; null where the mesh has no such rail.
is_rail_fact(value, _) if value == null

is_rail_fact(value, rail_id) if {
	value.rail_id == rail_id
	is_level(value.level)
	is_count(value.latency_overhead_us)
	is_count(value.capacity)
	is_count(value.active_count)
}

# Where the workload that the command names is placed; null where it is not.
is_placement_fact(value, _) if value == null

is_placement_fact(value, workload_id) if {
	value.workload_id == workload_id
	is_id(value.rail_id)
	is_level(value.level)
	is_policy(value.policy)
}

# Null where there is none.
is_level_fact(value) if value == null

is_level_fact(value) if is_level(value)

# What the workload's admission says of it; null where it was never admitted.
is_admission_fact(value) if value == null

is_admission_fact(value) if {
	is_level(value.least_level)
	is_boolean(value.crp)
	is_id(value.governance_profile)
}

# The smallest budget preserved on a rail; null where none is.
is_budget_fact(value) if value == null

is_budget_fact(value) if is_count(value)
