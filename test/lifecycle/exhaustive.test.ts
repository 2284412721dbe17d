// Every combination of facts that a transition can depend on, asked of the real law and compared with the contract written plainly.
import test from "ava";
import type { LifecycleDecision, LifecycleWorkload } from "../../src/core/workload.ts";
import type { Context } from "../../src/core/schema/input.ts";
import { buildLaw, context } from "../mesh/law.ts";

const NOW = 1_800_000_000_000;
const HOUR = 3_600_000;
const DAY = 24 * HOUR;

const TABLE: { [transition: string]: { [state: string]: string } } = {
  create: { admitted: "created" },
  start: { created: "running", stopped: "running" },
  stop: { running: "stopped" },
  destroy: { admitted: "destroyed", created: "destroyed", running: "destroyed", stopped: "destroyed" },
};

const ATTESTATIONS = [
  null,
  { measured_at_ms: NOW - HOUR, standing: "passed" },
  { measured_at_ms: NOW - HOUR - 1, standing: "passed" },
  { measured_at_ms: NOW - DAY - 1, standing: "passed" },
  { measured_at_ms: null, standing: "passed" },
  { measured_at_ms: NOW, standing: "failed" },
] as const;
const DEADLINES = [
  null,
  { by_ms: NOW, missed: false },
  { by_ms: NOW - 1, missed: false },
  { by_ms: NOW + 1, missed: true },
] as const;

/** The least level is sandbox_isolated throughout. */
const PLACEMENTS = [
  [],
  [
    { mesh_id: "a", level: "sandbox_isolated" },
    { mesh_id: "b", level: "shared" },
  ],
] as const;

const CONTEXTS: readonly Context[] = (["connected", "partitioned", "degraded", "reconciled"] as const).flatMap(
  (state) =>
    [null, 25 * 3600].map((age_s) =>
      context({ partition: { state, since: null }, policy: { age_s, snapshot_id: `sha256:${"0".repeat(64)}` } }),
    ),
);

function* workloads(): Generator<LifecycleWorkload> {
  for (const state of ["admitted", "created", "running", "stopped", "destroyed"] as const)
    for (const envelope_kind of ["container", "vm", "tee"] as const)
      for (const governance_profile of ["baseline", "ncp"])
        for (const crp of [false, true])
          for (const valid_until_ms of [null, NOW, NOW - 1])
            for (const attestation of ATTESTATIONS)
              for (const reattestation of DEADLINES)
                yield {
                  state,
                  envelope_kind,
                  platform: null,
                  governance_profile,
                  crp,
                  valid_until_ms,
                  attestation,
                  measured_at_ms: attestation?.standing === "passed" ? attestation.measured_at_ms : null,
                  used_tokens: [],
                  reattestation,
                  least_level: "sandbox_isolated",
                };
}

/** The code that refuses, or undefined: the checks of the contract in their order. */
function expected(
  transition: string,
  workload: LifecycleWorkload,
  { partition, policy }: Context,
  placements: (typeof PLACEMENTS)[number],
): string | undefined {
  if (TABLE[transition]![workload.state] === undefined) return "lifecycle_transition_invalid";
  if (transition !== "create" && transition !== "start") return undefined;
  if (workload.valid_until_ms !== null && NOW > workload.valid_until_ms) return "admission_expired";
  if (transition === "start" && workload.attestation?.standing === "failed") return "attestation_failed";
  if (transition === "start" && !isCurrent(workload)) return "attestation_stale";
  if (transition === "start" && placements.some(({ level }) => level === "shared")) return "rail_insufficient";
  if (partition.state === "partitioned" && workload.governance_profile === "ncp" && !workload.crp)
    return "partition_not_designated";
  const limit_s =
    workload.governance_profile === "ncp"
      ? 24 * 3600 + (partition.state === "partitioned" ? 12 * 3600 : 0)
      : 30 * 24 * 3600;
  return policy.age_s !== null && policy.age_s > limit_s ? "policy_stale" : undefined;
}

function isCurrent({ envelope_kind, attestation, reattestation }: LifecycleWorkload): boolean {
  const limit = { tee: HOUR, vm: DAY, container: 0 }[envelope_kind];
  if (
    attestation === null
      ? envelope_kind === "tee"
      : attestation.measured_at_ms === null || NOW - attestation.measured_at_ms > limit
  )
    return false;
  return reattestation === null || (!reattestation.missed && NOW <= reattestation.by_ms);
}

test("every transition under all facts that it can depend on", async (t) => {
  t.timeout(5 * 60_000);
  const law = await buildLaw("lifecycle");
  let decisions = 0;
  for (const workload of workloads()) {
    for (const transition of Object.keys(TABLE)) {
      for (const where of CONTEXTS) {
        for (const placements of PLACEMENTS) {
          const input = {
            request: { command: "transition", workload_id: "w", transition },
            facts: { now_ms: NOW, workload, attestation: null, reattestation: null, placements },
            context: where,
          };
          const decision = law(input) as LifecycleDecision;
          const code = expected(transition, workload, where, placements) ?? null;
          const state = code === null ? TABLE[transition]![workload.state] : null;
          if (decision.error_code !== code || decision.to_state !== state) {
            t.fail(
              `the law says ${decision.error_code} ${decision.to_state}, the contract ${code} ${state}: ${JSON.stringify(input)}`,
            );
            return;
          }
          decisions++;
        }
      }
    }
  }
  t.log(`${decisions} decisions`);
  t.true(decisions > 100_000);
});
