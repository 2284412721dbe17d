// Walks every reachable state of a world through the real law and the real fold, and checks each edge against the model and the invariants.
import type * as core from "../../src/core/mesh.ts";
import {
  type MeshState,
  type MeshCommand,
  type MeshDecision,
  type MeshFacts,
  MESH_EVENT_TYPES,
} from "../../src/core/mesh.ts";
import type { ElevationPolicy, Mesh, MeshPlacement } from "../../src/core/schema/mesh.ts";
import { apply, keyOf, type Model, type Move, moves, rank, UNDEFINED_MESH, verdict, type World } from "./model.ts";

export type Core = Pick<typeof core, "step" | "meshFacts" | "meshDetails" | "wireMesh">;
export type Law = (input: unknown) => unknown;

/** What is wrong with an edge, and how it was reached. */
export class Disagreement extends Error {}

export interface Figures {
  states: number;
  transitions: number;
  accepted: number;
  /** Distinct inputs that the law was asked; it is a pure function, so the same input is asked once. */
  decisions: number;
}

const AT = "2026-01-01T00:00:00.000Z";

/** Breadth first from a mesh that was never defined, until no new state is found. */
export function explore(world: World, law: Law, core: Core, statesMax = Infinity): Figures {
  const asked = memoised(law);
  const all = moves(world);
  const seen = new Map([[keyOf(world, UNDEFINED_MESH), 0]]);
  const reachedStates: { model: Model; mesh: MeshState | null }[] = [{ model: UNDEFINED_MESH, mesh: null }];
  const figures = { states: 1, transitions: 0, accepted: 0, decisions: 0 };
  // Those that are added meanwhile come too.
  for (const next of reachedStates) {
    for (const move of all) {
      figures.transitions++;
      const reached = edge(next.model, next.mesh, move, asked.law, core);
      if (reached === undefined) continue;
      figures.accepted++;
      const key = keyOf(world, reached.model);
      if (seen.has(key) || seen.size >= statesMax) continue;
      seen.set(key, seen.size);
      reachedStates.push(reached);
    }
  }
  return { ...figures, states: seen.size, decisions: asked.count() };
}

/** Steps after which a walk begins anew, since in one mesh every workload ends on the strictest level that it can have. */
const WALK_STEPS_MAX = 50;

/**
 * Follows chance, where `explore` keeps one path to each state, the shortest: counters and histories grow longer. Each
 * step is checked in the same way. The same seed gives the same walk.
 */
export function walk(world: World, law: Law, core: Core, { steps, seed }: { steps: number; seed: number }): Figures {
  const asked = memoised(law);
  const all = moves(world);
  const figures = { states: 0, transitions: 0, accepted: 0, decisions: 0 };
  const start: { model: Model; mesh: MeshState | null } = { model: UNDEFINED_MESH, mesh: null };
  let at = start;
  let random = seed;
  while (figures.accepted < steps) {
    random = (Math.imul(random, 1_664_525) + 1_013_904_223) >>> 0;
    figures.transitions++;
    const reached = edge(at.model, at.mesh, all[Math.floor((random / 2 ** 32) * all.length)]!, asked.law, core);
    if (reached === undefined) continue;
    figures.accepted++;
    at = figures.accepted % WALK_STEPS_MAX === 0 ? start : reached;
  }
  return { ...figures, decisions: asked.count() };
}

/** The law, which is a pure function, asked once for each input: known by facts, then by move, since the same few are tried in every state. */
function memoised(law: Law) {
  const known = new Map<string, Map<Move, MeshDecision>>();
  let count = 0;
  // What comes one after the other often differs in the move alone.
  let last: { facts: MeshFacts; decisions: Map<Move, MeshDecision> } | undefined;
  const decisionsOn = (facts: MeshFacts): Map<Move, MeshDecision> => {
    if (last !== undefined && same(last.facts, facts)) return last.decisions;
    const text = JSON.stringify(facts);
    const decisions = known.get(text) ?? new Map<Move, MeshDecision>();
    known.set(text, decisions);
    last = { facts, decisions };
    return decisions;
  };
  const ask = (move: Move, facts: MeshFacts): MeshDecision => {
    const decisions = decisionsOn(facts);
    let decision = decisions.get(move);
    if (decision === undefined) {
      count++;
      decision = law({ request: move.command, facts, context: move.context }) as MeshDecision;
      decisions.set(move, decision);
    }
    return decision;
  };
  return { law: ask, count: () => count };
}

