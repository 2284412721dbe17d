# What the mesh law reads: the shape of the slice that the host gives.
package railgate.mesh

# A slice that is not exactly of this shape is refused before any rule reads it, because Rego
# orders values of different types and an absent fact would make a check pass in silence.

# METADATA
# title: Readable number
# description: |
#   From 0 to 2^53 - 1. Nothing but a number lies between two numbers: null and booleans come before them in Rego's
#   order, strings and collections after.
is_count(value) if {
	value >= 0
	value <= 9007199254740991
}

# METADATA
# title: Readable integer
# description: A readable number without fraction.
is_integer(value) if {
	is_count(value)
	floor(value) == value
}

# METADATA
# title: Readable level
# description: One of the four levels.
is_level(value) if rank[value] >= 0

# METADATA
# title: Readable identifier
# description: A string that is not empty.
is_id(value) if {
	is_string(value)
	value != ""
}

# METADATA
# title: Readable elevation policy
# description: Every member is there and of its type.
is_policy(value) if {
	is_boolean(value.elevation_allowed)
	is_level(value.max_target_level)
	is_boolean(value.preserve_latency_budget)
	is_count(value.latency_budget_us)
}

# METADATA
# title: Readable rail
# description: The rail that the command names, or null where the mesh has no such rail.
is_rail_fact(value, _) if value == null

is_rail_fact(value, rail_id) if {
	value.rail_id == rail_id
	is_level(value.level)
	is_count(value.latency_overhead_us)
	is_count(value.capacity)
	is_count(value.active_count)
}

# METADATA
# title: Readable placement
# description: Where the workload that the command names is placed, or null where it is not.
is_placement_fact(value, _) if value == null

is_placement_fact(value, workload_id) if {
	value.workload_id == workload_id
	is_id(value.rail_id)
	is_level(value.level)
	is_policy(value.policy)
}

# METADATA
# title: Readable level fact
# description: A level, or null where there is none.
is_level_fact(value) if value == null

is_level_fact(value) if is_level(value)

# METADATA
# title: Readable admission
# description: What the workload's admission says of it, or null where it was never admitted.
is_admission_fact(value) if value == null

is_admission_fact(value) if {
	is_level(value.least_level)
	is_boolean(value.crp)
	is_id(value.governance_profile)
}
