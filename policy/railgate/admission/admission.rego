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
	"obligations": obligations(envelope.declared(lib.workload)),
	"rail": {"least_level": envelope.least_level(lib.workload, envelope.required)},
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

# Everything that is refused, before exceptions.
found contains r if some r in refusal.declaration.refusals

found contains r if some r in refusal.tenancy.refusals

found contains r if some r in refusal.residency.refusals

found contains r if some r in refusal.authority.refusals

found contains r if some r in refusal.freshness.refusals

found contains r if some r in refusal.dependency.refusals

found contains r if some r in refusal.supply.refusals

found contains r if {
	lib.kind == "container"
	some r in refusal.container.refusals
}

found contains r if {
	lib.kind == "vm"
	some r in refusal.vm.refusals
}

found contains r if {
	lib.kind in ["vm", "tee"]
	some r in refusal.attestation.refusals
}

found contains r if some r in data.railgate.extensions[_].refusals

# Should a subject not be sound and none of its rules say why, nothing is accepted, whatever exceptions lift.
reported := found if {
	count(found) > 0
	not silent
} else := found | {lib.dependency_unavailable_fail_closed("POL-03", "policy_error", "", {})}

silent if {
	not refusal.declaration.sound(lib.workload)
	count(refusal.declaration.refusals) == 0
}

silent if {
	not refusal.tenancy.sound(lib.workload)
	count(refusal.tenancy.refusals) == 0
}

silent if {
	not refusal.residency.sound(lib.workload)
	count(refusal.residency.refusals) == 0
}

silent if {
	not refusal.authority.sound(lib.workload)
	count(refusal.authority.refusals) == 0
}

silent if {
	not refusal.freshness.sound(lib.workload)
	count(refusal.freshness.refusals) == 0
}

silent if {
	not refusal.dependency.sound(lib.workload)
	count(refusal.dependency.refusals) == 0
}

silent if {
	not refusal.supply.sound(lib.kind, lib.declared)
	count(refusal.supply.refusals) == 0
}

silent if {
	lib.kind == "container"
	not refusal.container.sound(lib.declared)
	count(refusal.container.refusals) == 0
}

silent if {
	lib.kind == "vm"
	not refusal.vm.sound(lib.declared)
	count(refusal.vm.refusals) == 0
}

silent if {
	lib.kind in ["vm", "tee"]
	not refusal.attestation.sound(lib.kind)
	count(refusal.attestation.refusals) == 0
}

judged := {
	"outcome": outcome,
	"envelope": summary(envelope.required),
	"refusals": refusals,
	"obligations": [obligation | outcome == "accepted"; some obligation in obligations(lib.kind)],
	"rail": {"least_level": envelope.least_level(lib.workload, envelope.required)},
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
	some e in exception.in_force
	exception.lifts(e, r)
}

lifted := [entry |
	some e in exception.in_force
	rules := sort({r.rule | some r in reported; exception.lifts(e, r)})
	count(rules) > 0
	entry := {
		"digest": e.digest,
		"issuer": e.issuer,
		"rules": rules,
		"reason": e.reason,
		"not_after_ms": e.not_after_ms,
	}
]

obligations(kind) := [{"obligation": "reattest", "by": input.facts.reattestation.by}] if {
	kind == "tee"
} else := []
