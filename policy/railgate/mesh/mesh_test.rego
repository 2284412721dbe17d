# The mesh law, case by case; test/mesh drives it through every state of small meshes.
package railgate.mesh_test

import data.railgate.fixture

context := {"partition": {"state": "connected", "since": null}, "policy": {"age_s": null, "snapshot_id": "sha256:0"}}

elevation_policy := {
	"elevation_allowed": true,
	"max_target_level": "sandbox_isolated",
	"preserve_latency_budget": true,
	"latency_budget_us": 50,
}

rail(level) := {"rail_id": "r", "level": level, "latency_overhead_us": 50, "capacity": 2, "active_count": 1}

placement(level) := {"workload_id": "w", "rail_id": "q", "level": level, "policy": elevation_policy}

admission(level) := {"least_level": level, "crp": false, "governance_profile": "ncp"}

place := {
	"request": {"command": "place", "mesh_id": "m", "workload_id": "w", "rail_id": "r", "policy": elevation_policy},
	"facts": {
		"rail": rail("process_isolated"),
		"placement": null,
		"departed_level": "process_isolated",
		"admission": admission("process_isolated"),
	},
	"context": context,
}

elevate := {
	"request": {"command": "elevate", "mesh_id": "m", "workload_id": "w", "target_rail_id": "r"},
	"facts": {"rail": rail("sandbox_isolated"), "placement": placement("shared"), "admission": admission("shared")},
	"context": context,
}

remove := {
	"request": {"command": "remove", "mesh_id": "m", "workload_id": "w"},
	"facts": {"placement": placement("shared")},
	"context": context,
}

offered(rail_id, level) := {"rail_id": rail_id, "level": level, "latency_overhead_us": 10, "capacity": 2}

reload := {
	"request": {"command": "reload", "mesh_id": "m", "rails": [offered("a", "shared"), offered("b", "hardware_isolated")]},
	"facts": {"occupied": [{"rail_id": "a", "level": "shared", "active_count": 2, "least_budget_us": 10}]},
	"context": context,
}

# What is said of a case by its code, event, rule and pointer, which are all that the checks differ in.
verdict(case, path, value) := [answer.error_code, answer.mesh_event, answer.rule, answer.pointer] if {
	answer := fixture.moved(json.patch(case, [{"op": "replace", "path": path, "value": value}]))
}

denied(code, event, rule, pointer) := [concat("", ["ERR_MESH_", code]), event, rule, pointer]

unreadable := ["policy_error", null, "MESH-00", ""]

accepted(event) := {
	"outcome": "accepted",
	"error_code": null,
	"mesh_event": event,
	"class": null,
	"rule": null,
	"pointer": null,
	"params": {},
}

test_what_breaks_no_rule_is_accepted if {
	fixture.moved(place) == accepted("MESH_001")
	fixture.moved(elevate) == accepted("MESH_002")
	fixture.moved(remove) == accepted("MESH_005")
	fixture.moved(reload) == accepted("MESH_006")
}

test_a_refusal_says_all if {
	case := json.patch(place, [{"op": "replace", "path": "/facts/rail/active_count", "value": 2}])
	answer := fixture.moved(case)
	answer == {
		"outcome": "refused",
		"error_code": "ERR_MESH_RAIL_AT_CAPACITY",
		"mesh_event": null,
		"class": "policy_denied",
		"rule": "PLACE-06",
		"pointer": "/rail_id",
		"params": {"rail_id": "r", "active_count": 2, "capacity": 2},
	}
}

test_place_checks if {
	verdict(place, "/facts/rail", null) == denied("UNKNOWN_RAIL", null, "PLACE-01", "/rail_id")
	verdict(place, "/facts/placement", placement("shared")) == denied("DUPLICATE_WORKLOAD", null, "PLACE-02", "/workload_id")
	verdict(place, "/facts/departed_level", "sandbox_isolated") == denied("DEMOTION_FORBIDDEN", "MESH_007", "PLACE-03", "/rail_id")
	verdict(place, "/facts/admission/least_level", "hardware_isolated") == denied("DEMOTION_FORBIDDEN", "MESH_007", "PLACE-04", "/rail_id")
	verdict(place, "/request/policy/latency_budget_us", 49) == denied("LATENCY_EXCEEDED", null, "PLACE-05", "/policy/latency_budget_us")
	verdict(place, "/facts/rail/capacity", 1) == denied("RAIL_AT_CAPACITY", null, "PLACE-06", "/rail_id")
}

test_place_leaves_what_does_not_matter if {
	verdict(place, "/facts/departed_level", null) == [null, "MESH_001", null, null]
	verdict(place, "/facts/admission", null) == [null, "MESH_001", null, null]
	verdict(place, "/facts/rail/level", "hardware_isolated") == [null, "MESH_001", null, null]
	verdict(place, "/request/policy", object.union(elevation_policy, {
		"preserve_latency_budget": false,
		"latency_budget_us": 0,
	})) == [null, "MESH_001", null, null]
}

