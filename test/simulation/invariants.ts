// What must hold once a schedule has come to rest, whatever happened in it (spec evidence §3, §4, §7; replicas, settled details).
import { eventTextOf } from "../../src/core/event.ts";
import { LEVELS } from "../../src/core/schema/base.ts";
import type { EvidenceEvent } from "../../src/core/schema/event.ts";
import type { Rail } from "../../src/core/schema/mesh.ts";
import { verifyStore } from "../../src/evidence/fsck/streams.ts";
import type { StoreReader } from "../../src/store/store.ts";
import type { Simulation, Site, Told } from "./simulation.ts";

export const eventIn = (record: string): EvidenceEvent => JSON.parse(eventTextOf(record)) as EvidenceEvent;

/** Everything that does not hold, in words; none where all does. */
export async function brokenIn(simulation: Simulation): Promise<string[]> {
  const broken = [...simulation.surprises.map((surprise) => `surprise: ${surprise}`)];
  for (const site of simulation.sites) {
    const found = await brokenAt(simulation, site);
    broken.push(...found.map((each) => `${site.name}: ${each}`));
  }
  return broken;
}

async function brokenAt(simulation: Simulation, site: Site): Promise<string[]> {
  const store = simulation.read(site);
  const told = simulation.told.filter((each) => each.site === site);
  return [...(await unsound(store)), ...(await reconciledTwice(store)), ...(await brokenPromises(told, store))];
}

/** As `brokenIn`, of nodes that share a database. */
export async function brokenInShared(simulation: Simulation, store: StoreReader): Promise<string[]> {
  const { surprises, told, database } = simulation;
  return [
    ...database!.broken,
    ...surprises.map((surprise) => `surprise: ${surprise}`),
    ...(await unsound(store)),
    ...(await brokenPromises(told, store)),
  ];
}

/** Signatures, chains, trees, and that state is the fold of evidence. */
async function unsound(store: StoreReader): Promise<string[]> {
  const { streams, states, order } = await verifyStore(store, () => {});
  const faults = streams.flatMap(({ chain_id, fault }) =>
    fault === undefined ? [] : [`${chain_id}, ${fault.sequence}: ${fault.message}`],
  );
  return [...faults, ...order, ...(states ?? ["states could not be compared"]), ...(await brokenMesh(store))];
}

/** What was held back is reconciled once: ranges of a stream lie behind one another (spec evidence §7). */
async function reconciledTwice(store: StoreReader): Promise<string[]> {
  const reconciledTo = new Map<string, number>();
  const broken: string[] = [];
  for (const { record } of await store.events({ event_type: "chain.reconciliation", order: "asc", limit: 100_000 })) {
    const { chain_id, outcome, details } = eventIn(record);
    if (outcome !== "accepted") continue;
    const { from_sequence, to_sequence } = details as { from_sequence: number; to_sequence: number };
    if (from_sequence <= (reconciledTo.get(chain_id) ?? -1))
      broken.push(`${chain_id} from ${from_sequence} to ${to_sequence} is reconciled again`);
    reconciledTo.set(chain_id, to_sequence);
  }
  return broken;
}

/** What was done to the mesh, in the order of its revisions: positions of nodes that share a database may be in another. */
async function meshEvents(store: StoreReader): Promise<{ event_type: string; details: Record<string, unknown> }[]> {
  const events = (await store.events({ order: "asc", limit: 100_000 })).map(({ record }) => eventIn(record));
  return events
    .filter(({ event_type, outcome }) => event_type.startsWith("mesh.") && outcome === "accepted")
    .map(({ event_type, details = {} }) => ({ event_type, details }))
    .sort((a, b) => Number(a.details["state_revision"]) - Number(b.details["state_revision"]));
}

/** No rail ever held more than it may, and nobody ever went to a weaker one, by the events alone (INV-MESH-…). */
async function brokenMesh(store: StoreReader): Promise<string[]> {
  const rails = new Map<string, Rail>();
  const [at, least] = [new Map<string, string>(), new Map<string, number>()];
  for (const { event_type, details } of await meshEvents(store)) {
    const { topology, workload_id, rail_id, to_rail_id } = details as unknown as MeshSaid;
    if (topology) for (const rail of topology.rails) rails.set(rail.rail_id, rail);
    if (event_type === "mesh.remove") at.delete(workload_id);
    const to = event_type === "mesh.place" ? rail_id : to_rail_id;
    const rail = event_type === "mesh.place" || event_type === "mesh.elevate" ? rails.get(to) : undefined;
    if (!rail) continue;
    const level = LEVELS.indexOf(rail.level);
    if (level < (least.get(workload_id) ?? 0)) return [`${workload_id} was demoted to ${to}`];
    least.set(workload_id, level);
    at.set(workload_id, to);
    if ([...at.values()].filter((each) => each === to).length > rail.capacity) return [`${to} holds more than it may`];
  }
  return [];
}

interface MeshSaid {
  readonly topology?: { readonly rails: readonly Rail[] };
  readonly workload_id: string;
  readonly rail_id: string;
  readonly to_rail_id: string;
}

/** Nothing acknowledged is lost; nothing is on record of which it was said that it is not; and nothing was done twice. */
async function brokenPromises(told: readonly Told[], store: StoreReader): Promise<string[]> {
  const records = new Set<string>();
  const done = new Set<string>();
  const broken: string[] = [];
  for (const { record } of await store.events({ order: "asc", limit: 100_000 })) {
    records.add(record);
    const { details, event_type } = eventIn(record);
    const requestId = details?.["request_id"] as string | undefined;
    if (requestId === undefined) continue;
    // What a command entails has its request as well, and another type.
    const what = `${event_type} of ${requestId}`;
    if (done.has(what)) broken.push(`${what} is on record twice`);
    done.add(what).add(requestId);
  }
  for (const { requestId, receipt, recorded } of told) {
    if (receipt !== undefined && !records.has(receipt)) broken.push(`${requestId} was acknowledged, and is lost`);
    if (recorded === "no" && done.has(requestId))
      broken.push(`${requestId} is on record, and it was said that it is not`);
  }
  return broken;
}

/** Above a node lies every record of it, once and in order. @returns in words, what is missing or differs. */
export async function missingAbove(simulation: Simulation, site: Site): Promise<string[]> {
  const above = simulation.sites.find(({ name }) => name === site.upstream);
  if (!above) return [];
  const here = simulation.read(site);
  const there = simulation.read(above);
  const missing: string[] = [];
  for (const { chain_id, size } of await here.log.streams()) {
    const own = await here.log.records(chain_id, 0, size);
    const held = await there.log.records(chain_id, 0, size);
    const at = own.findIndex((record, i) => record !== held[i]);
    if (at !== -1)
      missing.push(`${above.name} has ${held[at] === undefined ? "no" : "another"} record ${at} of ${chain_id}`);
  }
  return missing;
}
