// What a node left in its store when it last ran.
import { eventTextOf } from "../core/event.ts";
import type { EvidenceEvent } from "../core/schema/event.ts";
import { ownIds } from "../evidence/upstream/own.ts";
import type { StoreReader } from "../store/store.ts";
import type { PartitionMemory } from "./partition.ts";
import { partitionBefore } from "./partition-record.ts";
import { logsIn } from "./restore.ts";

/** Its own last event is looked for among so many of all nodes. */
const OWN_EVENT_AMONG = 100;

/** What it goes on from. */
export interface Before {
  readonly lastEventMs: number | undefined;
  readonly logs: Awaited<ReturnType<typeof logsIn>>;
  readonly ownIds: readonly string[];
  readonly partition: PartitionMemory | undefined;
}

export async function readBefore(store: StoreReader, nodeId: string): Promise<Before> {
  return {
    lastEventMs: await lastEventMs(store, nodeId),
    logs: await logsIn(store),
    ownIds: await ownIds(store),
    partition: await partitionBefore(store),
  };
}

/** When this node last recorded an event, by its own word; other nodes have clocks of their own. */
async function lastEventMs(store: StoreReader, nodeId: string): Promise<number | undefined> {
  const events = await store.events({ order: "desc", limit: OWN_EVENT_AMONG });
  const own = await store.events({ chain_id: `default/${nodeId}`, order: "desc", limit: 1 });
  const times = [...events, ...own]
    .map(({ record }) => JSON.parse(eventTextOf(record)) as EvidenceEvent)
    .filter(({ chain_id, tenant_id }) => chain_id === `${tenant_id}/${nodeId}`)
    .map(({ occurred_at }) => Date.parse(occurred_at));
  return times[0];
}
