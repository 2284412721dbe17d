// The isolation mesh written a second time, as plainly as can be, from the contract's table and not from the Rego or the host.
//
// A world fixes what can happen: topologies, elevation policies, workloads. A model state says which topology is in
// force and where each workload is; it keeps no counters and no history, on which no answer depends.
import type { MeshAdmission, MeshCommand } from "../../src/core/mesh.ts";
import type { Context } from "../../src/core/schema/input.ts";
import type { ElevationPolicy, Rail } from "../../src/core/schema/mesh.ts";
import { context } from "./law.ts";

const LEVELS = ["shared", "process_isolated", "sandbox_isolated", "hardware_isolated"];
export const rank = (level: string): number => LEVELS.indexOf(level);

export interface World {
  readonly topologies: readonly (readonly Rail[])[];
  /** What is sent as a topology and is none. */
  readonly wrongTopologies: readonly unknown[];
  readonly policies: readonly ElevationPolicy[];
  readonly workloads: readonly { readonly id: string; readonly admission: MeshAdmission | null }[];
}

/** Where a workload is, or, `rail` null, the highest level that it ever had in this mesh (−1 for none). */
export type Whereabouts =
  | { readonly rail: string; readonly level: number; readonly policy: ElevationPolicy }
  | { readonly rail: null; readonly level: number };

export interface Model {
  /** null before the mesh is defined. */
  readonly rails: readonly Rail[] | null;
  readonly where: ReadonlyMap<string, Whereabouts>;
}

export const UNDEFINED_MESH: Model = { rails: null, where: new Map() };

export interface Move {
  readonly command: MeshCommand;
  readonly admission: MeshAdmission | null;
  readonly context: Context;
}

/** What the contract says: a code and an event where refused, the event where accepted. */
export type Verdict = readonly [error_code: string | null, mesh_event: string | null];

const refused = (code: string, event: string | null = null): Verdict => [`ERR_MESH_${code}`, event];
const NOWHERE: Whereabouts = { rail: null, level: -1 };

/** The table of the contract: the first check that fails gives the code. */
export function verdict(model: Model, { command, admission, context }: Move): Verdict {
  if (command.command === "reload")
    return isTopology(command.rails) && fits(model, command.rails) ? [null, "MESH_006"] : refused("INVALID_TOPOLOGY");
  const now = model.where.get(command.workload_id) ?? NOWHERE;
  if (command.command === "remove") return now.rail === null ? refused("UNKNOWN_WORKLOAD") : [null, "MESH_005"];
  const to = model.rails?.find(
    (rail) => rail.rail_id === (command.command === "place" ? command.rail_id : command.target_rail_id),
  );
  if (!to) return refused("UNKNOWN_RAIL");
  const table =
    command.command === "place" ? placing(model, now, to, command.policy, admission) : elevating(model, now, to);
  return (
    table ??
    (withheld(admission, context)
      ? ["partition_not_designated", null]
      : [null, command.command === "place" ? "MESH_001" : "MESH_002"])
  );
}

function placing(
  model: Model,
  now: Whereabouts,
  to: Rail,
  policy: ElevationPolicy,
  admission: MeshAdmission | null,
): Verdict | undefined {
  if (now.rail !== null) return refused("DUPLICATE_WORKLOAD");
  if (rank(to.level) < now.level) return refused("DEMOTION_FORBIDDEN", "MESH_007");
  if (admission && rank(to.level) < rank(admission.least_level)) return refused("DEMOTION_FORBIDDEN", "MESH_007");
  if (isOver(policy, to)) return refused("LATENCY_EXCEEDED");
  if (isFull(model, to)) return refused("RAIL_AT_CAPACITY");
  return undefined;
}

function elevating(model: Model, now: Whereabouts, to: Rail): Verdict | undefined {
  if (now.rail === null) return refused("UNKNOWN_WORKLOAD");
  if (rank(to.level) < now.level) return refused("DEMOTION_FORBIDDEN", "MESH_007");
  const { policy, level } = now;
  if (!policy.elevation_allowed || rank(to.level) === level || rank(to.level) > rank(policy.max_target_level))
    return refused("ELEVATION_DENIED", "MESH_003");
  if (isOver(policy, to)) return refused("LATENCY_EXCEEDED", "MESH_004");
  if (isFull(model, to)) return refused("RAIL_AT_CAPACITY");
  return undefined;
}

const isOver = (policy: ElevationPolicy, rail: Rail) =>
  policy.preserve_latency_budget && rail.latency_overhead_us > policy.latency_budget_us;
const on = (model: Model, railId: string) => [...model.where.values()].filter((where) => where.rail === railId);
const isFull = (model: Model, rail: Rail) => on(model, rail.rail_id).length >= rail.capacity;

