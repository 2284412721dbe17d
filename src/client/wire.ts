// Calls as they go over the wire: authenticated, bounded in time, tried again where that is safe, problems as errors.
import { ConfigError, RailgateError, RequestError } from "../core/errors.ts";
import { parseExact } from "../core/json-exact.ts";
import { AnswerError, ConnectionError, errorOf, type ProblemRead } from "./errors.ts";
import {
  fetchTransport,
  socketTransport,
  tlsTransport,
  type WireRequest,
  type TlsOptions,
  type Transport,
} from "./transport.ts";

/** A bearer token, how to come by one, or the file that holds it; the latter two are asked for every call. */
export type Token = string | (() => string | Promise<string>) | { readonly file: string };

export interface ClientOptions extends TlsOptions {
  /** Where the node listens, e.g. `https://node-1.example:8181`. */
  readonly url?: string | URL | undefined;
  /** In place of `url`, on the same machine: `railgate.sock` in the data directory of a node that is open. */
  readonly socketPath?: string | undefined;
  readonly token?: Token | undefined;
  /** How long one answer may take to arrive, in milliseconds. Default: 30,000. */
  readonly timeoutMs?: number | undefined;
  /** How long it is tried again where the node is away or busy, in milliseconds. Default: 30,000; 0: never. */
  readonly retryForMs?: number | undefined;
}

export interface WireCall {
  readonly method: WireRequest["method"];
  readonly path: string;
  /** What is undefined is left out. */
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly headers?: Readonly<Record<string, string | undefined>>;
  /** A body as JSON. */
  readonly json?: unknown;
  /** An archive. */
  readonly archive?: Uint8Array | AsyncIterable<Uint8Array>;
  /** `always`: it does no more when it is sent twice. `if_undone`: where it is certain that it was not carried out. Default: reads always, others if undone. */
  readonly retry?: "always" | "if_undone" | "never";
  /** What an answer has, if it is one. */
  readonly member?: string;
  /** A status, beside those of success, whose body is an answer as well. */
  readonly answeredBy?: number;
  /** Its answer may take as long as it takes. */
  readonly patient?: boolean;
}

const TIMEOUT_MS = 30_000;
const RETRY_FOR_MS = 30_000;
const BACKOFF_MS = { first: 100, max: 2000 };
/** The server is away, or busy, for a moment. */
const PASSING: ReadonlySet<number> = new Set([429, 502, 503, 504]);
/** Before anything was sent. */
const NOT_CONNECTED = /^(?:ECONNREFUSED|ENOENT|ENOTFOUND|EAI_AGAIN|ENETUNREACH|EHOSTUNREACH|UND_ERR_CONNECT_TIMEOUT)$/;

export class Wire {
  readonly #options: ClientOptions;
  readonly #base: URL;
  readonly #transport: Transport;

  /** @throws ConfigError */
  constructor(options: ClientOptions) {
    this.#options = options;
    const { url, socketPath, ca, cert, key } = options;
    if ((url === undefined) === (socketPath === undefined))
      throw new ConfigError("url", "or socketPath: give one of them");
    this.#base = baseOf(url ?? "http://localhost");
    const tls = ca !== undefined || cert !== undefined || key !== undefined;
    if (tls && this.#base.protocol !== "https:") throw new ConfigError("url", "ca, cert and key need https");
    if (socketPath !== undefined) this.#transport = socketTransport(socketPath);
    else this.#transport = tls ? tlsTransport({ ca, cert, key }) : fetchTransport;
  }

  /** Where it asks, without a slash at its end; or by which socket. */
  get origin(): string {
    return this.#options.socketPath ?? this.#base.origin;
  }

  /** The answer's JSON. */
  json<T>(call: WireCall): Promise<T> {
    return this.#ask(call, async (response) => answerIn<T>(await response.text(), response.status, call));
  }

  /** As `json`, no whole number rounded. */
  exact<T>(call: WireCall): Promise<T> {
    return this.#ask(call, async (response) => answerIn<T>(await response.text(), response.status, call, parseExact));
  }

  bytes(call: WireCall): Promise<{ bytes: Uint8Array; headers: Headers }> {
    return this.#ask(call, async (response) => {
      return { bytes: new Uint8Array(await response.arrayBuffer()), headers: response.headers };
    });
  }

  async text(call: WireCall): Promise<string> {
    return new TextDecoder().decode((await this.bytes(call)).bytes);
  }

  /** The answer, whose body the caller reads in its own time. */
  open(call: WireCall, signal?: AbortSignal): Promise<Response> {
    return this.#ask(call, async (response) => response, signal);
  }

  /** @param read what is to be had of an answer before it counts; breaking off meanwhile is no answer. */
  async #ask<T>(call: WireCall, read: (response: Response) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const giveUpAt = performance.now() + (this.#options.retryForMs ?? RETRY_FOR_MS);
    const json = call.json === undefined && !("json" in call) ? undefined : jsonOf(call.json);
    for (let tries = 0; ; tries++) {
      const answer = await this.#once(call, json, read, signal);
      if (!(answer instanceof Failure)) return answer;
      const waitMs = answer.afterMs ?? backoffMs(tries);
      const again = mayTryAgain(call, answer) && performance.now() + waitMs < giveUpAt;
      if (!again || signal?.aborted) throw answer.error;
      await pause(waitMs, signal);
    }
  }

  async #once<T>(
    call: WireCall,
    json: string | undefined,
    read: (response: Response) => Promise<T>,
    signal: AbortSignal | undefined,
  ): Promise<T | Failure> {
    const { timeoutMs = TIMEOUT_MS, token } = this.#options;
    const headers = headersOf(call, json, await tokenOf(token));
    const timeout = new AbortController();
    const late = (): void => timeout.abort(new Error(`no answer within ${timeoutMs} ms`));
    const timer = call.patient ? undefined : setTimeout(late, timeoutMs);
    try {
      const response = await this.#transport(urlOf(this.#base, call), {
        method: call.method,
        headers,
        body: json ?? call.archive,
        signal: signal ? AbortSignal.any([timeout.signal, signal]) : timeout.signal,
      });
      const answered = response.ok || response.status === call.answeredBy;
      return answered ? await read(response) : await failureOf(response);
    } catch (cause) {
      if (cause instanceof RailgateError) throw cause;
      return this.#notAnswered(timeout.signal.aborted ? timeout.signal.reason : cause);
    } finally {
      clearTimeout(timer);
    }
  }

  #notAnswered(failed: unknown): Failure {
    const { message, code, cause } = failed as Error & { code?: string; cause?: { code?: string; message?: string } };
    const reason = cause?.code ?? code ?? cause?.message ?? message;
    const error = new ConnectionError(this.origin, reason, { cause: failed });
    return new Failure(error, NOT_CONNECTED.test(reason) ? "undone" : "unknown");
  }
}

