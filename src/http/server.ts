// `serve`: a node behind an HTTP listener, from its settings to its end.
import { readFileSync, statSync } from "node:fs";
import { createServer as createHttpServer, STATUS_CODES, type RequestListener, type Server, type ServerOptions } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { DestinationStream, Logger } from "pino";
import type { Config } from "../config.ts";
import { BundleError, ConfigError, RailgateError } from "../core/errors.ts";
import { RailgateNode, VERSION, type BundleSource } from "../node.ts";
import { admissionRoutes } from "./admissions.ts";
import { makeApp } from "./app.ts";
import { makeDoorkeeper, type Whereabouts } from "./caller.ts";
import { Door } from "./door.ts";
import { eventRoutes } from "./events.ts";
import { FOLLOW_LIMITS, Followers, type FollowLimits } from "./follow.ts";
import { securityHeaders } from "./headers.ts";
import { makeLogging } from "./logging.ts";
import { Metrics } from "./metrics.ts";
import { documentRoutes } from "./node-documents.ts";
import { PROBLEM_TYPE, PROBLEMS, type ProblemCode } from "./problem.ts";
import type { Route } from "./route.ts";
import { workloadRoutes } from "./workloads.ts";

/** The address cannot be listened on. */
export class ListenError extends RailgateError {
  static override code: string = "listen_failed";
}

export interface ServeOptions {
  /** In place of the bundle that the settings name. */
  readonly bundle?: BundleSource;
  /** Where log lines go; default: standard output. */
  readonly logTo?: DestinationStream;
  /** Whether SIGTERM and SIGINT close it. Default: true. */
  readonly signals?: boolean;
  readonly follow?: Partial<FollowLimits>;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
}

export interface Served {
  /** Where it listens, without a slash at its end. */
  readonly url: string;
  readonly node: RailgateNode;
  /** Stops accepting, answers what is under way, ends streams, lets go of the data directory. */
  close(): Promise<void>;
  /** Settles once it is closed, whoever closed it. */
  readonly closed: Promise<void>;
}

/** A slow client may take this long to send its headers, and its whole request. */
const HEADERS_MS_MAX = 10_000;
const REQUEST_MS_MAX = 30_000;
const KEEP_ALIVE_MS = 65_000;
const HEADER_BYTES_MAX = 16 * 1024;
const CHECK_EVERY_MS = 2000;
/** Answers that are still under way when it closes have this long. */
const CLOSE_MS_MAX = 10_000;

/**
 * Opens the node that the settings describe, and listens.
 * @returns once it listens; the node may still not be ready (`/readyz`).
 * @throws ConfigError for a setting that asks for what cannot be done.
 * @throws ListenError the address is in use, or is none of this machine's.
 * @throws StoreLockedError, KeyError, EvidenceUnavailableError: see RailgateNode.open.
 */
export async function serve(config: Config, options: ServeOptions = {}): Promise<Served> {
  const bundle = options.bundle ?? bundleOf(config);
  const { log, close: closeLog } = makeLogging(config.logLevel, options.logTo);
  const metrics = new Metrics();
  const node = await openNode(config, bundle, log, metrics, options.now);
  try {
    const served = await listen(config, node, log, metrics, options);
    for (const warning of [...config.warnings, ...unbuilt(config)]) log.warn({}, warning);
    log.info({ url: served.url, node_id: node.nodeId, version: VERSION, policy: node.policy?.digest, problem: node.problem }, "listening");
    void served.closed.then(closeLog);
    return served;
  } catch (error) {
    await node.close();
    closeLog();
    throw error;
  }
}

