// What a store is given of a record that stands already, by what its event says: of another node, or of another store.
import { digestOfPointer } from "../core/digest.ts";
import type { EvidenceEvent } from "../core/schema/event.ts";
import { timeMs } from "../core/time.ts";
import type { Append } from "../store/store.ts";

/** @param event of a form that was checked: its time is one, its pointer is made of a digest. */
export function appendOf(event: EvidenceEvent, record: string, artifact: string | null): Append {
  const { chain_id, sequence, id, event_type, outcome, tenant_id, correlation_id, event_hash, details } = event;
  const workload = details?.["workload_id"];
  return {
    chain_id,
    sequence,
    id,
    event_type,
    outcome,
    tenant_id,
    workload_id: typeof workload === "string" ? workload : null,
    correlation_id,
    occurred_at_ms: timeMs(event.occurred_at)!,
    event_hash,
    artifact_digest: digestOfPointer(event.evidence_pointer)!,
    record,
    artifact,
    blobs: [],
    states: [],
  };
}
