// Entries for a ledger, as tests give them.
import { v7 as uuidv7 } from "uuid";
import { digestOf } from "../../src/core/event.ts";
import type { Entry } from "../../src/evidence/ledger/entry.ts";

/** It counts a workload's versions by itself. */
export function entry(tenant: string, name: string): Entry {
  const artifact = JSON.stringify({ name });
  const artifactDigest = digestOf(artifact);
  return {
    draft: {
      id: uuidv7(),
      event_type: "workload.admit",
      occurred_at: "2026-01-02T03:04:05.678Z",
      tenant_id: tenant,
      actor: "test",
      correlation_id: name,
      outcome: "accepted",
      evidence_profile_id: "ecs-evidence-baseline",
      evidence_pointer: `eosc://evidence/${artifactDigest}`,
      policy_snapshot_id: digestOf("policy"),
      authority_snapshot_id: digestOf("[]"),
      subject: name,
      details: { workload_id: name, event_type: "a decoy", é: [1, 2] },
    },
    artifact,
    artifactDigest,
    workloadId: name,
    occurredAtMs: Date.parse("2026-01-02T03:04:05.678Z"),
    blobs: [],
    states: [{ kind: "workload", tenant_id: tenant, key: name, value: JSON.stringify({ name }) }],
  };
}
