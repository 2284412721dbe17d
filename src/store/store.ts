// The store's one interface: evidence and state, committed together by a single writer, read by anyone.
import { RailgateError } from "../core/errors.ts";
import type { Head } from "../core/event.ts";

/** The store's files are not those that were opened, or something else has written to them. Nothing was written. */
export class DisplacedError extends RailgateError {
  static override code: string = "store_displaced";
  /** Whether only a restart can set it right. */
  readonly lasting: boolean;

  constructor(message: string, lasting = false) {
    super(message);
    this.lasting = lasting;
  }
}

/** A commit failed in a way that leaves open whether it is on the disk: {@link StoreWriter.settle} finds out. */
export class UnsettledError extends RailgateError {
  static override code: string = "commit_unsettled";
}

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
 * Workloads, the parts of meshes, where each workload is placed, and a cluster's namespaces are folds of the evidence; an `answer`
 * is what came of a command, kept for whoever asks again; `policy` has the digest of the one activated last, `partition` whether the
 * node is cut off, `peer` what is held against another node; `challenge` a nonce that was issued, `token` that a token was used;
 * `provenance` that a bundle is about an artifact.
 */
export type StateKind =
  | "workload"
  | "mesh"
  | "placed"
  | "namespace"
  | "answer"
  | "policy"
  | "partition"
  | "peer"
  | "challenge"
  | "token"
  | "provenance";

export interface StatePlace {
  readonly tenant_id: string;
  readonly key: string;
}

/** A piece of state that changes in the same transaction as its evidence. `value` null deletes it. */
export interface StateWrite extends StatePlace {
  readonly kind: StateKind;
  /** JSON. */
  readonly value: string | null;
  /**
   * One more than that of the state it was decided on; what was absent had 0. The commit fails where the stored version is
   * another. Absent: whatever the version is.
   */
  readonly version?: number;
  /** When the host must look at it again, milliseconds since the epoch; absent: never. Of a deletion: only where that is due by then. */
  readonly due_ms?: number;
  /** What it is found by beside its key, and its order among all that refer to the same. */
  readonly ref?: string;
  readonly rank?: number;
}

/** A piece of state, as it was when something was decided on it; what is absent has version 0. */
export interface StateRead extends StatePlace {
  readonly kind: StateKind;
  readonly version: number;
}

/** Where a piece of state is, whether or not there is one. */
export type StateAt = Omit<StateRead, "version">;

/** Tells a piece of state from any other; identifiers have no space. */
export const stateName = ({ kind, tenant_id, key }: StateAt): string => `${kind} ${tenant_id} ${key}`;

/** How many pieces of state of a kind there may be: with one reference, and of one tenant with any. */
export interface StateBounds {
  readonly ofRef: number;
  readonly ofTenant: number;
}

export interface StoredState {
  /** Counts its writes, from 1. */
  readonly version: number;
  /** JSON. */
  readonly value: string;
}

/** What is at hand comes at once. */
export type MaybePromise<T> = T | Promise<T>;

/** A piece of state with all that a store has of it. */
export interface StateRow extends StatePlace {
  readonly kind: StateKind;
  readonly version: number;
  /** JSON. */
  readonly value: string;
  readonly due_ms: number | null;
  readonly ref: string | null;
  readonly rank: number | null;
}

export type StateKey = Pick<StateRow, "kind" | "tenant_id" | "key">;

/** What a copy takes over as another store has it, beside events. */
export interface CopiedRows {
  readonly states?: readonly StateRow[];
  /** State that is not there any more. */
  readonly gone?: readonly StateKey[];
  readonly keys?: readonly KeyRow[];
  readonly meta?: Readonly<Record<string, string>>;
  readonly blobs?: readonly Blob[];
  readonly checkpoints?: readonly (StoredCheckpoint & { readonly chain_id: string })[];
  /** Events whose own artifact is not there any more; MUST NOT be recoverable from the store's files. */
  readonly erased?: readonly { readonly chain_id: string; readonly sequence: number }[];
}

