// The isolation mesh as state: the slice of it that the law judges, the fold of what was decided, its shape on the wire.
//
// No rule is here. `step` asserts the invariants once more; where the law and they disagree, nothing is committed.
import { must } from "./invariant.ts";
import { faultOf, lazily, type Recognised } from "./outcome.ts";
import { type Level, LEVELS } from "./schema/base.ts";
import { MeshDecisionSchema, type MeshDecision } from "./schema/law.ts";
import type {
  ElevationPolicy,
  Mesh,
  MeshPlacement as Placement,
  Rail,
  RailState as RailCounters,
} from "./schema/mesh.ts";
import { get, set, type Tree, treeOf, values, without } from "./tree.ts";

export type { MeshDecision };

/**
 * One tenant's mesh, or as much of it as a command is about (core/mesh-state.ts). Immutable; a step shares all that it does
 * not change.
 */
export interface MeshState {
  readonly mesh_id: string;
  /** Accepted commands so far. */
  readonly revision: number;
  readonly rails: Tree<Rail & RailCounters>;
  readonly placements: Tree<Placement>;
  /** The level that each removed workload had; no reload and no time makes the mesh forget it. */
  readonly departed: Tree<Departed>;
}

export interface Departed {
  readonly workload_id: string;
  readonly level: Level;
}

/** What the law is asked, `input.request`. The rails of a reload are whatever the caller sent; the law judges them. */
export type MeshCommand =
  | { readonly command: "reload"; readonly mesh_id: string; readonly rails: readonly unknown[] }
  | {
      readonly command: "place";
      readonly mesh_id: string;
      readonly workload_id: string;
      readonly rail_id: string;
      readonly policy: ElevationPolicy;
    }
  | {
      readonly command: "elevate";
      readonly mesh_id: string;
      readonly workload_id: string;
      readonly target_rail_id: string;
    }
  | { readonly command: "remove"; readonly mesh_id: string; readonly workload_id: string };

/** What the workload's admission says of it; `meshAdmission` in workload.ts takes it from the live state. */
export interface MeshAdmission {
  readonly least_level: Level;
  /** CRP-designated. */
  readonly crp: boolean;
  readonly governance_profile: string | null;
}

/** The slice of the mesh that a command is about, `input.facts`. */
export type MeshFacts = ReloadFacts | PlaceFacts | ElevateFacts | RemoveFacts;

export interface ReloadFacts {
  /** Sorted by rail_id. `least_budget_us` is the smallest budget that a workload on the rail preserves. */
  readonly occupied: readonly { rail_id: string; level: Level; active_count: number; least_budget_us: number | null }[];
}

interface RailFact extends Rail {
  readonly active_count: number;
}

interface PlacementFact {
  readonly workload_id: string;
  readonly rail_id: string;
  readonly level: Level;
  readonly policy: ElevationPolicy;
}

export interface PlaceFacts {
  readonly rail: RailFact | null;
  readonly placement: PlacementFact | null;
  readonly departed_level: Level | null;
  readonly admission: MeshAdmission | null;
}

export interface ElevateFacts {
  readonly rail: RailFact | null;
  readonly placement: PlacementFact | null;
  readonly admission: MeshAdmission | null;
}

export interface RemoveFacts {
  readonly placement: PlacementFact | null;
}

/** `details` of a mesh event: all that is needed to fold it, and no more. */
export type MeshDetails = {
  readonly mesh_id: string;
  readonly mesh_event: string | null;
  readonly error_code: string | null;
  readonly trace_id?: string;
  /** The mesh's revision after the command; accepted commands only. */
  readonly revision?: number;
} & (ReloadDetails | PlaceDetails | ElevateDetails | RemoveDetails);

export interface ReloadDetails {
  /** Sorted by rail_id; accepted reloads only. */
  readonly topology?: { readonly rails: readonly Rail[] };
}

export interface PlaceDetails {
  readonly workload_id: string;
  readonly rail_id: string;
  readonly policy: ElevationPolicy;
}

export interface ElevateDetails {
  readonly workload_id: string;
  /** null where the workload is not placed. */
  readonly from_rail_id: string | null;
  readonly to_rail_id: string;
}

export interface RemoveDetails {
  readonly workload_id: string;
  /** null where the workload is not placed. */
  readonly rail_id: string | null;
}

/** As much of an event as the fold reads; attacker-controlled until its record is verified. */
export interface MeshEvent {
  readonly event_type: string;
  readonly outcome: string;
  readonly occurred_at: string;
  readonly details?: { readonly [name: string]: unknown } | MeshDetails;
}