/** Whether two values of plain data are the same: members by name, in any order, and nothing else. Several times quicker than Node's. */
function same(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const names = Object.keys(a);
  if (names.length !== Object.keys(b).length) return false;
  const [left, right] = [a, b] as [Record<string, unknown>, Record<string, unknown>];
  for (const name of names) if (!Object.hasOwn(right, name) || !same(left[name], right[name])) return false;
  return true;
}

function edge(model: Model, mesh: MeshState | null, move: Move, law: ReturnType<typeof memoised>["law"], core: Core) {
  const request = move.command;
  const decision = law(move, core.meshFacts(mesh, request, move.admission));
  const [error_code, mesh_event] = verdict(model, move);
  if (
    decision.error_code !== error_code ||
    decision.mesh_event !== mesh_event ||
    decision.outcome !== (error_code === null ? "accepted" : "refused")
  ) {
    throw wrong(
      model,
      move,
      `the law says ${decision.error_code} ${decision.mesh_event}, the contract ${error_code} ${mesh_event}`,
    );
  }
  const event = eventOf(core, mesh, request, decision);
  const after = core.step(mesh, event);
  if (decision.outcome === "refused") {
    if (after !== mesh) throw wrong(model, move, "a refusal changed the state");
    return undefined;
  }
  if (after === null) throw wrong(model, move, "an acceptance left no state");
  const next = apply(model, move);
  checkEdge(model, mesh, move, after, next, core);
  if (!same(core.step(mesh, event), after)) throw wrong(model, move, "INV-MESH-DETERMINISTIC-TOPOLOGY");
  return { model: next, mesh: frozen(after) };
}

export function eventOf(core: Core, mesh: MeshState | null, command: MeshCommand, decision: MeshDecision) {
  return {
    event_type: MESH_EVENT_TYPES[command.command],
    outcome: decision.outcome,
    occurred_at: AT,
    details: core.meshDetails(mesh, command, decision),
  };
}

/** The six invariants as plain predicates over before and after, and that the real state is the model's. */
function checkEdge(model: Model, mesh: MeshState | null, move: Move, after: MeshState, next: Model, core: Core): void {
  const before =
    mesh === null ? { revision: 0, rail_states: {}, placements: {}, topology: { rails: [] } } : core.wireMesh(mesh);
  const broken =
    brokenInvariant(model, before, core.wireMesh(after)) ?? differs(before, core.wireMesh(after), next, move);
  if (broken !== undefined) throw wrong(model, move, broken);
}

type Wire = Omit<Mesh, "mesh_id">;

/** The first invariant that an edge breaks, undefined where all hold. */
export function brokenInvariant(model: Model, before: Wire, after: Wire): string | undefined {
  const rails = new Map(after.topology.rails.map((rail) => [rail.rail_id, rail]));
  const active = new Map<string, number>();
  for (const [id, placement] of Object.entries(after.placements)) {
    const rail = rails.get(placement.rail_id);
    if (rail === undefined || rail.level !== placement.level) return "INV-MESH-FAIL-CLOSED";
    if (rank(placement.level) < (model.where.get(id)?.level ?? -1)) return "INV-MESH-MONOTONIC-ELEVATION";
    if (before.placements[id] && !samePolicy(before.placements[id].policy, placement.policy))
      return "INV-MESH-POLICY-CONTINUITY";
    if (placement.policy.preserve_latency_budget && rail.latency_overhead_us > placement.policy.latency_budget_us)
      return "INV-MESH-LATENCY-BUDGET";
    active.set(rail.rail_id, (active.get(rail.rail_id) ?? 0) + 1);
  }
  for (const { rail_id, capacity } of after.topology.rails) {
    const state = after.rail_states[rail_id]!;
    const reconciled = state.total_placed + state.total_elevated_in - state.total_elevated_out - state.total_removed;
    if (state.active_count !== (active.get(rail_id) ?? 0) || state.active_count !== reconciled || reconciled > capacity)
      return "INV-MESH-ATOMIC-TRANSITION";
  }
  return undefined;
}

