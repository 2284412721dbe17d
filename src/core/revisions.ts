// Which version of a workload, mesh or namespace an event leads to: what the events of several streams are folded by (spec replicas §4).
import { stepNamespace } from "./kubernetes/namespace.ts";
import type { EvidenceEvent } from "./schema/event.ts";

/** What an event changes. Namespaces are the cluster's, whosever stream they stand in. */
export interface Entity {
  readonly kind: "workload" | "mesh" | "namespace";
  readonly tenant_id: string;
  readonly id: string;
}

/** As much of an event as tells what it is about; attacker-controlled until its record is verified. */
export type RevisedEvent = Pick<EvidenceEvent, "event_type" | "outcome" | "occurred_at" | "tenant_id" | "details">;

/** What an event is about; undefined where nothing that is folded. */
export function entityOf(event: RevisedEvent): Entity | undefined {
  const { event_type, tenant_id } = event;
  const details = event.details ?? {};
  if (event_type.startsWith("workload.") || event_type === "decision.superseded")
    return named("workload", tenant_id, details["workload_id"]);
  if (event_type.startsWith("mesh.")) return named("mesh", tenant_id, details["mesh_id"]);
  const namespace = stepNamespace(event);
  return namespace && named("namespace", tenant_id, namespace.name);
}

function named(kind: Entity["kind"], tenant_id: string, id: unknown): Entity | undefined {
  return typeof id === "string" ? { kind, tenant_id, id } : undefined;
}

/**
 * The version of its entity after an event, counted from 1. null: it says that it changes nothing. undefined: it does not say;
 * events of 0.1 count as they come. `revision` is what meshes have always had.
 */
export function revisionOf({ details = {} }: RevisedEvent): number | null | undefined {
  const revision = details["state_revision"] ?? details["revision"];
  if (revision === undefined) return details["seen_revision"] === undefined ? undefined : null;
  return Number.isSafeInteger(revision) && (revision as number) > 0 ? (revision as number) : null;
}

export const nameOfEntity = ({ kind, id, tenant_id }: Entity): string => `${kind} ${id} of ${tenant_id}`;
