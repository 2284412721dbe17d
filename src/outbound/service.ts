// The one way out over the network: a request to a configured service, bounded in time and size, whose credentials go to its own host alone.
import { readFile } from "node:fs/promises";
import type { Agent, IncomingMessage, request, RequestOptions } from "node:http";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { RailgateError } from "../core/errors.ts";
import type { ServiceAccess } from "./access.ts";

/** A service could not be reached, did not answer in time, or answered what cannot be taken. */
export class ServiceError extends RailgateError {
  static override code: string = "service_unreachable";
}

export interface ServiceRequest {
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  /** Behind the service's URL, with its query; a slash before it says nothing. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** Largest body that is taken, unpacked; default 1 MiB. */
  readonly bytesMax?: number;
  /** How long the whole of it may take, in milliseconds; default 5 minutes. */
  readonly msMax?: number;
  /** How long it may hold the request open before its header comes (a long poll), beyond what any answer may take. */
  readonly heldMs?: number;
  readonly signal?: AbortSignal;
  /** Called when all of it has been handed to the connection: what is asked after that is mostly heard after that. */
  readonly sent?: () => void;
}

export interface ServiceAnswer {
  readonly status: number;
  /** By name in lower case. */
  readonly headers: IncomingMessage["headers"];
  readonly bytes: Uint8Array;
}

const BYTES_MAX = 1024 ** 2;
const MS_MAX = 5 * 60_000;
const REDIRECTS_MAX = 5;
const SOCKETS_MAX = 8;

const unzip = promisify(gunzip);

type Transport = { readonly agent: Agent; readonly request: typeof request };

export class RemoteService {
  readonly name: string;
  readonly #access: ServiceAccess;
  readonly #userAgent: string;
  /** By protocol. */
  readonly #transports = new Map<string, Transport>();

  constructor(access: ServiceAccess, userAgent = "Railgate") {
    this.name = access.name;
    this.#access = access;
    this.#userAgent = userAgent;
  }

  /**
   * Asks once. A redirect is followed on the same host, scheme and port only: whatever is sent, credentials included, goes nowhere else.
   * @returns the answer, whatever its status.
   * @throws ServiceError there is none: unreachable, too late, too large, redirected elsewhere, or `signal` ended it.
   */
  async request(asked: ServiceRequest): Promise<ServiceAnswer> {
    const started = performance.now();
    const overall = AbortSignal.timeout(asked.msMax ?? MS_MAX);
    const signal = asked.signal ? AbortSignal.any([asked.signal, overall]) : overall;
    let url = this.#urlOf(asked.path);
    let { method, body } = asked;
    for (let redirects = 0; redirects <= REDIRECTS_MAX; redirects++) {
      const answer = await this.#ask(url, { ...asked, method, ...(body && { body }) }, signal, started);
      const next = this.#redirected(answer, url);
      if (next === undefined) return answer;
      url = next;
      // RFC 9110 §15.4: only 307 and 308 keep method and body.
      if (answer.status < 307 && method !== "GET") [method, body] = ["GET", undefined];
    }
    throw this.#failed(`redirects more than ${REDIRECTS_MAX} times`);
  }

  /** Lets go of connections that are kept open. */
  close(): void {
    for (const { agent } of this.#transports.values()) agent.destroy();
  }

  /** Loaded where something is asked: TLS alone takes a tenth of what a node takes to start. */
  async #transport(secure: boolean): Promise<Transport> {
    const name = secure ? "https:" : "http:";
    const { Agent, request } = await (secure ? import("node:https") : import("node:http"));
    let transport = this.#transports.get(name);
    if (transport === undefined) {
      const { proxy } = this.#access;
      if (proxy !== undefined && !asksProxies()) throw this.#failed("has a proxy, and that takes Node 24.5 or newer");
      const proxyEnv = proxy === undefined ? undefined : { HTTP_PROXY: proxy, HTTPS_PROXY: proxy };
      transport = { agent: new Agent({ keepAlive: true, maxSockets: SOCKETS_MAX, proxyEnv }), request };
      this.#transports.set(name, transport);
    }
    return transport;
  }