const samePolicy = (a: ElevationPolicy, b: ElevationPolicy) =>
  a.elevation_allowed === b.elevation_allowed &&
  a.max_target_level === b.max_target_level &&
  a.preserve_latency_budget === b.preserve_latency_budget &&
  a.latency_budget_us === b.latency_budget_us;

/** How the real state differs from the model's; counters by what the command adds, history by what it appends. */
function differs(before: Wire, after: Wire, next: Model, { command }: Move): string | undefined {
  if (after.revision !== before.revision + 1) return "the revision did not rise by one";
  if (!same(after.topology.rails, sorted(next.rails!))) return "the topology is not the model's";
  const placed = [...next.where].filter(([, where]) => where.rail !== null);
  if (placed.length !== Object.keys(after.placements).length) return "other workloads are placed than the model's";
  for (const [id, where] of placed) {
    const placement = after.placements[id];
    if (placement?.rail_id !== where.rail || rank(placement.level) !== where.level || placement.placed_at !== AT)
      return `${id} is elsewhere than the model's`;
    if (!same(placement.elevations, expectedElevations(before.placements[id], placement, command)))
      return `${id} has another history`;
  }
  return same(after.rail_states, expectedCounters(before, after, command))
    ? undefined
    : "the counters count something else";
}

const sorted = (rails: NonNullable<Model["rails"]>) => [...rails].sort((a, b) => (a.rail_id < b.rail_id ? -1 : 1));

function expectedElevations(
  before: MeshPlacement | undefined,
  { workload_id, rail_id, level }: MeshPlacement,
  command: MeshCommand,
): MeshPlacement["elevations"] {
  if (before === undefined) return [];
  if (command.command !== "elevate" || command.workload_id !== workload_id) return before.elevations;
  return [
    ...before.elevations,
    { from_rail_id: before.rail_id, from_level: before.level, to_rail_id: rail_id, to_level: level, at: AT },
  ];
}

/** What a command adds to the counters. Across a reload a rail that stays keeps them, and a new one starts from zero. */
function expectedCounters(before: Wire, after: Wire, command: MeshCommand): Wire["rail_states"] {
  const none = { active_count: 0, total_placed: 0, total_elevated_in: 0, total_elevated_out: 0, total_removed: 0 };
  const counters = Object.fromEntries(
    after.topology.rails.map(({ rail_id }) => [rail_id, { ...none, ...before.rail_states[rail_id] }]),
  );
  if (command.command === "reload") return counters;
  const from = before.placements[command.workload_id]?.rail_id;
  const count = (
    railId: string,
    total: "total_placed" | "total_elevated_in" | "total_elevated_out" | "total_removed",
    active: number,
  ) => {
    counters[railId]![total]++;
    counters[railId]!.active_count += active;
  };
  if (command.command === "place") count(command.rail_id, "total_placed", +1);
  if (command.command === "remove") count(from!, "total_removed", -1);
  if (command.command === "elevate") count(from!, "total_elevated_out", -1);
  if (command.command === "elevate") count(command.target_rail_id, "total_elevated_in", +1);
  return counters;
}

/** Deeply, so that a step which changes the state that it is given throws. What is frozen already is not visited again. */
function frozen<T>(value: T): T {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value;
  Object.freeze(value);
  for (const member of Object.values(value)) frozen(member);
  return value;
}

function wrong(model: Model, move: Move, what: string): Disagreement {
  const where = Object.fromEntries([...model.where].map(([id, at]) => [id, at]));
  return new Disagreement(
    `${what}\n  in ${JSON.stringify({ rails: model.rails, where })}\n  on ${JSON.stringify(move.command)}`,
  );
}
