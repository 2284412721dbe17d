// `/v1/workloads`: what was admitted, and what became of it.
import Type from "typebox";
import { closed, nullable } from "../../core/schema/base.ts";
import { WorkloadSummary } from "../../core/schema/workload.ts";
import type { LocalRailgate } from "../../library/local.ts";
import { EVENTS_SHOWN } from "../../library/workload-view.ts";
import { HttpError } from "../call/problem.ts";
import { cursor, identifier, inQuery, whole } from "../call/query.ts";
import { json, route, type Route } from "../call/route.ts";

const LIMIT = { byDefault: 100, max: 1000 };

const WorkloadList = closed({ items: Type.Array(WorkloadSummary), next: nullable(Type.String()) });

export function workloadRoutes(railgate: LocalRailgate): Route[] {
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
        cursor: cursor((text) => text),
      },
      shapes: { WorkloadSummary, WorkloadList },
      answers: { 200: { description: "Workloads", content: { "application/json": "WorkloadList" } } },
      problems: ["tenant_forbidden"],
      handle: async ({ caller, query }) => json(await inQuery(railgate.as(caller).workloads(query))),
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
      handle: async ({ caller, query, params }) => {
        const workload = await railgate.as(caller).showWorkload(params["id"]!, query.tenant_id);
        if (workload === null) throw new HttpError("workload_unknown", "This tenant has no such workload here.");
        return json(workload);
      },
    }),
  ];
}
