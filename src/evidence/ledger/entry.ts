// What the ledger is asked to record, and what becomes of it once it has its place in a stream.
import type { webcrypto } from "node:crypto";
import { chainId, openEvent, type EventDraft, type OpenEvent } from "../../core/event.ts";
import type { Append, Blob, KeyRow, StateWrite } from "../../store/store.ts";

/** A private key that signs records. */
export interface RecordKey {
  readonly privateJwk: webcrypto.JsonWebKey;
  readonly kid: string;
}

/** An append that has no place in its stream yet. `signNextWith` signs all that comes behind it. */
export type OpenAppend = Omit<Append, "record" | "sequence" | "event_hash" | "reads"> & {
  readonly parts: OpenEvent["parts"];
  readonly signNextWith?: RecordKey | undefined;
};

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

/** Puts an entry into its tenant's stream on this node; its place there is open. */
export function openAppend(entry: Entry, nodeId: string): OpenAppend {
  const { draft } = entry;
  const { chain_id, parts } = openEvent(draft, chainId(draft.tenant_id, nodeId));
  return {
    chain_id,
    id: draft.id,
    event_type: draft.event_type,
    outcome: draft.outcome,
    tenant_id: draft.tenant_id,
    workload_id: entry.workloadId,
    correlation_id: draft.correlation_id,
    occurred_at_ms: entry.occurredAtMs,
    artifact_digest: entry.artifactDigest,
    artifact: entry.artifact,
    blobs: entry.blobs,
    states: entry.states,
    keys: entry.keys,
    erases: entry.erases,
    signNextWith: entry.signNextWith,
    parts,
  };
}
