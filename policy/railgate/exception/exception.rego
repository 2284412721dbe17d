# Exceptions: signed, for one workload, for a time, for a reason. They lift named refusals, never a safety rule.

# METADATA
# scope: package
# schemas:
#   - input: schema.input
package railgate.exception

import data.railgate.lib

# Kept here and not in settings: no operator may make a safety rule liftable. What has no known envelope or is not
# classified cannot be judged by any rule at all, so ENV-01, ENV-02 and ENV-04 are among them; POL-03 is no rule's verdict.
safety_rules := {"ENV-01", "ENV-02", "ENV-04", "POL-03", "TEE-02", "TEN-01"}

in_force := [exception |
	some exception in input.facts.exceptions
	holds(exception)
]

holds(exception) if {
	exception.status == "verified"
	is_string(exception.digest)
	is_string(exception.issuer)
	exception.tenant_id == lib.workload.tenant_id
	exception.workload_id == lib.workload.workload_id
	is_number(exception.not_before_ms)
	is_number(exception.not_after_ms)
	exception.not_before_ms <= input.facts.now_ms
	exception.not_after_ms >= input.facts.now_ms
	lib.stated(exception.reason)
	lib.fresh("authority")
}

# An exception names rules (CTR-03) or codes (root_filesystem_writable).
lifts(exception, refusal) if {
	not safety(refusal)
	names(exception, refusal)
}

names(exception, refusal) if refusal.rule in exception.rules

names(exception, refusal) if refusal.code in exception.rules

safety(refusal) if refusal.rule in safety_rules

safety(refusal) if {
	refusal.rule == "ENV-03"
	refusal.params.required == "tee"
}

# No verification result is no pass either, whichever rule says so.
safety(refusal) if {
	refusal.code == "attestation_incomplete"
	contains(refusal.params.missing, "result")
}
