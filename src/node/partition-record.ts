// A partition on record: each change of its state is an event, and what a restart must know of it lies beside the event.
import type { Recorder } from "../evidence/ledger/recorder.ts";
import type { StoreReader } from "../store/store.ts";
import type { PartitionMemory } from "./partition.ts";

/** Of several nodes in one store, each has its own. */
const placeOf = (shared: boolean, nodeId: string | undefined) =>
  ({ kind: "partition", tenant_id: "default", key: shared ? `state ${nodeId}` : "state" }) as const;

/** As it was when the node last recorded it; undefined: it was never anything but connected. */
export async function partitionBefore(store: StoreReader): Promise<PartitionMemory | undefined> {
  const { kind, tenant_id, key } = placeOf(store.shared, await store.meta("node_id"));
  const stored = await store.state(kind, tenant_id, key);
  return stored === undefined ? undefined : (JSON.parse(stored) as PartitionMemory);
}

/** @throws EvidenceUnavailableError EVI-01 */
export async function recordPartition(
  recorder: Recorder,
  change: PartitionMemory,
  { store, nodeId }: { readonly store: StoreReader; readonly nodeId: string },
): Promise<void> {
  const place = placeOf(store.shared, nodeId);
  await recorder.record("crp.partition.state", { ...change }, undefined, [{ ...place, value: JSON.stringify(change) }]);
}
