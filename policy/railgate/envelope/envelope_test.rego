# Shows which envelope is required, why, and which rail follows.
package railgate.envelope_test

import data.railgate.envelope
import data.railgate.fixture

required(members) := value if {
	value := envelope.required with input as fixture.with_set(fixture.container, members) with data.railgate.settings as fixture.settings
}

triggers(members) := value if {
	value := envelope.triggers(envelope.required) with input as fixture.with_set(fixture.container, members) with data.railgate.settings as fixture.settings
}

rail(members) := value if {
	changed := fixture.with_set(fixture.container, members)
	needed := envelope.required with input as changed with data.railgate.settings as fixture.settings
	value := envelope.least_level(changed.request.workload, needed) with input as changed with data.railgate.settings as fixture.settings
}

test_nothing_is_triggered_by_default if {
	required({}) == "container"
	triggers({}) == []
}

test_each_table_has_the_kinds_of_the_specification if {
	tables := fixture.settings.triggers
	tables.risk == {"low": "container", "medium": "container", "high": "vm"}
	tables.classification == {
		"public": "container",
		"internal": "container",
		"confidential": "vm",
		"restricted": "tee",
		"secret": "tee",
	}
	tables.governance_profile == {
		"baseline": "container",
		"admissible": "container",
		"ncp": "vm",
		"regulated-ml": {"otherwise": "vm", "confidential": "tee", "restricted": "tee", "secret": "tee"},
	}
	tables.tenant_tier == {"standard": "container", "regulated": "vm", "sovereign": "tee"}
}

test_the_strongest_trigger_decides_and_all_are_named if {
	members := {"/request/workload/risk": "high", "/request/workload/tenant_tier": "sovereign"}
	required(members) == "tee"
	triggers(members) == [
		{"trigger": "risk", "requires": "vm", "because": "high"},
		{"trigger": "tenant_tier", "requires": "tee", "because": "sovereign"},
	]
}

test_regulated_ml_asks_for_more_on_confidential_data if {
	profile := {"/request/workload/governance_profile": "regulated-ml"}
	required(profile) == "vm"
	confidential := {"/request/workload/classification": "confidential"}
	required(object.union(profile, confidential)) == "tee"
}

test_a_value_the_tables_lack_triggers_nothing if required({"/request/workload/risk": "x"}) == "container"

test_the_rail_follows_the_stronger_envelope if {
	rail({}) == "sandbox_isolated"
	rail({"/request/workload/envelope/container/runtime": "runc-hardened"}) == "shared"
	rail({"/request/workload/risk": "high"}) == "sandbox_isolated"
	rail({"/request/workload/classification": "secret"}) == "hardware_isolated"
	rail({"/request/workload/envelope/kind": "tee"}) == "hardware_isolated"
	rail({"/request/workload/envelope/kind": "wasm"}) == "shared"
}

test_the_level_of_a_live_workload_never_falls if {
	every level, due in {
		"shared": "sandbox_isolated",
		"process_isolated": "sandbox_isolated",
		"sandbox_isolated": "sandbox_isolated",
		"hardware_isolated": "hardware_isolated",
		"unheard_of": "hardware_isolated",
	} {
		rail({"/facts/workload": {"state": "running", "least_level": level}}) == due
	}
}

test_a_destroyed_workload_starts_anew if {
	rail({"/facts/workload": {"state": "destroyed", "least_level": "hardware_isolated"}}) == "sandbox_isolated"
}

test_no_declared_kind_is_null if {
	envelope.declared({}) == null
	envelope.declared({"envelope": {"kind": 5}}) == null
}
