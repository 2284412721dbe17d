# What every subject of the law shares: the parts of the request they read, and the shape of a refusal.

# METADATA
# scope: package
# schemas:
#   - input: schema.input
package railgate.lib

# Written for WASM, where a lookup costs a hash of its key, a rule without arguments is remembered at the price of a few
# lookups, and a function costs next to nothing: what many rules read is a rule here, what one rule reads is a function.

# An absent or misshapen object is an empty one: each rule that reads it then finds its own fact missing and refuses.
workload := input.request.workload if {
	is_object(input.request.workload)
} else := {}

# Null where no kind is declared.
kind := workload.envelope.kind if {
	is_string(workload.envelope.kind)
} else := null

# What is declared under the kind's name.
declared := workload.envelope[kind] if {
	is_object(workload.envelope[kind])
} else := {}

profile := workload.governance_profile

attestation := input.facts.attestation if {
	is_object(input.facts.attestation)
} else := {}

# Tells an absent member from one that is false.
has(parent, member) if _ = parent[member]

placement_given if has(input.request, "placement")

# Rules that follow from a profile leave an unknown one to ENV-04, which refuses it and is never lifted.
profile_known if data.railgate.settings.triggers.governance_profile[profile]

attestation_given if attestation != {}

attestation_given if input.request.attestation

# Grace is given only to a node known to be partitioned; what depends on upstream is allowed only where it is known to
# be reachable. An absent or unknown state gets neither.
partitioned if input.context.partition.state == "partitioned"

reachable("connected") := true

reachable("reconciled") := true

reachable("degraded") := true

# `about` is "policy" or "authority".
context(about) := input.context[about] if {
	is_object(input.context[about])
} else := {}

# Refusals name the cached snapshots they were decided on.
snapshot(about) := shown(context(about), "snapshot_id")

error_of(fact) := fact.error if {
	is_string(fact.error)
} else := "not verified"

# No age means no remote source, so nothing that could go stale.
fresh(about) if {
	input.context[about].age_s == null
} else if {
	within_limit(input.context[about].age_s, data.railgate.settings.freshness[about][profile])
} else if {
	not profile_known
}

within_limit(age_s, limits) if {
	age_s >= 0
	age_s <= limits.limit_s
} else if {
	partitioned
	age_s >= 0
	age_s <= limits.limit_s + limits.grace_s
}

# Holds where text says something: a justification or a reason of blanks is none.
stated(text) if trim_space(text) != ""

# What a message can show of a member that may be absent.
shown(parent, member) := text(parent[member]) if {
	parent[member] != null
} else := "none"

# Text for a message, of which nobody reads a megabyte. What is no text is shown by its type alone: evaluators write other values in different ways.
text(value) := value if {
	is_string(value)
	count(value) <= 256
} else := concat("", [substring(value, 0, 256), "…"]) if {
	is_string(value)
} else := type_name(value)

pointer(parts) := concat("/", parts)

at(list, index) := concat("/", [list, format_int(index, 10)]) if {
	is_number(index)
} else := concat("/", [list, text(index)])

# Isolation levels, from the weakest to the strictest.
level_rank("shared") := 1

level_rank("process_isolated") := 2

level_rank("sandbox_isolated") := 3

level_rank("hardware_isolated") := 4

# A refusal takes what it is from the METADATA of its rule, the only place where that is written: give
# `rego.metadata.rule()`, in a function that makes the refusal and nothing else, since the compiler builds METADATA before all
# that stands in the body, thus in a rule whether or not it refuses. What is not written there is not left out, since then nothing would be refused: the host
# recognises no such class, and refuses with POL-03.
refuse(metadata, location, params) := {
	"class": said(metadata, "class"),
	"rule": said(metadata, "rule"),
	"code": said(metadata, "code"),
	"pointer": location,
	"params": params,
}

said(metadata, name) := metadata.custom[name] if {
	is_string(metadata.custom[name])
} else := "undeclared"