type KeyedState = StoredState & { readonly key: string };
type RankedState = KeyedState & { readonly rank: number };

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
  /** State that it, and what commits with it, was decided on, read or changed. */
  readonly reads?: readonly StateRead[] | undefined;
  /** Keys that come into use or are retired with this event. */
  readonly keys?: readonly KeyRow[] | undefined;
  /** Sequences of earlier events of the stream whose own artifacts are gone with this one; MUST NOT be recoverable from the store's files. */
  readonly erases?: readonly number[] | undefined;
}

export interface StoredEvent {
  /** Rises along each stream, and from each event to whatever is begun after its commit; the cursor of a listing. */
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
  /** Forwards, also what lies behind positions at which another node may still record something: for whoever looks at one node's events alone. */
  readonly ahead?: boolean | undefined;
}

/** Where an event stands in the order of a listing over several streams. */
export interface ListingPlace {
  /** When it occurred, milliseconds since the epoch. */
  readonly ms: number;
  readonly chain_id: string;
  readonly sequence: number;
}

export interface ListingQuery extends Omit<EventQuery, "chain_id" | "after" | "ahead"> {
  /** The `next` of the page before: a position where it goes by positions. */
  readonly after?: number | ListingPlace | undefined;
}

/** A page as listings have it; see {@link EventPage}. */
export interface EventListing {
  readonly events: StoredEvent[];
  readonly next: number | ListingPlace | null;
}

/** Part of what is on record, in order of position. */
export interface EventPage {
  readonly events: StoredEvent[];
  /**
   * Continue behind this position; null at the end. A page may have fewer events than were asked for, or none, and still
   * not be the last: no page looks at many more than a thousand events.
   */
  readonly next: number | null;
}

/** An artifact's exact bytes, and their address. */
export interface StoredArtifact {
  readonly digest: string;
  readonly bytes: Uint8Array;
}

/** A public key that signs or signed for this node, or, of role `peer`, another node's records that are kept here. */
export interface KeyRow {
  readonly kid: string;
  readonly role: "event" | "log" | "witness" | "peer";
  /** Whose it is, where it is not this node's own. */
  readonly node_id?: string | undefined;
  /** JWK, public members only. */
  readonly jwk: { readonly [member: string]: unknown };
  /** By which the key before named this one, a compact JWS. */
  readonly hand_over?: string | undefined;
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
  streams(): Promise<StreamRow[]>;
  stream(chainId: string): Promise<StreamRow | undefined>;
  /** The hashes of a tile that there are so far: 0 to 256 of 32 bytes each. */
  tile(chainId: string, level: number, n: number): Promise<Uint8Array>;
  /** Records by sequence, `to` not included. */
  records(chainId: string, from: number, to: number): Promise<string[]>;
  /** An event's own artifact; undefined where it is a shared blob, or was erased. */
  artifactAt(chainId: string, sequence: number): Promise<Uint8Array | undefined>;
  /** By sequence, `to` not included: the artifacts that lie with an event of their own. */
  artifacts(chainId: string, from: number, to: number): Promise<ReadonlyMap<number, Uint8Array>>;
  /** The same of some events, by their sequences. */
  artifactsOf(chainId: string, sequences: readonly number[]): Promise<ReadonlyMap<number, Uint8Array>>;
  checkpoint(chainId: string): Promise<StoredCheckpoint | undefined>;
  /** Chain ids of streams that have grown since their last checkpoint. */
  uncheckpointed(): Promise<string[]>;
}

/** What a tenant's evidence takes, in bytes. */
export interface TenantSize {
  readonly tenant_id: string;
  readonly events: number;
  readonly record_bytes: number;
  /** Of inputs and decisions, which may be erased. */
  readonly artifact_bytes: number;
}

