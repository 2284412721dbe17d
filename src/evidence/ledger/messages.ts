// What the ledger and the committer's thread say to each other.
import type { webcrypto } from "node:crypto";
import type { Append } from "../../store/store.ts";

export interface CommitterData {
  /** Where the store lies, as `openWriter` takes it. */
  readonly storePath: string;
  /** Which file that is; absent: whichever is found there. */
  readonly place?: string | undefined;
  /** Ids of the last events of batches that a committer before this one may have written. */
  readonly unsettled?: readonly string[] | undefined;
  readonly privateJwk: webcrypto.JsonWebKey;
  readonly kid: string;
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

/** A private key that signs records. */
export interface RecordKey {
  readonly privateJwk: webcrypto.JsonWebKey;
  readonly kid: string;
}

/** An append whose record is not signed yet: `text` is the event's canonical bytes. `signNextWith` signs all that comes behind it. */
export type UnsignedAppend = Omit<Append, "record"> & {
  readonly text: string;
  readonly signNextWith?: RecordKey | undefined;
};

export type CommitterRequest =
  | {
      readonly kind: "commit";
      readonly epoch: number;
      readonly batch: number;
      readonly events: readonly UnsignedAppend[];
    }
  /** Records of another node, signed by it. */
  | { readonly kind: "replicate"; readonly request: number; readonly events: readonly Append[] }
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
      /** One record (compact JWS) per event, in order. */
      readonly records: readonly string[];
      readonly firstPosition: number;
      readonly signingMs: number;
      readonly commitMs: number;
    }
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
      /** Absent: they are on record. */
      readonly failure?: string;
    }
  | { readonly kind: "probed"; readonly failure?: string };
