// A partition on record: each change of its state is an event, and what a restart must know of it lies beside the event.
import type { Recorder } from "../evidence/ledger/recorder.ts";
import type { StoreReader } from "../store/store.ts";
import type { PartitionMemory } from "./partition.ts";

const AT = { kind: "partition", tenant_id: "default", key: "state" } as const;

/** As it was when the node last recorded it; undefined: it was never anything but connected. */
export async function partitionBefore(store: StoreReader): Promise<PartitionMemory | undefined> {
  const stored = await store.state(AT.kind, AT.tenant_id, AT.key);
  return stored === undefined ? undefined : (JSON.parse(stored) as PartitionMemory);
}

/** @throws EvidenceUnavailableError EVI-01 */
export async function recordPartition(recorder: Recorder, change: PartitionMemory): Promise<void> {
  await recorder.record("crp.partition.state", { ...change }, undefined, [{ ...AT, value: JSON.stringify(change) }]);
}
