# What the quota refuses, and what it leaves alone. Run where the extension is: npm run -s opa -- test --bundle policy --run extensions
package railgate.extensions.quota_test

import data.railgate.extensions.quota
import data.railgate.fixture

risky := fixture.with_set(fixture.vm, {"/request/workload/risk": "high"})

test_a_tenant_without_a_quota_is_refused if {
	refused(risky) == {["ACME-01", "acme_quota_exceeded", "/workload/risk", {"tenant": "acme"}]}
}

test_a_tenant_with_a_quota_is_not if {
	refused(fixture.with_set(risky, {"/request/workload/tenant_id": "globex"})) == set()
}

test_what_is_not_risky_needs_no_quota if {
	refused(fixture.with_set(risky, {"/request/workload/risk": "low"})) == set()
}

# The whole decision, as the host gets it.
test_the_decision_says_so if {
	decision := data.railgate.admission.decision with input as risky with data.railgate.settings as fixture.settings
	decision.outcome == "refused"
	"ACME-01" in {refusal.rule | some refusal in decision.refusals}
}

refused(given) := {[refusal.rule, refusal.code, refusal.pointer, refusal.params] | some refusal in refusals} if {
	refusals := quota.refusals with input as given
}
