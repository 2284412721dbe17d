// Feeds the host's fold acceptances that no honest law would give, and checks that it refuses exactly those that break an invariant.
import { InvariantError, type MESH_INVARIANTS } from "../../src/core/invariant.ts";
import { type MeshState, type MeshCommand, MESH_EVENT_TYPES, type MeshEvent } from "../../src/core/mesh.ts";
import { get } from "../../src/core/tree.ts";
import type { Rail } from "../../src/core/schema/mesh.ts";
import { type Core, Disagreement } from "./explorer.ts";
import {
  apply,
  keyOf,
  type Model,
  type Move,
  moves,
  rank,
  UNDEFINED_MESH,
  verdict,
  type Whereabouts,
  type World,
} from "./model.ts";

type Invariant = (typeof MESH_INVARIANTS)[number];
type Placed = Extract<Whereabouts, { rail: string }>;

const AT = "2026-01-01T00:00:00.000Z";

/** Every command in every reachable state, accepted whatever the contract says of it. */
export function exploreRogue(
  world: World,
  core: Core,
  statesMax = Infinity,
): { states: number; forged: number; stopped: number } {
  const seen = new Set([keyOf(world, UNDEFINED_MESH)]);
  const queue: { model: Model; mesh: MeshState | null }[] = [{ model: UNDEFINED_MESH, mesh: null }];
  const all = moves(world);
  const figures = { forged: 0, stopped: 0 };
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    for (const move of all) {
      const after = judge(core, next.mesh, forged(next.mesh, move.command), broken(next.model, move));
      figures.forged++;
      if (after === undefined) figures.stopped++;
      if (after === undefined || verdict(next.model, move)[0] !== null) continue;
      const model = apply(next.model, move);
      if (seen.has(keyOf(world, model)) || seen.size >= statesMax) continue;
      seen.add(keyOf(world, model));
      queue.push({ model, mesh: after });
    }
    for (const [event, invariant, mesh] of tampered(next.mesh)) judge(core, mesh, event, new Set([invariant]));
  }
  return { states: seen.size, ...figures };
}

/** @returns the state that the fold gave, undefined where it rightly gave none. */
function judge(
  core: Core,
  mesh: MeshState | null,
  event: MeshEvent,
  expected: ReadonlySet<Invariant>,
): MeshState | null | undefined {
  try {
    const after = core.step(mesh, event);
    if (expected.size > 0)
      throw new Disagreement(`the fold accepts what breaks ${[...expected].join(", ")}: ${JSON.stringify(event)}`);
    return after;
  } catch (error) {
    if (error instanceof Disagreement) throw error;
    if (error instanceof InvariantError && expected.has(error.invariant as Invariant)) return undefined;
    throw new Disagreement(
      `the fold says ${(error as Error).message}, the contract ${[...expected].join(", ")}: ${JSON.stringify(event)}`,
    );
  }
}

/** An acceptance of the command, made without the host. */
function forged(mesh: MeshState | null, command: MeshCommand): MeshEvent {
  const base = { mesh_id: "m", mesh_event: null, error_code: null, revision: (mesh?.revision ?? 0) + 1 };
  const event = (details: object) => ({
    event_type: MESH_EVENT_TYPES[command.command],
    outcome: "accepted",
    occurred_at: AT,
    details: { ...base, ...details },
  });
  if (command.command === "reload") return event({ topology: { rails: command.rails } });
  const { workload_id } = command;
  const rail_id = (mesh && get(mesh.placements, workload_id)?.rail_id) ?? null;
  if (command.command === "elevate")
    return event({ workload_id, from_rail_id: rail_id, to_rail_id: command.target_rail_id });
  return event(
    command.command === "place"
      ? { workload_id, rail_id: command.rail_id, policy: command.policy }
      : { workload_id, rail_id },
  );
}

/** The invariants that the command would break, each by itself. */
function broken(model: Model, { command }: Move): Set<Invariant> {
  const found = new Set<Invariant>();
  const is = (invariant: Invariant, holds: boolean) => void (holds && found.add(invariant));
  const only = () => new Set<Invariant>(["INV-MESH-FAIL-CLOSED"]);
  if (command.command === "reload") return isTopology(command.rails) ? reloadBreaks(model, command.rails) : only();
  const now = model.where.get(command.workload_id) ?? { rail: null, level: -1 };
  if (command.command === "remove") return now.rail === null ? only() : found;
  const to = model.rails?.find(
    (rail) => rail.rail_id === (command.command === "place" ? command.rail_id : command.target_rail_id),
  );
  if (!to || (now.rail === null) !== (command.command === "place")) return only();
  const policy = command.command === "place" ? command.policy : (now as Placed).policy;
  const floor = command.command === "place" ? now.level : now.level + 1;
  is("INV-MESH-MONOTONIC-ELEVATION", rank(to.level) < floor);
  is("INV-MESH-LATENCY-BUDGET", policy.preserve_latency_budget && to.latency_overhead_us > policy.latency_budget_us);
  is(
    "INV-MESH-ATOMIC-TRANSITION",
    [...model.where.values()].filter(({ rail }) => rail === to.rail_id).length >= to.capacity,
  );
  return found;
}

