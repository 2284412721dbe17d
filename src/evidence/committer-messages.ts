// What the ledger and the committer's thread say to each other.
import type { webcrypto } from "node:crypto";
import type { Append } from "../store/store.ts";

export interface CommitterData {
  readonly storePath: string;
  readonly privateJwk: webcrypto.JsonWebKey;
  readonly kid: string;
}

/** An append whose record is not signed yet: `text` is the event's canonical bytes. */
export type UnsignedAppend = Omit<Append, "record"> & { readonly text: string };

export type CommitterRequest =
  | { readonly kind: "commit"; readonly epoch: number; readonly batch: number; readonly events: readonly UnsignedAppend[] }
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
  | { readonly kind: "failed"; readonly batch: number; /** Batches of an earlier epoch are refused from now on. */ readonly epoch: number; readonly message: string };