function withheld(admission: MeshAdmission | null, { partition }: Context): boolean {
  const upstreamConfirms = ["ncp", "regulated-ml"];
  return (
    partition.state === "partitioned" &&
    admission !== null &&
    !admission.crp &&
    upstreamConfirms.includes(admission.governance_profile ?? "")
  );
}

function isTopology(rails: readonly unknown[]): rails is readonly Rail[] {
  const number = (value: unknown, least: number) =>
    Number.isInteger(value) && (value as number) >= least && (value as number) <= 2 ** 53 - 1;
  const isRail = (rail: Partial<Rail> | null) =>
    rail !== null &&
    typeof rail === "object" &&
    /^[\w.:/@-]{1,253}$/.test(rail.rail_id ?? "") &&
    typeof rail.rail_id === "string" &&
    ![".", ".."].includes(rail.rail_id) &&
    rank(rail.level ?? "") >= 0 &&
    number(rail.capacity, 1) &&
    number(rail.latency_overhead_us, 0) &&
    Object.keys(rail).length === 4;
  if (!Array.isArray(rails) || rails.length === 0 || !rails.every(isRail)) return false;
  return new Set(rails.map((rail) => rail.rail_id)).size === rails.length;
}

function fits(model: Model, offered: readonly Rail[]): boolean {
  return (model.rails ?? []).every((rail) => {
    const placed = on(model, rail.rail_id) as Extract<Whereabouts, { rail: string }>[];
    const next = offered.find(({ rail_id }) => rail_id === rail.rail_id);
    if (placed.length === 0) return true;
    return (
      next !== undefined &&
      next.level === rail.level &&
      next.capacity >= placed.length &&
      placed.every(({ policy }) => !isOver(policy, next))
    );
  });
}

/** The model after an accepted command. */
export function apply(model: Model, { command }: Move): Model {
  if (command.command === "reload") return { ...model, rails: command.rails as readonly Rail[] };
  const now = model.where.get(command.workload_id) ?? NOWHERE;
  const at = (railId: string, policy: ElevationPolicy): Whereabouts => ({
    rail: railId,
    level: rank(model.rails!.find((rail) => rail.rail_id === railId)!.level),
    policy,
  });
  const move = (where: Whereabouts): Model => ({
    ...model,
    where: new Map(model.where).set(command.workload_id, where),
  });
  if (command.command === "remove") return move({ rail: null, level: now.level });
  if (command.command === "place") return move(at(command.rail_id, command.policy));
  return move(at(command.target_rail_id, (now as { policy: ElevationPolicy }).policy));
}

/** Every command of a world, in every context that matters to it. The same commands in every state. */
export function moves({ topologies, wrongTopologies, policies, workloads }: World): Move[] {
  const connected = context();
  const partitioned = context({ partition: { state: "partitioned", since: "2026-01-01T00:00:00Z" } });
  const mesh_id = "m";
  const railIds = [...new Set(topologies.flat().map((rail) => rail.rail_id)), "no-such-rail"];
  const reloads = [...topologies, ...wrongTopologies].map(
    (rails) => ({ command: "reload", mesh_id, rails }) as MeshCommand,
  );
  const found: Move[] = reloads.map((command) => ({ command, admission: null, context: connected }));
  for (const { id: workload_id, admission } of workloads) {
    found.push({ command: { command: "remove", mesh_id, workload_id }, admission, context: connected });
    for (const rail_id of railIds) {
      for (const where of admission?.governance_profile === "ncp" ? [connected, partitioned] : [connected]) {
        found.push({
          command: { command: "elevate", mesh_id, workload_id, target_rail_id: rail_id },
          admission,
          context: where,
        });
        for (const policy of policies)
          found.push({
            command: { command: "place", mesh_id, workload_id, rail_id, policy },
            admission,
            context: where,
          });
      }
    }
  }
  return found;
}

/**
 * A text that two model states share only if they are the same. Sound as a stand-in for the real state because
 * everything that an answer depends on is in it: rails, placements with level and policy, remembered levels; an active
 * count is a count of those placements. What it leaves out, counters and past elevations, no fact of the law reads.
 */
export function keyOf(world: World, model: Model): string {
  const parts = world.workloads.map(({ id }) => {
    const where = model.where.get(id) ?? NOWHERE;
    return where.rail === null
      ? `-${where.level}`
      : `${where.rail}${where.level}${world.policies.indexOf(where.policy)}`;
  });
  return `${model.rails === null ? "-" : world.topologies.indexOf(model.rails)} ${parts.join(" ")}`;
}
