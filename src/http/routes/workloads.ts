// `/v1/workloads`: what was admitted, and what became of it.
import Type, { type Static } from "typebox";
import { eventTextOf } from "../../core/event.ts";
import { closed, nullable, Time } from "../../core/schema/base.ts";
import type { Decision } from "../../core/schema/decision.ts";
import type { EvidenceEvent } from "../../core/schema/event.ts";
import { WorkloadViewSchema, type WorkloadView } from "../../core/schema/workload.ts";
import { timeMs } from "../../core/time.ts";
import type { Workload } from "../../core/workload.ts";
import type { StoreReader } from "../../store/store.ts";
import { HttpError } from "../call/problem.ts";
import { cursor, identifier, isIdentifier, whole } from "../call/query.ts";
import { json, route, type Route } from "../call/route.ts";
import { tenantAsked, tenantOf } from "../../core/caller.ts";

const LIMIT = { byDefault: 100, max: 1000 };
/** The last events of one workload that come with it; `/v1/events?workload_id=` has all. */
const EVENTS_SHOWN = 20;

const { workload_id, tenant_id, state, least_level, attestation, obligations } = WorkloadViewSchema.properties;
const WorkloadSummary = closed({
  workload_id,
  tenant_id,
  state,
  least_level,
  admission: closed({ event_id: Type.String(), admitted_at: Time }),
  attestation,
  obligations,
});
const WorkloadList = closed({ items: Type.Array(WorkloadSummary), next: nullable(Type.String()) });

type WorkloadSummary = Static<typeof WorkloadSummary>;
type Place = { readonly tenant_id: string; readonly key: string };

/** Tenant and workload behind which a listing goes on; identifiers have no space. */
const writePlace = ({ tenant_id, key }: Place): string => Buffer.from(`${tenant_id} ${key}`).toString("base64url");

function readPlace(text: string): Place | undefined {
  const [tenant = "", key = "", ...rest] = Buffer.from(text, "base64url").toString().split(" ");
  return rest.length === 0 && isIdentifier(tenant) && isIdentifier(key) ? { tenant_id: tenant, key } : undefined;
}

/** @param now milliseconds since the epoch. */
export function workloadRoutes(store: StoreReader, now: () => number): Route[] {
  return [
    route({
      method: "GET",
      path: "/v1/workloads",
      tag: "Workloads",
      summary: "List workloads",
      description: "Sorted by tenant and id. Where nobody has to log in, all tenants' unless `tenant_id` names one.",
      query: {
        tenant_id: identifier("Only this tenant's."),
        limit: whole(1, LIMIT.max, "Most items in one answer.", LIMIT.byDefault),
        cursor: cursor(readPlace),
      },
      shapes: { WorkloadSummary, WorkloadList },
      answers: { 200: { description: "Workloads", content: { "application/json": "WorkloadList" } } },
      problems: ["tenant_forbidden"],
      handle: ({ caller, query }) => {
        const { limit = LIMIT.byDefault } = query;
        const rows = store.states("workload", tenantAsked(caller, query.tenant_id), limit + 1, query.cursor);
        const page = rows.slice(0, limit);
        const items = page.map(({ value }) => summaryOf(JSON.parse(value) as Workload, now()));
        return json({ items, next: rows.length > limit ? writePlace(page.at(-1)!) : null });
      },
    }),
    route({
      method: "GET",
      path: "/v1/workloads/:id",
      tag: "Workloads",
      summary: "Look up a workload",
      description: `State, admission in force, obligations, and the last ${EVENTS_SHOWN} events, newest first. A \`/\` in the id is written \`%2F\`.`,
      query: {
        tenant_id: identifier(
          "The workload's tenant: `default` where none is named, the caller's own where callers log in.",
        ),
      },
      params: { id: "The workload's id." },
      answers: { 200: { description: "The workload", content: { "application/json": "Workload" } } },
      problems: ["tenant_forbidden", "workload_unknown"],
      handle: ({ caller, query, params }) => {
        const tenant = tenantOf(caller, query.tenant_id);
        const stored = store.state("workload", tenant, params["id"]!);
        if (stored === undefined) throw new HttpError("workload_unknown", "This tenant has no such workload here.");
        return json(workloadView(store, JSON.parse(stored) as Workload, now()));
      },
    }),
  ];
}

/**
 * A workload as it is answered.
 * @param nowMs milliseconds since the epoch.
 * @param position of the last event to be shown; default: the newest.
 */
export function workloadView(store: StoreReader, workload: Workload, nowMs: number, position?: number): WorkloadView {
  const { admission, ...summary } = summaryOf(workload, nowMs);
  const events = store.events({
    tenant_id: workload.tenant_id,
    workload_id: workload.workload_id,
    order: "desc",
    limit: EVENTS_SHOWN,
    after: position === undefined ? undefined : position + 1,
  });
  return {
    ...summary,
    admission: { ...admission, decision: decisionOf(store, workload.admission.event_id) },
    events: events.map(({ record }) => JSON.parse(eventTextOf(record)) as EvidenceEvent),
  };
}

function summaryOf(workload: Workload, nowMs: number): WorkloadSummary {
  const { workload_id, tenant_id, state, least_level, admission, obligations } = workload;
  return {
    workload_id,
    tenant_id,
    state,
    least_level,
    admission: { event_id: admission.event_id, admitted_at: admission.at },
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
function decisionOf(store: StoreReader, eventId: string): Decision | null {
  const bytes = store.artifact("sha256:", eventId);
  return bytes === undefined
    ? null
    : (JSON.parse(Buffer.from(bytes).toString("utf8")) as { decision: Decision }).decision;
}
