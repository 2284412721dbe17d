# Pods and pod templates: judged by the Pod Security Standards and, mapped to a workload, by the law of admission; each counts as its mode in the namespace says.

# METADATA
# title: Kubernetes
# description: |
#   The host gives the pod in its own shape and the workload that it stands for; the rules of admission judge the workload as
#   they judge any other. Refusals point into the manifest, as Kubernetes writes such places.
# scope: package
# schemas:
#   - input: schema.kubernetes
# custom:
#   source: "Kubernetes baseline controls (admission, policy, isolation)."
package railgate.kubernetes

import data.railgate.admission
import data.railgate.envelope
import data.railgate.exception
import data.railgate.kubernetes.pod_security
import data.railgate.lib

# METADATA
# title: The decision on a pod or a pod template
# description: |
#   Refused where any rule speaks against it in a mode that is on, allowed unless one of them is enforced. Each refusal says in
#   which modes it holds: deny, audit, warn.
# entrypoint: true
decision := object.union(
	{
		"outcome": outcome,
		"envelope": judged.envelope,
		"refusals": refusals,
		"obligations": obligations,
		"rail": judged.rail,
		"kubernetes": {"allowed": allowed, "exempt": exempt, "modes": modes, "unreadable_labels": sort(unreadable)},
	},
	excepted,
)

outcome := "accepted" if {
	count(refusals) == 0
} else := "refused"

allowed if not any_denied

default allowed := false

any_denied if {
	some refusal in refusals
	"deny" in refusal.modes
}

obligations := judged.obligations if {
	allowed
} else := []

# What the law of admission says, as far as it is asked.
judged := admission.decision if {
	law_asked
} else := {
	"envelope": admission.summary(envelope.required),
	"refusals": [],
	"obligations": [],
	"rail": {"least_level": admission.least_level},
}

law_asked if {
	exempt == null
	law_mode != "off"
}

# By rule, then place.
refusals := [refusal |
	some [_, _, refusal] in sort([[r.rule, r.pointer, r] | some r in found])
]

found contains with_modes(relocated, [law_mode]) if {
	some refusal in judged.refusals
	relocated := object.union(refusal, {"pointer": place(refusal.pointer), "params": relocated_params(refusal)})
}

found contains with_modes(annotation_unreadable(fault.at, {"fault": lib.text(fault.message)}), [law_mode]) if {
	law_asked
	some fault in input.kubernetes.faults
}

found contains with_modes(refusal, modes_of(refusal)) if {
	some refusal in ((enforced | audited) | warned)
	not lifted_by_any(refusal)
}

with_modes(refusal, names) := object.union(refusal, {"modes": names})

modes_of(refusal) := [name |
	some name in ["deny", "audit", "warn"]
	refusal in by_mode[name]
]

by_mode := {"deny": enforced, "audit": audited, "warn": warned}

enforced := set() if {
	exempt != null
} else := pod_security.found(enforce_level, minor(enforce_version))

audited := set() if {
	exempt != null
} else := enforced if {
	modes.pod_security.audit == modes.pod_security.enforce
} else := pod_security.found(audit_level, minor(audit_version))

warned := set() if {
	exempt != null
} else := enforced if {
	modes.pod_security.warn == modes.pod_security.enforce
} else := pod_security.found(warn_level, minor(warn_version))

# Where a place of the workload lies in the manifest: the host names those that it was mapped from, and what lies within them
# lies there too. What a pod cannot state is stated by an annotation.
place(pointer) := input.kubernetes.origins[pointer] if {
	is_string(input.kubernetes.origins[pointer])
} else := within(pointer, split(pointer, "/"))

# A message that names a place of the workload names that of the manifest.
relocated_params(refusal) := object.union(refusal.params, {"artifact": place(refusal.pointer)}) if {
	startswith(refusal.params.artifact, "/workload")
} else := refusal.params

within(pointer, parts) := input.kubernetes.origins[nearest] if {
	around := [[count(origin), origin] |
		some origin, _ in input.kubernetes.origins
		startswith(pointer, concat("", [origin, "/"]))
	]
	[_, nearest] := max(around)
} else := "metadata.namespace" if {
	pointer == "/workload/tenant_id"
} else := annotation(parts[2]) if {
	parts[1] == "workload"
	parts[2] != "envelope"
} else := annotation(parts[1]) if {
	parts[1] != "workload"
} else := input.kubernetes.pod.at

annotation(field) := concat("", [input.kubernetes.pod.metadata_at, ".annotations[railgate.dev/", field, "]"])

# METADATA
# title: An annotation of Railgate's can't be read
# description: "Every annotation and label that begins with railgate.dev/ is one that Railgate knows, and says what it may."
# custom:
#   rule: KUB-01
#   code: annotation_unreadable
#   class: policy_denied
#   short_name: annotations_readable
#   message: "{fault}."
#   solution: "Write it as docs/kubernetes.md lists it, or take it away."
annotation_unreadable(at, params) := lib.refuse(rego.metadata.rule(), at, params)

# Exceptions lift what pod security says as they lift rules of admission, which has its own lifted already.
lifted_by_any(refusal) if {
	some e in exception.in_force
	exception.lifts(e, refusal)
}

excepted := {"exceptions": lifted} if {
	count(lifted) > 0
} else := {}

lifted := [entry |
	some e in exception.in_force
	here := {refusal.rule | some refusal in ((enforced | audited) | warned); exception.lifts(e, refusal)}
	rules := sort(here | object.get(lifted_of_admission, e.digest, set()))
	count(rules) > 0
	entry := {
		"digest": e.digest,
		"issuer": e.issuer,
		"rules": rules,
		"reason": e.reason,
		"not_after_ms": e.not_after_ms,
	}
]

# By exception, what it lifted of the rules of admission.
lifted_of_admission := {entry.digest: {rule | some rule in entry.rules} | some entry in judged.exceptions}
