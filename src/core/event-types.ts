// What kinds of event there are (spec evidence §8): names alone, so that threads which check no shape load no schema.
export const EVENT_TYPES = [
  "policy.evaluate",
  "policy.activate",
  "policy.reject",
  "authority.check",
  "workload.admit",
  "workload.refuse",
  "workload.envelope.create",
  "workload.envelope.start",
  "workload.envelope.stop",
  "workload.envelope.destroy",
  "workload.attestation",
  "runtime.dependency.declare",
  "tenant.isolation.verify",
  "mesh.place",
  "mesh.elevate",
  "mesh.remove",
  "mesh.reload",
  "crp.partition.state",
  "decision.superseded",
  "chain.reconciliation",
  "chain.anchor",
  "key.rotate",
  "evidence.export",
  "node.start",
  "node.equivocation",
] as const;

export type EventType = (typeof EVENT_TYPES)[number];

/** What accompanies an admission under some evidence profiles; their artifact is the admission's. */
export const COMPANION_TYPES = [
  "authority.check",
  "runtime.dependency.declare",
  "tenant.isolation.verify",
] as const satisfies readonly EventType[];

export type CompanionType = (typeof COMPANION_TYPES)[number];
