// What trying a candidate finds, before it decides anything: what no policy may admit, and who would be on too weak a rail or envelope.
import type { TrialReport } from "../core/schema/policies.ts";
import type { Policy } from "../policy/policy.ts";

/** @param active decides now; null: none does. */
export type PolicyTrial = (candidate: Policy, active: Policy | null) => Promise<TrialReport>;

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