export const MESH_EVENT_TYPES = {
  reload: "mesh.reload",
  place: "mesh.place",
  elevate: "mesh.elevate",
  remove: "mesh.remove",
} as const;

const ACCEPTED_EVENT: Record<MeshCommand["command"], string> = {
  place: "MESH_001",
  elevate: "MESH_002",
  remove: "MESH_005",
  reload: "MESH_006",
};

/** Denied by policy, denied by latency budget, demotion blocked. */
const REFUSED_EVENTS = ["MESH_003", "MESH_004", "MESH_007"];

const NOTHING_COUNTED: RailCounters = {
  active_count: 0,
  total_placed: 0,
  total_elevated_in: 0,
  total_elevated_out: 0,
  total_removed: 0,
};

/**
 * What the law needs to know of the mesh for a command. Costs O(log n) in the size of what is given; a reload looks at every
 * rail, and at every placement there is in it.
 * @param mesh null where the tenant never defined it.
 * @param admission null where the workload was never admitted.
 */
export function meshFacts(mesh: MeshState | null, command: MeshCommand, admission: MeshAdmission | null): MeshFacts {
  switch (command.command) {
    case "reload":
      return { occupied: mesh === null ? [] : occupiedRails(mesh) };
    case "place":
      return {
        rail: railFact(mesh, command.rail_id),
        placement: placementFact(mesh, command.workload_id),
        departed_level: (mesh && get(mesh.departed, command.workload_id)?.level) ?? null,
        admission,
      };
    case "elevate":
      return {
        rail: railFact(mesh, command.target_rail_id),
        placement: placementFact(mesh, command.workload_id),
        admission,
      };
    case "remove":
      return { placement: placementFact(mesh, command.workload_id) };
  }
}

function railFact(mesh: MeshState | null, railId: string): RailFact | null {
  const rail = mesh && get(mesh.rails, railId);
  if (!rail) return null;
  const { rail_id, level, latency_overhead_us, capacity, active_count } = rail;
  return { rail_id, level, latency_overhead_us, capacity, active_count };
}

function placementFact(mesh: MeshState | null, workloadId: string): PlacementFact | null {
  const placement = mesh && get(mesh.placements, workloadId);
  if (!placement) return null;
  const { workload_id, rail_id, level, policy } = placement;
  return { workload_id, rail_id, level, policy };
}

function occupiedRails(mesh: MeshState): ReloadFacts["occupied"] {
  const leastBudgets = leastPreservedBudgets(mesh);
  return [...values(mesh.rails)]
    .filter((rail) => rail.active_count > 0)
    .map(({ rail_id, level, active_count }) => ({
      rail_id,
      level,
      active_count,
      least_budget_us: leastBudgets.get(rail_id) ?? null,
    }));
}

function leastPreservedBudgets(mesh: MeshState): Map<string, number> {
  const least = new Map<string, number>();
  for (const { rail_id, policy } of values(mesh.placements)) {
    if (!policy.preserve_latency_budget) continue;
    least.set(rail_id, Math.min(least.get(rail_id) ?? Infinity, policy.latency_budget_us));
  }
  return least;
}

const answerShape = lazily(MeshDecisionSchema);

/** The law's answer to a command, or why it is none (POL-03): an acceptance only with the mesh event of its command. */
export function recogniseMesh(output: unknown, command: MeshCommand["command"]): Recognised<MeshDecision> {
  if (!answerShape().Check(output)) return { problem: faultOf(answerShape(), output) };
  const decision = output as MeshDecision;
  const events = decision.outcome === "accepted" ? [ACCEPTED_EVENT[command]] : [null, ...REFUSED_EVENTS];
  return events.includes(decision.mesh_event)
    ? { decision }
    : { problem: `${decision.mesh_event} is no event of that command` };
}

/** The `details` of the event that records a decision on a command; `mesh` is the state that was decided on. */
export function meshDetails(
  mesh: MeshState | null,
  command: MeshCommand,
  decision: MeshDecision,
  traceId?: string,
): MeshDetails {
  const accepted = decision.outcome === "accepted";
  return {
    mesh_id: command.mesh_id,
    mesh_event: decision.mesh_event,
    error_code: decision.error_code,
    ...(traceId !== undefined && { trace_id: traceId }),
    ...(accepted && { revision: (mesh?.revision ?? 0) + 1 }),
    ...commandDetails(mesh, command, accepted),
  };
}

