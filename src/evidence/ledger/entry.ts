// What the ledger is asked to record, and what becomes of it once it has its place in a stream.
import type { EventDraft } from "../../core/event.ts";
import type { Append, Blob, KeyRow, StateWrite } from "../../store/store.ts";
import type { RecordKey, UnsignedAppend } from "./messages.ts";

/** An event, with the artifact it points to and the state that changes with it. */
export interface Entry {
  readonly draft: EventDraft;
  /** Exact text of the artifact; null where it lies among the shared blobs already. */
  readonly artifact: string | null;
  readonly artifactDigest: string;
  readonly workloadId: string | null;
  readonly occurredAtMs: number;
  readonly blobs: readonly Blob[];
  readonly states: readonly StateWrite[];
  /** See {@link Append}. */
  readonly keys?: readonly KeyRow[] | undefined;
  readonly erases?: readonly number[] | undefined;
  /** Signs all that is appended behind this entry, in every stream. */
  readonly signNextWith?: RecordKey | undefined;
}

/** @param text the event's canonical bytes. */
export function toAppend(
  entry: Entry,
  chain_id: string,
  sequence: number,
  text: string,
  event_hash: string,
): UnsignedAppend {
  const { draft } = entry;
  return {
    chain_id,
    sequence,
    id: draft.id,
    event_type: draft.event_type,
    outcome: draft.outcome,
    tenant_id: draft.tenant_id,
    workload_id: entry.workloadId,
    correlation_id: draft.correlation_id,
    occurred_at_ms: entry.occurredAtMs,
    event_hash,
    artifact_digest: entry.artifactDigest,
    artifact: entry.artifact,
    blobs: entry.blobs,
    states: entry.states,
    keys: entry.keys,
    erases: entry.erases,
    signNextWith: entry.signNextWith,
    text,
  };
}