async function openNode(config: Config, bundle: BundleSource | undefined, log: Logger, metrics: Metrics, now: ServeOptions["now"]): Promise<RailgateNode> {
  const { authorities, attesters } = config.trust;
  const keysOf = (jwks: { readonly keys: readonly object[] }) => jwks.keys.map((key) => ({ ...key })) as never[];
  return RailgateNode.open({
    dataDir: config.dataDir,
    bundle,
    nodeId: config.nodeId,
    trust: {
      authorities: authorities.map(({ issuer, jwks, root }) => ({ issuer, jwks: keysOf(jwks), root })),
      attesters: attesters.map(({ issuer, jwks }) => ({ issuer, jwks: keysOf(jwks) })),
    },
    evidenceProfileId: config.evidence.profile,
    evaluationMsMax: config.limits.evaluationMsMax,
    queueMax: config.limits.queueMax,
    now,
    observe: {
      evaluated: (ms) => metrics.evaluated(ms),
      decided: (decision) => metrics.decided(decision),
      committed: (figures) => metrics.committed(figures),
      policyFailed: (problem, eventId) => {
        metrics.policyFailed();
        log.error({ decision_id: eventId, problem }, "the policy could not decide");
      },
      evidenceFailed: (message) => {
        metrics.evidenceFailed();
        log.error({ problem: message }, "evidence could not be recorded; nothing is admitted until it can");
      },
    },
  });
}

/** The one bundle that the settings name; undefined: the one that comes with Railgate. */
function bundleOf({ bundles, keys }: Config): BundleSource | undefined {
  const [bundle] = Object.values(bundles);
  if (bundle === undefined) return undefined;
  const { name, from, signing, sizeLimitBytes } = bundle;
  if (from.kind === "service") {
    throw new ConfigError(`bundles.${name}.service`, "fetching bundles from a service is not built yet; name a file (resource: file:///path/to/bundle.tar.gz)");
  }
  if (signing.excludeFiles.length > 0) {
    throw new ConfigError(`bundles.${name}.signing.exclude_files`, "every file of a bundle has to be signed; leave this out");
  }
  return {
    bytes: () => {
      const { size } = statSync(from.path);
      if (size > sizeLimitBytes) throw new BundleError("archive", `${from.path} has ${size} bytes, more than bundles.${name}.size_limit_bytes allows`);
      return readFileSync(from.path);
    },
    keys,
    keyId: signing.keyid,
    scope: signing.scope,
  };
}

/** Settings that are good, and that nothing acts on yet. */
function unbuilt({ upstream, decisionLogs, status }: Config): string[] {
  const named = [upstream && "railgate.upstream", decisionLogs && "decision_logs", status && "status"].filter((name) => name !== undefined);
  return named.map((name) => `${name} has no effect yet: nothing is sent to other servers`);
}

async function listen(config: Config, node: RailgateNode, log: Logger, metrics: Metrics, options: ServeOptions): Promise<Served> {
  const headers = securityHeaders(config.tls !== undefined);
  const here = { port: config.listen.port, tls: config.tls !== undefined };
  const doorkeeper = makeDoorkeeper(config, here);
  const followers = new Followers(node.store, headers, { ...FOLLOW_LIMITS, ...options.follow });
  const door = new Door({ doorkeeper, log, metrics, headers });
  const routes: Route[] = [
    ...admissionRoutes(node.gate, config.limits),
    ...workloadRoutes(node.store, options.now ?? Date.now),
    ...eventRoutes(node.store, followers),
    ...documentRoutes({ node, metrics, strangers: doorkeeper.authenticates, routes: () => routes }),
  ];
  metrics.watch({
    waiting: () => node.waiting,
    ready: () => node.problem === undefined,
    followers: () => followers.count,
    info: () => ({ version: VERSION, node_id: node.nodeId, policy_digest: node.policy?.digest ?? "" }),
  });
  const server = makeServer(config, makeApp(door, routes) as RequestListener);
  const unsubscribe = node.subscribe((events) => followers.committed(events));
  try {
    await bind(server, config.listen);
  } catch (error) {
    unsubscribe();
    followers.close();
    throw error;
  }
  here.port = (server.address() as AddressInfo).port;
  const url = urlOf(here, config.listen);
  node.listening(url);
  return closable(url, node, options.signals ?? true, log, async () => {
    door.startClosing();
    unsubscribe();
    followers.close();
    await stop(server);
    await node.close();
  });
}

