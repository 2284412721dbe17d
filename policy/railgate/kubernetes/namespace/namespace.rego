# Namespaces: their labels choose what pods in them are judged by, so labels that nobody can read are refused before they count.

# METADATA
# title: Namespaces
# description: Judges the labels of a namespace that is made or changed.
# scope: package
# schemas:
#   - input: schema.namespace
# custom:
#   source: "Kubernetes baseline controls (admission, policy, isolation)."
package railgate.kubernetes.namespace

import data.railgate.kubernetes
import data.railgate.lib

# METADATA
# title: The decision on a namespace
# description: |
#   Refused are labels that can't be read; on a change only where the namespace did not have them already, so that one that was
#   let pass can still be changed.
# entrypoint: true
decision := {
	"outcome": outcome,
	"error_code": member(first, "code"),
	"class": member(first, "class"),
	"rule": member(first, "rule"),
	"pointer": member(first, "pointer"),
	"params": params,
	"modes": kubernetes.modes,
}

outcome := "accepted" if {
	count(found) == 0
} else := "refused"

found := [refusal | some [_, refusal] in sort([[r.pointer, r] | some r in refusals])]

first := found[0] if {
	count(found) > 0
} else := {}

member(refusal, name) := refusal[name] if {
	refusal[name]
} else := null

params := object.union(first.params, {"errors": [error |
	some refusal in found
	error := {"pointer": refusal.pointer, "message": refusal.params.fault}
]}) if {
	count(found) > 0
} else := {}

# METADATA
# title: A label of the namespace can't be read
# description: "The labels `pod-security.kubernetes.io/*` name levels and releases that there are, `railgate.dev/law` is deny, warn, audit or off, and annotations that begin with railgate.dev/ say what they may."
# custom:
#   rule: KUB-02
#   code: namespace_label_unreadable
#   class: policy_denied
#   http_status: 422
#   short_name: labels_readable
#   message: "{fault}."
#   solution: "Give the label one of the values it may have, or take it away."
namespace_label_unreadable(at, params) := lib.refuse(rego.metadata.rule(), at, params)

refusals contains namespace_label_unreadable(label_at(name), {"fault": fault}) if {
	some short in kubernetes.unreadable
	name := concat("/", ["pod-security.kubernetes.io", short])
	changed(name)
	fault := concat(" ", [name, "must be", wanted(short)])
}

refusals contains namespace_label_unreadable(label_at("railgate.dev/law"), {"fault": fault}) if {
	is_string(kubernetes.law_label)
	not kubernetes.law_modes[kubernetes.law_label]
	changed("railgate.dev/law")
	fault := "railgate.dev/law must be deny, warn, audit or off"
}

refusals contains namespace_label_unreadable(fault.at, {"fault": lib.text(fault.message)}) if {
	some fault in input.kubernetes.faults
}

wanted(short) := "latest or v1.<number>" if {
	endswith(short, "-version")
} else := "privileged, baseline or restricted"

label_at(name) := concat("", ["metadata.labels[", name, "]"])

changed(name) if not input.kubernetes.before[name] == input.kubernetes.namespace.labels[name]
