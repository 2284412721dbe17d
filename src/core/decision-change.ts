// How one decision on an input differs from another on the same: who would be refused, admitted, or wanted in another envelope.

export type ChangeKind = "newly_refused" | "newly_admitted" | "other_envelope";

/** What decisions of all kinds have in common, as far as they have it. */
export interface DecisionShape {
  readonly outcome?: unknown;
  readonly error_code?: unknown;
  readonly envelope?: { readonly declared?: unknown; readonly required?: unknown } | null;
  readonly refusals?: readonly { readonly rule?: unknown; readonly code?: unknown }[];
}

/** What counts where evaluation failed: the host refuses then. */
export const FAILED_DECISION: DecisionShape = { outcome: "refused", error_code: "POL-03" };

/** undefined: nobody would notice. */
export function changeBetween(before: DecisionShape, after: DecisionShape): ChangeKind | undefined {
  const [accepted, accepts] = [before.outcome === "accepted", after.outcome === "accepted"];
  if (accepted !== accepts) return accepted ? "newly_refused" : "newly_admitted";
  if (after === FAILED_DECISION || before.envelope?.required === after.envelope?.required) return undefined;
  return "other_envelope";
}
