# The transitions of an execution envelope: create, start, stop, destroy.
package railgate.lifecycle

import data.railgate.refusal.freshness
import data.railgate.settings

# METADATA
# title: The states of a workload
# description: For each transition, the states that it may start from and the state that it then leads to.
transitions := {
	"create": {"admitted": "created"},
	"start": {"created": "running", "stopped": "running"},
	"stop": {"running": "stopped"},
	"destroy": {"admitted": "destroyed", "created": "destroyed", "running": "destroyed", "stopped": "destroyed"},
}

# METADATA
# title: The transitions that give a workload more
# description: Only these can be withheld; stopping and destroying is always possible.
is_advance(transition) if transition in {"create", "start"}

# METADATA
# title: The decision on a transition
# description: The first check that fails gives the code. Undefined, thus refused, where the facts can't be read.
transition_decision(request, facts) := transition_checked(request, facts) if {
	readable(request, facts)
	is_string(request.transition)
}

# METADATA
# title: The checks of a transition, in order
# description: Each is undefined where it holds nothing against the transition.
transition_checked(request, facts) := refused(refusal, null) if refusal := workload_unknown(request, facts.workload)

else := refused(refusal, null) if refusal := transition_invalid(request, facts.workload)

else := refused(refusal, null) if refusal := admission_expired(request, facts)

else := refused(refusal, null) if refusal := start_attestation_failed(request, facts.workload)

else := refused(refusal, null) if refusal := start_attestation_stale(request, facts)

else := refused(refusal, null) if refusal := upstream_refusal(request, facts.workload)

else := accepted(transitions[request.transition][facts.workload.state], null, [])

# METADATA
# title: The workload is unknown
# description: Only an admitted workload has a life.
# custom:
#   rule: LIFE-01
#   code: workload_unknown
#   class: policy_denied
#   short_name: workload_known
#   message: Workload {workload_id} was never admitted here.
#   solution: Have the workload admitted first, by this tenant and on this node.
#   source: Admission MUST validate envelope declaration against policy; refusals are first-class and evidenced.
workload_unknown(request, workload) := {
	"code": "workload_unknown",
	"class": "policy_denied",
	"rule": "LIFE-01",
	"pointer": "/workload_id",
	"params": {"workload_id": request.workload_id},
} if {
	workload == null
}

# METADATA
# title: The state allows no such transition
# description: A workload is created once, starts and stops in turn, and is destroyed once and for all.
# custom:
#   rule: LIFE-02
#   code: lifecycle_transition_invalid
#   class: policy_denied
#   short_name: lifecycle_transition_valid
#   message: Workload {workload_id} is {state}, from which {transition} does not lead on.
#   solution: Look at the workload's state; a destroyed workload is admitted anew.
#   source: Envelope lifecycle events (create/start/stop/destroy) MUST emit evidence.
transition_invalid(request, workload) := {
	"code": "lifecycle_transition_invalid",
	"class": "policy_denied",
	"rule": "LIFE-02",
	"pointer": "/transition",
	"params": {"workload_id": request.workload_id, "state": workload.state, "transition": request.transition},
} if {
	not is_transition(request.transition, workload.state)
}

# METADATA
# title: A transition of the table
# description: From this state.
is_transition(transition, state) if transitions[transition][state]

# METADATA
# title: The admission has expired
# description: |
#   An admission that rests on an authority binding or on an exception lasts no longer than they do. After that nothing
#   is created or started on it.
# custom:
#   rule: LIFE-03
#   code: admission_expired
#   class: authority_missing_or_invalid
#   short_name: admission_current
#   message: The admission of workload {workload_id} has expired with the authority or exception that it rests on.
#   solution: Have the workload admitted again with a binding or exception that is in force.
#   source: Policy/authority decision point that validates envelope declaration before execution.
admission_expired(request, facts) := {
	"code": "admission_expired",
	"class": "authority_missing_or_invalid",
	"rule": "LIFE-03",
	"pointer": "/workload_id",
	"params": {"workload_id": request.workload_id, "valid_until_ms": facts.workload.valid_until_ms},
} if {
	is_advance(request.transition)
	facts.workload.valid_until_ms != null
	facts.now_ms > facts.workload.valid_until_ms
}

# METADATA
# title: TEE-02 on start
# description: The last attestation on record failed. The catalogue has the words of TEE-02.
start_attestation_failed(request, workload) := {
	"code": "attestation_failed",
	"class": "evidence_precondition_failed",
	"rule": "TEE-02",
	"pointer": "/workload_id",
	"params": {"reason": "the last re-attestation failed"},
} if {
	request.transition == "start"
	workload.attestation.standing == "failed"
}

# METADATA
# title: TEE-03 on start
# description: |
#   A tee starts only freshly attested, a vm that was attested likewise, and neither after a missed re-attestation. The
#   catalogue has the words of TEE-03.
start_attestation_stale(request, facts) := stale(facts.workload.envelope_kind) if {
	request.transition == "start"
	not attestation_current(facts.workload, facts.now_ms)
}

# METADATA
# title: The attestation is current
# description: It is fresh where there is or must be one, and no deadline was missed.
attestation_current(workload, now_ms) if {
	attestation_fresh(workload, now_ms)
	not deadline_missed(workload.reattestation, now_ms)
}

# METADATA
# title: The attestation is fresh
# description: Or the workload has none and needs none.
attestation_fresh(workload, now_ms) if {
	now_ms - workload.attestation.measured_at_ms <= settings.attestation.freshness_s[workload.envelope_kind] * 1000
}

attestation_fresh(workload, _) if {
	workload.envelope_kind != "tee"
	workload.attestation == null
}

# METADATA
# title: The deadline was missed
# description: It is on record as missed, or has passed.
deadline_missed(deadline, _) if deadline.missed

deadline_missed(deadline, now_ms) if now_ms > deadline.by_ms

# METADATA
# title: The refusal TEE-03
# description: With the limit that the catalogue's words name.
stale(kind) := {
	"code": "attestation_stale",
	"class": "evidence_precondition_failed",
	"rule": "TEE-03",
	"pointer": "/workload_id",
	"params": {"limit_s": object.get(settings.attestation.freshness_s, kind, null)},
}

# METADATA
# title: CRP-01 and POL-02 for a transition
# description: |
#   While upstream is out of reach, a workload whose profile demands its confirmation advances only where it is
#   CRP-designated; on a stale policy none advances. The rules are those of admissions, asked about the admission.
upstream_refusal(request, workload) := object.union(first_of(refusals), {"pointer": "/workload_id"}) if {
	is_advance(request.transition)
	admitted := {"governance_profile": workload.governance_profile, "crp": {"designated": workload.crp}}
	refusals := freshness.refusals with input as {"request": {"workload": admitted}, "context": input.context}
}
