// The store's one interface: evidence and state, committed together by a single writer, read by anyone.
import type { Head } from "../core/event.ts";

/** One event as it is appended: its signed record, and what is needed to find it again. */
export interface EventRow {
  readonly chain_id: string;
  readonly sequence: number;
  readonly id: string;
  readonly event_type: string;
  readonly outcome: string;
  readonly tenant_id: string;
  readonly workload_id: string | null;
  readonly correlation_id: string;
  readonly occurred_at_ms: number;
  readonly event_hash: string;
  /** Content address of the artifact, `sha256:<hex>`. */
  readonly artifact_digest: string;
}

/**
 * A piece of state that changes in the same transaction as its evidence. `value` null deletes it. Workloads and meshes
 * are folds of the evidence; an `answer` is what a command was answered, kept for whoever asks again; `policy` has the
 * digest of the one activated last.
 */
export interface StateWrite {
  readonly kind: "workload" | "mesh" | "answer" | "policy";
  readonly tenant_id: string;
  readonly key: string;
  /** JSON. */
  readonly value: string | null;
  /** When the host must look at it again, milliseconds since the epoch; absent: never. */
  readonly due_ms?: number;
}

export interface Blob {
  readonly digest: string;
  readonly bytes: Uint8Array;
}

/** One event with all that commits with it. */
export interface Append extends EventRow {
  readonly record: string;
  /** The artifact's exact bytes as text; null where it is one of the shared `blobs`, of this event or an earlier one. */
  readonly artifact: string | null;
  /** Artifacts that many events share, by content address; stored once. */
  readonly blobs: readonly Blob[];
  readonly states: readonly StateWrite[];
  /** Keys that come into use or are retired with this event. */
  readonly keys?: readonly KeyRow[] | undefined;
  /** Sequences of earlier events of the stream whose own artifacts are gone with this one; MUST NOT be recoverable from the store's files. */
  readonly erases?: readonly number[] | undefined;
}

export interface StoredEvent {
  /** Order of commit over all streams; the cursor of a listing. */
  readonly position: number;
  readonly record: string;
}

export interface EventQuery {
  readonly tenant_id?: string | undefined;
  readonly chain_id?: string | undefined;
  readonly event_type?: string | undefined;
  readonly outcome?: string | undefined;
  readonly workload_id?: string | undefined;
  readonly correlation_id?: string | undefined;
  readonly since_ms?: number | undefined;
  readonly until_ms?: number | undefined;
  readonly order: "asc" | "desc";
  readonly limit: number;
  /** Continue behind this position. */
  readonly after?: number | undefined;
}

/** A public key that signs or signed for this node. */
export interface KeyRow {
  readonly kid: string;
  readonly role: "event" | "log" | "witness";
  /** JWK, public members only. */
  readonly jwk: { readonly [member: string]: unknown };
  readonly created_at_ms: number;
  readonly retired_at_ms: number | null;
}

/** A stream: one tenant's, on one node. */
export interface StreamRow {
  readonly chain_id: string;
  readonly tenant_id: string;
  readonly size: number;
}

/** The latest signed head of a stream's log. */
export interface StoredCheckpoint {
  readonly size: number;
  /** A signed note (c2sp.org/tlog-checkpoint). */
  readonly note: string;
}

/** Streams as Merkle logs (spec evidence §4), as far as they are committed. */
export interface LogReader {
  /** Streams that have an event, by chain id. */
  streams(): StreamRow[];
  stream(chainId: string): StreamRow | undefined;
  /** The hashes of a tile that there are so far: 0 to 256 of 32 bytes each. */
  tile(chainId: string, level: number, n: number): Uint8Array;
  /** Records by sequence, `to` not included. */
  records(chainId: string, from: number, to: number): string[];
  /** An event's own artifact; undefined where it is a shared blob, or was erased. */
  artifactAt(chainId: string, sequence: number): Uint8Array | undefined;
  checkpoint(chainId: string): StoredCheckpoint | undefined;
  /** Chain ids of streams that have grown since their last checkpoint. */
  uncheckpointed(): string[];
}

/** Reads see what is committed, and nothing else. */
export interface StoreReader extends Disposable {
  readonly log: LogReader;
  heads(): Map<string, Head>;
  events(query: EventQuery): StoredEvent[];
  event(id: string): (StoredEvent & { tenant_id: string; artifact_digest: string }) | undefined;
  /** Exact bytes by content address; `eventId` where the artifact belongs to that event alone. */
  artifact(digest: string, eventId?: string): Uint8Array | undefined;
  state(kind: StateWrite["kind"], tenantId: string, key: string): string | undefined;
  states(
    kind: StateWrite["kind"],
    tenantId: string | undefined,
    limit: number,
    after?: { tenant_id: string; key: string },
  ): { tenant_id: string; key: string; value: string }[];
  /** State that is due at `nowMs`, the longest due first. */
  due(kind: StateWrite["kind"], nowMs: number, limit: number): { tenant_id: string; key: string }[];
  keys(): KeyRow[];
  meta(name: string): string | undefined;
  close(): void;
}

/** The single writer. Every method is durable when it returns. */
export interface StoreWriter extends Disposable {
  /** All or nothing. @returns the position of the first event. */
  append(batch: readonly Append[]): number;
  /** Size and Merkle root of a stream, as committed. */
  tree(chainId: string): { size: number; root: Uint8Array };
  /** The new latest checkpoints, all or none. */
  putCheckpoints(checkpoints: readonly (StoredCheckpoint & { readonly chain_id: string })[]): void;
  /** See {@link LogReader.uncheckpointed}. */
  uncheckpointed(): string[];
  putKey(key: KeyRow): void;
  putMeta(name: string, value: string): void;
  close(): void;
}
