// The door: what happens to every call, whichever route it takes. Source checked → caller known → query read → handled → answered → logged.
import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Logger } from "pino";
import { EvidenceUnavailableError } from "../../core/errors.ts";
import { NOBODY } from "../../core/caller.ts";
import type { Trace } from "../../gate/gate.ts";
import type { Doorkeeper } from "./caller.ts";
import type { Metrics } from "../metrics.ts";
import { ClientGoneError, isUnexpected, problemOf, PROBLEM_TYPE } from "./problem.ts";
import { isIdentifier, readQuery, type Query } from "./query.ts";
import type { Exchange, Reply, Route } from "./route.ts";

export interface DoorParts {
  readonly doorkeeper: Doorkeeper;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Sent with every answer. */
  readonly headers: Readonly<Record<string, string>>;
}

type RoutedRequest = IncomingMessage & {
  readonly params?: Readonly<Record<string, string>>;
  readonly originalUrl?: string;
};
type Handled = (req: RoutedRequest, res: ServerResponse) => void;

/** nginx's status for a client that did not wait; only ever in logs and metrics. */
const CLIENT_GONE = 499;
const NOT_MODIFIED = 304;
const NO_QUERY: Query = Object.freeze({});
const JSON_TYPE = "application/json";
const NOT_STORED = { "Cache-Control": "no-store" };

const flatten = (headers: Readonly<Record<string, string>>): string[] => Object.entries(headers).flat();

export class Door {
  readonly #parts: DoorParts;
  /** Of most answers, names and values in turn. */
  readonly #headers: readonly string[];
  #closing = false;

  constructor(parts: DoorParts) {
    this.#parts = parts;
    this.#headers = flatten({ ...parts.headers, ...NOT_STORED });
  }

  /** From now on answers tell clients to find another connection. */
  startClosing(): void {
    this.#closing = true;
  }

  /** A route as express takes it. */
  serve(route: Route): Handled {
    return (req, res) => void this.#serve(route, req, res);
  }

  /** Never rejects: whatever goes wrong is answered. */
  async #serve(route: Route, req: RoutedRequest, res: ServerResponse): Promise<void> {
    const started = performance.now();
    const exchange = open(req, res);
    let status: number;
    try {
      const reply = await this.#handle(route, exchange);
      status = reply === undefined ? res.statusCode : this.#answer(exchange, reply);
    } catch (error) {
      status = this.#fail(exchange, error);
    }
    this.#record(route, exchange, status, performance.now() - started);
  }

  async #handle(route: Route, exchange: Mutable<Exchange>): Promise<Reply | undefined> {
    const { doorkeeper } = this.#parts;
    const { req } = exchange;
    doorkeeper.checkSource(req);
    if (!route.open) exchange.caller = await doorkeeper.authenticate(req);
    if (route.query !== undefined) exchange.query = readQuery(req.url ?? "", route.query);
    return route.handle(exchange);
  }

  #answer({ req, res, requestId }: Exchange, { status, body, type = JSON_TYPE, headers }: Reply): number {
    const head =
      headers === undefined ? [...this.#headers] : flatten({ ...this.#parts.headers, ...NOT_STORED, ...headers });
    head.push("X-Request-Id", requestId);
    const length = typeof body === "string" ? Buffer.byteLength(body) : body.length;
    if (status !== NOT_MODIFIED) head.push("Content-Type", type, "Content-Length", String(length));
    if (this.#closing) res.shouldKeepAlive = false;
    res.writeHead(status, head);
    if (req.method === "HEAD") res.end();
    // As many bytes as characters is ASCII, which needs no encoding.
    else if (typeof body === "string") res.end(body, length === body.length ? "latin1" : "utf8");
    else res.end(body);
    return status;
  }

  #fail(exchange: Exchange, error: unknown): number {
    if (error instanceof ClientGoneError) {
      exchange.res.destroy();
      return CLIENT_GONE;
    }
    const { requestId, res } = exchange;
    const { problem, headers } = problemOf(error, requestId);
    exchange.notes = {
      ...exchange.notes,
      code: problem.code,
      ...(error instanceof EvidenceUnavailableError && { problem: error.message }),
    };
    if (isUnexpected(error))
      this.#parts.log.error({ request_id: requestId, code: problem.code, err: error }, "a request failed");
    if (res.headersSent) {
      res.destroy();
      return problem.status;
    }
    return this.#answer(exchange, {
      status: problem.status,
      body: JSON.stringify(problem),
      type: PROBLEM_TYPE,
      headers,
    });
  }

  #record(route: Route, { req, requestId, caller, notes }: Exchange, status: number, tookMs: number): void {
    const { log, metrics } = this.#parts;
    metrics.answered(req.method!, route.path, status, tookMs);
    if (!log.isLevelEnabled("info")) return;
    const tenant = caller.kind === "tenant" ? caller.tenantId : undefined;
    log.info({
      request_id: requestId,
      method: req.method,
      route: route.path,
      status,
      duration_ms: Math.round(tookMs * 1000) / 1000,
      tenant_id: tenant,
      ...notes,
    });
  }
}

type Mutable<T> = { -readonly [M in keyof T]: T[M] };

function open(req: RoutedRequest, res: ServerResponse): Mutable<Exchange> {
  const { "x-request-id": given, traceparent } = req.headers;
  const known = typeof given === "string" && isIdentifier(given);
  return {
    req,
    res,
    caller: NOBODY,
    requestId: known ? given : randomUUID(),
    trace: traceOf(known ? given : undefined, traceparent),
    params: req.params ?? {},
    query: NO_QUERY,
    notes: undefined,
  };
}

const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:$|-)/;
const VERSION_00_LENGTH = 55;

/** https://www.w3.org/TR/trace-context/#traceparent-header: what is malformed counts as absent. */
function traceOf(requestId: string | undefined, traceparent: string | string[] | undefined): Trace {
  if (typeof traceparent !== "string") return requestId === undefined ? NO_TRACE : { requestId };
  const traceId = TRACEPARENT.exec(traceparent)?.[1];
  const malformed = traceparent.startsWith("00") && traceparent.length !== VERSION_00_LENGTH;
  return { requestId, traceId: malformed ? undefined : traceId };
}

const NO_TRACE: Trace = Object.freeze({});
