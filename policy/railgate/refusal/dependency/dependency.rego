# The dependencies an envelope cannot run without: declared, and available or substituted locally.
package railgate.refusal.dependency

import data.railgate.lib
import data.railgate.settings

# Holds where no rule below refuses.
sound(workload) if {
	dependencies_declared(workload)
	dependencies_available(workload)
}

# METADATA
# title: A critical dependency is not declared
# description: "Every kind of dependency in `settings.dependencies.critical` for the envelope is declared."
# custom:
#   rule: DEP-01
#   code: dependency_undeclared
#   class: evidence_precondition_failed
#   short_name: dependencies_declared
#   message: "The workload does not declare what a {kind} critically depends on: {missing}."
#   solution: "Declare a dependency of each missing kind in `dependencies`."
#   source: "Attestation MUST be captured where available; critical dependencies MUST be declared."
dependency_undeclared(location, params) := lib.refuse(rego.metadata.rule(), location, params)

refusals contains dependency_undeclared(location, params) if {
	not dependencies_declared(lib.workload)
	location := "/workload/dependencies"
	params := {"kind": lib.kind, "missing": concat(", ", missing)}
}

dependencies_declared(workload) if {
	not undeclared(workload)
}

undeclared(workload) if {
	some kind in settings.dependencies.critical[workload.envelope.kind]
	not declared(kind, workload)
}

missing := [kind |
	some kind in settings.dependencies.critical[lib.kind]
	not declared(kind, lib.workload)
]

declared(kind, workload) if {
	some dependency in workload.dependencies
	dependency.kind == kind
}

# METADATA
# title: A critical dependency is unavailable
# description: "A declared critical dependency is available, or another of its kind is available locally; while partitioned only local ones count."
# custom:
#   rule: DEP-02
#   code: dependency_unavailable
#   class: dependency_unavailable_fail_closed
#   short_name: dependencies_available
#   message: "The critical dependency {dependency} ({kind}) is unavailable here and has no local substitute."
#   solution: "Restore the dependency, or declare another of the same kind that is available and local."
#   source: "Attestation MUST be captured where available; critical dependencies MUST be declared."
dependency_unavailable(location, params) := lib.refuse(rego.metadata.rule(), location, params)

refusals contains dependency_unavailable(location, params) if {
	not dependencies_available(lib.workload)
	some i, dependency in lib.workload.dependencies
	not usable(dependency)
	dependency.kind in settings.dependencies.critical[lib.kind]
	not substituted[dependency.kind]
	location := lib.pointer([lib.at("/workload/dependencies", i), fault(dependency)])
	params := {"dependency": lib.shown(dependency, "dependency_id"), "kind": dependency.kind}
}

dependencies_available(workload) if not unavailable(workload)

unavailable(workload) if {
	some dependency in workload.dependencies
	not usable(dependency)
	dependency.kind in settings.dependencies.critical[workload.envelope.kind]
	not substituted[dependency.kind]
}

usable(dependency) if {
	dependency.available == true
	within_reach(dependency)
}

within_reach(dependency) if {
	dependency.local == true
} else if {
	lib.reachable(input.context.partition.state)
}

# The kinds of which one is at hand. What is available and local is usable itself, so it never substitutes itself.
substituted contains dependency.kind if {
	some dependency in lib.workload.dependencies
	dependency.available == true
	dependency.local == true
}

fault(dependency) := "local" if {
	dependency.available == true
} else := "available"
