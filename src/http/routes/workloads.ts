// `/v1/workloads`: what was admitted, and what became of it.
import Type from "typebox";
import { closed, nullable } from "../../core/schema/base.ts";
import { WorkloadSummary } from "../../core/schema/workload.ts";
import type { Workload } from "../../core/workload.ts";
import { EVENTS_SHOWN, showWorkload, workloadSummary } from "../../library/workload-view.ts";
import type { StoreReader } from "../../store/store.ts";
import { HttpError } from "../call/problem.ts";
import { cursor, identifier, isIdentifier, whole } from "../call/query.ts";
import { json, route, type Route } from "../call/route.ts";
import { tenantAsked, tenantOf } from "../../core/caller.ts";

const LIMIT = { byDefault: 100, max: 1000 };

const WorkloadList = closed({ items: Type.Array(WorkloadSummary), next: nullable(Type.String()) });

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
        const items = page.map(({ value }) => workloadSummary(JSON.parse(value) as Workload, now()));
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
        const workload = showWorkload(store, tenant, params["id"]!, now());
        if (workload === null) throw new HttpError("workload_unknown", "This tenant has no such workload here.");
        return json(workload);
      },
    }),
  ];
}
