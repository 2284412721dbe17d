# What every workload declares before anything else can be judged: its envelope and the fields that classify it.
package railgate.refusal.declaration

import data.railgate.envelope
import data.railgate.lib

# Holds where no rule below refuses.
sound(workload) if {
	envelope_declared(workload)
	envelope_known(workload)
	envelope_sufficient(workload)
	workload_classified(workload)
}

# METADATA
# title: No execution envelope is declared
# description: "Every workload declares an envelope and its kind."
# custom:
#   rule: ENV-01
#   code: envelope_undeclared
#   class: policy_denied
#   short_name: envelope_declared
#   message: "The workload declares no execution envelope."
#   solution: "Declare `envelope.kind` as container, vm or tee, with the object of that name."
#   source: "Workloads MUST declare an execution envelope (container, VM, or other profile)."
envelope_undeclared(location, params) := lib.refuse(rego.metadata.rule(), location, params)

refusals contains envelope_undeclared(envelope_missing, {}) if {
	not envelope_declared(lib.workload)
}

envelope_declared(workload) if is_string(workload.envelope.kind)

envelope_missing := "/workload/envelope/kind" if {
	is_object(lib.workload.envelope)
} else := "/workload/envelope"

# METADATA
# title: The envelope kind is unknown
# description: "The kind is one that the policy has a profile for."
# custom:
#   rule: ENV-02
#   code: envelope_unknown
#   class: policy_denied
#   short_name: envelope_known
#   message: "The envelope kind {declared} is not one this policy knows."
#   solution: "Declare one of container, vm, tee."
#   source: "Admission MUST validate envelope declaration against policy; refusals are first-class and evidenced."
envelope_unknown(location, params) := lib.refuse(rego.metadata.rule(), location, params)

refusals contains envelope_unknown("/workload/envelope/kind", {"declared": kind}) if {
	not envelope_known(lib.workload)
	kind := lib.text(lib.kind)
}

# An undeclared kind is ENV-01's.
envelope_known(workload) if {
	envelope.rank(workload.envelope.kind)
} else if {
	not envelope_declared(workload)
}

# METADATA
# title: The declared envelope is weaker than the required one
# description: "The required envelope is the strongest that a classifying field asks for."
# custom:
#   rule: ENV-03
#   code: envelope_insufficient
#   class: policy_denied
#   short_name: envelope_sufficient
#   message: "The declared envelope {declared} is weaker than {required}, which this workload requires."
#   solution: "Run the workload in the required envelope or a stronger one; `envelope.triggers` names what asks for it."
#   source: "VM or TEE profile is REQUIRED when policy mandates stronger isolation (classification, regulated-ML, NCP, tenant tier)."
envelope_insufficient(location, params) := lib.refuse(rego.metadata.rule(), location, params)

refusals contains envelope_insufficient("/workload/envelope/kind", params) if {
	not envelope_sufficient(lib.workload)
	params := {"declared": lib.kind, "required": envelope.required}
}

# A kind that is undeclared or unknown has no strength to compare; ENV-01 and ENV-02 refuse it.
envelope_sufficient(workload) if {
	workload.envelope.kind == envelope.required
} else if {
	envelope.rank(workload.envelope.kind) >= envelope.rank(envelope.required)
} else if {
	not envelope.rank(workload.envelope.kind)
} else if {
	not envelope_declared(workload)
}

# METADATA
# title: A classifying field is missing or unknown
# description: "`classification`, `governance_profile`, `risk` and `tenant_tier` each have a value that the trigger tables know."
# custom:
#   rule: ENV-04
#   code: workload_unclassified
#   class: policy_denied
#   short_name: workload_classified
#   message: "The workload's {field} is missing or has a value that the policy does not know: {value}."
#   solution: "Give the field one of the values in `settings.triggers`; nothing is taken to be low risk by default."
#   source: "Policy MUST explicitly define triggers for VM/TEE selection and refusal criteria."
workload_unclassified(location, params) := lib.refuse(rego.metadata.rule(), location, params)

refusals contains workload_unclassified(lib.pointer(["/workload", field]), params) if {
	not workload_classified(lib.workload)
	some field in envelope.classifying
	not envelope.demands[field]
	params := {"field": field, "value": lib.shown(lib.workload, field)}
}

workload_classified(_) if {
	envelope.undemanding
} else if {
	count(envelope.demands) == count(envelope.classifying)
}
