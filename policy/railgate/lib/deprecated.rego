# How extensions made their refusals before METADATA was read: with rule, code and class written a second time. They go
# on working; `npm run generate` and `npm run bundle` name each use. What takes their place is `lib.refuse`.
package railgate.lib

policy_denied(rule, code, location, params) := refusal("policy_denied", rule, code, location, params)

authority_missing_or_invalid(rule, code, location, params) := refusal(
	"authority_missing_or_invalid",
	rule,
	code,
	location,
	params,
)

jurisdiction_denied(rule, code, location, params) := refusal("jurisdiction_denied", rule, code, location, params)

delegation_invalid(rule, code, location, params) := refusal("delegation_invalid", rule, code, location, params)

evidence_precondition_failed(rule, code, location, params) := refusal(
	"evidence_precondition_failed",
	rule,
	code,
	location,
	params,
)

dependency_unavailable_fail_closed(rule, code, location, params) := refusal(
	"dependency_unavailable_fail_closed",
	rule,
	code,
	location,
	params,
)

refusal(class, rule, code, location, params) := {
	"class": class,
	"rule": rule,
	"code": code,
	"pointer": location,
	"params": params,
}
