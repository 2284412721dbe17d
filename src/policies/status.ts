// How a node's bundles are doing, for health, metrics and OPA's status reports.
import { EXPIRED_AGE_S, policyAgeS } from "./age.ts";
import type { Slot, SourceFigures } from "./slot.ts";

export interface BundleStatus {
  /** As under `bundles`; the one that comes with Railgate, or a host's own, is `railgate`. */
  readonly name: string;
  /** Null: none is active. */
  readonly digest: string | null;
  readonly revision: string | null;
  /** Since its source last confirmed it; null: it has no remote source, or has expired. */
  readonly age_s: number | null;
  readonly expired: boolean;
  /** Why the last one that was offered was not taken. */
  readonly rejected: { readonly reason: string; readonly message: string } | null;
  readonly source: SourceFigures;
}

export function bundleStatus(slot: Slot, nowMs: number): BundleStatus {
  const { name, policy, confirmedAtMs, rejected, figures } = slot;
  const age = policyAgeS({ policy, confirmedAtMs }, nowMs);
  const expired = age === EXPIRED_AGE_S;
  return {
    name: name ?? "railgate",
    digest: policy?.digest ?? null,
    revision: policy?.revision ?? null,
    age_s: expired ? null : age,
    expired,
    rejected: rejected ? { reason: rejected.reason, message: rejected.message } : null,
    source: figures,
  };
}
