// What the main thread and one that decides beside it say to each other.
import type { Group } from "../../evidence/ledger/messages.ts";
import type { Receipt } from "../../evidence/ledger/entry.ts";
import type { Context } from "../../core/schema/input.ts";
import type { ShadowedDecision } from "../../policies/shadow.ts";
import type { BundleTerms } from "../../policies/choose.ts";
import type { BundleKeys } from "../../policy/policy.ts";
import type { StoreAt } from "../../store/open.ts";
import type { StateAt, StoredState } from "../../store/store.ts";
import type { TrustConfig } from "../../trust/trust.ts";

/** What a thread begins with. */
export interface ThreadBeginning {
  /** Its number, from 1; the main thread is 0. */
  readonly thread: number;
  readonly at: StoreAt;
  readonly nodeId: string;
  readonly evidenceProfileId: string;
  readonly evaluationMsMax: number | undefined;
  readonly queueMax: number | undefined;
  readonly trust: TrustConfig;
  /** See {@link StateClaims}. */
  readonly claims: SharedArrayBuffer;
}

/** What is active in one place for a bundle; `policy` null: nothing is. */
export interface SlotCopy {
  readonly name: string | null;
  readonly confirmedAtMs: number | null;
  readonly policy: PolicyCopy | null;
}

export interface PolicyCopy {
  readonly digest: string;
  readonly bytes: Uint8Array;
  readonly terms: BundleTerms;
  readonly settings: { readonly digest: string; readonly bytes: Uint8Array; readonly keys: BundleKeys } | null;
}

/** Entries that a thread hands over. */
export interface Handed extends Pick<Group, "events" | "reads" | "stacked"> {
  readonly id: number;
  /** How many of its groups it knew to have been refused since what they were decided on had moved. */
  readonly refused: number;
  /** How often it had been told that all that was not durable is lost. */
  readonly resets: number;
  /** By which policies: see `change` in {@link ToThread}. */
  readonly law: number;
  /** The turn in which it was decided. */
  readonly turn?: number | undefined;
}

/** What became of them. */
export type Settled =
  | { readonly id: number; readonly receipts: readonly Receipt[] }
  /** Which state has moved, by `stateName`. */
  | { readonly id: number; readonly moved: readonly string[] }
  | { readonly id: number; readonly problem: string; readonly maybeRecorded: string | undefined };

export type ToThread =
  /** `change` counts changes of what decides: what was decided before is refused from now on. */
  | { readonly kind: "policies"; readonly change: number; readonly slots: readonly SlotCopy[] }
  | {
      readonly kind: "pulse";
      readonly partition: Context["partition"];
      /** Of each slot, see {@link SlotCopy}. */
      readonly confirmed: readonly (number | null)[];
      /** Whether decisions are to be told, for a policy that decides beside the active one. */
      readonly shadowing: boolean;
    }
  | { readonly kind: "trust"; readonly config: TrustConfig }
  | { readonly kind: "settled"; readonly settled: readonly Settled[] }
  /** A turn that it has asked for: what there is at its places, in order; or why there will be none. */
  | { readonly kind: "turn"; readonly turn: number; readonly found: readonly (StoredState | undefined)[] }
  | { readonly kind: "no turn"; readonly turn: number; readonly problem: string }
  /** One that it has not ended itself. */
  | { readonly kind: "turn over"; readonly turn: number }
  /** What was not durable is lost. */
  | { readonly kind: "reset" };

export type FromThread =
  | { readonly kind: "append"; readonly groups: readonly Handed[] }
  | { readonly kind: "turn"; readonly turn: number; readonly places: readonly StateAt[] }
  /** All is handed over that was decided in it. */
  | { readonly kind: "turn ends"; readonly turn: number }
  | { readonly kind: "shadowed"; readonly decisions: readonly ShadowedDecision[] };
