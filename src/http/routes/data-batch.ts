// `/v1/batch/data`: a policy evaluated on many inputs, in one commit. Source: OPA's enterprise variant, which its clients know it from.
import { mergedInput } from "../../core/merged-input.ts";
import type { Evaluated } from "../../library/evaluations.ts";
import type { LocalRailgate } from "../../library/local.ts";
import { answer, dataPath, failureBody, readDocumentBody } from "../call/opa.ts";
import { OpaError } from "../call/opa-error.ts";
import type { Exchange, Reply, Route } from "../call/route.ts";
import {
  checkTold,
  membersOf,
  metricsText,
  objectIn,
  objectText,
  questionOf,
  requestIn,
  type DataLimits,
  type Question,
  type Request,
} from "./data-answers.ts";
import { jsonOrYaml, OPA_ROUTE, ref } from "./data-shapes.ts";

const INPUTS_MISSING = { code: "api_usage_warning", message: "'inputs' key missing from the request" };

export function batchRoute(railgate: LocalRailgate, limits: DataLimits): Route {
  return {
    ...OPA_ROUTE,
    method: "POST",
    path: "/v1/batch/data/*path",
    summary: "Evaluate a policy on many inputs, in one commit",
    description:
      "Each input has its result or OPA's error under its key. Where some failed and some did not, it is a 207, and each says by `http_status_code` how it went.",
    body: jsonOrYaml(ref("BatchDataBody")),
    answers: {
      200: {
        description: "All have a result, or are undefined",
        content: { "application/json": ref("BatchDataAnswer") },
      },
      207: { description: "Some failed", content: { "application/json": ref("BatchDataAnswer") } },
    },
    handle: async (exchange) => evaluateBatch(railgate, exchange, limits),
  };
}

async function evaluateBatch(railgate: LocalRailgate, exchange: Exchange, limits: DataLimits): Promise<Reply> {
  const started = performance.now();
  const request = requestIn(await readDocumentBody(exchange, limits.bodyBytesMax));
  const { inputs, common_input, tenant_id, trace_id } = request as {
    inputs?: unknown;
    common_input?: unknown;
  } & Request;
  const question = questionOf(exchange, { tenant_id, trace_id });
  const parsedMs = performance.now() - started;
  const batchId = railgate.evaluations.newBatchId();
  const each = inputs === undefined || inputs === null ? {} : objectIn(inputs, "inputs");
  const keys = Object.keys(each);
  if (keys.length > limits.batchItemsMax)
    throw new OpaError(400, "invalid_parameter", `inputs: more than ${limits.batchItemsMax}`);
  const path = dataPath(exchange);
  checkTold(railgate, path, question);
  const asked = {
    path,
    tenantId: question.tenantId,
    strict: question.strict,
    inputs: keys.map((key) => mergedInput(common_input, each[key])),
    batchId,
  };
  const { evaluations } = railgate.as(exchange.caller);
  const done = await evaluations.evaluateAll(asked, { trace: question.trace });
  exchange.notes = { batch_decision_id: batchId, items: keys.length };
  const failures = done.filter(({ failure: failed }) => failed !== undefined).length;
  const status = failures === 0 ? 200 : failures < done.length ? 207 : 500;
  const members = done.map(
    (evaluated, at) => `${JSON.stringify(keys[at])}:${entryText(railgate, question, evaluated, status === 207)}`,
  );
  const text = objectText({
    batch_decision_id: JSON.stringify(batchId),
    metrics: question.query.flag("metrics") ? metricsText(started, parsedMs) : undefined,
    responses: members.length > 0 ? `{${members.join(",")}}` : undefined,
    warning: inputs === undefined || inputs === null ? JSON.stringify(INPUTS_MISSING) : undefined,
  });
  return answer(exchange, question.query, text, status);
}

function entryText(railgate: LocalRailgate, { query }: Question, evaluated: Evaluated, mixed: boolean): string {
  const { failure: failed } = evaluated;
  if (failed) return JSON.stringify({ ...(mixed && { http_status_code: "500" }), ...failureBody(failed) });
  return objectText({
    http_status_code: mixed ? '"200"' : undefined,
    ...membersOf(railgate, query, evaluated),
    metrics:
      query.flag("metrics") || query.flag("instrument") ? metricsText(undefined, 0, evaluated.tookMs) : undefined,
    result: evaluated.resultText,
  });
}
