// What the routes of OPA's data API have in common: the parameters of a question, and the members of an answer.
import { VERSION, type Trace } from "../../library/doors.ts";
import type { Evaluated } from "../../library/evaluations.ts";
import type { LocalRailgate } from "../../library/local.ts";
import { notCompiled, OpaQuery } from "../call/opa.ts";
import { OpaError } from "../call/opa-error.ts";
import { isIdentifier } from "../call/query.ts";
import type { Exchange } from "../call/route.ts";

export interface DataLimits {
  readonly bodyBytesMax: number;
  readonly batchItemsMax: number;
}

/** What a call asks for: OPA's parameters, and whose it is. */
export interface Question {
  readonly query: OpaQuery;
  readonly tenantId: string | undefined;
  readonly trace: Trace;
  /** `strict-builtin-errors`. */
  readonly strict: boolean;
  readonly started: number;
}

/** @throws OpaError 501 for what would need the sources, or a trace. */
export function questionOf(
  exchange: Exchange,
  body: { readonly tenant_id?: unknown; readonly trace_id?: unknown } = {},
): Question {
  const query = new OpaQuery(exchange);
  const explained = query.all("explain").find((mode) => EXPLAINS.has(mode));
  if (explained !== undefined)
    throw notCompiled(
      `explain=${explained} tells of an evaluation's steps, and compiled policy leaves no trace of them`,
    );
  const traceId = named("trace_id", body) ?? query.identifier("trace_id") ?? exchange.trace.traceId;
  return {
    query,
    tenantId: named("tenant_id", body) ?? query.identifier("tenant_id"),
    trace: { ...exchange.trace, traceId },
    strict: query.flag("strict-builtin-errors"),
    started: performance.now(),
  };
}

/** @throws OpaError 501 for what the policy that answers the path cannot tell. */
export function checkTold({ evaluations }: LocalRailgate, path: readonly string[], { query, strict }: Question): void {
  const reason = evaluations.cannot(path, { strict, labels: query.flag("rule_labels") });
  if (reason !== undefined) throw notCompiled(reason);
}

const EXPLAINS: ReadonlySet<string> = new Set(["notes", "fails", "full", "debug"]);

function named(name: "tenant_id" | "trace_id", body: { readonly [name: string]: unknown }): string | undefined {
  const value = body[name];
  if (value === undefined) return undefined;
  if (typeof value === "string" && isIdentifier(value)) return value;
  throw new OpaError(400, "invalid_parameter", `${name} must be 1 to 253 letters, digits and -._:/@`);
}

export type Request = { readonly [name: string]: unknown };

/** @throws OpaError 400 for what is no object; an empty body and null are an empty one. */
export const requestIn = (body: unknown): Request => objectIn(body ?? {}, "body");

export function objectIn(value: unknown, what: string): Request {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Request;
  const kind = Array.isArray(value) ? "array" : typeof value;
  throw new OpaError(
    400,
    "invalid_parameter",
    `${what} contains malformed input document: cannot read ${kind} as a request`,
  );
}

export function membersOf(railgate: LocalRailgate, query: OpaQuery, { decisionId }: Evaluated): Members {
  const bundles = () =>
    Object.fromEntries(railgate.evaluations.revisions.map(({ name, revision }) => [name, { revision }]));
  return {
    decision_id: JSON.stringify(decisionId),
    provenance: query.flag("provenance") ? JSON.stringify({ version: VERSION, bundles: bundles() }) : undefined,
  };
}

type Members = { readonly [name: string]: string | undefined };

/** An object of JSON texts; what is undefined is left out. */
export function objectText(members: Members): string {
  const given = Object.entries(members).filter(([, text]) => text !== undefined);
  return `{${given.map(([name, text]) => `"${name}":${text}`).join(",")}}`;
}

/** As OPA's of a query that it has in its cache: there is nothing to parse and compile. */
export function metricsText(started: number | undefined, parsedMs: number, evaluatedMs?: number): string {
  const nanoseconds = (ms: number) => Math.round(ms * 1e6);
  return JSON.stringify({
    counter_server_query_cache_hit: 1,
    timer_rego_input_parse_ns: nanoseconds(parsedMs),
    ...(evaluatedMs !== undefined && { timer_rego_query_eval_ns: nanoseconds(evaluatedMs) }),
    ...(started !== undefined && { timer_server_handler_ns: nanoseconds(performance.now() - started) }),
  });
}
