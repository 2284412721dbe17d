// `/v1/admissions`: one request, or many in one commit.
import { provenTenant, tenantActing, tenantAsked, type Caller } from "../../core/caller.ts";
import Type from "typebox";
import { RequestError } from "../../core/errors.ts";
import { parseAdmissionRequest, parser } from "../../core/request.ts";
import { closed, optional } from "../../core/schema/base.ts";
import { DecisionSchema } from "../../core/schema/decision.ts";
import { AdmissionRequestSchema, type AdmissionRequest } from "../../core/schema/request.ts";
import { AdmissionAnswer } from "../../core/schema/workload.ts";
import { ProblemSchema } from "../../core/schema/problem.ts";
import type { AdmissionOutcome, Evidenced, Trace } from "../../library/doors.ts";
import type { LocalRailgate } from "../../library/local.ts";
import { readJson } from "../call/body.ts";
import { carryOut, COMMAND_HEADERS, COMMAND_PROBLEMS, COMMAND_QUERY } from "../call/commands.ts";
import { problemOf } from "../call/problem.ts";
import { flag, identifier, invalid } from "../call/query.ts";
import { json, route, type Exchange, type Reply, type Route } from "../call/route.ts";

export interface AdmissionLimits {
  readonly bodyBytesMax: number;
  readonly batchItemsMax: number;
}

const DryRunAnswer = closed({
  decision: DecisionSchema,
  dry_run: Type.Literal(true),
  problem: optional(
    Type.String({ description: "Why the policy could not decide (POL-03), as the record would have it" }),
  ),
});
const BatchBody = closed({ items: Type.Array(AdmissionRequestSchema) });
const BatchAnswer = closed({ items: Type.Array(Type.Union([AdmissionAnswer, ProblemSchema])) });

/** Only that there are items; each is read by itself, so that a malformed one fails alone. */
const parseBatch = parser(closed({ items: Type.Array(Type.Unknown()) }));

const SCOPED = {
  tenant_id: identifier("The workload's tenant, once more: another one is refused."),
  trace_id: COMMAND_QUERY.trace_id,
};
const QUERY = { ...SCOPED, dry_run: flag("Decide, and record nothing: nothing is admitted.") };

export function admissionRoutes(railgate: LocalRailgate, limits: AdmissionLimits): Route[] {
  return [
    route({
      method: "POST",
      path: "/v1/admissions",
      tag: "Admissions",
      summary: "Decide an admission",
      description:
        "Accepted or refused, the answer is 200: the decision, its signed event, and the receipt that proves it. It is durable before it is answered.",
      query: QUERY,
      body: "AdmissionRequest",
      shapes: { DryRunAnswer },
      answers: {
        200: {
          description: "The decision",
          content: { "application/json": { anyOf: [ref("AdmissionAnswer"), ref("DryRunAnswer")] } },
        },
      },
      headers: COMMAND_HEADERS,
      problems: COMMAND_PROBLEMS,
      handle: async (exchange) => {
        const request = parseAdmissionRequest(await readJson(exchange, limits.bodyBytesMax));
        checkTenant(exchange, request);
        if (exchange.query.dry_run === true) return dryRun(railgate, request, exchange);
        return admit(railgate, request, exchange);
      },
    }),
    route({
      method: "POST",
      path: "/v1/admissions/batch",
      tag: "Admissions",
      summary: "Decide many admissions in one commit",
      description:
        "Items are decided in order, each seeing what the ones before it changed. A malformed item yields its problem in its place, with pointers into the item; the others are decided.",
      query: SCOPED,
      body: "BatchBody",
      shapes: { BatchBody, BatchAnswer },
      answers: {
        200: {
          description: "An answer or a problem for each item, in the same order",
          content: { "application/json": "BatchAnswer" },
        },
      },
      headers: COMMAND_HEADERS,
      problems: COMMAND_PROBLEMS,
      handle: async (exchange) => admitAll(railgate, await readBatch(exchange, limits), exchange),
    }),
  ];
}

type Admitting = Exchange<typeof SCOPED>;

/** What the query names is the caller's own, and the workload's; whether the workload's is the caller's, the law says (TEN-01). */
function checkTenant({ caller, query }: Admitting, { workload }: AdmissionRequest): void {
  const named = tenantAsked(caller, query.tenant_id);
  if (provenTenant(caller) === null && named !== undefined && named !== workload.tenant_id)
    throw invalid("tenant_id", "is not the workload's tenant");
}

const traceIn = ({ trace, query }: Admitting): Trace =>
  query.trace_id === undefined ? trace : { ...trace, traceId: query.trace_id };

type Admitted = Evidenced<AdmissionOutcome>;

async function admit(railgate: LocalRailgate, request: AdmissionRequest, exchange: Admitting): Promise<Reply> {
  const { caller } = exchange;
  const asked = { body: request, trace: traceIn(exchange) };
  const [admitted] = await carryOut(exchange, asked, (options) => railgate.as(caller).decide([request], options));
  exchange.notes = notesOf(admitted!, request, caller);
  return { status: 200, body: textOf(admitted!) };
}

async function dryRun(railgate: LocalRailgate, request: AdmissionRequest, exchange: Admitting): Promise<Reply> {
  const { problem, ...decision } = await railgate.as(exchange.caller).dryRunParsed(request);
  exchange.notes = { dry_run: true, outcome: decision.outcome };
  return json({ decision, dry_run: true, ...(problem !== undefined && { problem }) });
}

async function readBatch(exchange: Exchange, { bodyBytesMax, batchItemsMax }: AdmissionLimits): Promise<unknown[]> {
  const { items } = parseBatch(await readJson(exchange, bodyBytesMax));
  if (items.length > batchItemsMax)
    throw new RequestError(413, [{ pointer: "/items", message: `more than ${batchItemsMax} items` }]);
  return items;
}

async function admitAll(railgate: LocalRailgate, items: readonly unknown[], exchange: Admitting): Promise<Reply> {
  const { caller, query, requestId } = exchange;
  tenantAsked(caller, query.tenant_id);
  const read = items.map((item) => readItem(item, exchange));
  const requests = read.filter((item): item is AdmissionRequest => !(item instanceof RequestError));
  const asked = { body: { items }, trace: traceIn(exchange) };
  const admitted = await carryOut(exchange, asked, (options) => railgate.as(caller).decide(requests, options));
  exchange.notes = { items: items.length, decided: admitted.length };
  let next = 0;
  const texts = read.map((item) =>
    item instanceof RequestError ? JSON.stringify(problemOf(item, requestId).problem) : textOf(admitted[next++]!),
  );
  return { status: 200, body: `{"items":[${texts.join(",")}]}` };
}

function readItem(item: unknown, exchange: Admitting): AdmissionRequest | RequestError {
  try {
    const request = parseAdmissionRequest(item);
    checkTenant(exchange, request);
    return request;
  } catch (error) {
    if (error instanceof RequestError) return error;
    throw error;
  }
}

/** The answer on the wire: `{decision, event, receipt}`. */
const textOf = ({ outcome, eventText, receipt }: Admitted): string =>
  `{"decision":${JSON.stringify(outcome.decision)},"event":${eventText},"receipt":"${receipt}"}`;

function notesOf({ outcome: decided, eventId }: Admitted, request: AdmissionRequest, caller: Caller): object {
  const { outcome, refusals } = decided.decision;
  return {
    decision_id: eventId,
    tenant_id: tenantActing(caller, request.workload.tenant_id),
    outcome,
    ...(refusals.length > 0 && { codes: refusals.map(({ code }) => code) }),
  };
}

const ref = (component: string): object => ({ $ref: `#/components/schemas/${component}` });
