# Exceptions: signed by who may grant them, for one workload, for a time, for a reason. They lift named refusals, never a
# safety rule.

# METADATA
# scope: package
# schemas:
#   - input: schema.input
package railgate.exception

import data.railgate.lib
import data.railgate.settings

# Kept here and not in settings: no operator may make a safety rule liftable. What has no known envelope or is not
# classified cannot be judged by any rule at all, so ENV-01, ENV-02 and ENV-04 are among them; POL-03 is no rule's verdict.
safety_rules := {"ENV-01", "ENV-02", "ENV-04", "POL-03", "TEE-02", "TEN-01"}

# The same exception given twice counts once.
in_force := [exception |
	some i, exception in input.facts.exceptions
	holds(exception)
	not given_before(exception.digest, i)
]

given_before(digest, i) if {
	some j, exception in input.facts.exceptions
	j < i
	exception.digest == digest
}

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
	granted(exception)
	lib.stated(exception.reason)
	lib.fresh("authority")
}

# By a root, or by one whose chain, sound and in force link by link, carries the scope to except.
granted(exception) if {
	exception.may_except == true
	exception.links <= settings.authority.delegation_max
	is_number(exception.links)
	is_number(exception.from_ms)
	is_number(exception.until_ms)
	exception.from_ms <= input.facts.now_ms
	exception.until_ms >= input.facts.now_ms
}

# An exception names rules (CTR-03) or codes (root_filesystem_writable).
lifts(exception, refusal) if {
	not safety(refusal)
	not above(exception, refusal)
	names(exception, refusal)
}

names(exception, refusal) if named(refusal.rule, exception.rules)

names(exception, refusal) if named(refusal.code, exception.rules)

# What an extension leaves out is empty here, and named by nobody.
named(name, rules) if {
	name != ""
	name in rules
}

# Who is no root lifts nothing that vouches for roots.
above(exception, refusal) if {
	startswith(refusal.rule, "AUT-")
	not exception.root == true
}

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