/** Reads see what is committed, and nothing else. */
export interface StoreReader extends AsyncDisposable {
  /** Of the stored data. 1: as 0.1 wrote it, with no state of kind `placed`. */
  readonly format: number;
  /** Whether others write to it as well, so that nothing that was read stays true by itself. */
  readonly shared: boolean;
  /** Why it could not be asked last time; undefined once it could again. For a store over a network. */
  readonly problem?: string | undefined;
  /** Connections, where there are any. */
  readonly connections?: { readonly inUse: number; readonly idle: number; readonly waiting: number };
  readonly log: LogReader;
  heads(): Promise<Map<string, Head>>;
  /** The position up to which everything is on record that ever will be: whoever has seen all up to it misses nothing behind it. */
  settled(): Promise<number>;
  /** Forwards it ends there too, unless one stream is asked for, which has no gaps. */
  page(query: EventQuery): Promise<EventPage>;
  /**
   * For people: by sequence where the tenant has one stream, else in order of `occurred_at`, then chain and sequence. Page after
   * page has each event once that was on record before the first; one that comes later may take its place before the cursor.
   */
  list(query: ListingQuery): Promise<EventListing>;
  /** As `page`, to the end or until there are as many as were asked for, however long that takes. */
  events(query: EventQuery): Promise<StoredEvent[]>;
  /** Which of these ids are those of events. */
  known(ids: readonly string[]): Promise<string[]>;
  event(id: string): Promise<(StoredEvent & { tenant_id: string; artifact_digest: string }) | undefined>;
  /** A shared artifact, by content address. */
  artifact(digest: string): Promise<Uint8Array | undefined>;
  /**
   * What an event's `evidence_pointer` names: its own artifact, or the shared one; undefined where it was erased or never kept.
   * @throws ArtifactAlteredError it is not what the event points to.
   */
  artifactOf(eventId: string): Promise<StoredArtifact | undefined>;
  state(kind: StateKind, tenantId: string, key: string): Promise<string | undefined>;
  /** As `state`, with its version; at once where the database is at hand, as `within` and `referring`, so that nothing comes between. */
  read(kind: StateKind, tenantId: string, key: string): MaybePromise<StoredState | undefined>;
  /** By tenant, then key. */
  states(
    kind: StateKind,
    tenantId: string | undefined,
    limit: number,
    after?: StatePlace,
  ): Promise<(StatePlace & { value: string })[]>;
  /** All whose key begins so, as of one moment. */
  within(kind: StateKind, tenantId: string, prefix: string): MaybePromise<KeyedState[]>;
  /** What refers to this, by rank, then key: so many at most; absent: all. */
  referring(kind: StateKind, tenantId: string, ref: string, limit?: number): MaybePromise<RankedState[]>;
  /**
   * Workloads that events of these types are about, behind a position, where another stream has such events, too. Looks at so
   * many positions at most. @returns `next`: look behind it the next time; `more`: there is something behind it already.
   */
  contested(
    types: readonly string[],
    after: number,
    positions: number,
  ): Promise<{ readonly places: StatePlace[]; readonly next: number; readonly more: boolean }>;
  /** State that is due at `nowMs`, the longest due first. */
  due(kind: StateKind, nowMs: number, limit: number): Promise<StatePlace[]>;
  keys(): Promise<KeyRow[]>;
  /** Events whose own artifact is still there and which are older, by their order of commit, behind a position. */
  artifactsBefore(occurredBeforeMs: number, after: number, limit: number): Promise<StoredEvent[]>;
  /** The largest first. Every event is looked at. */
  sizes(): Promise<TenantSize[]>;
  meta(name: string): Promise<string | undefined>;
  /** What it takes where it is, where its files are not at hand. */
  bytes?(): Promise<number>;
  /** As `meta`, of every node that shares the database; this one's last. */
  metaOfAll(name: string): Promise<string[]>;
  close(): Promise<void>;
}

/** What a writer knows of a database that others share, counted since it was opened. */
export interface StoreCounts {
  /** Of the connection that may write now. */
  epoch: number;
  /** Until when the node id is its own, by this machine's clock, milliseconds since the epoch of Unix. */
  leaseUntilMs: number;
  /** Transactions that were begun anew, by what the database said. */
  readonly retries: { "40001": number; "40P01": number };
  /** Commits whose end nobody saw, by what came of looking them up. */
  readonly outcomes: { found: number; absent: number; unknown: number };
}