  #urlOf(path: string): URL {
    return new URL(`${this.#access.url}/${path.replace(/^\/+/, "")}`);
  }

  #failed(message: string, cause?: unknown): ServiceError {
    return new ServiceError(`service ${this.name} ${message}`, { cause });
  }

  #redirected({ status, headers }: ServiceAnswer, from: URL): URL | undefined {
    if (![301, 302, 303, 307, 308].includes(status) || headers.location === undefined) return undefined;
    const to = URL.parse(headers.location, from);
    if (to === null) throw this.#failed("redirects to what is no URL");
    if (to.origin !== from.origin) throw this.#failed(`redirects to another host, ${to.host}; write it as its url`);
    return to;
  }

  async #ask(
    url: URL,
    { method, headers, body, bytesMax = BYTES_MAX, heldMs = 0, sent: handedOver }: ServiceRequest,
    signal: AbortSignal,
    started: number,
  ): Promise<ServiceAnswer> {
    const secure = url.protocol === "https:";
    const transport = await this.#transport(secure);
    const options: RequestOptions = {
      method,
      agent: transport.agent,
      signal,
      headers: {
        "User-Agent": this.#userAgent,
        "Accept-Encoding": "identity",
        ...this.#access.headers,
        ...(await this.#authorization()),
        ...(body && { "Content-Length": String(body.length) }),
        ...headers,
      },
      ...(secure && (await this.#tls())),
    };
    const headerMs = this.#access.responseHeaderTimeoutS * 1000 + heldMs;
    try {
      const response = await sent(transport.request, url, options, body, headerMs, handedOver);
      const bytes = await bodyOf(response, bytesMax);
      return { status: response.statusCode!, headers: response.headers, bytes };
    } catch (error) {
      if (error instanceof ServiceError) throw this.#failed(error.message, error.cause);
      const seconds = Math.round((performance.now() - started) / 1000);
      throw this.#failed(
        signal.aborted ? `was given up after ${seconds} s` : `can't be reached: ${describe(error)}`,
        error,
      );
    }
  }

  async #authorization(): Promise<Record<string, string>> {
    const { bearer } = this.#access;
    if (bearer === undefined) return {};
    const token = bearer.token ?? (await this.#file(bearer.tokenPath!)).trim();
    return { Authorization: `${bearer.scheme} ${token}` };
  }

  /** Read anew for each request, so that files may be replaced; connections are kept by what they hold. */
  async #tls(): Promise<RequestOptions & { ca?: string[]; cert?: string; key?: string; passphrase?: string }> {
    const { tls, clientTls, allowInsecureTls } = this.#access;
    const given = tls.caCert === undefined ? undefined : await this.#file(tls.caCert);
    const ca = [
      ...(given === undefined || tls.systemCaRequired ? await knownAuthorities() : []),
      ...(given ? [given] : []),
    ];
    return {
      ca,
      ...(allowInsecureTls && { rejectUnauthorized: false }),
      ...(clientTls && {
        cert: await this.#file(clientTls.cert),
        key: await this.#file(clientTls.privateKey),
        ...(clientTls.passphrase !== undefined && { passphrase: clientTls.passphrase }),
      }),
    };
  }

  async #file(path: string): Promise<string> {
    try {
      return await readFile(path, "utf8");
    } catch (cause) {
      throw this.#failed(`can't be asked: ${path} can't be read (${(cause as NodeJS.ErrnoException).code})`, cause);
    }
  }
}

/** An older one would ask directly, and say nothing. */
function asksProxies(): boolean {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  return major > 24 || (major === 24 && minor >= 5);
}

let authorities: string[] | undefined;

/** Node's own and the system's; reading those takes a moment, so once. */
async function knownAuthorities(): Promise<string[]> {
  const { getCACertificates } = await import("node:tls");
  return (authorities ??= [...new Set([...getCACertificates("default"), ...getCACertificates("system")])]);
}

/** Resolves when the answer's header has come. */
function sent(
  request: Transport["request"],
  url: URL,
  options: RequestOptions,
  body: Uint8Array | undefined,
  headerMs: number,
  handedOver: (() => void) | undefined,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const call = request(url, options, (response) => {
      clearTimeout(late);
      resolve(response);
    });
    const late = setTimeout(
      () => call.destroy(new ServiceError(`did not answer within ${Math.round(headerMs / 1000)} s`)),
      headerMs,
    ).unref();
    call.on("error", (error) => {
      clearTimeout(late);
      reject(error);
    });
    call.end(body, handedOver);
  });
}

async function bodyOf(response: IncomingMessage, bytesMax: number): Promise<Uint8Array> {
  const tooLarge = () => new ServiceError(`sends more than ${bytesMax} bytes`);
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of response as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > bytesMax) throw tooLarge();
    parts.push(part);
  }
  const bytes = Buffer.concat(parts);
  const encoding = response.headers["content-encoding"]?.toLowerCase() ?? "identity";
  if (encoding === "identity" || bytes.length === 0) return bytes;
  if (encoding !== "gzip") throw new ServiceError(`sends ${encoding}, which nobody asked for`);
  return unzip(bytes, { maxOutputLength: bytesMax }).catch((cause: NodeJS.ErrnoException) => {
    throw cause.code === "ERR_BUFFER_TOO_LARGE" ? tooLarge() : new ServiceError("sends damaged gzip", { cause });
  });
}

/** A connection that was tried at several addresses fails with all their errors, and no message of its own. */
function describe(error: unknown): string {
  const { message, code, errors } = error as { message?: string; code?: string; errors?: readonly unknown[] };
  if (message) return message;
  return errors?.[0] === undefined ? (code ?? String(error)) : describe(errors[0]);
}
