// The one writer of answers: every head with the same headers, every body at the pace of whoever reads it, and not slower than it may be.
import { STATUS_CODES, type IncomingMessage, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Peer } from "./peer.ts";
import type { Exchange, Reply, Stream } from "./route.ts";

type Headers = Readonly<Record<string, string>>;

const NOT_MODIFIED = 304;
const JSON_TYPE = "application/json";
const NOT_STORED = { "Cache-Control": "no-store" };
const TIMEOUT_MS_MAX = 2 ** 31 - 1;
/** Whoever does not take the last answer on a connection, or goes on sending, is not waited for any longer. */
const ENDING_MS_MAX = 2000;

const flatten = (headers: Headers): string[] => Object.entries(headers).flat();

export class ReplyWriter {
  /** Sent with every answer. */
  readonly #common: Headers;
  /** Of most answers, names and values in turn. */
  readonly #usual: readonly string[];
  #closing = false;

  constructor(common: Headers) {
    this.#common = { ...common, ...NOT_STORED };
    this.#usual = flatten(this.#common);
  }

  /** From now on answers tell clients to find another connection. */
  startClosing(): void {
    this.#closing = true;
  }

  /**
   * Answers a call.
   * @returns for a stream, once it is over, whether all of it was sent.
   * @throws whatever kept a stream from being made; the client has an answer without an end then.
   */
  send(exchange: Exchange, reply: Reply): Promise<boolean> | undefined {
    const { req, res, peer } = exchange;
    const { body } = reply;
    // What a client does not send unless told to would be taken for its next request.
    if (this.#closing || (req.headers.expect !== undefined && isUnread(req))) res.shouldKeepAlive = false;
    if (typeof body === "object" && "parts" in body) {
      this.#writeHead(exchange, reply);
      if (req.method !== "HEAD") return this.#stream(exchange, body);
      body.over?.();
      return void res.end();
    }
    const length = lengthOf(body);
    this.#writeHead(exchange, reply, length);
    if (req.method === "HEAD") res.end();
    // As many bytes as characters is ASCII, which needs no encoding.
    else if (typeof body === "string") res.end(body, length === body.length ? "latin1" : "utf8");
    else res.end(body);
    watchEnd(req, res, peer, length);
    return undefined;
  }

  /** An answer to what never became a request, for the bare connection. */
  bare({ status, body, type = JSON_TYPE }: Reply & { readonly body: string }): string {
    const head = {
      ...this.#common,
      "Content-Type": type,
      "Content-Length": String(lengthOf(body)),
      Connection: "close",
    };
    const lines = Object.entries(head).map(([name, value]) => `${name}: ${value}\r\n`);
    return `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join("")}\r\n${body}`;
  }

  #writeHead({ res, requestId }: Exchange, { status, type = JSON_TYPE, headers }: Reply, length?: number): void {
    const head = headers === undefined ? [...this.#usual] : flatten({ ...this.#common, ...headers });
    head.push("X-Request-Id", requestId);
    if (status !== NOT_MODIFIED) {
      head.push("Content-Type", type);
      if (length !== undefined) head.push("Content-Length", String(length));
    }
    res.writeHead(status, head);
  }

  async #stream({ req, res, peer, provenUntilMs }: Exchange, { parts, lasting, over }: Stream): Promise<boolean> {
    const ended = new AbortController();
    const end = () => ended.abort();
    res.on("close", end).on("error", end);
    // What was asked for with proof of who asks goes on no longer than the proof holds.
    const leftMs = Math.max(0, Math.min(provenUntilMs - Date.now(), TIMEOUT_MS_MAX));
    const expiry = lasting && leftMs < Number.POSITIVE_INFINITY ? setTimeout(end, leftMs).unref() : undefined;
    try {
      for await (const part of parts(ended.signal)) {
        if (ended.signal.aborted) break;
        if (!res.write(part)) await drained(res, peer, lengthOf(part));
        else peer.moved(lengthOf(part));
      }
      if (res.destroyed) return false;
      res.end();
      watchEnd(req, res, peer, 0);
      return true;
    } catch (error) {
      res.destroy();
      throw error;
    } finally {
      clearTimeout(expiry);
      res.off("close", end);
      over?.();
    }
  }
}

const lengthOf = (body: string | Uint8Array): number =>
  typeof body === "string" ? Buffer.byteLength(body) : body.length;

/** Until what was written is taken, or nobody is left to take it. */
function drained(res: ServerResponse, peer: Peer, bytes: number): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      res.off("drain", done).off("close", done);
      peer.moved(bytes);
      resolve();
    };
    res.on("drain", done).on("close", done);
    peer.wait(() => res.destroy(), peer.limits.waitMsMax);
  });
}

/** What is left of an answer must be taken, and what is left of a body that nobody reads must come, or the connection goes. */
export function watchEnd(req: IncomingMessage, res: ServerResponse, peer: Peer, bytes: number): void {
  const rest = isUnread(req);
  if (res.writableFinished && !rest) return;
  // Behind the answers to what came before it on this connection.
  if (res.socket === null && !res.writableFinished) {
    return void res.once("socket", () => setImmediate(watchEnd, req, res, peer, bytes));
  }
  const { waitMsMax, bytesPerSecondMin } = peer.limits;
  const { socket } = req;
  const over = () => {
    if (socket.destroyed || (res.writableFinished && !isUnread(req))) peer.moved(0);
  };
  res.on("finish", over).on("close", over);
  if (rest) req.on("close", over).resume();
  peer.wait(() => socket.destroy(), waitMsMax + (bytes * 1000) / bytesPerSecondMin);
}

/** Its answer is the last on its connection: what follows there would be the rest of a body that nobody takes. */
export function endBehind(res: ServerResponse): void {
  res.shouldKeepAlive = false;
  const { socket } = res.req;
  socket.destroySoon = () => endInStages(socket);
}

/**
 * Ends a connection on which the other side may still be sending: closed at once, it would be reset, and that could take the
 * last answer with it (RFC 9112 §9.6).
 */
export function endInStages(socket: Socket, last = ""): void {
  socket.end(last);
  setTimeout(() => socket.destroy(), ENDING_MS_MAX).unref();
}

const isUnread = (req: IncomingMessage): boolean => !req.complete && hasBody(req);

const hasBody = ({ headers }: IncomingMessage): boolean =>
  headers["transfer-encoding"] !== undefined || (headers["content-length"] ?? "0") !== "0";
