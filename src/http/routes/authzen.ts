// AuthZEN's Authorization API 1.0 over one entrypoint: may this subject do this to that resource? (https://openid.net/specs/authorization-api-1_0.html)
import type { TLSSocket } from "node:tls";
import Type, { type Static } from "typebox";
import { RequestError } from "../../core/errors.ts";
import { parser } from "../../core/request.ts";
import { closed, oneOf, optional } from "../../core/schema/base.ts";
import type { Evaluated } from "../../library/evaluations.ts";
import type { LocalRailgate } from "../../library/local.ts";
import { readJson } from "../call/body.ts";
import { HttpError } from "../call/problem.ts";
import { identifier } from "../call/query.ts";
import { json, route, type Exchange, type Reply, type Route } from "../call/route.ts";
import type { DataLimits } from "./data-answers.ts";

const OPEN = { additionalProperties: true };
const Properties = optional(Type.Record(Type.String(), Type.Unknown()));
const Entity = Type.Object({ type: Type.String(), id: Type.String(), properties: Properties }, OPEN);
const Action = Type.Object({ name: Type.String(), properties: Properties }, OPEN);
const Context = Type.Record(Type.String(), Type.Unknown());

const MEMBERS = { subject: Entity, action: Action, resource: Entity };
const AuthzenEvaluation = Type.Object({ ...MEMBERS, context: optional(Context) }, OPEN);
const Part = Type.Object(
  { subject: optional(Entity), action: optional(Action), resource: optional(Entity), context: optional(Context) },
  OPEN,
);
const SEMANTICS = ["execute_all", "deny_on_first_deny", "permit_on_first_permit"] as const;
const AuthzenEvaluations = Type.Object(
  {
    ...Part.properties,
    evaluations: optional(Type.Array(Part)),
    options: optional(Type.Object({ evaluations_semantic: optional(oneOf(SEMANTICS)) }, OPEN)),
  },
  OPEN,
);
const AuthzenDecision = closed({ decision: Type.Boolean(), context: optional(Context) });
const AuthzenDecisions = Type.Union([closed({ evaluations: Type.Array(AuthzenDecision) }), AuthzenDecision]);
const AuthzenConfiguration = closed({
  policy_decision_point: Type.String(),
  access_evaluation_endpoint: Type.String(),
  access_evaluations_endpoint: Type.String(),
});

type Input = Static<typeof AuthzenEvaluation>;
type Decision = Static<typeof AuthzenDecision>;

const parseEvaluation = parser(AuthzenEvaluation);
const parseEvaluations = parser(AuthzenEvaluations);

const [EVALUATION, EVALUATIONS] = ["/access/v1/evaluation", "/access/v1/evaluations"] as const;
const SHAPES = { AuthzenEvaluation, AuthzenEvaluations, AuthzenDecision, AuthzenDecisions, AuthzenConfiguration };
const QUERY = { tenant_id: identifier("Whose evidence it is: `default`, the caller's own where callers log in.") };
const COMMON = { tag: "AuthZEN", shapes: SHAPES } as const;

export interface AuthzenSettings {
  /** `railgate.authzen.entrypoint`; undefined: nothing of this is served. */
  readonly entrypoint: string | undefined;
  readonly behindProxy: boolean;
}

export function authzenRoutes(railgate: LocalRailgate, limits: DataLimits, settings: AuthzenSettings): Route[] {
  return [
    route({
      ...COMMON,
      method: "POST",
      path: EVALUATION,
      summary: "May this subject do this to that resource?",
      description:
        "The policy's input is what is asked, `{subject, action, resource, context}`; its result is a boolean or `{decision, context}`, and undefined is no. Each answer is evidence.",
      query: QUERY,
      body: "AuthzenEvaluation",
      answers: { 200: { description: "Yes or no", content: { "application/json": "AuthzenDecision" } } },
      problems: ["not_found", "tenant_forbidden", "evaluation_failed", "evidence_unavailable"],
      handle: async (exchange) => {
        const entrypoint = entrypointOf(settings);
        const input = asked(() => parseEvaluation, await readJson(exchange, limits.bodyBytesMax));
        const [evaluated] = await evaluate(railgate, exchange, entrypoint, [inputOf(input)]);
        return json(decisionOf(evaluated!));
      },
    }),
    route({
      ...COMMON,
      method: "POST",
      path: EVALUATIONS,
      summary: "The same for many, in one commit",
      description:
        "What stands beside `evaluations` is the default of each. `options.evaluations_semantic` says whether all are evaluated, or only up to the first no or yes. Without `evaluations` it is a single one.",
      query: QUERY,
      body: "AuthzenEvaluations",
      answers: {
        200: { description: "Yes or no, in the same order", content: { "application/json": "AuthzenDecisions" } },
      },
      problems: ["not_found", "tenant_forbidden", "evaluation_failed", "evidence_unavailable"],
      handle: async (exchange) => evaluateMany(railgate, exchange, entrypointOf(settings), limits),
    }),
    {
      ...COMMON,
      method: "GET",
      path: "/.well-known/authzen-configuration",
      open: true,
      summary: "Where authorization is asked for",
      answers: { 200: { description: "The endpoints", content: { "application/json": "AuthzenConfiguration" } } },
      problems: ["not_found"],
      handle: ({ req }) => {
        entrypointOf(settings);
        const isTls = settings.behindProxy || (req.socket as Partial<TLSSocket>).encrypted === true;
        const base = `${isTls ? "https" : "http"}://${req.headers.host ?? ""}`;
        return json({
          policy_decision_point: base,
          access_evaluation_endpoint: base + EVALUATION,
          access_evaluations_endpoint: base + EVALUATIONS,
        });
      },
    },
  ];
}

