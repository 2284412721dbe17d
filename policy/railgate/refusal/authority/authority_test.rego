# Shows what the rules beside it refuse and accept.
package railgate.refusal.authority_test

import data.railgate.fixture

test_a_workload_that_needs_none_is_accepted if fixture.accepts("authority", fixture.container)

test_a_valid_binding_is_accepted if {
	fixture.accepts("authority", fixture.with_set(fixture.vm, {
		"/facts/authority": object.union(fixture.binding, {}),
		"/request/workload/governance_profile": "ncp",
	}))
}

test_a_binding_for_all_of_the_tenants_is_accepted if {
	given := fixture.with_set(fixture.vm, {
		"/facts/authority": object.union(fixture.binding, {"subject": "*"}),
		"/request/workload/governance_profile": "ncp",
	})
	fixture.accepts("authority", given)
}

# Only the subject's own name and the star name it; nothing that merely holds the name does.
test_a_binding_for_anything_else_is_refused if {
	every change in [
		{"subject": "acme"},
		{"subject": "acme/payments-api"},
		{"subject": "acme/*"},
		{"subject": "payments-*"},
		{"subject": ""},
		{"subject": null},
		{"tenant_id": "globex"},
		{"tenant_id": "*"},
		{"tenant_id": null},
		{"tenant_id": "globex", "subject": "*"},
	] {
		given := fixture.with_set(fixture.vm, {
			"/facts/authority": object.union(fixture.binding, change),
			"/request/workload/governance_profile": "ncp",
		})
		fixture.rules("authority", given) == {"AUT-02"}
	}
}

test_a_fact_left_out_is_refused if {
	link := {
		"status": "verified",
		"issuer": "root",
		"tenant_id": null,
		"subject": "https://authority.example",
		"scope": ["workload.admit"],
		"valid_from_ms": 1795593595000,
		"valid_to_ms": 1795593605000,
	}
	given := fixture.with_set(fixture.vm, {
		"/facts/authority": object.union(fixture.binding, {"delegation": [link]}),
		"/request/workload/governance_profile": "ncp",
	})
	fixture.rules("authority", given) == set()
	every member in ["tenant_id", "subject", "scope", "valid_from_ms", "valid_to_ms", "status"] {
		"AUT-02" in fixture.rules("authority", json.remove(given, [concat("/", ["facts/authority", member])]))
		"AUT-03" in fixture.rules("authority", json.remove(given, [concat("/", ["facts/authority/delegation/0", member])]))
	}
}

test_a_link_of_another_tenant_is_refused if {
	link := {"status": "verified", "issuer": "root", "tenant_id": "globex", "subject": "https://authority.example", "scope": ["workload.admit"], "valid_from_ms": 1795593595000, "valid_to_ms": 1795593605000}
	given := fixture.with_set(fixture.vm, {
		"/facts/authority": object.union(fixture.binding, {"delegation": [link]}),
		"/request/workload/governance_profile": "ncp",
	})
	fixture.refuses("authority", given, {["AUT-03", "/authority", {"reason": "tenant"}]})
}

test_a_chain_that_narrows_is_accepted if {
	fixture.accepts("authority", fixture.with_set(fixture.vm, {
		"/facts/authority": object.union(fixture.binding, {"delegation": [{"status": "verified", "issuer": "root", "tenant_id": null, "subject": "regional", "scope": ["workload.admit", "x"], "valid_from_ms": 1795593595000, "valid_to_ms": 1795593605000}, {"status": "verified", "issuer": "regional", "tenant_id": "acme", "subject": "https://authority.example", "scope": ["workload.admit"], "valid_from_ms": 1795593595000, "valid_to_ms": 1795593605000}]}),
		"/request/workload/governance_profile": "ncp",
	}))
}

test_none_is_refused_where_the_profile_requires_one if {
	fixture.refuses("authority", fixture.with_set(fixture.vm, {"/request/workload/governance_profile": "ncp"}), {
		["AUT-01", "/authority", {}],
	})
}

test_none_is_refused_where_the_tenant_tier_requires_one if {
	fixture.refuses("authority", fixture.with_set(fixture.vm, {"/request/workload/tenant_tier": "sovereign"}), {
		["AUT-01", "/authority", {}],
	})
}

test_a_rejected_binding_is_refused if {
	fixture.refuses(
		"authority", fixture.with_set(fixture.vm, {
			"/facts/authority": object.union(fixture.binding, {"status": "rejected", "error": "issuer"}),
			"/request/workload/governance_profile": "ncp",
		}),
		{
			[
				"AUT-02",
				"/authority",
				{
					"reason": "issuer",
					"authority_snapshot_id": "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
				},
			],
		},
	)
}

test_a_binding_of_which_the_host_says_nothing_is_refused if {
	fixture.refuses("authority", fixture.with_set(fixture.container, {"/request/authority": "x"}), {
		[
			"AUT-02",
			"/authority",
			{
				"reason": "not verified",
				"authority_snapshot_id": "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
			},
		],
	})
}

test_every_fault_of_a_binding_is_named if {
	fixture.refuses(
		"authority", fixture.with_set(fixture.vm, {
			"/facts/authority": object.union(fixture.binding, {"subject": "x", "scope": [], "valid_to_ms": 1795593599999}),
			"/request/workload/governance_profile": "ncp",
		}),
		{
			[
				"AUT-02",
				"/authority",
				{
					"reason": "scope, subject, window",
					"authority_snapshot_id": "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
				},
			],
		},
	)
}

test_stale_authority_is_refused if {
	fixture.refuses(
		"authority", fixture.with_set(fixture.vm, {
			"/context/authority/age_s": 86401,
			"/facts/authority": object.union(fixture.binding, {}),
			"/request/workload/governance_profile": "ncp",
		}),
		{
			[
				"AUT-02",
				"/authority",
				{
					"reason": "stale",
					"authority_snapshot_id": "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
				},
			],
		},
	)
}

test_an_unverified_chain_is_refused if {
	fixture.refuses(
		"authority", fixture.with_set(fixture.vm, {
			"/facts/authority": object.union(fixture.binding, {"delegation_error": "root"}),
			"/request/workload/governance_profile": "ncp",
		}),
		{["AUT-03", "/authority", {"reason": "root"}]},
	)
}

test_every_fault_of_a_chain_is_named if {
	fixture.refuses(
		"authority", fixture.with_set(fixture.vm, {
			"/facts/authority": object.union(fixture.binding, {"scope": ["workload.admit", "y"], "delegation": [{"status": "rejected", "issuer": "a", "tenant_id": null, "subject": "b", "scope": ["workload.admit"], "valid_from_ms": 1795593595000, "valid_to_ms": 1795593605000, "error": "signature"}, {"status": "verified", "issuer": "b", "tenant_id": null, "subject": "c", "scope": ["workload.admit"], "valid_from_ms": 1795593595000, "valid_to_ms": 1795593599999}, {"status": "verified", "issuer": "z", "tenant_id": null, "subject": "z", "scope": ["workload.admit"], "valid_from_ms": 1795593595000, "valid_to_ms": 1795593605000}, {"status": "verified", "issuer": "z", "tenant_id": null, "subject": "z", "scope": ["workload.admit"], "valid_from_ms": 1795593595000, "valid_to_ms": 1795593605000}]}),
			"/request/workload/governance_profile": "ncp",
		}),
		{["AUT-03", "/authority", {"reason": "issuer, length, scope, signature, window"}]},
	)
}
