// What the ledger and the committer's thread say to each other.
import type { webcrypto } from "node:crypto";
import type {
  Append,
  StateAt,
  StateBounds,
  StateKind,
  StateRead,
  StateWrite,
  StoreCounts,
  StoredState,
} from "../../store/store.ts";
import type { Entry, OpenAppend } from "./entry.ts";
import type { StoreAt } from "../../store/open.ts";
import type { Parcel } from "./parcel.ts";

/** The last event of a stream that is known to be on record. */
export interface RecordedHead {
  readonly chainId: string;
  readonly sequence: number;
  readonly hash: string;
}

export interface CommitterData {
  /** Where the store lies, as `openWriter` takes it. */
  readonly storePath: StoreAt;
  /** Ids of the last events of batches that a committer before this one may have written. */
  readonly unsettled?: readonly string[] | undefined;
  /** Of each stream that a committer before this one has written, what callers were told last. */
  readonly acknowledged?: readonly RecordedHead[] | undefined;
  readonly privateJwk: webcrypto.JsonWebKey;
  readonly kid: string;
  /** Whose streams are written. */
  readonly nodeId: string;
  /**
   * Whether records are signed on the thread pool, and what comes next is linked meanwhile: where there are processors to spare.
   * Not beside a store that others share, which locks what a batch was decided on from its linking to its end. Default: no.
   */
  readonly signAhead?: boolean | undefined;
  /** Absent: no checkpoints are made. */
  readonly log?: LogData;
}

/** What checkpoints are made with. */
export interface LogData {
  readonly privateJwk: webcrypto.JsonWebKey;
  /** The origin of a stream's log is `<origin>/<chain_id>`. */
  readonly origin: string;
  /** Whose streams they are of. */
  readonly nodeId: string;
  /** Under which it wrote before; those streams are only read. */
  readonly earlierIds?: readonly string[] | undefined;
  /** Where the latest are kept outside the database. */
  readonly checkpointFile: string;
}

/** An append in its place: `text` is the event's canonical bytes. */
export type LinkedAppend = Omit<Append, "record"> &
  Pick<OpenAppend, "signNextWith"> & {
    readonly text: string;
  };

/** What commits together, or not at all. */
export interface Group {
  readonly events: readonly OpenAppend[];
  /** State that it was decided on. Where one of these has another version by now, nothing of the group is recorded. */
  readonly reads: readonly StateRead[];
  /** Who decided it. */
  readonly origin: number;
  /** Of its origin's groups, how many it knew to have been decided on what has moved. */
  readonly generation: number;
  /** It was decided on what groups of the same origin change that were not durable then: it falls with them. */
  readonly stacked: boolean;
  /** Recorded in every stream of the node that has an event, in place of `events`. */
  readonly everywhere?: Entry | undefined;
}

/** State that comes with no event: a piece where there is room for it, or what is due of some kinds goes. */
export type PutState = { readonly nowMs: number } & (
  | { readonly write: StateWrite; readonly most: StateBounds }
  | { readonly due: readonly StateKind[] }
);

export type CommitterRequest =
  | {
      readonly kind: "commit";
      readonly epoch: number;
      readonly batch: number;
      readonly groups: readonly Group[];
    }
  /** Locks pieces of state for what is decided on them then: what commits under the same number comes next, and soon. */
  | { readonly kind: "lock"; readonly epoch: number; readonly batch: number; readonly places: readonly StateAt[] }
  /** Records of another node, signed by it. */
  | { readonly kind: "replicate"; readonly request: number; readonly events: Parcel }
  /** State that comes with no event, see `putBounded` and `deleteDue` of the store. */
  | { readonly kind: "put"; readonly request: number; readonly put: PutState }
  /** Checkpoints of all that is committed, now. */
  | { readonly kind: "checkpoint"; readonly request: number }
  /** Can the database be written again? */
  | { readonly kind: "probe" }
  /** Is all in its place? It is answered only if not. */
  | { readonly kind: "watch" }
  | { readonly kind: "close" };

export type CommitterReply =
  | {
      readonly kind: "committed";
      readonly batch: number;
      /** How many events each group has on record, in order; undefined: what it was decided on has moved, and it has none. */
      readonly sizes: readonly (number | undefined)[];
      /** Which state it was that has moved, by `stateName`. */
      readonly moved: readonly string[];
      /** Of the events that are on record, in order: canonical text, and record (compact JWS). */
      readonly texts: readonly string[];
      readonly records: readonly string[];
      /** They lie behind one another; 0 where there are none. */
      readonly firstPosition: number;
      /** The last of them in each stream. */
      readonly heads: readonly RecordedHead[];
      readonly linkingMs: number;
      readonly signingMs: number;
      readonly commitMs: number;
      /** Processor time of the committer's thread since it began. */
      readonly processorMs: number;
    }
  /** What there is at the places that it was to lock, in order. */
  | { readonly kind: "locked"; readonly batch: number; readonly found: readonly (StoredState | undefined)[] }
  | {
      readonly kind: "checkpointed" /** Which of our requests it answers; absent: it was due. */;
      readonly request?: number;
      readonly streams: number;
      readonly failure?: string;
    }
  | {
      readonly kind: "failed";
      /** Absent: nothing was being written, but nothing can be any more. */
      readonly batch?: number;
      /** Batches of an earlier epoch are refused from now on. */
      readonly epoch: number;
      readonly message: string;
      /** Whether the batch is on record: it is certain that it never will be, or it is not. */
      readonly recorded: "no" | "unknown";
    }
  | {
      readonly kind: "replicated";
      readonly request: number;
      readonly firstPosition?: number;
      /** As of a batch. */
      readonly heads?: readonly RecordedHead[];
      /** Absent: they are on record. */
      readonly failure?: string;
    }
  | { readonly kind: "put"; readonly request: number; readonly done: boolean; readonly failure?: string }
  | { readonly kind: "probed"; readonly failure?: string }
  /** Of a database that others share, after whatever was done with it. */
  | { readonly kind: "counted"; readonly counts: StoreCounts };
