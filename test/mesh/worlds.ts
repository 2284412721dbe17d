// The worlds that are explored in full: small, but with every kind of rail, policy and workload that the contract tells apart.
import type { MeshAdmission } from "../../src/core/mesh.ts";
import type { ElevationPolicy, Rail } from "../../src/core/schema/mesh.ts";
import type { World } from "./model.ts";

const rail = (rail_id: string, level: Rail["level"], latency_overhead_us: number, capacity: number): Rail => ({
  rail_id,
  level,
  latency_overhead_us,
  capacity,
});
const policy = (
  elevation_allowed: boolean,
  max_target_level: Rail["level"],
  budget: number | null,
): ElevationPolicy => ({
  elevation_allowed,
  max_target_level,
  preserve_latency_budget: budget !== null,
  latency_budget_us: budget ?? 0,
});
const admitted = (least_level: Rail["level"], governance_profile: string, crp = false): MeshAdmission => ({
  least_level,
  crp,
  governance_profile,
});

const [A, B, C] = [
  rail("a", "shared", 0, 2),
  rail("b", "sandbox_isolated", 5, 2),
  rail("c", "hardware_isolated", 9, 1),
];

export const TOPOLOGIES: readonly (readonly Rail[])[] = [
  [A, B, C],
  [rail("a", "shared", 0, 1), rail("b", "sandbox_isolated", 5, 1), rail("c", "hardware_isolated", 9, 3)], // other capacities
  [rail("a", "shared", 6, 2), rail("b", "sandbox_isolated", 9, 2), rail("c", "hardware_isolated", 10, 1)], // slower
  [A, C], // b dropped
  [rail("b", "process_isolated", 5, 2)], // a and c dropped, b weaker
  [rail("a", "hardware_isolated", 9, 1), rail("b", "process_isolated", 5, 2), rail("c", "shared", 0, 3)], // levels turned around
  [rail("a", "process_isolated", 1, 1), rail("b", "process_isolated", 1, 2), rail("c", "process_isolated", 6, 1)], // all alike
];

export const WRONG_TOPOLOGIES: readonly unknown[] = [
  [],
  "rails",
  { a: A },
  [A, null],
  [A, "b"],
  [A, A],
  [A, { ...A, latency_overhead_us: 3 }],
  [A, { ...B, rail_id: "" }],
  [A, { ...B, rail_id: "b b" }],
  [A, { ...B, rail_id: ".." }],
  [A, { ...B, rail_id: "b".repeat(254) }],
  [A, { ...B, rail_id: 7 }],
  [A, { ...B, level: "SHARED" }],
  [A, { ...B, capacity: 0 }],
  [A, { ...B, capacity: 1.5 }],
  [A, { ...B, latency_overhead_us: -1 }],
  [A, { ...B, latency_overhead_us: 0.5 }],
  [A, { ...B, capacity: "2" }],
  [A, { ...B, color: "red" }],
  ...(["rail_id", "level", "capacity", "latency_overhead_us"] as const).map((member) => [
    A,
    { ...B, [member]: undefined },
  ]),
];

export const POLICIES: readonly ElevationPolicy[] = [
  policy(true, "hardware_isolated", null),
  policy(true, "sandbox_isolated", 5),
  policy(false, "hardware_isolated", 9),
  policy(true, "hardware_isolated", 9),
  policy(true, "shared", 0),
];

/** One workload of each kind: never admitted, admitted with a least level, admitted under a profile that wants upstream's confirmation, CRP-designated. */
export const WIDE: World = {
  topologies: TOPOLOGIES,
  wrongTopologies: WRONG_TOPOLOGIES,
  policies: POLICIES,
  workloads: [
    { id: "u", admission: null },
    { id: "v", admission: admitted("process_isolated", "baseline") },
    { id: "w", admission: admitted("sandbox_isolated", "ncp") },
    { id: "x", admission: admitted("shared", "regulated-ml", true) },
  ],
};

/** Other least levels, one of them the highest. */
export const STRICT: World = {
  ...WIDE,
  policies: POLICIES.slice(0, 3),
  workloads: [
    { id: "u", admission: admitted("shared", "ncp", true) },
    { id: "v", admission: admitted("hardware_isolated", "baseline") },
    { id: "w", admission: null },
  ],
};

/** As little as still needs every check. */
export const NARROW: World = {
  ...WIDE,
  policies: POLICIES.slice(0, 3),
  workloads: [
    { id: "u", admission: null },
    { id: "v", admission: admitted("sandbox_isolated", "ncp") },
    { id: "w", admission: null },
  ],
};
