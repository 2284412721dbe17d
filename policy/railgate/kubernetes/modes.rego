# Which modes hold in a namespace: of pod security by the labels that Kubernetes has for it, of Railgate's own law by `railgate.dev/law`; and who is exempt.
package railgate.kubernetes

import data.railgate.settings

# The newest release whose standards are known. A later one is judged as this one is, as Kubernetes does.
newest := 37

labels := input.kubernetes.namespace.labels if {
	is_object(input.kubernetes.namespace.labels)
} else := {}

# What the operator says of namespaces of this name; the host finds the entry that fits it best.
namespace_settings := settings.kubernetes.namespaces[input.kubernetes.namespace.pattern] if {
	is_object(settings.kubernetes.namespaces[input.kubernetes.namespace.pattern])
} else := {}

# What holds where a namespace has no label.
defaults := object.union(settings.kubernetes.pod_security, namespace_settings.pod_security) if {
	is_object(namespace_settings.pod_security)
} else := settings.kubernetes.pod_security if {
	is_object(settings.kubernetes.pod_security)
} else := {}

# Those of pod security, by what stands behind the prefix.
pod_security_labels := {name: labels[key] |
	some name, key in {
		"enforce": "pod-security.kubernetes.io/enforce",
		"enforce-version": "pod-security.kubernetes.io/enforce-version",
		"audit": "pod-security.kubernetes.io/audit",
		"audit-version": "pod-security.kubernetes.io/audit-version",
		"warn": "pod-security.kubernetes.io/warn",
		"warn-version": "pod-security.kubernetes.io/warn-version",
	}
}

label(name) := pod_security_labels[name]

strictness := {"privileged": 0, "baseline": 1, "restricted": 2}

# A level that cannot be read is the strictest where it is enforced, and none where it is only told of.
enforce_level := chosen_level("enforce", "restricted")

audit_level := chosen_level("audit", "privileged")

# What is enforced is warned of before it is, unless the label says otherwise.
warn_level := enforce_level if {
	follows_enforce
} else := chosen_level("warn", "privileged")

follows_enforce if {
	not labelled("warn")
	strictness[label("enforce")] > strictness[chosen_level("warn", "privileged")]
}

chosen_level(mode, unreadable) := level(label(mode), unreadable) if {
	labelled(mode)
} else := level(object.get(defaults, mode, ""), "restricted")

level(text, unreadable) := text if {
	strictness[text] >= 0
} else := unreadable

labelled(name) if is_string(label(name))

version_text(mode) := readable_version(label(concat("-", [mode, "version"]))) if {
	labelled(concat("-", [mode, "version"]))
} else := readable_version(object.get(defaults, concat("_", [mode, "version"]), ""))

enforce_version := version_text("enforce")

audit_version := version_text("audit")

warn_version := enforce_version if {
	follows_enforce
	not labelled("warn-version")
} else := version_text("warn")

readable_version(text) := text if {
	is_version(text)
} else := "latest"

is_version("latest") := true

# `v1.` and a number without leading zeros.
is_version(text) if {
	startswith(text, "v1.")
	digits := substring(text, 3, -1)
	digits != ""
	trim(digits, "0123456789") == ""
	count(digits) <= 15
	not leading_zero(digits)
}

leading_zero(digits) if {
	startswith(digits, "0")
	digits != "0"
}

# As a number that releases are compared by.
minor(text) := newest if {
	text == "latest"
} else := min([newest, to_number(substring(text, 3, -1))])

shown(level, version) := concat(":", [level, version])

modes := {
	"pod_security": {
		"enforce": shown(enforce_level, enforce_version),
		"audit": shown(audit_level, audit_version),
		"warn": shown(warn_level, warn_version),
	},
	"law": law_mode,
}

law_modes := {"deny": true, "warn": true, "audit": true, "off": true}

# A label that cannot be read wanted something, so the strictest holds.
law_mode := law_label if {
	law_modes[law_label]
} else := "deny" if {
	is_string(law_label)
} else := namespace_settings.law if {
	law_modes[namespace_settings.law]
} else := settings.kubernetes.law if {
	law_modes[settings.kubernetes.law]
	not namespace_settings.law
} else := "deny"

law_label := labels["railgate.dev/law"]

# Labels that say what nobody can read.
unreadable contains name if {
	some name in ["enforce", "audit", "warn"]
	labelled(name)
	not strictness[label(name)]
}

unreadable contains name if {
	some name in ["enforce-version", "audit-version", "warn-version"]
	labelled(name)
	not is_version(label(name))
}

# Whoever is exempt is judged by neither law. Null where nobody is.
exempt := "namespace" if {
	settings.kubernetes.exemptions.namespaces[input.kubernetes.namespace.name] == true
} else := "user" if {
	settings.kubernetes.exemptions.usernames[input.kubernetes.review.user] == true
} else := "runtimeClass" if {
	settings.kubernetes.exemptions.runtime_classes[input.kubernetes.pod.runtime_class] == true
} else := null
