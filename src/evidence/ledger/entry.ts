// What the ledger is asked to record, and what becomes of it once it has its place in a stream.
import { EvidenceUnavailableError } from "../../core/errors.ts";
import type { webcrypto } from "node:crypto";
import { chainId, openEvent, type EventDraft, type OpenEvent } from "../../core/event.ts";
import type { Append, Blob, KeyRow, StateWrite } from "../../store/store.ts";

/** An event's canonical bytes: its record (base64url, header and signature added) must fit the 65,535 bytes of a log's entry. */
const EVENT_BYTES_MAX = 48_000;
/** What its place adds to an event, at most. */
const PLACE_BYTES_MAX = 200;

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

/** Proof that an event is signed and durable. */
export interface Receipt {
  /** The event's canonical bytes, as text. */
  readonly eventText: string;
  /** The record: a compact JWS. */
  readonly record: string;
  readonly position: number;
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

/** As `openAppend`, of each. @throws EvidenceUnavailableError one is too large to be recorded wherever it stands. */
export function openAppends(entries: readonly Entry[], nodeId: string): OpenAppend[] {
  const events = entries.map((entry) => openAppend(entry, nodeId));
  for (const { parts } of events) mustFit(parts);
  return events;
}

function mustFit(parts: readonly string[]): void {
  const chars = parts.reduce((sum, { length }) => sum + length, PLACE_BYTES_MAX);
  // A character has three bytes at most.
  if (chars * 3 <= EVENT_BYTES_MAX) return;
  const bytes = parts.reduce((sum, part) => sum + Buffer.byteLength(part), PLACE_BYTES_MAX);
  if (bytes > EVENT_BYTES_MAX) throw new EvidenceUnavailableError("the event is too large to be recorded");
}