export const noCounts = (): StoreCounts => ({
  epoch: 0,
  leaseUntilMs: 0,
  retries: { "40001": 0, "40P01": 0 },
  outcomes: { found: 0, absent: 0, unknown: 0 },
});

/** The single writer. What a method wrote is durable when its promise resolves; nobody calls it again before. */
export interface StoreWriter extends AsyncDisposable {
  /**
   * All or nothing. @returns the position of the first event.
   * @throws UnsettledError it may be on the disk all the same. @throws DisplacedError nothing was written, as with any other error.
   */
  append(batch: readonly Append[]): Promise<number>;
  /** See {@link StoreReader.shared}. */
  readonly shared: boolean;
  /** Where others share it. */
  readonly counts?: StoreCounts;
  /** Of pieces of state, in order, as committed. Nobody else can change them before this writer's next append or release. */
  versions(places: readonly StateAt[]): Promise<readonly number[]>;
  /**
   * As `versions`, with what is there; undefined where there is none. It is let go of when the versions of anything else are asked for.
   * For a store that others share.
   */
  lock?(places: readonly StateAt[]): Promise<readonly (StoredState | undefined)[]>;
  /** Nothing is appended on the versions that were asked for. */
  release(): Promise<void>;
  /** @throws DisplacedError see there. */
  checkPlace(): Promise<void>;
  /**
   * Settles commits that ended in UnsettledError, by the id of their last event: each is on record, or can never be any more.
   * @returns the position of the last event that is; undefined where none is.
   * @throws Error it remains open.
   */
  settle(eventIds: readonly string[]): Promise<number | undefined>;
  /** Size and Merkle root of a stream, as committed. */
  tree(chainId: string): Promise<{ size: number; root: Uint8Array }>;
  /** The new latest checkpoints, all or none. */
  putCheckpoints(checkpoints: readonly (StoredCheckpoint & { readonly chain_id: string })[]): Promise<void>;
  /** See {@link LogReader.uncheckpointed}. */
  uncheckpointed(): Promise<string[]>;
  /**
   * Puts a piece of state that comes with no event, where no more than so many of its kind would be left that are found by a
   * reference: by the same, and in all of its tenant. What of its kind is due goes first, for good.
   * @returns whether it was put.
   */
  putBounded(write: StateWrite, nowMs: number, most: StateBounds): Promise<boolean>;
  /** What of this kind is due goes. */
  deleteDue(kind: StateKind, nowMs: number): Promise<void>;
  putKey(key: KeyRow): Promise<void>;
  putMeta(name: string, value: string): Promise<void>;
  /** Writes as much as evidence takes, and takes it back. @throws Error it could not be written. */
  tryWriting?(): Promise<void>;
  /** All or nothing. */
  putAll(keys: readonly KeyRow[], meta: { readonly [name: string]: string }): Promise<void>;
  close(): Promise<void>;
}

/** A store as a copy reads it: all that it has. */
export interface CopySource extends StoreReader {
  metaRows(): Promise<Readonly<Record<string, string>>>;
  /** State of all kinds, by kind, tenant and key in the order of their bytes, behind a place. */
  stateRows(limit: number, after?: StateKey): Promise<StateRow[]>;
  /** Content addresses of shared artifacts, sorted, behind one of them. */
  blobDigests(limit: number, after?: string): Promise<string[]>;
  /** Whether a node that shares it runs; of a database in a data directory its lock says so. */
  inUse(): Promise<boolean>;
}

/** A store as a copy writes it. */
export interface CopyTarget extends StoreWriter {
  /** Very much is about to be appended; until `filled` it is not listed by anyone. */
  filling?(): Promise<void>;
  /** MUST follow, sooner or later. */
  filled?(): Promise<void>;
  /** Rows as another store has them, versions included; all or nothing. No version is compared. */
  putRows(rows: CopiedRows): Promise<void>;
}
