// A workload as it is answered: its state, and what is read beside it from the evidence.
import { eventTextOf } from "../core/event.ts";
import type { Decision } from "../core/schema/decision.ts";
import type { EvidenceEvent } from "../core/schema/event.ts";
import type { WorkloadSummary, WorkloadView } from "../core/schema/workload.ts";
import { timeMs } from "../core/time.ts";
import type { Placed } from "../core/mesh-state.ts";
import { withElevations, type Workload } from "../core/workload.ts";
import type { StoreReader } from "../store/store.ts";

/** The last events of one workload that come with it; a listing of events has all. */
export const EVENTS_SHOWN = 20;

/**
 * A workload as it is answered.
 * @param nowMs milliseconds since the epoch.
 * @param position of the last event to be shown; default: the newest.
 */
export async function workloadView(
  store: StoreReader,
  workload: Workload,
  nowMs: number,
  position?: number,
): Promise<WorkloadView> {
  const { admission, ...summary } = workloadSummary(workload, nowMs);
  const events = await store.events({
    tenant_id: workload.tenant_id,
    workload_id: workload.workload_id,
    order: "desc",
    limit: EVENTS_SHOWN,
    after: position === undefined ? undefined : position + 1,
  });
  return {
    ...summary,
    admission: { ...admission, decision: await decisionOf(store, workload.admission.event_id) },
    events: events.map(({ record }) => JSON.parse(eventTextOf(record)) as EvidenceEvent),
  };
}

/** As `workloadView`, as it is now; null where it was never admitted. */
export async function showWorkload(
  store: StoreReader,
  tenantId: string,
  workloadId: string,
  nowMs: number,
): Promise<WorkloadView | null> {
  const stored = await store.state("workload", tenantId, workloadId);
  if (stored === undefined) return null;
  const placed = JSON.parse((await store.state("placed", tenantId, workloadId)) ?? "[]") as Placed;
  return workloadView(store, withElevations(JSON.parse(stored) as Workload, placed), nowMs);
}

/** The same without what has to be read. @param nowMs milliseconds since the epoch. */
export function workloadSummary(workload: Workload, nowMs: number): WorkloadSummary {
  const { workload_id, tenant_id, state, envelope_kind, least_level, admission, obligations } = workload;
  return {
    workload_id,
    tenant_id,
    state,
    envelope_kind,
    least_level,
    admission: { event_id: admission.event_id, admitted_at: admission.at, valid_until: admission.valid_until },
    attestation: attestationOf(workload, nowMs),
    obligations: [...obligations],
  };
}

function attestationOf({ attestation, reattestation }: Workload, nowMs: number): WorkloadSummary["attestation"] {
  if (attestation === null) return null;
  const { form, report_ref, platform_type, result, measured_at } = attestation;
  const overdue = reattestation !== null && (reattestation.missed || nowMs > timeMs(reattestation.by)!);
  return { form, report_ref, platform_type, result, measured_at, due_by: reattestation?.by ?? null, overdue };
}

/** What was decided, from the stored artifact; null where it was erased. An acceptance has no refusals to explain. */
async function decisionOf(store: StoreReader, eventId: string): Promise<Decision | null> {
  const bytes = (await store.artifactOf(eventId))?.bytes;
  return bytes === undefined
    ? null
    : (JSON.parse(Buffer.from(bytes).toString("utf8")) as { decision: Decision }).decision;
}
