// What must hold once a schedule has come to rest, whatever happened in it (spec evidence §3, §4, §7; replicas, settled details).
import { eventTextOf } from "../../src/core/event.ts";
import type { EvidenceEvent } from "../../src/core/schema/event.ts";
import { verifyStore } from "../../src/evidence/fsck/streams.ts";
import type { StoreReader } from "../../src/store/store.ts";
import type { Simulation, Site } from "./simulation.ts";

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
  return [...(await unsound(store)), ...(await brokenPromises(simulation, site, store))];
}

/** Signatures, chains, trees, and that state is the fold of evidence. */
async function unsound(store: StoreReader): Promise<string[]> {
  const { streams, states } = await verifyStore(store, () => {});
  const faults = streams.flatMap(({ chain_id, fault }) =>
    fault === undefined ? [] : [`${chain_id}, ${fault.sequence}: ${fault.message}`],
  );
  return [...faults, ...(states ?? ["states could not be compared"])];
}

/** Nothing acknowledged is lost; nothing is on record of which it was said that it is not. */
async function brokenPromises({ told }: Simulation, site: Site, store: StoreReader): Promise<string[]> {
  const records = new Set<string>();
  const requests = new Map<string, number>();
  for (const { record } of await store.events({ order: "asc", limit: 100_000 })) {
    records.add(record);
    const requestId = eventIn(record).details?.["request_id"] as string | undefined;
    if (requestId !== undefined) requests.set(requestId, (requests.get(requestId) ?? 0) + 1);
  }
  return told.flatMap((each) => {
    if (each.site !== site) return [];
    if (each.receipt !== undefined && !records.has(each.receipt))
      return [`${each.requestId} was acknowledged, and is lost`];
    if (each.recorded === "no" && requests.has(each.requestId))
      return [`${each.requestId} is on record, and it was said that it is not`];
    return (requests.get(each.requestId) ?? 0) > 1 ? [`${each.requestId} is on record twice`] : [];
  });
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
