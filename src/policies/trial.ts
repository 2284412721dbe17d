// What trying a candidate finds, before it decides anything: what no policy may admit, and who would be on too weak a rail or envelope.
import type { ChangeKind } from "../core/decision-change.ts";
import { RailgateError } from "../core/errors.ts";
import type { Policy } from "../policy/policy.ts";

/** A workload that the candidate would want on a stricter rail, or in a stronger envelope, than it has. */
export interface TooWeak {
  readonly tenant_id: string;
  readonly workload_id: string;
  readonly state: string;
  /** Declared and admitted; what the candidate requires. Null where it is strong enough. */
  readonly envelope: { readonly admitted: string; readonly required: string } | null;
  /** Where it is placed below what the candidate requires. */
  readonly rails: readonly { readonly mesh_id: string; readonly level: string; readonly least_level: string }[];
}

/** A case of the conformance corpus that the candidate admits. */
export interface Violation {
  readonly case: string;
  /** The rule or invariant that no policy may lift. */
  readonly breaks: string;
  readonly message: string;
}

/** What a trial found; as it is answered and shown. */
export interface TrialReport {
  /** Nothing of what follows keeps the candidate from deciding. */
  readonly passes: boolean;
  /** Null: it is not about Railgate, and exempt. */
  readonly conformance: { readonly cases: number; readonly violations: readonly Violation[] } | null;
  readonly workloads: {
    readonly tried: number;
    /** Their stored input was erased, or is none that can be decided again. */
    readonly untried: number;
    /** How many are on too weak a rail or envelope; the first of them are listed. */
    readonly too_weak: number;
    readonly listed: readonly TooWeak[];
  };
  /** Of the newest admissions, how many it would decide otherwise. These keep it from nothing. */
  readonly decisions: { readonly tried: number } & Readonly<Record<ChangeKind, number>>;
}

/** @param active decides now; null: none does. */
export type PolicyTrial = (candidate: Policy, active: Policy | null) => Promise<TrialReport>;

/** Why a candidate does not decide, though it can be trusted. An authority may say otherwise. */
export class PolicyRefusedError extends RailgateError {
  static override code: string = "policy_refused";
  readonly report: TrialReport | null;

  constructor(message: string, report: TrialReport | null) {
    super(message);
    this.report = report;
  }
}

/** In words, with the first workloads by name. */
export function whyRefused({ conformance, workloads }: TrialReport): string {
  const parts = [];
  const [violation] = conformance?.violations ?? [];
  if (violation)
    parts.push(
      `it admits what no policy may (${violation.breaks}): ${violation.message}${more(conformance!.violations.length)}`,
    );
  if (workloads.too_weak > 0) {
    const names = workloads.listed.slice(0, 3).map(({ tenant_id, workload_id }) => `${tenant_id}/${workload_id}`);
    parts.push(
      `${workloads.too_weak} workloads would be on too weak a rail or envelope: ${names.join(", ")}${workloads.too_weak > names.length ? ", …" : ""}`,
    );
  }
  return parts.join("; ");
}

const more = (violations: number): string => (violations > 1 ? ` (and ${violations - 1} more)` : "");
