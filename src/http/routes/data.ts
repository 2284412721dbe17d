// OPA's data API over every entrypoint of any active policy: `/v1/data`, `/v0/data`, the default decision. Source: OPA v1.22, v1/server.
import { parseStrict } from "../../core/json.ts";
import type { Evaluated } from "../../library/evaluations.ts";
import type { LocalRailgate } from "../../library/local.ts";
import { answer, dataPath, nameOf, readDocument, readDocumentBody } from "../call/opa.ts";
import { OpaError } from "../call/opa-error.ts";
import type { Exchange, Reply, Route } from "../call/route.ts";
import {
  checkTold,
  membersOf,
  metricsText,
  objectText,
  questionOf,
  requestIn,
  type DataLimits,
  type Question,
} from "./data-answers.ts";
import { batchRoute } from "./data-batch.ts";
import { DATA_ANSWERS, jsonOrYaml, OPA_ROUTE, ref, UNDEFINED } from "./data-shapes.ts";

/** @param defaultDecision the path that `POST /` evaluates. */
export function dataRoutes(railgate: LocalRailgate, limits: DataLimits, defaultDecision: string): Route[] {
  return [
    {
      ...OPA_ROUTE,
      method: "POST",
      path: "/v1/data/*path",
      summary: "Evaluate a policy",
      description:
        "`?pretty`, `?metrics`, `?provenance` as OPA has them; `?tenant_id` says whose evidence it is. YAML where the content type says so, and gzip, are read too.",
      body: jsonOrYaml(ref("DataBody")),
      answers: DATA_ANSWERS,
      handle: async (exchange) => evaluatePosted(railgate, exchange, limits),
    },
    {
      ...OPA_ROUTE,
      method: "GET",
      path: "/v1/data/*path",
      summary: "Evaluate a policy, its input in the query",
      description: "`?input=` is JSON; without it there is no input.",
      answers: DATA_ANSWERS,
      handle: async (exchange) => evaluateAsked(railgate, exchange),
    },
    {
      ...OPA_ROUTE,
      method: "POST",
      path: "/v0/data/*path",
      summary: "Evaluate a policy, bare",
      description: "The body is the input, and the answer the result.",
      body: jsonOrYaml({}),
      answers: { 200: { description: "The result", content: { "application/json": {} } } },
      failures: UNDEFINED,
      handle: async (exchange) => evaluateBare(railgate, exchange, limits, dataPath(exchange)),
    },
    {
      ...OPA_ROUTE,
      method: "POST",
      path: "/",
      params: {},
      summary: "Evaluate the default decision, bare",
      description: "As `/v0/data`, at the path that the setting `default_decision` names.",
      body: jsonOrYaml({}),
      answers: { 200: { description: "The result", content: { "application/json": {} } } },
      failures: UNDEFINED,
      handle: async (exchange) => evaluateDefault(railgate, exchange, limits, defaultDecision),
    },
    batchRoute(railgate, limits),
  ];
}

async function evaluatePosted(
  railgate: LocalRailgate,
  exchange: Exchange,
  { bodyBytesMax }: DataLimits,
): Promise<Reply> {
  const started = performance.now();
  const { input, tenant_id, trace_id, ...metadata } = requestIn(await readDocumentBody(exchange, bodyBytesMax));
  const question = questionOf(exchange, { tenant_id, trace_id });
  const parsed = performance.now();
  // OPA takes null for none.
  const given = input ?? undefined;
  const warning = given === undefined ? INPUT_MISSING : undefined;
  const said = Object.keys(metadata).length > 0 ? metadata : undefined;
  const evaluated = await evaluateOne(railgate, exchange, question, given, dataPath(exchange), said);
  return answered(railgate, exchange, { ...question, started }, evaluated, parsed - started, warning);
}

async function evaluateAsked(railgate: LocalRailgate, exchange: Exchange): Promise<Reply> {
  if (exchange.req.method === "HEAD") return { status: 405, body: "", headers: { Allow: "GET, POST" } };
  const question = questionOf(exchange);
  const given = question.query.all("input").at(-1);
  const bytes = given === undefined ? undefined : new TextEncoder().encode(given);
  const input = bytes && (await readDocument(() => parseStrict(bytes), "parameter"));
  const parsedMs = performance.now() - question.started;
  const evaluated = await evaluateOne(railgate, exchange, question, input, dataPath(exchange));
  return answered(railgate, exchange, question, evaluated, parsedMs);
}

async function evaluateBare(
  railgate: LocalRailgate,
  exchange: Exchange,
  { bodyBytesMax }: DataLimits,
  path: readonly string[],
): Promise<Reply> {
  const body = await readDocumentBody(exchange, bodyBytesMax).catch((error: unknown) => {
    throw error instanceof OpaError
      ? new OpaError(error.status, error.code, `unexpected parse error for input: ${error.message}`)
      : error;
  });
  const question = questionOf(exchange);
  // An empty body is null here, and no missing input.
  const { resultText, failure: failed } = await evaluateOne(railgate, exchange, question, body ?? null, path);
  if (failed) throw failed;
  if (resultText === undefined) throw new OpaError(404, "undefined_document", `document undefined: ${nameOf(path)}`);
  return answer(exchange, question.query, resultText);
}

function evaluateDefault(
  railgate: LocalRailgate,
  exchange: Exchange,
  limits: DataLimits,
  defaultDecision: string,
): Promise<Reply> {
  const path = defaultDecision.split("/").filter((part) => part !== "");
  if (!railgate.evaluations.answers(path))
    throw new OpaError(404, "undefined_document", `document missing: ${nameOf(path)}`);
  return evaluateBare(railgate, exchange, limits, path);
}

const INPUT_MISSING = { code: "api_usage_warning", message: "'input' key missing from the request" };

async function evaluateOne(
  railgate: LocalRailgate,
  exchange: Exchange,
  question: Question,
  input: unknown,
  path: readonly string[],
  metadata?: object,
): Promise<Evaluated> {
  const { tenantId, trace, strict } = question;
  checkTold(railgate, path, question);
  const { evaluations } = railgate.as(exchange.caller);
  const [evaluated] = await evaluations.evaluateAll({ path, tenantId, inputs: [input], strict, metadata }, { trace });
  exchange.notes = { decision_id: evaluated!.decisionId, path: path.join("/").slice(0, PATH_NOTED_MAX) };
  return evaluated!;
}

const PATH_NOTED_MAX = 200;

/** `{decision_id, provenance, metrics, result, warning}`, each where there is one. @throws EvaluationFailedError */
function answered(
  railgate: LocalRailgate,
  exchange: Exchange,
  { query, started }: Question,
  evaluated: Evaluated,
  parsedMs: number,
  warning?: object,
): Promise<Reply> {
  if (evaluated.failure) throw evaluated.failure;
  const measured = query.flag("metrics") || query.flag("instrument");
  const text = objectText({
    ...membersOf(railgate, query, evaluated),
    metrics: measured ? metricsText(started, parsedMs, evaluated.tookMs) : undefined,
    result: evaluated.resultText,
    warning: warning && JSON.stringify(warning),
  });
  return answer(exchange, query, text);
}
