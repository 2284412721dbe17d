// What a node says of itself: its keys, its health, its metrics, and how to talk to it.
import { operatorActing } from "../../core/caller.ts";
import { VERSION } from "../../library/doors.ts";
import type { LocalRailgate } from "../../library/local.ts";
import { docsPage } from "../description/docs.ts";
import type { Metrics } from "../metrics.ts";
import { openApi } from "../description/openapi.ts";
import { HttpError } from "../call/problem.ts";
import { json, type Reply, type Route } from "../call/route.ts";

/** Keys change by rotation only, and a retired one stays in the list. */
const KEYS_CACHE = "public, max-age=60";

export interface Diagnosed {
  readonly railgate: LocalRailgate;
  readonly metrics: Metrics;
  /** Whether strangers can ask. They are told that something is wrong, but not what. */
  readonly strangers: boolean;
}

/** @param routes all routes, to be described. */
export function documentRoutes(railgate: LocalRailgate, routes: () => readonly Route[]): Route[] {
  const described = once(() => openApi(routes(), VERSION));
  const description = once(() => JSON.stringify(described()));
  const page = once(() => docsPage(described()));
  return [
    {
      method: "GET",
      path: "/.well-known/jwks.json",
      tag: "Node",
      open: true,
      summary: "Keys that receipts verify with",
      description: "Current and retired public keys, as a JWKS (RFC 7517).",
      answers: {
        200: {
          description: "The keys",
          content: {
            "application/jwk-set+json": {
              type: "object",
              required: ["keys"],
              properties: { keys: { type: "array", items: { type: "object" } } },
            },
          },
        },
      },
      handle: async () => ({
        ...json(await railgate.jwks()),
        type: "application/jwk-set+json",
        headers: { "Cache-Control": KEYS_CACHE },
      }),
    },
    {
      method: "GET",
      path: "/openapi.json",
      tag: "Node",
      summary: "This interface, described",
      answers: { 200: { description: "An OpenAPI 3.1 document", content: { "application/json": { type: "object" } } } },
      handle: () => ({ status: 200, body: description() }),
    },
    {
      method: "GET",
      path: "/docs",
      tag: "Node",
      summary: "The same, for people",
      answers: {
        200: {
          description: "A page that needs no network and no scripts",
          content: { "text/html": { type: "string" } },
        },
      },
      handle: () => ({
        status: 200,
        body: page().html,
        type: "text/html; charset=utf-8",
        headers: { "Content-Security-Policy": page().policy },
      }),
    },
  ];
}

/** What machines ask again and again: whether it lives, whether it is ready, and its figures. */
export function diagnosticRoutes({ railgate, metrics, strangers }: Diagnosed): Route[] {
  return [
    {
      method: "GET",
      path: "/healthz",
      tag: "Node",
      quiet: true,
      open: true,
      summary: "Whether the process is alive",
      answers: { 200: { description: "It is", content: { "application/json": statusShape("ok") } } },
      handle: () => json({ status: "ok" }),
    },
    {
      method: "GET",
      path: "/readyz",
      tag: "Node",
      quiet: true,
      open: true,
      summary: "Whether anything would be admitted",
      description: "200 when a policy is active and evidence can be recorded.",
      answers: { 200: { description: "It would", content: { "application/json": statusShape("ready") } } },
      problems: ["not_ready", "log_rolled_back"],
      handle: () => readiness(railgate.problem, strangers),
    },
    {
      method: "GET",
      path: "/metrics",
      tag: "Node",
      quiet: true,
      summary: "Figures for Prometheus",
      description: "For operators; where nobody has to log in, for everyone.",
      answers: { 200: { description: "Prometheus' text format", content: { "text/plain": { type: "string" } } } },
      problems: ["operator_needed"],
      handle: async ({ caller }) => {
        operatorActing(caller);
        const { text, type } = await metrics.render();
        return { status: 200, body: text, type };
      },
    },
  ];
}

function readiness(problem: string | undefined, strangers: boolean): Reply {
  if (problem === undefined) return json({ status: "ready" });
  const part = problem.slice(0, problem.indexOf(":"));
  const code = problem.startsWith(ROLLED_BACK) ? "log_rolled_back" : "not_ready";
  throw new HttpError(code, strangers ? `${part}: the node's log says what is wrong` : problem);
}

/** Told by its own code, since no time and no restart leads out of it. */
const ROLLED_BACK = "evidence: log_rolled_back:";

const statusShape = (status: string): object => ({
  type: "object",
  required: ["status"],
  properties: { status: { const: status } },
});

function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}
