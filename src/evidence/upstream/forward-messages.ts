// What the thread that sends records upstream is told, and what it tells.
import type { ServiceAccess } from "../../outbound/access.ts";
import type { StoreAt } from "../../store/open.ts";

export interface ForwardData {
  readonly storePath: StoreAt;
  readonly access: ServiceAccess;
  /** Where it remembers how far it is. */
  readonly cursorFile: string;
  readonly ownIds: readonly string[];
  readonly heartbeatMs: number;
  readonly backoffMsMax: number;
}

export type ForwardRequest =
  /** There is more to send. */
  | { readonly kind: "grown" }
  /** Whether nothing may be sent, by an operator's word. */
  | { readonly kind: "isolated"; readonly isolated: boolean }
  /** The node is cut off from now on: what has not arrived yet is what will be reconciled. Null: that is over. */
  | { readonly kind: "cut_off"; readonly cutOff: boolean }
  /** Resolutions up to this place are on record here. */
  | { readonly kind: "superseded"; readonly nodeId: string; readonly next: number }
  | { readonly kind: "stop" };

export type ForwardReply =
  | {
      readonly kind: "ready";
      readonly arrived: { readonly [chainId: string]: number };
      readonly cutOffAt: { readonly [chainId: string]: number } | null;
    }
  /** Upstream answered; or, why not. */
  | { readonly kind: "heard"; readonly problem: string | undefined }
  | {
      readonly kind: "arrived";
      readonly chainId: string;
      readonly next: number;
      readonly accepted: number;
      /** The stream's checkpoint with upstream's signature, where it gave one. */
      readonly checkpoint: string | undefined;
    }
  /** Upstream does not take this stream; undefined: it does again. */
  | { readonly kind: "refused"; readonly chainId: string; readonly problem: string | undefined }
  | {
      readonly kind: "superseded";
      readonly nodeId: string;
      readonly records: readonly string[];
      readonly next: number;
    }
  | { readonly kind: "stopped" };