test_elevate_checks if {
	verdict(elevate, "/facts/rail", null) == denied("UNKNOWN_RAIL", null, "ELEVATE-01", "/target_rail_id")
	verdict(elevate, "/facts/placement", null) == denied("UNKNOWN_WORKLOAD", null, "ELEVATE-02", "/workload_id")
	verdict(elevate, "/facts/placement/level", "hardware_isolated") == denied("DEMOTION_FORBIDDEN", "MESH_007", "ELEVATE-03", "/target_rail_id")
	verdict(elevate, "/facts/placement/policy/elevation_allowed", false) == denied("ELEVATION_DENIED", "MESH_003", "ELEVATE-04", "/target_rail_id")
	verdict(elevate, "/facts/placement/level", "sandbox_isolated") == denied("ELEVATION_DENIED", "MESH_003", "ELEVATE-05", "/target_rail_id")
	verdict(elevate, "/facts/rail/level", "hardware_isolated") == denied("ELEVATION_DENIED", "MESH_003", "ELEVATE-06", "/target_rail_id")
	verdict(elevate, "/facts/placement/policy/latency_budget_us", 49) == denied("LATENCY_EXCEEDED", "MESH_004", "ELEVATE-07", "/target_rail_id")
	verdict(elevate, "/facts/rail/active_count", 2) == denied("RAIL_AT_CAPACITY", null, "ELEVATE-08", "/target_rail_id")
}

test_remove_checks if {
	verdict(remove, "/facts/placement", null) == denied("UNKNOWN_WORKLOAD", null, "REMOVE-01", "/workload_id")
}

# The first of several faults is given, in the order of the contract.
test_the_first_failing_check_gives_the_code if {
	case := object.union(place, {"facts": {
		"rail": object.union(rail("shared"), {"active_count": 2, "latency_overhead_us": 99}),
		"placement": placement("shared"),
	}})
	verdict(case, "/facts/rail", null) == denied("UNKNOWN_RAIL", null, "PLACE-01", "/rail_id")
	verdict(case, "/facts/placement", placement("shared")) == denied("DUPLICATE_WORKLOAD", null, "PLACE-02", "/workload_id")
	verdict(case, "/facts/placement", null) == denied("DEMOTION_FORBIDDEN", "MESH_007", "PLACE-03", "/rail_id")
}

topology_verdict(path, value) := [answer[2], answer[3]] if {
	answer := verdict(reload, path, value)
	answer[0] == "ERR_MESH_INVALID_TOPOLOGY"
	answer[1] == null
}

test_topology_checks if {
	every rails in [[], null, "rails", {"a": offered("a", "shared")}] {
		topology_verdict("/request/rails", rails) == ["TOPOLOGY-01", "/rails"]
	}
	every rail_id in ["", ".", "..", "a b", "é", 7, null, concat("", [repeated | some _ in numbers.range(1, 254); repeated := "a"])] {
		topology_verdict("/request/rails/1/rail_id", rail_id) == ["TOPOLOGY-02", "/rails/1/rail_id"]
	}
	topology_verdict("/request/rails/1/rail_id", "a") == ["TOPOLOGY-03", "/rails/1/rail_id"]
	every level in ["SHARED", "", null, 1] {
		topology_verdict("/request/rails/1/level", level) == ["TOPOLOGY-04", "/rails/1/level"]
	}
	every capacity in [0, -1, 1.5, 9007199254740992, "2", null, true] {
		topology_verdict("/request/rails/1/capacity", capacity) == ["TOPOLOGY-05", "/rails/1/capacity"]
	}
	every overhead in [-1, 0.5, 9007199254740992, "2", null, []] {
		topology_verdict("/request/rails/1/latency_overhead_us", overhead) == ["TOPOLOGY-06", "/rails/1/latency_overhead_us"]
	}
	topology_verdict("/request/rails/1", object.union(offered("b", "shared"), {"color": "red"})) == ["TOPOLOGY-07", "/rails/1"]
	topology_verdict("/request/rails/1", "b") == ["TOPOLOGY-02", "/rails/1/rail_id"]
}

test_the_second_of_two_equal_rails_is_named if {
	rails := [offered("a", "shared"), offered("b", "shared"), offered("a", "shared")]
	topology_verdict("/request/rails", rails) == ["TOPOLOGY-03", "/rails/2/rail_id"]
}

test_a_rail_lacks_no_member if {
	rule_of := {"rail_id": "02", "level": "04", "capacity": "05", "latency_overhead_us": "06"}
	every member, number in rule_of {
		answer := fixture.moved(json.remove(reload, [concat("/", ["request/rails/1", member])]))
		answer.error_code == "ERR_MESH_INVALID_TOPOLOGY"
		answer.rule == concat("", ["TOPOLOGY-", number])
	}
}

test_reload_checks if {
	topology_verdict("/request/rails/0/rail_id", "c") == ["TOPOLOGY-08", "/rails"]
	topology_verdict("/request/rails/0/level", "hardware_isolated") == ["TOPOLOGY-09", "/rails/0/level"]
	topology_verdict("/request/rails/0/capacity", 1) == ["TOPOLOGY-10", "/rails/0/capacity"]
	topology_verdict("/request/rails/0/latency_overhead_us", 11) == ["TOPOLOGY-11", "/rails/0/latency_overhead_us"]
}