function makeServer({ tls, authentication }: Config, listener: RequestListener): Server {
  const options: ServerOptions = {
    headersTimeout: HEADERS_MS_MAX,
    requestTimeout: REQUEST_MS_MAX,
    keepAliveTimeout: KEEP_ALIVE_MS,
    connectionsCheckingInterval: CHECK_EVERY_MS,
    maxHeaderSize: HEADER_BYTES_MAX,
    noDelay: true,
  };
  const server = tls ? createHttpsServer({ ...options, ...certificates(tls, authentication?.mtls !== undefined) }, listener) : createHttpServer(options, listener);
  // The go-ahead to send a body comes from whoever reads it, so that one who may not send it need not.
  server.on("checkContinue", listener);
  server.on("clientError", (error: NodeJS.ErrnoException, socket: Socket) => refuseUnparsed(error, socket));
  return server;
}

function certificates({ cert, key, clientCa }: NonNullable<Config["tls"]>, requestCert: boolean): object {
  const read = (setting: string, path: string): Buffer => {
    try {
      return readFileSync(path);
    } catch (cause) {
      throw new ConfigError(`railgate.tls.${setting}`, `can't read ${path} (${(cause as NodeJS.ErrnoException).code})`, { cause });
    }
  };
  // Whether a certificate is needed is decided per route: health and keys are for everyone.
  return { cert: read("cert", cert), key: read("key", key), ...(clientCa !== undefined && { ca: read("client_ca", clientCa) }), requestCert, rejectUnauthorized: false };
}

const PARSER_PROBLEMS: Readonly<Record<string, ProblemCode>> = {
  HPE_HEADER_OVERFLOW: "headers_too_large",
  HPE_CHUNK_EXTENSIONS_OVERFLOW: "request_too_large",
  ERR_HTTP_REQUEST_TIMEOUT: "request_timeout",
};

/** What is not HTTP, or came too slowly, never becomes a request; it is answered on the bare connection. */
function refuseUnparsed(error: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable || error.code === "ECONNRESET") return void socket.destroy();
  const code = PARSER_PROBLEMS[error.code ?? ""] ?? "request_malformed";
  const { status, title } = PROBLEMS[code];
  const body = JSON.stringify({ type: `urn:railgate:problem:${code}`, title, status, code });
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: ${PROBLEM_TYPE}\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`);
}

function bind(server: Server, { host, port }: Config["listen"]): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => reject(new ListenError(listenMessage(error, host, port), { cause: error })));
    server.listen({ host, port }, resolve);
  });
}

function listenMessage({ code, message }: NodeJS.ErrnoException, host: string, port: number): string {
  if (code === "EADDRINUSE") return `${host} port ${port} is in use; stop what listens there, or choose another with RAILGATE_LISTEN or --listen`;
  if (code === "EADDRNOTAVAIL") return `${host} is no address of this machine`;
  if (code === "EACCES") return `port ${port} takes more rights than this process has; choose one above 1023`;
  return `cannot listen on ${host} port ${port}: ${message}`;
}

function urlOf({ port, tls }: Whereabouts, { host }: Config["listen"]): string {
  return `${tls ? "https" : "http"}://${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/** Ends on a signal, or when asked to; a second signal ends the process as it would any other. */
function closable(url: string, node: RailgateNode, signals: boolean, log: Logger, end: () => Promise<void>): Served {
  const { promise: closed, resolve, reject } = Promise.withResolvers<void>();
  let closing = false;
  const close = (): Promise<void> => {
    if (!closing) {
      closing = true;
      process.off("SIGTERM", onSignal).off("SIGINT", onSignal);
      log.info({}, "closing");
      // What is still under way may be on other threads, which alone do not keep a process from ending.
      const underWay = setInterval(() => {}, CLOSE_MS_MAX);
      end().finally(() => clearInterval(underWay)).then(resolve, reject);
    }
    return closed;
  };
  const onSignal = () => void close();
  if (signals) process.on("SIGTERM", onSignal).on("SIGINT", onSignal);
  return { url, node, close, closed };
}

/** Lets answers finish; connections that wait for nothing go at once, and all of them when time is up. */
async function stop(server: Server): Promise<void> {
  const idle = setInterval(() => server.closeIdleConnections(), 50);
  const late = setTimeout(() => server.closeAllConnections(), CLOSE_MS_MAX);
  await new Promise<void>((resolve) => server.close(() => resolve()));
  clearInterval(idle);
  clearTimeout(late);
}