function commandDetails(mesh: MeshState | null, command: MeshCommand, accepted: boolean) {
  const railId = () =>
    (mesh && get(mesh.placements, command.command === "reload" ? "" : command.workload_id)?.rail_id) ?? null;
  switch (command.command) {
    case "reload":
      return accepted
        ? { topology: { rails: [...values(treeOf(command.rails as readonly Rail[], (rail) => rail.rail_id))] } }
        : {};
    case "place":
      return { workload_id: command.workload_id, rail_id: command.rail_id, policy: command.policy };
    case "elevate":
      return { workload_id: command.workload_id, from_rail_id: railId(), to_rail_id: command.target_rail_id };
    case "remove":
      return { workload_id: command.workload_id, rail_id: railId() };
  }
}

/** A mesh in the pieces that it is stored in, so that what a step writes does not grow with the mesh either. */
export type MeshPart =
  | { readonly part: "mesh"; readonly key: ""; readonly value: { readonly mesh_id: string; readonly revision: number } }
  | { readonly part: "rail"; readonly key: string; readonly value: (Rail & RailCounters) | null }
  | { readonly part: "placement"; readonly key: string; readonly value: Placement | null }
  | { readonly part: "departed"; readonly key: string; readonly value: Departed | null };

/** The parts that a step changed; a value of null is gone. */
export function meshChanges(before: MeshState | null, after: MeshState, event: MeshEvent): MeshPart[] {
  if (before === after) return [];
  const named = (event.details ?? {}) as Partial<PlaceDetails & ElevateDetails & RemoveDetails>;
  const rails =
    event.event_type === MESH_EVENT_TYPES.reload
      ? new Set([...values(before?.rails ?? null), ...values(after.rails)].map((rail) => rail.rail_id))
      : new Set([named.rail_id, named.from_rail_id, named.to_rail_id].filter((id) => typeof id === "string"));
  const workloads = named.workload_id === undefined ? [] : [named.workload_id];
  return [
    { part: "mesh", key: "", value: { mesh_id: after.mesh_id, revision: after.revision } },
    ...[...rails].map((key) => ({ part: "rail", key, value: get(after.rails, key) ?? null }) as const),
    ...workloads.map((key) => ({ part: "placement", key, value: get(after.placements, key) ?? null }) as const),
    ...workloads
      .filter((key) => get(before?.departed ?? null, key) !== get(after.departed, key))
      .map((key) => ({ part: "departed", key, value: get(after.departed, key) ?? null }) as const),
  ];
}

/** The mesh of its stored parts, in any order; null where there is none. */
export function meshOf(parts: Iterable<MeshPart>): MeshState | null {
  let head: { mesh_id: string; revision: number } | null = null;
  let [rails, placements, departed]: [MeshState["rails"], MeshState["placements"], MeshState["departed"]] = [
    null,
    null,
    null,
  ];
  for (const { part, key, value } of parts) {
    if (value === null) continue;
    if (part === "mesh") head = value;
    else if (part === "rail") rails = set(rails, key, value);
    else if (part === "placement") placements = set(placements, key, value);
    else departed = set(departed, key, value);
  }
  return head && { mesh_id: head.mesh_id, revision: head.revision, rails, placements, departed };
}

/**
 * Folds one evidenced mesh event into the state; live, on restart and on replay alike. Cost grows with the logarithm
 * of the mesh, but for a reload. A refused event changes nothing.
 * @throws InvariantError naming the invariant that the event would break; the state given stays as it was.
 */
export function step(mesh: MeshState | null, event: MeshEvent): MeshState | null {
  if (event.outcome !== "accepted") return mesh;
  const details = (event.details ?? {}) as MeshDetails;
  must("INV-MESH-FAIL-CLOSED", typeof details.mesh_id === "string", "the event names no mesh");
  must(
    "INV-MESH-DETERMINISTIC-TOPOLOGY",
    mesh === null || mesh.mesh_id === details.mesh_id,
    "the event is another mesh's",
  );
  must(
    "INV-MESH-DETERMINISTIC-TOPOLOGY",
    details.revision === (mesh?.revision ?? 0) + 1,
    "a command is missing or comes twice",
  );
  if (event.event_type === MESH_EVENT_TYPES.reload) return reload(mesh, details as ReloadDetails, details.mesh_id);
  must("INV-MESH-FAIL-CLOSED", mesh !== null, "the mesh was never defined");
  const next = { ...mesh, revision: mesh.revision + 1 };
  switch (event.event_type) {
    case MESH_EVENT_TYPES.place:
      return { ...next, ...place(mesh, details as PlaceDetails, event.occurred_at) };
    case MESH_EVENT_TYPES.elevate:
      return { ...next, ...elevate(mesh, details as ElevateDetails, event.occurred_at) };
    case MESH_EVENT_TYPES.remove:
      return { ...next, ...remove(mesh, details as RemoveDetails) };
    default:
      return must("INV-MESH-FAIL-CLOSED", false, `${event.event_type} is no mesh event`) as never;
  }
}

