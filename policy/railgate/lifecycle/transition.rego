# The transitions of an execution envelope: create, start, stop, destroy.
package railgate.lifecycle

import data.railgate.lib
import data.railgate.refusal.attestation
import data.railgate.refusal.freshness
import data.railgate.settings

# For each transition, the states that it may start from and the state that it then leads to.
transitions := {
	"create": {"admitted": "created"},
	"start": {"created": "running", "stopped": "running"},
	"stop": {"running": "stopped"},
	"destroy": {"admitted": "destroyed", "created": "destroyed", "running": "destroyed", "stopped": "destroyed"},
}

# Undefined, thus refused, where the facts can't be read.
transition_decision(request, facts) := transition_checked(request, facts.workload, facts) if {
	readable(request, facts)
	is_placements_fact(object.get(facts, "placements", []), facts.workload)
	is_string(request.transition)
}

# The checks of a transition, in order: the first that fails gives the code.
transition_checked(request, workload, facts) := refused(workload_unknown(request), null) if {
	workload == null
} else := refused(transition_invalid(request, workload, "/transition", request.transition), null) if {
	not is_transition(request.transition, workload.state)
} else := refused(admission_expired(request, workload), null) if {
	is_advance(request.transition)
	workload.valid_until_ms != null
	facts.now_ms > workload.valid_until_ms
} else := refused(attestation.failed("/workload_id", "the last re-attestation failed"), null) if {
	request.transition == "start"
	workload.attestation.standing == "failed"
} else := refused(attestation.stale("/workload_id", workload.envelope_kind), null) if {
	request.transition == "start"
	not attestation_current(workload, facts.now_ms)
} else := refused(rail_insufficient(request, workload, placement), null) if {
	request.transition == "start"
	placement := lowest(facts.placements, workload.least_level)
} else := refused(refusal, null) if {
	is_advance(request.transition)
	refusal := upstream_refusal(workload)
} else := accepted(transitions[request.transition][workload.state], null, [])

# METADATA
# title: The workload is unknown
# description: Only an admitted workload has a life.
# custom:
#   rule: LIFE-01
#   code: workload_unknown
#   class: policy_denied
#   http_status: 404
#   short_name: workload_known
#   message: Workload {workload_id} was never admitted here.
#   solution: Have the workload admitted first, by this tenant and on this node.
#   source: Admission MUST validate envelope declaration against policy; refusals are first-class and evidenced.
workload_unknown(request) := lib.refuse(rego.metadata.rule(), "/workload_id", {"workload_id": request.workload_id})

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
transition_invalid(request, workload, location, transition) := lib.refuse(rego.metadata.rule(), location, {
	"workload_id": request.workload_id,
	"state": workload.state,
	"transition": transition,
})

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
admission_expired(request, workload) := lib.refuse(rego.metadata.rule(), "/workload_id", {
	"workload_id": request.workload_id,
	"valid_until_ms": workload.valid_until_ms,
})

# METADATA
# title: A rail is weaker than the admission asks for
# description: |
#   A workload starts only where each rail that it is placed on, in any mesh, reaches the least rail level of its admission.
# custom:
#   rule: LIFE-04
#   code: rail_insufficient
#   class: policy_denied
#   short_name: rail_sufficient
#   message: Workload {workload_id} is on a rail of level {level} in mesh {mesh_id}, under {least_level}, the least level of its admission.
#   solution: Elevate the workload in that mesh to level {least_level} or stricter, or remove it from there, and start it then.
#   source: "VM or TEE profile is REQUIRED when policy mandates stronger isolation (classification, regulated-ML, NCP, tenant tier)."
rail_insufficient(request, workload, placement) := lib.refuse(rego.metadata.rule(), "/workload_id", {
	"workload_id": request.workload_id,
	"mesh_id": placement.mesh_id,
	"level": placement.level,
	"least_level": workload.least_level,
})

# The placement under a level, the first by mesh; undefined where there is none.
lowest(placements, level) := min({[placement.mesh_id, placement] |
	some placement in placements
	not reaches(placement, level)
})[1]

reaches(placement, level) if lib.level_rank(placement.level) >= lib.level_rank(level)

is_transition(transition, state) if transitions[transition][state]

# Only what gives a workload more can be withheld; stopping and destroying is always possible.
is_advance(transition) if transition in {"create", "start"}

# A tee starts only freshly attested, a vm that was attested likewise, and neither after a missed re-attestation.
attestation_current(workload, now_ms) if {
	attestation_fresh(workload, now_ms)
	not deadline_missed(workload.reattestation, now_ms)
}

attestation_fresh(workload, now_ms) if {
	now_ms - workload.attestation.measured_at_ms <= settings.attestation.freshness_s[workload.envelope_kind] * 1000
}

attestation_fresh(workload, _) if {
	workload.envelope_kind != "tee"
	workload.attestation == null
}

# It is on record as missed, or has passed.
deadline_missed(deadline, _) if deadline.missed

deadline_missed(deadline, now_ms) if now_ms > deadline.by_ms

# CRP-01 and POL-02, the rules of admissions, asked about the admission: while upstream is out of reach, a workload whose
# profile demands its confirmation advances only where it is CRP-designated; on a stale policy none advances.
upstream_refusal(workload) := object.union(first_of(refusals), {"pointer": "/workload_id"}) if {
	admitted := {"governance_profile": workload.governance_profile, "crp": {"designated": workload.crp}}
	refusals := freshness.refusals with input as {"request": {"workload": admitted}, "context": input.context}
}