/** A call that was not answered as it should be. */
class Failure {
  readonly error: RailgateError;
  /** Whether it is certain that the server did nothing; `final`: asking again would change nothing. */
  readonly left: "undone" | "unknown" | "final";
  readonly afterMs: number | undefined;

  constructor(error: RailgateError, left: Failure["left"], afterMs?: number) {
    this.error = error;
    this.left = left;
    this.afterMs = afterMs;
  }
}

/** @throws AnswerError it is none of a node's. */
function answerIn<T>(
  text: string,
  status: number,
  { member }: WireCall,
  parse: (text: string) => unknown = JSON.parse,
): T {
  try {
    const answer = parse(text) as T;
    if (typeof answer === "object" && answer !== null && (member === undefined || member in answer)) return answer;
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
  }
  throw new AnswerError(AnswerError.code, status, `the server answered ${status}, and not as a node does`);
}

/** A body that streams is gone once it was sent. */
function mayTryAgain(
  { method, retry = method === "GET" ? "always" : "if_undone", archive }: WireCall,
  { left }: Failure,
) {
  if (left === "final" || retry === "never" || (archive !== undefined && !(archive instanceof Uint8Array)))
    return false;
  return retry === "always" || left === "undone";
}

async function failureOf(response: Response): Promise<Failure> {
  const { status, headers } = response;
  if (status === 0 || (status >= 300 && status < 400))
    return new Failure(
      new AnswerError("redirected", status, "the server redirects, and that is not followed"),
      "final",
    );
  const problem = (await response.json().catch(() => ({}))) as ProblemRead;
  const error = errorOf(status, problem, Number(/^"(\d+)"$/.exec(headers.get("etag") ?? "")?.[1] ?? 0));
  if (!PASSING.has(status)) return new Failure(error, "final");
  const undone = status === 429 || (status === 503 && (!("recorded" in error) || error.recorded === "no"));
  return new Failure(error, undone ? "undone" : "unknown", retryAfterMs(headers.get("retry-after")));
}

/** RFC 9110 §10.2.3: seconds, or a date. */
function retryAfterMs(text: string | null): number | undefined {
  if (text === null) return undefined;
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isNaN(ms) ? undefined : Math.max(0, ms);
}

/** Half of it at random, so that many clients do not come back at once. */
function backoffMs(tries: number): number {
  const ms = Math.min(BACKOFF_MS.max, BACKOFF_MS.first * 2 ** tries);
  return ms / 2 + (Math.random() * ms) / 2;
}

/** Ends early, without an error, where the signal says so. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    if (signal?.aborted) done();
    else signal?.addEventListener("abort", done);
  });
}

function baseOf(given: string | URL): URL {
  const url = URL.parse(String(given));
  if (url === null || !/^https?:$/.test(url.protocol)) throw new ConfigError("url", `${given} is no http or https URL`);
  return url;
}

function urlOf(base: URL, { path, query = {} }: WireCall): URL {
  const url = new URL(path, base);
  for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, String(value));
  return url;
}

function headersOf(
  { headers = {}, archive }: WireCall,
  json: string | undefined,
  token: string | undefined,
): Record<string, string> {
  const all = {
    accept: "application/json",
    "content-type": json !== undefined ? "application/json" : archive && "application/gzip",
    authorization: token && `Bearer ${token}`,
    ...headers,
  };
  return Object.fromEntries(Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined));
}

/** @throws RequestError 400 for what JSON cannot carry. */
function jsonOf(value: unknown): string {
  try {
    return JSON.stringify(value) ?? "";
  } catch (cause) {
    throw new RequestError(400, [{ pointer: "", message: "not a value that JSON can carry" }], { cause });
  }
}

/** @throws ConfigError the file cannot be read. */
async function tokenOf(token: Token | undefined): Promise<string | undefined> {
  if (token === undefined || typeof token === "string") return token;
  if (typeof token === "function") return token();
  const { readFile } = await import("node:fs/promises");
  try {
    return (await readFile(token.file, "utf8")).trim();
  } catch (cause) {
    throw new ConfigError("token", `can't read ${token.file} (${(cause as NodeJS.ErrnoException).code})`, { cause });
  }
}
