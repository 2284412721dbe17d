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
	"envelope": {"declared": lib.kind, "required": envelope.required, "triggers": envelope.triggers(envelope.required)},
	"refusals": [],
	"obligations": obligations(lib.kind),
	"rail": {"least_level": envelope.least_level(lib.kind, envelope.required)},
} if {
	found == set()
} else := object.union(judged, {"exceptions": lifted}) if {
	count(lifted) > 0
} else := judged

# WASM has no rule index and ends no rule early. So a subject is asked first whether all is `sound`, in functions that cost
# little, and evaluated rule by rule only where it is not; and a subject that concerns some envelope kinds only is asked
# only for those. A test holds each guard and its rules to agree.
found contains r if {
	not refusal.declaration.sound(lib.workload)
	some r in reported(refusal.declaration.refusals)
}

found contains r if {
	not refusal.tenancy.sound(lib.workload)
	some r in reported(refusal.tenancy.refusals)
}

found contains r if {
	not refusal.residency.sound(lib.workload)
	some r in reported(refusal.residency.refusals)
}

found contains r if {
	not refusal.authority.sound(lib.workload)
	some r in reported(refusal.authority.refusals)
}

found contains r if {
	not refusal.freshness.sound(lib.workload)
	some r in reported(refusal.freshness.refusals)
}

found contains r if {
	not refusal.dependency.sound(lib.workload)
	some r in reported(refusal.dependency.refusals)
}

found contains r if {
	not refusal.supply.sound(lib.declared)
	some r in reported(refusal.supply.refusals)
}

found contains r if some r in of_kind(lib.kind)

of_kind(kind) := reported(refusal.container.refusals) if {
	kind == "container"
	not refusal.container.sound(lib.declared)
} else := vm_refusals | attestation_refusals if {
	kind == "vm"
} else := attestation_refusals if {
	kind == "tee"
}

vm_refusals := set() if {
	refusal.vm.sound(lib.declared)
} else := reported(refusal.vm.refusals)

attestation_refusals := set() if {
	refusal.attestation.sound(lib.kind)
} else := reported(refusal.attestation.refusals)

# Should guard and rules disagree all the same, nothing is accepted.
reported(refusals) := refusals if {
	count(refusals) > 0
} else := {lib.dependency_unavailable_fail_closed("POL-03", "policy_error", "", {})}

found contains r if some r in data.railgate.extensions[_].refusals

judged := {
	"outcome": outcome,
	"envelope": {"declared": lib.kind, "required": envelope.required, "triggers": envelope.triggers(envelope.required)},
	"refusals": refusals,
	"obligations": [obligation | outcome == "accepted"; some obligation in obligations(lib.kind)],
	"rail": {"least_level": envelope.least_level(lib.kind, envelope.required)},
}

outcome := "accepted" if {
	count(refusals) == 0
} else := "refused"

# By rule, then pointer.
refusals := [r |
	some [_, _, r] in sort([[member(r, "rule"), member(r, "pointer"), r] |
		some r in found
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
	rules := sort({r.rule | some r in found; exception.lifts(e, r)})
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
