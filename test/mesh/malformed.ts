// Commands and slices that are not what they should be: of a readable input every member left out, and put in another type.
import type { MeshInput } from "./law.ts";
import { context } from "./law.ts";

const policy = {
  elevation_allowed: true,
  max_target_level: "hardware_isolated",
  preserve_latency_budget: true,
  latency_budget_us: 9,
} as const;
const rail = { rail_id: "b", level: "sandbox_isolated", latency_overhead_us: 5, capacity: 2, active_count: 1 } as const;
const placement = { workload_id: "u", rail_id: "a", level: "shared", policy } as const;
const admission = { least_level: "shared", crp: true, governance_profile: "ncp" } as const;
const rails = [
  { rail_id: "a", level: "shared", latency_overhead_us: 0, capacity: 2 },
  { rail_id: "b", level: "hardware_isolated", latency_overhead_us: 9, capacity: 1 },
  { rail_id: "c", level: "shared", latency_overhead_us: 0, capacity: 1 },
] as const;
const partitioned = context({ partition: { state: "partitioned", since: "2026-01-01T00:00:00Z" } });
const aged = context({ policy: { age_s: 31_536_000, snapshot_id: "sha256:0" } });

/** One of each command that would be accepted, on the edge of a limit, and one of each that names what is not there. */
export const READABLE: readonly MeshInput[] = [
  {
    request: { command: "place", mesh_id: "m", workload_id: "u", rail_id: "b", policy },
    facts: { rail, placement: null, departed_level: "shared", admission },
    context: context(),
  },
  {
    request: { command: "elevate", mesh_id: "m", workload_id: "u", target_rail_id: "b" },
    facts: { rail, placement, admission },
    context: context(),
  },
  { request: { command: "remove", mesh_id: "m", workload_id: "u" }, facts: { placement }, context: context() },
  {
    request: { command: "reload", mesh_id: "m", rails },
    facts: { occupied: [{ rail_id: "a", level: "shared", active_count: 2, least_budget_us: 0 }] },
    context: context(),
  },
  {
    request: { command: "place", mesh_id: "m", workload_id: "u", rail_id: "b", policy },
    facts: { rail: null, placement: null, departed_level: null, admission: null },
    context: context(),
  },
  {
    request: { command: "elevate", mesh_id: "m", workload_id: "u", target_rail_id: "b" },
    facts: { rail: null, placement: null, admission: null },
    context: context(),
  },
  {
    request: { command: "elevate", mesh_id: "m", workload_id: "u", target_rail_id: "b" },
    facts: { rail, placement: null, admission: null },
    context: context(),
  },
  { request: { command: "remove", mesh_id: "m", workload_id: "u" }, facts: { placement: null }, context: context() },
];

const ACCEPTED = READABLE.slice(0, 4);

const WRONG: readonly unknown[] = [
  undefined,
  null,
  true,
  -1,
  0.5,
  2 ** 53,
  "",
  "x",
  [],
  {},
  ["x"],
  0,
  1,
  ".",
  "..",
  "b".repeat(253),
  "b".repeat(254),
  "shared",
  "a",
  10,
  9007199254740991,
];

/** Some thousands of inputs, nearly all of which must be refused. */
export function malformedInputs(): unknown[] {
  const readable = [
    ...READABLE,
    ...ACCEPTED.map((input) => ({ ...input, context: partitioned })),
    ...ACCEPTED.map((input) => ({ ...input, context: aged })),
  ];
  const others = [
    ...readable,
    { ...READABLE[0]!, facts: { ...READABLE[0]!.facts, admission: null }, context: aged },
    {},
    "place",
    [],
  ];
  return others.flatMap((input) => [
    input,
    ...pathsOf(input).flatMap((path) => WRONG.map((value) => replacedAt(input, path, value))),
  ]);
}

function pathsOf(value: unknown, path: string[] = []): string[][] {
  if (typeof value !== "object" || value === null) return path.length > 0 ? [path] : [];
  return [
    ...(path.length > 0 ? [path] : []),
    ...Object.entries(value).flatMap(([name, member]) => pathsOf(member, [...path, name])),
  ];
}

function replacedAt(input: unknown, path: readonly string[], value: unknown): unknown {
  const copy = structuredClone(input) as { [name: string]: never };
  const parent = path.slice(0, -1).reduce<{ [name: string]: unknown }>((at, name) => at[name] as never, copy);
  if (value === undefined) delete parent[path.at(-1)!];
  else parent[path.at(-1)!] = value;
  return copy;
}