test_reload_leaves_what_does_not_matter if {
	verdict(reload, "/facts/occupied", []) == [null, "MESH_006", null, null]
	verdict(reload, "/facts/occupied/0/least_budget_us", null) == [null, "MESH_006", null, null]
	verdict(reload, "/request/rails/1/level", "shared") == [null, "MESH_006", null, null]
}

test_unknown_commands_are_refused if {
	verdict(place, "/request/command", "demote") == unreadable
	fixture.moved({}).error_code == "policy_error"
	fixture.moved("place").error_code == "policy_error"
}

# No member of a command or of its facts can be left out, nor be of another type.
test_an_unreadable_command_or_slice_is_refused if {
	every case in [place, elevate, remove] {
		every part in ["request", "facts"] {
			walk(case[part], [path, leaf])
			count(path) > 0
			every wrong in [{"op": "remove"}, {"op": "replace", "value": [leaf]}] {
				changed := json.patch(case, [object.union(wrong, {"path": array.concat([part], path)})])
				answer := fixture.moved(changed)
				answer.outcome == "refused"
			}
		}
	}
}

test_a_slice_of_something_else_is_refused if {
	verdict(place, "/facts/rail/rail_id", "q") == unreadable
	verdict(elevate, "/facts/placement/workload_id", "v") == unreadable
}

test_unreadable_occupation_is_refused if {
	every member in ["rail_id", "level", "active_count", "least_budget_us"] {
		changed := json.remove(reload, [concat("/", ["facts/occupied/0", member])])
		fixture.moved(changed).error_code == "policy_error"
	}
	verdict(reload, "/facts/occupied", {}) == unreadable
	verdict(reload, "/facts/occupied", "none") == unreadable
	verdict(reload, "/request/mesh_id", "") == unreadable
}

partitioned := {"partition": {"state": "partitioned", "since": "2026-01-01T00:00:00Z"}}

verdict_when(case, over) := [answer.error_code, answer.class, answer.rule] if {
	answer := fixture.moved(object.union(case, {"context": over}))
}

test_partitioned_moves_follow_the_profile_unless_designated if {
	withheld := ["partition_not_designated", "dependency_unavailable_fail_closed", "CRP-01"]
	free := [null, null, null]
	every case in [place, elevate] {
		verdict_when(case, partitioned) == withheld
		verdict_when(object.union(case, {"facts": {"admission": {"crp": true}}}), partitioned) == free
		verdict_when(object.union(case, {"facts": {"admission": {"governance_profile": "baseline"}}}), partitioned) == free
		verdict_when(object.union(case, {"facts": {"admission": null}}), partitioned) == free
		verdict_when(case, {"partition": {"state": "unheard-of"}}) == withheld
	}
	verdict_when(remove, partitioned) == free
	verdict_when(reload, partitioned) == free
}

test_a_stale_policy_moves_nothing if {
	stale := {"policy": {"age_s": 31536000}}
	every case in [place, elevate, reload, object.union(place, {"facts": {"admission": null}})] {
		verdict_when(case, stale) == ["policy_stale", "dependency_unavailable_fail_closed", "POL-02"]
		verdict_when(case, {"policy": {"age_s": 1}}) == [null, null, null]
	}
	verdict_when(remove, stale) == [null, null, null]
}

test_a_topology_that_is_not_sound_but_of_which_nothing_is_said_is_refused if {
	answer := fixture.moved(json.patch(reload, [{"op": "replace", "path": "/request/rails/1/capacity", "value": 0}]))
		with data.railgate.mesh.topology.faults as set()
	[answer.error_code, answer.rule] == ["policy_error", "MESH-00"]
}

test_every_fault_of_a_topology_is_listed if {
	answer := fixture.moved(json.patch(reload, [
		{"op": "replace", "path": "/request/rails/1/level", "value": "cosmic"},
		{"op": "replace", "path": "/request/rails/0/capacity", "value": 0},
		{"op": "add", "path": "/request/rails/0/colour", "value": "red"},
	]))
	[answer.error_code, answer.rule, answer.pointer] == ["ERR_MESH_INVALID_TOPOLOGY", "TOPOLOGY-04", "/rails/1/level"]
	answer.params == {"mesh_id": "m", "because": "the level is unknown", "errors": [
		{"pointer": "/rails/1/level", "message": "the level is unknown"},
		{"pointer": "/rails/0/capacity", "message": "the capacity must be an integer from 1 to 9007199254740991"},
		{"pointer": "/rails/0", "message": "a rail has no such members"},
	]}
}

test_every_fault_against_the_workloads_placed_is_listed if {
	answer := fixture.moved(json.patch(reload, [
		{"op": "replace", "path": "/request/rails/0/capacity", "value": 1},
		{"op": "replace", "path": "/request/rails/0/latency_overhead_us", "value": 11},
	]))
	[error.pointer | some error in answer.params.errors] == ["/rails/0/capacity", "/rails/0/latency_overhead_us"]
}
