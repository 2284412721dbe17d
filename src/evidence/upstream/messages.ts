// What the thread that checks other nodes' records is told, and what it answers.
import type { RequestFault } from "../../core/errors.ts";
import type { Replication } from "../../core/schema/replication.ts";
import type { Standing } from "../../core/workload.ts";
import type { Equivocation, Taken } from "./check.ts";
import type { Refused } from "./record.ts";
import type { KnownNode } from "./key-ring.ts";
import type { StoreAt } from "../../store/open.ts";

export const ENCODINGS = ["identity", "gzip", "zstd"] as const;
export type Encoding = (typeof ENCODINGS)[number];

export interface IntakeData {
  readonly storePath: StoreAt;
  /** Ids that this node writes or wrote under. */
  readonly ownIds: readonly string[];
  readonly nodes: readonly KnownNode[];
}

export interface OfferedRecords {
  readonly kind: "offer";
  /** By which it is settled. */
  readonly offer: number;
  readonly chainId: string;
  readonly bytes: Uint8Array;
  readonly encoding: Encoding;
  /** Of the body, unpacked. */
  readonly bytesMax: number;
  /** The node that sends; null: whoever may send for any. */
  readonly sender: string | null;
  readonly firstUse: boolean;
  readonly nowMs: number;
}

/** Decisions on one workload that nodes have made differently. */
export interface Conflict {
  readonly tenantId: string;
  readonly workloadId: string;
  readonly decisions: readonly Standing[];
}

export type IntakeRequest =
  /** Is read, and its signatures verified, whatever else of its node is under way. */
  | OfferedRecords
  /** What was offered is compared with what is held, now that all before it is on record. */
  | { readonly kind: "settle"; readonly offer: number; readonly nowMs: number }
  /** Looks behind this position. */
  | { readonly kind: "conflicts"; readonly after: number; readonly ownId: string };

export interface ReadReply {
  /** The body cannot be read, and there is nothing to settle. */
  readonly unreadable?: { readonly status: 400 | 413 | 422; readonly faults: readonly RequestFault[] };
}

export interface OfferReply {
  readonly verdict: Taken | Equivocation | Refused;
  /** Of the stream, as it is held here. */
  readonly size: number;
  readonly checkpoint: string | undefined;
  readonly superseded: Replication["superseded"];
}

export interface Conflicts {
  readonly conflicts: readonly Conflict[];
  /** Look behind this position the next time. */
  readonly next: number;
  /** Whether there may be more. */
  readonly more: boolean;
}

export type IntakeReply = ReadReply | OfferReply | Conflicts;