/** What the fold takes for a list of rails: it does not judge spelling or further members, which break no invariant. */
function isTopology(rails: readonly unknown[]): rails is readonly Rail[] {
  const isRail = (rail: Partial<Rail> | null) =>
    typeof rail === "object" &&
    rail !== null &&
    typeof rail.rail_id === "string" &&
    rail.rail_id !== "" &&
    rank(rail.level ?? "") >= 0 &&
    Number.isSafeInteger(rail.capacity) &&
    rail.capacity! > 0 &&
    Number.isSafeInteger(rail.latency_overhead_us) &&
    rail.latency_overhead_us! >= 0;
  return (
    Array.isArray(rails) &&
    rails.length > 0 &&
    rails.every(isRail) &&
    new Set(rails.map(({ rail_id }) => rail_id)).size === rails.length
  );
}

function reloadBreaks(model: Model, offered: readonly Rail[]): Set<Invariant> {
  const found = new Set<Invariant>();
  for (const [, where] of model.where) {
    if (where.rail === null) continue;
    const next = offered.find(({ rail_id }) => rail_id === where.rail);
    if (next === undefined || rank(next.level) !== where.level) found.add("INV-MESH-MONOTONIC-ELEVATION");
    else if (where.policy.preserve_latency_budget && next.latency_overhead_us > where.policy.latency_budget_us)
      found.add("INV-MESH-LATENCY-BUDGET");
    if (next && next.capacity < [...model.where.values()].filter(({ rail }) => rail === next.rail_id).length)
      found.add("INV-MESH-ATOMIC-TRANSITION");
  }
  return found;
}

/** Events, and states, that no command leads to. */
function tampered(mesh: MeshState | null): [MeshEvent, Invariant, MeshState | null][] {
  const rails = [{ rail_id: "a", level: "shared", latency_overhead_us: 0, capacity: 9 }] as const;
  const policy = {
    elevation_allowed: true,
    max_target_level: "shared",
    preserve_latency_budget: false,
    latency_budget_us: 0,
  } as const;
  const reload = forged(mesh, { command: "reload", mesh_id: "m", rails });
  const place = forged(mesh, { command: "place", mesh_id: "m", workload_id: "new", rail_id: "a", policy });
  const over = (event: MeshEvent, details: object): MeshEvent => ({
    ...event,
    details: { ...event.details, ...details },
  });
  const found: [MeshEvent, Invariant, MeshState | null][] = [
    [over(reload, { mesh_id: undefined }), "INV-MESH-FAIL-CLOSED", mesh],
    [over(reload, { topology: undefined }), "INV-MESH-FAIL-CLOSED", mesh],
    [over(reload, { revision: (mesh?.revision ?? 0) + 2 }), "INV-MESH-DETERMINISTIC-TOPOLOGY", mesh],
    [{ ...reload, event_type: "mesh.melt" }, "INV-MESH-FAIL-CLOSED", mesh],
  ];
  if (mesh === null) return found;
  found.push([over(reload, { mesh_id: "another" }), "INV-MESH-DETERMINISTIC-TOPOLOGY", mesh]);
  if (!get(mesh.rails, "a")) return found;
  const wrongPolicies = [
    null,
    { ...policy, elevation_allowed: 1 },
    { ...policy, max_target_level: "none" },
    { ...policy, preserve_latency_budget: null },
    { ...policy, latency_budget_us: -1 },
    { ...policy, latency_budget_us: 0.5 },
  ];
  for (const wrong of wrongPolicies) found.push([over(place, { policy: wrong }), "INV-MESH-FAIL-CLOSED", mesh]);
  found.push([over(place, { workload_id: "" }), "INV-MESH-FAIL-CLOSED", mesh]);
  const placement = get(mesh.placements, "u");
  if (placement?.rail_id !== "a") return found;
  found.push([
    over(forged(mesh, { command: "remove", mesh_id: "m", workload_id: "u" }), { rail_id: "c" }),
    "INV-MESH-DETERMINISTIC-TOPOLOGY",
    mesh,
  ]);
  const hardware = get(mesh.rails, "c");
  if (hardware?.level === "hardware_isolated" && placement.level === "shared") {
    found.push([
      over(forged(mesh, { command: "elevate", mesh_id: "m", workload_id: "u", target_rail_id: "c" }), {
        from_rail_id: "c",
      }),
      "INV-MESH-DETERMINISTIC-TOPOLOGY",
      mesh,
    ]);
  }
  const miscounted = {
    ...mesh,
    rails: {
      ...mesh.rails!,
      key: "a",
      value: { ...get(mesh.rails, "a")!, total_placed: 99 },
      left: null,
      right: null,
      size: 1,
    },
  };
  found.push([
    forged(mesh, { command: "remove", mesh_id: "m", workload_id: "u" }),
    "INV-MESH-ATOMIC-TRANSITION",
    miscounted,
  ]);
  return found;
}
