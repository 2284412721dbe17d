// A mesh as state by key: which of its parts a command needs, the slice that they make, and what becomes of them. No command needs it whole.
import { meshChanges, meshOf, type MeshState, type MeshCommand, type MeshEvent, type MeshPart } from "./mesh.ts";
import type { Level } from "./schema/base.ts";
import type { MeshPlacement, Rail } from "./schema/mesh.ts";
import { all, least, one, type Change, type Need, type Reads } from "./state.ts";

type RailState = Rail & { readonly active_count: number };

/** Where a workload is placed, in whatever mesh: one piece of state for each workload, sorted by mesh. */
export type Placed = readonly { readonly mesh_id: string; readonly rail_id: string; readonly level: Level }[];

export const placedAt = (tenantId: string, workloadId: string): Need => one("placed", tenantId, workloadId);

const partAt = (tenantId: string, meshId: string, part: MeshPart["part"], key = ""): Need =>
  one("mesh", tenantId, partKey(meshId, part, key));

/** Identifiers have no space. */
const partKey = (meshId: string, part: MeshPart["part"], key: string): string => `${meshId} ${part} ${key}`;

const partsAt = (tenantId: string, meshId: string, part: MeshPart["part"]): Need =>
  all("mesh", tenantId, partKey(meshId, part, ""));

/** The placement that binds a rail's overhead most: of those that preserve a budget the one with the smallest. */
const tightestOn = (tenantId: string, meshId: string, railId: string): Need =>
  least("mesh", tenantId, tightness(meshId, railId));

const tightness = (meshId: string, railId: string): string => `${meshId} ${railId}`;

/**
 * What a command needs of its mesh, as far as it can be told from what was read.
 * @param whole the answer must show every placement, whatever else happens meanwhile.
 */
export function meshNeeds(state: Reads, tenantId: string, command: MeshCommand, whole = false): Need[] {
  const { mesh_id } = command;
  const at = (part: MeshPart["part"], key?: string) => partAt(tenantId, mesh_id, part, key);
  const head = at("mesh");
  if (command.command === "reload") {
    const rails = partsAt(tenantId, mesh_id, "rail");
    const present = known<readonly RailState[]>(state, rails) ?? [];
    const named = new Set([...present.map(({ rail_id }) => rail_id), ...offeredIn(command.rails)]);
    const occupied = present.filter(({ active_count }) => active_count > 0);
    const placements = whole
      ? [partsAt(tenantId, mesh_id, "placement")]
      : occupied.map(({ rail_id }) => tightestOn(tenantId, mesh_id, rail_id));
    return [head, rails, ...[...named].map((railId) => at("rail", railId)), ...placements];
  }
  const { workload_id } = command;
  const [placement, placed] = [at("placement", workload_id), placedAt(tenantId, workload_id)];
  if (command.command === "place")
    return [head, placement, placed, at("rail", command.rail_id), at("departed", workload_id)];
  const from = known<MeshPlacement>(state, placement);
  const left = from ? [at("rail", from.rail_id)] : [];
  return command.command === "elevate"
    ? [head, placement, placed, at("rail", command.target_rail_id), ...left]
    : [head, placement, placed, at("departed", workload_id), ...left];
}

/** The rails that a topology names, as far as it names any. */
const offeredIn = (rails: readonly unknown[]): string[] =>
  rails.flatMap((rail) => {
    const id = (rail as Partial<Rail> | null)?.rail_id;
    return typeof id === "string" ? [id] : [];
  });

const known = <T>(state: Reads, need: Need): T | null => (state.has(need) ? state.get<T>(need) : null);

/** As much of the mesh as `meshNeeds` names; null where it was never defined. */
export function meshSlice(state: Reads, tenantId: string, command: MeshCommand, whole = false): MeshState | null {
  const parts: MeshPart[] = [];
  const prefix = `${command.mesh_id} `.length;
  for (const need of meshNeeds(state, tenantId, command, whole)) {
    if (need.kind !== "mesh") continue;
    for (const value of valuesOf(state, need)) parts.push(partOf(need, prefix, value));
  }
  return meshOf(parts);
}

function valuesOf(state: Reads, need: Need): readonly unknown[] {
  const value = state.get<unknown>(need);
  if (value === null) return [];
  return need.how === "all" ? (value as unknown[]) : [value];
}

/** What is found by its tightness is a placement; everything else is named by its key. */
function partOf({ how, key }: Need, prefix: number, value: unknown): MeshPart {
  const part = how === "least" ? "placement" : key.slice(prefix, key.indexOf(" ", prefix));
  const { rail_id, workload_id } = value as { rail_id: string; workload_id: string };
  return { part, key: part === "mesh" ? "" : part === "rail" ? rail_id : workload_id, value } as MeshPart;
}

/** What an event changed of a mesh, and of where its workload is placed. */
export function meshWrites(
  state: Reads,
  tenantId: string,
  before: MeshState | null,
  after: MeshState,
  event: MeshEvent,
): Change[] {
  return meshChanges(before, after, event).flatMap(({ part, key, value }) => {
    const at = partAt(tenantId, after.mesh_id, part, key);
    if (part !== "placement") return [{ at, value }];
    return [
      { at, value, ...bindingOf(after.mesh_id, value) },
      placedChange(state, tenantId, after.mesh_id, key, value),
    ];
  });
}

function bindingOf(meshId: string, placement: MeshPlacement | null): Pick<Change, "ref" | "rank"> {
  if (!placement?.policy.preserve_latency_budget) return {};
  return { ref: tightness(meshId, placement.rail_id), rank: placement.policy.latency_budget_us };
}

function placedChange(
  state: Reads,
  tenantId: string,
  meshId: string,
  workloadId: string,
  placement: MeshPlacement | null,
): Change {
  const at = placedAt(tenantId, workloadId);
  return { at, value: placedWith(state.get<Placed>(at), meshId, placement) };
}

/** Where a workload is placed once its placement in one mesh is this; null: nowhere. */
export function placedWith(placed: Placed | null, mesh_id: string, placement: MeshPlacement | null): Placed | null {
  const elsewhere = (placed ?? []).filter((each) => each.mesh_id !== mesh_id);
  if (placement === null) return elsewhere.length === 0 ? null : elsewhere;
  const { rail_id, level } = placement;
  return [...elsewhere, { mesh_id, rail_id, level }].sort((a, b) => (a.mesh_id < b.mesh_id ? -1 : 1));
}
