# The admission decision: everything that any subject of the law, or any extension, refuses.

# METADATA
# scope: package
# schemas:
#   - input: schema.input
package railgate.admission

import data.railgate.envelope
import data.railgate.exception
import data.railgate.lib
import data.railgate.refusal

# METADATA
# title: Admission decision
# description: Whether the workload may run, in which envelope and on which isolation rail, and everything that speaks against it.
# entrypoint: true
decision := {
	"outcome": "accepted",
	"envelope": summary(envelope.required),
	"refusals": [],
	"obligations": obligations(envelope.declared(lib.workload), least_level),
	"rail": {"least_level": least_level},
} if {
	undisputed(lib.workload)
} else := object.union(judged, {"exceptions": lifted}) if {
	count(lifted) > 0
} else := judged

summary(needed) := {
	"declared": envelope.declared(lib.workload),
	"required": needed,
	"triggers": envelope.triggers(needed),
}

# WASM has no rule index and ends no rule early, so every rule that is looked at costs something. Most requests have
# nothing against them, so that is asked first: in functions, which cost little there, and of each subject that has a say
# about this kind. Only what is disputed is judged rule by rule. Tests hold each `sound` and its rules to agree.
undisputed(workload) if {
	refusal.declaration.sound(workload)
	refusal.tenancy.sound(workload)
	refusal.residency.sound(workload)
	refusal.authority.sound(workload)
	refusal.freshness.sound(workload)
	refusal.dependency.sound(workload)
	profile_sound(workload.envelope.kind, workload.envelope[workload.envelope.kind])
	not extended
}

profile_sound(kind, profile) if {
	kind == "container"
	refusal.container.sound(profile)
	refusal.supply.sound(kind, profile)
} else if {
	kind == "vm"
	refusal.vm.sound(profile)
	refusal.attestation.sound(kind)
	refusal.supply.sound(kind, profile)
} else if {
	kind == "tee"
	refusal.attestation.sound(kind)
	refusal.supply.sound(kind, profile)
}

extended if some _ in data.railgate.extensions[_].refusals

# The subjects that have a say about the declared kind.
asked := {"authority", "declaration", "dependency", "freshness", "residency", "supply", "tenancy"} | profiled

profiled := {"container"} if {
	lib.kind == "container"
} else := {"attestation", "vm"} if {
	lib.kind == "vm"
} else := {"attestation"} if {
	lib.kind == "tee"
} else := set()

# Everything that is refused, before exceptions.
found contains r if {
	some subject in asked
	some r in refusal[subject].refusals
}

found contains r if some r in data.railgate.extensions[_].refusals

# Should a subject not be sound and none of its rules say why, nothing is accepted, whatever exceptions lift.
reported := found if {
	count(found) > 0
	not silent
} else := found | {refusal.host.policy_error}

# `undisputed` could ask this set as well, were it not that rules cost more than functions: a third of an accepted decision.
silent if {
	some subject in unsound
	count(refusal[subject].refusals) == 0
}

# Of those asked.
unsound contains "authority" if not refusal.authority.sound(lib.workload)

unsound contains "declaration" if not refusal.declaration.sound(lib.workload)

unsound contains "dependency" if not refusal.dependency.sound(lib.workload)

unsound contains "freshness" if not refusal.freshness.sound(lib.workload)

unsound contains "residency" if not refusal.residency.sound(lib.workload)

unsound contains "tenancy" if not refusal.tenancy.sound(lib.workload)

unsound contains "supply" if not refusal.supply.sound(lib.kind, lib.declared)

unsound contains "container" if {
	profiled.container
	not refusal.container.sound(lib.declared)
}

unsound contains "vm" if {
	profiled.vm
	not refusal.vm.sound(lib.declared)
}

unsound contains "attestation" if {
	profiled.attestation
	not refusal.attestation.sound(lib.kind)
}

judged := {
	"outcome": outcome,
	"envelope": summary(envelope.required),
	"refusals": refusals,
	"obligations": [obligation | outcome == "accepted"; some obligation in obligations(lib.kind, least_level)],
	"rail": {"least_level": least_level},
}

outcome := "accepted" if {
	count(refusals) == 0
} else := "refused"

# By rule, then pointer.
refusals := [r |
	some [_, _, r] in sort([[member(r, "rule"), member(r, "pointer"), r] |
		some r in reported
		not is_lifted(r)
	])
]

# An extension's refusal counts whatever its shape.
member(r, name) := r[name] if {
	r[name]
} else := ""

is_lifted(r) if {
	not exception.safety(r)
	lifting[named(r)]
}

# Refusals can be many and rules are few, so exceptions are held against each rule and code that may be lifted at all.
liftable contains named(r) if {
	some r in reported
	not exception.safety(r)
}

named(r) := {"rule": member(r, "rule"), "code": member(r, "code")}

lifting contains what if {
	some e in exception.in_force
	some what in liftable
	exception.lifts(e, what)
}

lifted := [entry |
	some e in exception.in_force
	rules := sort({what.rule | some what in liftable; exception.lifts(e, what)} - {""})
	count(rules) > 0
	entry := {
		"digest": e.digest,
		"issuer": e.issuer,
		"rules": rules,
		"reason": e.reason,
		"not_after_ms": e.not_after_ms,
	}
]

least_level := envelope.least_level(lib.workload, envelope.required)

obligations(kind, level) := reattest(kind) if {
	not placed
} else := array.concat(reattest(kind), [{"obligation": "elevate", "mesh_id": mesh_id, "least_level": level} |
	some mesh_id in sort({placement.mesh_id |
		some placement in input.facts.placements
		not reaches(placement, level)
	})
])

placed if input.facts.placements != []

reaches(placement, level) if lib.level_rank(placement.level) >= lib.level_rank(level)

reattest(kind) := [{"obligation": "reattest", "by": input.facts.reattestation.by}] if {
	kind == "tee"
} else := []
