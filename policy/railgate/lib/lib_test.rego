# Shows how a refusal is made, and that what extensions were told to call before goes on working.
package railgate.lib_test

import data.railgate.lib

# METADATA
# title: A rule
# custom:
#   rule: X-01
#   code: x
#   class: policy_denied
annotated := lib.refuse(rego.metadata.rule(), "/x", {"a": 1})

# METADATA
# title: A rule whose METADATA is misspelt
# custom:
#   rule: X-02
#   kode: x
misspelt := lib.refuse(rego.metadata.rule(), "/x", {})

bare := lib.refuse(rego.metadata.rule(), "/x", {})

test_a_refusal_is_what_its_metadata_says if {
	annotated == {"class": "policy_denied", "rule": "X-01", "code": "x", "pointer": "/x", "params": {"a": 1}}
}

test_a_refusal_with_less_metadata_is_a_refusal_all_the_same if {
	misspelt == {"class": "undeclared", "rule": "X-02", "code": "undeclared", "pointer": "/x", "params": {}}
	bare == {"class": "undeclared", "rule": "undeclared", "code": "undeclared", "pointer": "/x", "params": {}}
}

test_what_was_called_before_goes_on_working if {
	made := {
		"policy_denied": lib.policy_denied("X-01", "x", "/x", {}),
		"authority_missing_or_invalid": lib.authority_missing_or_invalid("X-01", "x", "/x", {}),
		"jurisdiction_denied": lib.jurisdiction_denied("X-01", "x", "/x", {}),
		"delegation_invalid": lib.delegation_invalid("X-01", "x", "/x", {}),
		"evidence_precondition_failed": lib.evidence_precondition_failed("X-01", "x", "/x", {}),
		"dependency_unavailable_fail_closed": lib.dependency_unavailable_fail_closed("X-01", "x", "/x", {}),
	}
	every class, refusal in made {
		refusal == {"class": class, "rule": "X-01", "code": "x", "pointer": "/x", "params": {}}
	}
}

test_levels_are_ranked_from_the_weakest if {
	levels := ["shared", "process_isolated", "sandbox_isolated", "hardware_isolated"]
	[lib.level_rank(level) | some level in levels] == [1, 2, 3, 4]
	not lib.level_rank("cosmic")
}
