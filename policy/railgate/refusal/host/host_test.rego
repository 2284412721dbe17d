# Shows that the host's own rules are kept where the catalogue finds them.
package railgate.refusal.host_test

import data.railgate.refusal.host

test_the_host_says_three_rules if {
	said := [host.policy_unavailable, host.policy_error, host.evidence_unavailable]
	[refusal.rule | some refusal in said] == ["POL-01", "POL-03", "EVI-01"]
	every refusal in said {
		refusal.class == "dependency_unavailable_fail_closed"
		refusal.pointer == ""
	}
}