function place(
  mesh: MeshState,
  details: PlaceDetails,
  at: string,
): Pick<MeshState, "rails" | "placements" | "departed"> {
  const { workload_id, policy } = details;
  must("INV-MESH-FAIL-CLOSED", typeof workload_id === "string" && workload_id !== "", "the event names no workload");
  must("INV-MESH-FAIL-CLOSED", isPolicy(policy), "the elevation policy is incomplete");
  must("INV-MESH-FAIL-CLOSED", get(mesh.placements, workload_id) === undefined, `${workload_id} is placed already`);
  const rail = railOf(mesh, details.rail_id);
  const departed = get(mesh.departed, workload_id);
  must(
    "INV-MESH-MONOTONIC-ELEVATION",
    !departed || rankOf(rail.level) >= rankOf(departed.level),
    `${workload_id} would come back weaker`,
  );
  mustFit(policy, rail);
  const { rail_id, level } = rail;
  return {
    rails: set(mesh.rails, rail_id, counted(rail, "total_placed", +1)),
    placements: set(mesh.placements, workload_id, {
      workload_id,
      rail_id,
      level,
      policy,
      placed_at: at,
      elevations: [],
    }),
    departed: departed ? without(mesh.departed, workload_id) : mesh.departed,
  };
}

function elevate(mesh: MeshState, details: ElevateDetails, at: string): Pick<MeshState, "rails" | "placements"> {
  const placement = placementOf(mesh, details.workload_id);
  must(
    "INV-MESH-DETERMINISTIC-TOPOLOGY",
    placement.rail_id === details.from_rail_id,
    `${placement.workload_id} is on another rail`,
  );
  const [from, to] = [railOf(mesh, placement.rail_id), railOf(mesh, details.to_rail_id)];
  must(
    "INV-MESH-MONOTONIC-ELEVATION",
    rankOf(to.level) > rankOf(placement.level),
    `${placement.workload_id} would not move up`,
  );
  mustFit(placement.policy, to);
  const elevation = {
    from_rail_id: from.rail_id,
    from_level: placement.level,
    to_rail_id: to.rail_id,
    to_level: to.level,
    at,
  };
  const moved: Placement = {
    ...placement,
    rail_id: to.rail_id,
    level: to.level,
    elevations: [...placement.elevations, elevation],
  };
  must(
    "INV-MESH-POLICY-CONTINUITY",
    moved.policy === placement.policy,
    `${placement.workload_id} would lose its policy`,
  );
  const left = set(mesh.rails, from.rail_id, counted(from, "total_elevated_out", -1));
  return {
    rails: set(left, to.rail_id, counted(to, "total_elevated_in", +1)),
    placements: set(mesh.placements, placement.workload_id, moved),
  };
}

function remove(mesh: MeshState, details: RemoveDetails): Pick<MeshState, "rails" | "placements" | "departed"> {
  const { workload_id, rail_id, level } = placementOf(mesh, details.workload_id);
  must("INV-MESH-DETERMINISTIC-TOPOLOGY", rail_id === details.rail_id, `${workload_id} is on another rail`);
  return {
    rails: set(mesh.rails, rail_id, counted(railOf(mesh, rail_id), "total_removed", -1)),
    placements: without(mesh.placements, workload_id),
    departed: set(mesh.departed, workload_id, { workload_id, level }),
  };
}

function reload(mesh: MeshState | null, details: ReloadDetails, meshId: string): MeshState {
  const offered = details.topology?.rails;
  must(
    "INV-MESH-FAIL-CLOSED",
    Array.isArray(offered) && offered.length > 0 && offered.every(isRail),
    "the topology is no list of rails",
  );
  const rails = treeOf(
    offered.map(({ rail_id, level, latency_overhead_us, capacity }) => ({
      ...NOTHING_COUNTED,
      ...countersOf(mesh, rail_id),
      rail_id,
      level,
      latency_overhead_us,
      capacity,
    })),
    (rail) => rail.rail_id,
  );
  must("INV-MESH-FAIL-CLOSED", rails?.size === offered.length, "a rail comes twice");
  for (const rail of values(rails)) mustReconcile(rail);
  for (const { rail_id, level, active_count } of values(mesh?.rails ?? null)) {
    must(
      "INV-MESH-MONOTONIC-ELEVATION",
      active_count === 0 || get(rails, rail_id)?.level === level,
      `the occupied rail ${rail_id} would be dropped or change its level`,
    );
  }
  for (const { rail_id, policy } of values(mesh?.placements ?? null)) mustFit(policy, railIn(rails, rail_id));
  return {
    mesh_id: meshId,
    revision: (mesh?.revision ?? 0) + 1,
    rails,
    placements: mesh?.placements ?? null,
    departed: mesh?.departed ?? null,
  };
}

