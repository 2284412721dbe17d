// Finds workloads on which nodes have decided differently, in the evidence of all of them that is kept here.
import { eventTextOf } from "../../core/event.ts";
import type { EvidenceEvent } from "../../core/schema/event.ts";
import { STANDING_TYPES, Standings } from "../../core/standing.ts";
import type { StoreReader } from "../../store/store.ts";
import type { Conflict, Conflicts } from "./messages.ts";

/** Looked at in one go. */
const POSITIONS_MAX = 2000;
/** Of one workload, the latest; what lies before them has long been settled. */
const EVENTS_MAX = 2000;

/** @param after the position that was looked up to before. @param ownId of the node whose resolutions hold. */
export async function findConflicts(store: StoreReader, after: number, ownId: string): Promise<Conflicts> {
  const { places, next, more } = await store.contested(STANDING_TYPES, after, POSITIONS_MAX);
  const conflicts: Conflict[] = [];
  for (const { tenant_id, key } of places) {
    const found = await conflictOver(store, tenant_id, key, ownId);
    if (found) conflicts.push(found);
  }
  return { conflicts, next, more };
}

/** What nodes have decided differently on one workload; undefined where they have not. */
async function conflictOver(
  store: StoreReader,
  tenantId: string,
  workloadId: string,
  ownId: string,
): Promise<Conflict | undefined> {
  const events = await store.events({ tenant_id: tenantId, workload_id: workloadId, order: "desc", limit: EVENTS_MAX });
  const standings = new Standings(ownId);
  const types: readonly string[] = STANDING_TYPES;
  for (const { record } of events.toReversed()) {
    const event = JSON.parse(eventTextOf(record)) as EvidenceEvent;
    if (types.includes(event.event_type)) standings.fold(event);
  }
  const decisions = standings.conflict();
  return decisions.length > 0 ? { tenantId, workloadId, decisions } : undefined;
}
