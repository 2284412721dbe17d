// What the thread that reports decisions is told, and what it tells.
import type { ServiceAccess } from "../../outbound/access.ts";
import type { SettingsOverlay } from "../../policy/overlay.ts";
import type { StoreAt } from "../../store/open.ts";

export interface ReportData {
  readonly storePath: StoreAt;
  readonly access: ServiceAccess;
  /** On the service. */
  readonly path: string;
  /** Where it remembers how far it is. */
  readonly cursorFile: string;
  readonly ownIds: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly minDelayMs: number;
  readonly maxDelayMs: number;
  /** Whether it reports as soon as there is something. */
  readonly immediate: boolean;
  /** Of a report, packed. */
  readonly bytesMax: number;
  readonly userAgent: string;
}

/** A policy that this node has verified already. */
export interface VerifiedPolicy {
  readonly bytes: Uint8Array;
  readonly settings: SettingsOverlay | null;
}

export type ReportRequest =
  | { readonly kind: "grown" }
  | { readonly kind: "isolated"; readonly isolated: boolean }
  /** What hides from now on; null: nothing does. */
  | {
      readonly kind: "policies";
      readonly mask: VerifiedPolicy | null;
      readonly drop: VerifiedPolicy | null;
      /** Whether all policies are there that settings name: another may come with a mask. */
      readonly complete: boolean;
    }
  | { readonly kind: "stop" };

export type ReportReply =
  /** So far is all reported or passed over. */
  | { readonly kind: "reported"; readonly after: number; readonly events: number; readonly dropped: number }
  /** All that there was has been reported. */
  | { readonly kind: "done" }
  | { readonly kind: "failed"; readonly message: string; readonly httpCode: number | undefined }
  /** A decision went out without its input or result. */
  | { readonly kind: "withheld"; readonly decisionId: string; readonly why: string }
  | { readonly kind: "stopped" };
