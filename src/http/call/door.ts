// The door: what happens to every call, whichever route it takes. Source checked → caller known → query read → handled → answered → logged.
import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Logger } from "pino";
import { EvidenceUnavailableError } from "../../core/errors.ts";
import { NOBODY } from "../../core/caller.ts";
import type { Trace } from "../../library/doors.ts";
import type { Doorkeeper } from "./caller.ts";
import type { Metrics } from "../metrics.ts";
import { Peer, type Peers } from "./peer.ts";
import { ClientGoneError, codeOf, HttpError, isUnexpected, presentProblem } from "./problem.ts";
import { isIdentifier, readQuery, type Query } from "./query.ts";
import type { ReplyWriter } from "./reply.ts";
import type { Exchange, Reply, Route } from "./route.ts";

export interface DoorParts {
  readonly doorkeeper: Doorkeeper;
  readonly replies: ReplyWriter;
  readonly peers: Peers;
  readonly log: Logger;
  readonly metrics: Metrics;
}

type RoutedRequest = IncomingMessage & {
  readonly params?: Readonly<Record<string, string>>;
  readonly originalUrl?: string;
};
type Handled = (req: RoutedRequest, res: ServerResponse) => void;

/** nginx's status for a client that did not wait; only ever in logs and metrics. */
const CLIENT_GONE = 499;
/** Of what is at no path, in the log. */
const PATH_LENGTH_MAX = 200;
const NO_QUERY: Query = Object.freeze({});

export class Door {
  readonly #parts: DoorParts;

  constructor(parts: DoorParts) {
    this.#parts = parts;
  }

  /** A route as express takes it. */
  serve(route: Route): Handled {
    return (req, res) => void this.#serve(route, req, res);
  }

  /** Never rejects: whatever goes wrong is answered. */
  async #serve(route: Route, req: RoutedRequest, res: ServerResponse): Promise<void> {
    const started = performance.now();
    const exchange = open(req, res, this.#parts.peers);
    let status: number;
    try {
      const reply = await this.#handle(route, exchange);
      status = reply.status;
      const sent = this.#parts.replies.send(exchange, reply);
      // Following has no end that is worth waiting for: its line in the log says that it began.
      if (isLasting(reply)) sent?.catch((error) => this.#note(exchange, error));
      else if (sent && !(await sent)) status = CLIENT_GONE;
    } catch (error) {
      status = this.#fail(route, exchange, error);
    }
    exchange.peer.leave();
    this.#record(route, exchange, status, performance.now() - started);
  }

  async #handle(route: Route, exchange: Mutable<Exchange>): Promise<Reply> {
    const { doorkeeper } = this.#parts;
    const { req } = exchange;
    checkHosts(req);
    doorkeeper.checkSource(req);
    if (!route.open) {
      const { caller, untilMs } = await doorkeeper.authenticate(req);
      exchange.caller = caller;
      exchange.provenUntilMs = untilMs;
    }
    if (route.query !== undefined) exchange.query = readQuery(req.url ?? "", route.query);
    return route.handle(exchange);
  }

  #fail(route: Route, exchange: Exchange, error: unknown): number {
    const { res, requestId } = exchange;
    if (error instanceof ClientGoneError) {
      res.destroy();
      return CLIENT_GONE;
    }
    this.#note(exchange, error);
    const reply = (route.present ?? presentProblem)(error, requestId);
    if (res.headersSent) res.destroy();
    else void this.#parts.replies.send(exchange, reply);
    return reply.status;
  }

  /** What a failure adds to the call's line in the log, and a line of its own where nobody threw it on purpose. */
  #note(exchange: Exchange, error: unknown): void {
    const code = codeOf(error);
    exchange.notes = { ...exchange.notes, code, ...causeOf(error, exchange.req) };
    if (isUnexpected(error))
      this.#parts.log.error({ request_id: exchange.requestId, code, err: error }, "a request failed");
  }

  #record(route: Route, { req, requestId, caller, notes }: Exchange, status: number, tookMs: number): void {
    const { log, metrics } = this.#parts;
    metrics.answered(req.method!, route.path, status, tookMs);
    const level = route.quiet && status < 400 ? "debug" : "info";
    if (!log.isLevelEnabled(level)) return;
    log[level]({
      request_id: requestId,
      method: req.method,
      route: route.path,
      status,
      duration_ms: Math.round(tookMs * 1000) / 1000,
      caller: caller.kind === "nobody" ? undefined : caller.actor,
      tenant_id: caller.kind === "tenant" ? caller.tenantId : undefined,
      ...notes,
    });
  }
}

/** What the client is not told, or knows already, and an operator does not. */
function causeOf(error: unknown, { url = "" }: IncomingMessage): object {
  if (error instanceof EvidenceUnavailableError) return { problem: error.message };
  if (!(error instanceof HttpError)) return {};
  if (error.code === "unauthenticated") return { problem: error.message };
  return error.code === "not_found" ? { path: url.split("?", 1)[0]!.slice(0, PATH_LENGTH_MAX) } : {};
}

const isLasting = ({ body }: Reply): boolean => typeof body === "object" && "parts" in body && body.lasting === true;

/** Who forwards one of two and obeys the other would be fooled (RFC 9112 §3.2). */
function checkHosts({ rawHeaders }: IncomingMessage): void {
  let hosts = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!;
    if (name.length === HOST.length && name.toLowerCase() === HOST) hosts++;
  }
  if (hosts > 1) throw new HttpError("request_malformed", "There is more than one Host header.");
}

const HOST = "host";

type Mutable<T> = { -readonly [M in keyof T]: T[M] };

function open(req: RoutedRequest, res: ServerResponse, peers: Peers): Mutable<Exchange> {
  const { "x-request-id": given, traceparent } = req.headers;
  const known = typeof given === "string" && isIdentifier(given);
  return {
    req,
    res,
    peer: new Peer(peers),
    caller: NOBODY,
    provenUntilMs: Number.POSITIVE_INFINITY,
    requestId: known ? given : randomUUID(),
    trace: traceOf(known ? given : undefined, traceparent),
    params: req.params ?? {},
    query: NO_QUERY,
    notes: undefined,
  };
}

const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:$|-)/;
const VERSION_00_LENGTH = 55;
/** Later versions may have more, and an event must fit. */
const TRACEPARENT_LENGTH_MAX = 256;

/** https://www.w3.org/TR/trace-context/#traceparent-header: what is malformed counts as absent. */
function traceOf(requestId: string | undefined, traceparent: string | string[] | undefined): Trace {
  if (typeof traceparent !== "string") return requestId === undefined ? NO_TRACE : { requestId };
  const traceId = TRACEPARENT.exec(traceparent)?.[1];
  const lengthMax = traceparent.startsWith("00") ? VERSION_00_LENGTH : TRACEPARENT_LENGTH_MAX;
  return traceId === undefined || traceparent.length > lengthMax ? { requestId } : { requestId, traceId, traceparent };
}

const NO_TRACE: Trace = Object.freeze({});
