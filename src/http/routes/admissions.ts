// `/v1/admissions`: one request, or many in one commit.
import { provenTenant, tenantActing, tenantAsked, type Caller } from "../../core/caller.ts";
import Type from "typebox";
import { RequestError } from "../../core/errors.ts";
import { parseAdmissionRequest, parser } from "../../core/request.ts";
import { closed } from "../../core/schema/base.ts";
import { DecisionSchema } from "../../core/schema/decision.ts";
import { AdmissionRequestSchema, type AdmissionRequest } from "../../core/schema/request.ts";
import { AdmissionAnswer } from "../../core/schema/workload.ts";
import { ProblemSchema, type Problem } from "../../core/schema/problem.ts";
import { admission, type AdmissionOutcome } from "../../gate/commands/admission.ts";
import type { Evidenced, Gate, Trace } from "../../gate/gate.ts";
import { readJson } from "../call/body.ts";
import { carryOut, COMMAND_HEADERS, COMMAND_PROBLEMS, COMMAND_QUERY } from "../call/commands.ts";
import { problemOf } from "../call/problem.ts";
import { flag, identifier, invalid } from "../call/query.ts";
import { json, route, type Exchange, type Reply, type Route } from "../call/route.ts";

export interface AdmissionLimits {
  readonly bodyBytesMax: number;
  readonly batchItemsMax: number;
}

const DryRunAnswer = closed({ decision: DecisionSchema, dry_run: Type.Literal(true) });
const BatchBody = closed({ items: Type.Array(AdmissionRequestSchema) });
const BatchAnswer = closed({ items: Type.Array(Type.Union([AdmissionAnswer, ProblemSchema])) });

/** Only that there are items; each is read by itself, so that a malformed one fails alone. */
const parseBatch = parser(closed({ items: Type.Array(Type.Unknown()) }));

const SCOPED = {
  tenant_id: identifier("The workload's tenant, once more: another one is refused."),
  trace_id: COMMAND_QUERY.trace_id,
};
const QUERY = { ...SCOPED, dry_run: flag("Decide, and record nothing: nothing is admitted.") };

export function admissionRoutes(gate: Gate, limits: AdmissionLimits): Route[] {
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
        if (exchange.query.dry_run === true) return dryRun(gate, request, exchange);
        return admit(gate, request, exchange);
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
      problems: ["tenant_forbidden", "evidence_unavailable"],
      handle: async (exchange) => admitAll(gate, await readBatch(exchange, limits), exchange),
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

async function admit(gate: Gate, request: AdmissionRequest, exchange: Admitting): Promise<Reply> {
  const { caller } = exchange;
  const asked = { body: request, trace: traceIn(exchange) };
  const admitted = await carryOut(exchange, asked, gate, () => admission(request, caller));
  exchange.notes = notesOf(admitted, request, caller);
  return { status: 200, body: textOf(admitted) };
}

async function dryRun(gate: Gate, request: AdmissionRequest, exchange: Admitting): Promise<Reply> {
  const decision = await gate.dryRun(request, exchange.caller);
  exchange.notes = { dry_run: true, outcome: decision.outcome };
  return json({ decision, dry_run: true });
}

async function readBatch(exchange: Exchange, { bodyBytesMax, batchItemsMax }: AdmissionLimits): Promise<unknown[]> {
  const { items } = parseBatch(await readJson(exchange, bodyBytesMax));
  if (items.length > batchItemsMax)
    throw new RequestError(413, [{ pointer: "/items", message: `more than ${batchItemsMax} items` }]);
  return items;
}

async function admitAll(gate: Gate, items: readonly unknown[], exchange: Admitting): Promise<Reply> {
  tenantAsked(exchange.caller, exchange.query.tenant_id);
  const read = items.map((item) => readItem(item, exchange));
  const requests = read.filter((item): item is AdmissionRequest => !("status" in item));
  const { caller } = exchange;
  const commands = requests.map((request) => admission(request, caller));
  const admissions = await gate.run(commands, { caller, trace: traceIn(exchange) });
  exchange.notes = { items: items.length, decided: admissions.length };
  let next = 0;
  const texts = read.map((item) => ("status" in item ? JSON.stringify(item) : textOf(admissions[next++]!)));
  return { status: 200, body: `{"items":[${texts.join(",")}]}` };
}

/** A request has no member `status`, and a problem always has. */
function readItem(item: unknown, exchange: Admitting): AdmissionRequest | Problem {
  try {
    const request = parseAdmissionRequest(item);
    checkTenant(exchange, request);
    return request;
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
    return problemOf(error, exchange.requestId).problem;
  }
}

/** The answer on the wire: `{decision, event, receipt}`. */
const textOf = ({ outcome, eventText, receipt }: Evidenced<AdmissionOutcome>): string =>
  `{"decision":${JSON.stringify(outcome.decision)},"event":${eventText},"receipt":"${receipt}"}`;

function notesOf(admitted: Evidenced<AdmissionOutcome>, request: AdmissionRequest, caller: Caller): object {
  const { outcome, refusals } = admitted.outcome.decision;
  return {
    decision_id: admitted.eventId,
    tenant_id: tenantActing(caller, request.workload.tenant_id),
    outcome,
    ...(refusals.length > 0 && { codes: refusals.map(({ code }) => code) }),
  };
}

const ref = (component: string): object => ({ $ref: `#/components/schemas/${component}` });