/** @throws HttpError 404 where the settings name none. */
function entrypointOf({ entrypoint }: AuthzenSettings): string {
  if (entrypoint === undefined)
    throw new HttpError(
      "not_found",
      "No entrypoint answers AuthZEN here; the setting railgate.authzen.entrypoint names one.",
    );
  return entrypoint;
}

/** A missing or mistyped member is a 400 there. */
function asked<T>(parse: () => (body: unknown) => T, body: unknown): T {
  try {
    return parse()(body);
  } catch (error) {
    throw error instanceof RequestError ? new RequestError(400, error.errors, { cause: error }) : error;
  }
}

/** What is not named in the standard is not for the policy. */
function inputOf({ subject, action, resource, context }: Input): object {
  return { subject, action, resource, ...(context !== undefined && { context }) };
}

async function evaluateMany(
  railgate: LocalRailgate,
  exchange: Exchange,
  entrypoint: string,
  { bodyBytesMax, batchItemsMax }: DataLimits,
): Promise<Reply> {
  const body = asked(() => parseEvaluations, await readJson(exchange, bodyBytesMax));
  const { evaluations = [], options, ...defaults } = body;
  if (evaluations.length === 0) {
    const input = asked(() => parseEvaluation, defaults);
    const [evaluated] = await evaluate(railgate, exchange, entrypoint, [inputOf(input)]);
    return json(decisionOf(evaluated!));
  }
  if (evaluations.length > batchItemsMax)
    throw new RequestError(413, [{ pointer: "/evaluations", message: `more than ${batchItemsMax} items` }]);
  const inputs = evaluations.map((own, at) => inputOf(itemOf({ ...defaults, ...own }, at)));
  const last = LAST[options?.evaluations_semantic ?? "execute_all"];
  const enough = (evaluated: Pick<Evaluated, "resultText" | "failure">): boolean =>
    last !== undefined && permits(evaluated) === last;
  const evaluated = await evaluate(railgate, exchange, entrypoint, inputs, enough);
  return json({ evaluations: evaluated.map(itemDecision) });
}

/** The answer after which no more are evaluated. */
const LAST: Readonly<Record<(typeof SEMANTICS)[number], boolean | undefined>> = {
  execute_all: undefined,
  deny_on_first_deny: false,
  permit_on_first_permit: true,
};

/** Faults are told with where the item stands. */
function itemOf(item: unknown, at: number): Input {
  try {
    return parseEvaluation(item);
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
    const faults = error.errors.map(({ pointer, message }) => ({ pointer: `/evaluations/${at}${pointer}`, message }));
    throw new RequestError(400, faults, { cause: error });
  }
}

async function evaluate(
  railgate: LocalRailgate,
  exchange: Exchange<typeof QUERY>,
  entrypoint: string,
  inputs: readonly object[],
  enough?: (evaluated: Omit<Evaluated, "decisionId">) => boolean,
): Promise<Evaluated[]> {
  const { caller, trace, query } = exchange;
  const { evaluations } = railgate.as(caller);
  const question = { path: entrypoint, tenantId: query.tenant_id, inputs };
  const evaluated = await evaluations.evaluateAll(question, { trace, ...(enough && { enough }) });
  exchange.notes = { decision_id: evaluated[0]!.decisionId, items: evaluated.length };
  return evaluated;
}

/** @throws HttpError 500 `evaluation_failed`: there is no answer, and what the policy says is no decision. */
function decisionOf({ resultText, failure, decisionId }: Evaluated): Decision {
  const decision = failure === undefined ? readDecision(resultText) : undefined;
  if (decision !== undefined) return decision;
  throw new HttpError("evaluation_failed", `The policy came to no decision; event ${decisionId} has it on record.`);
}

/** Among many, what failed is a no, with the reason in its context. */
function itemDecision(evaluated: Evaluated): Decision {
  const { resultText, failure, decisionId } = evaluated;
  const decision = failure === undefined ? readDecision(resultText) : undefined;
  const error = { status: 500, message: `the policy came to no decision; event ${decisionId} has it on record` };
  return decision ?? { decision: false, context: { error } };
}

const permits = ({ resultText, failure }: Pick<Evaluated, "resultText" | "failure">): boolean =>
  failure === undefined && readDecision(resultText)?.decision === true;

/** @returns undefined for what is no decision. */
function readDecision(resultText: string | undefined): Decision | undefined {
  if (resultText === undefined) return { decision: false };
  const result = JSON.parse(resultText) as unknown;
  if (typeof result === "boolean") return { decision: result };
  if (typeof result !== "object" || result === null) return undefined;
  const { decision, context } = result as { decision?: unknown; context?: unknown };
  if (typeof decision !== "boolean") return undefined;
  if (context === undefined) return { decision };
  const isObject = typeof context === "object" && context !== null && !Array.isArray(context);
  return isObject ? { decision, context: context as Record<string, unknown> } : undefined;
}