function countersOf(mesh: MeshState | null, railId: string): RailCounters | undefined {
  const rail = mesh && get(mesh.rails, railId);
  if (!rail) return undefined;
  const { active_count, total_placed, total_elevated_in, total_elevated_out, total_removed } = rail;
  return { active_count, total_placed, total_elevated_in, total_elevated_out, total_removed };
}

function counted(
  rail: Rail & RailCounters,
  total: Exclude<keyof RailCounters, "active_count">,
  active: 1 | -1,
): Rail & RailCounters {
  const next = { ...rail, [total]: rail[total] + 1, active_count: rail.active_count + active };
  mustReconcile(next);
  return next;
}

function mustReconcile(rail: Rail & RailCounters): void {
  const { rail_id, active_count } = rail;
  const reconciled = rail.total_placed + rail.total_elevated_in - rail.total_elevated_out - rail.total_removed;
  must("INV-MESH-ATOMIC-TRANSITION", active_count === reconciled, `the counters of rail ${rail_id} do not reconcile`);
  must(
    "INV-MESH-ATOMIC-TRANSITION",
    active_count >= 0 && active_count <= rail.capacity,
    `rail ${rail_id} would be over its capacity`,
  );
}

function mustFit(policy: ElevationPolicy, rail: Rail): void {
  const fits = !policy.preserve_latency_budget || rail.latency_overhead_us <= policy.latency_budget_us;
  must("INV-MESH-LATENCY-BUDGET", fits, `rail ${rail.rail_id} is over a preserved budget`);
}

const railOf = (mesh: MeshState, railId: string): Rail & RailCounters => railIn(mesh.rails, railId);

function railIn(rails: MeshState["rails"], railId: string): Rail & RailCounters {
  const rail = get(rails, railId);
  must("INV-MESH-FAIL-CLOSED", rail !== undefined, `there is no rail ${railId}`);
  return rail;
}

function placementOf(mesh: MeshState, workloadId: string): Placement {
  const placement = get(mesh.placements, workloadId);
  must("INV-MESH-FAIL-CLOSED", placement !== undefined, `${workloadId} is not placed`);
  return placement;
}

function rankOf(level: Level): number {
  return LEVELS.indexOf(level);
}

function isRail(rail: Rail | null | undefined): boolean {
  return (
    typeof rail?.rail_id === "string" &&
    rail.rail_id !== "" &&
    LEVELS.includes(rail.level) &&
    isCount(rail.latency_overhead_us) &&
    isCount(rail.capacity) &&
    rail.capacity >= 1
  );
}

function isPolicy(policy: ElevationPolicy | null | undefined): boolean {
  return (
    typeof policy?.elevation_allowed === "boolean" &&
    LEVELS.includes(policy.max_target_level) &&
    typeof policy.preserve_latency_budget === "boolean" &&
    isCount(policy.latency_budget_us)
  );
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/**
 * The mesh in its wire shape (spec api, meshes). Rails and placements come in the order of their code units; where an
 * identifier looks like a number only canonical JSON keeps that order, since objects do not.
 */
export function wireMesh(mesh: MeshState): Mesh {
  const rails = [...values(mesh.rails)];
  return {
    mesh_id: mesh.mesh_id,
    revision: mesh.revision,
    topology: {
      rails: rails.map(({ rail_id, level, latency_overhead_us, capacity }) => ({
        rail_id,
        level,
        latency_overhead_us,
        capacity,
      })),
    },
    rail_states: dictionary(
      rails,
      (rail) => rail.rail_id,
      (rail) => countersOf(mesh, rail.rail_id)!,
    ),
    placements: dictionary(
      values(mesh.placements),
      (placement) => placement.workload_id,
      (placement) => placement,
    ),
  };
}

/** Without a prototype, so that a rail may be called `__proto__`. */
function dictionary<T, V>(
  items: Iterable<T>,
  keyOf: (item: T) => string,
  valueOf: (item: T) => V,
): { [key: string]: V } {
  const result: { [key: string]: V } = Object.create(null);
  for (const item of items) result[keyOf(item)] = valueOf(item);
  return result;
}
