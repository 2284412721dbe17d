// The listener: TLS, limits on what a connection may do, and what is answered to what is not HTTP.
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer as createHttpServer, type RequestListener, type Server, type ServerOptions } from "node:http";
import { createServer as createHttpsServer, type Server as HttpsServer } from "node:https";
import type { AddressInfo, Server as NetServer, Socket } from "node:net";
import { createSecureContext, type TLSSocket } from "node:tls";
import type { Logger } from "pino";
import type { Config, Jwks } from "../node/config/config.ts";
import { ConfigError, RailgateError } from "../core/errors.ts";
import { makeApp } from "./app.ts";
import { makeDoorkeeper, type Doorkeeper, type Whereabouts } from "./call/caller.ts";
import { Door } from "./call/door.ts";
import { securityHeaders } from "./call/headers.ts";
import type { Peers } from "./call/peer.ts";
import { presentUnparsed } from "./call/problem.ts";
import type { ProblemCode } from "./call/problems.ts";
import { endInStages, ReplyWriter } from "./call/reply.ts";
import type { Route } from "./call/route.ts";
import type { Metrics } from "./metrics.ts";

/** The address cannot be listened on. */
class ListenError extends RailgateError {
  static override code: string = "listen_failed";
}

/** A slow client may take this long to send its headers; how long a body may take depends on the route. */
const HEADERS_MS_MAX = 10_000;
const KEEP_ALIVE_MS = 65_000;
const HEADER_BYTES_MAX = 16 * 1024;
const CHECK_EVERY_MS = 2000;
/** Answers that are still under way when it closes have this long. */
export const CLOSE_MS_MAX = 10_000;

/** Where to listen, and who is let in there. */
export type Site = Pick<Config, "listen" | "tls" | "behindProxy" | "authentication">;

/** What a listener was made from. */
interface Made {
  readonly site: Site;
  readonly doorkeeper: Doorkeeper;
}

/** What the listeners of a node have in common. */
export interface Shared {
  readonly peers: Peers;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** What a server does with whatever listens for it. */
export interface ServedListener {
  /** Where, without a slash at its end. */
  readonly url: string;
  /** @throws ConfigError nothing changed. */
  renewCertificates(): void;
  renewCallers(jwks: Jwks): void;
  startClosing(): void;
  close(): Promise<void>;
}

export interface ListenOptions {
  /** Others of this process listen at the same port. */
  readonly shared?: boolean;
  /** See makeApp. */
  readonly elsewhere?: RequestListener;
}

/** Listens somewhere, and serves its routes there. */
export class Listener implements ServedListener {
  /** Where, without a slash at its end. */
  readonly url: string;
  readonly #server: Server;
  readonly #replies: ReplyWriter;
  readonly #made: Made;

  private constructor(url: string, server: Server, replies: ReplyWriter, made: Made) {
    this.#made = made;
    this.url = url;
    this.#server = server;
    this.#replies = replies;
  }

  /**
   * @param routesFor what is served, once it is known whether strangers can ask.
   * @throws ListenError; ConfigError for a certificate or key that cannot be used.
   */
  static async open(
    site: Site,
    shared: Shared,
    routesFor: (strangers: boolean) => readonly Route[],
    { shared: reusePort = false, elsewhere }: ListenOptions = {},
  ): Promise<Listener> {
    const { listen, tls } = site;
    const replies = new ReplyWriter(securityHeaders(tls !== undefined));
    const here = { port: listen.port, tls: tls !== undefined };
    const doorkeeper = makeDoorkeeper(site, here);
    const door = new Door({ doorkeeper, replies, ...shared });
    const app = makeApp(door, routesFor(doorkeeper.authenticates), elsewhere);
    const server = makeServer(site, replies, app);
    server.on("connection", (socket: Socket) => shared.metrics.connected(socket));
    await bind(server, { ...listen, reusePort });
    server.on("error", (error) => shared.log.error({ err: error }, "a connection could not be accepted"));
    here.port = (server.address() as AddressInfo).port;
    return new Listener(urlOf(here, listen), server, replies, { site, doorkeeper });
  }

  /** New connections are made by the certificate and key that the files hold now; those that are open stay. @throws ConfigError nothing changed. */
  renewCertificates(): void {
    const { tls, authentication } = this.#made.site;
    if (tls) (this.#server as HttpsServer).setSecureContext(certificates(tls, authentication?.mtls !== undefined));
  }

  /** Tokens are verified by these keys from now on. */
  renewCallers(jwks: Jwks): void {
    this.#made.doorkeeper.renew?.(jwks);
  }

  /** From now on answers tell clients to find another connection. */
  startClosing(): void {
    this.#replies.startClosing();
  }

  /** Lets answers finish; connections that wait for nothing go at once, and all of them when time is up. */
  close(): Promise<void> {
    return stop(this.#server);
  }
}

export function urlOf({ port, tls }: Whereabouts, { host }: Config["listen"]): string {
  return `${tls ? "https" : "http"}://${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/** @throws ConfigError for a certificate or key that cannot be read. */
function makeServer({ tls, authentication }: Site, replies: ReplyWriter, listener: RequestListener): Server {
  const options: ServerOptions = {
    headersTimeout: HEADERS_MS_MAX,
    requestTimeout: 0,
    keepAliveTimeout: KEEP_ALIVE_MS,
    connectionsCheckingInterval: CHECK_EVERY_MS,
    maxHeaderSize: HEADER_BYTES_MAX,
    noDelay: true,
  };
  const server = tls
    ? createHttpsServer(
        { ...options, handshakeTimeout: HEADERS_MS_MAX, ...certificates(tls, authentication?.mtls !== undefined) },
        listener,
      )
    : createHttpServer(options, listener);
  server.on("secureConnection", forgetUnproven);
  // The go-ahead to send a body comes from whoever reads it, so that one who may not send it need not.
  server.on("checkContinue", listener);
  server.on("clientError", (error: NodeJS.ErrnoException, socket: Socket) => refuseUnparsed(error, socket, replies));
  return server;
}

/** @throws ConfigError for a certificate or key that cannot be used. */
export function checkCertificates({ tls, authentication }: Pick<Site, "tls" | "authentication">): void {
  if (tls) certificates(tls, authentication?.mtls !== undefined);
}

function certificates({ cert, key, clientCa }: NonNullable<Config["tls"]>, requestCert: boolean): object {
  const read = (setting: string, path: string): Buffer => {
    try {
      return readFileSync(path);
    } catch (cause) {
      throw new ConfigError(
        `railgate.tls.${setting}`,
        `can't read ${path} (${(cause as NodeJS.ErrnoException).code})`,
        { cause },
      );
    }
  };
  const pem = { cert: read("cert", cert), key: read("key", key) };
  checkPem("cert", cert, "holds no certificate in PEM form", () => new X509Certificate(pem.cert));
  checkPem("key", key, "holds no private key in PEM form without a passphrase", () => createPrivateKey(pem.key));
  checkPem("key", key, `is not the key of the certificate in ${cert}`, () => createSecureContext(pem));
  const ca = clientCa === undefined ? undefined : read("client_ca", clientCa);
  if (ca) checkPem("client_ca", clientCa!, "holds no certificate in PEM form", () => new X509Certificate(ca));
  // Whether a certificate is needed is decided per route: health and keys are for everyone.
  return { ...pem, ...(ca && { ca }), requestCert, rejectUnauthorized: false };
}

/** @throws ConfigError naming setting and file, where `use` throws. */
function checkPem(setting: string, path: string, fault: string, use: () => unknown): void {
  try {
    use();
  } catch (cause) {
    throw new ConfigError(`railgate.tls.${setting}`, `${path} ${fault} (${(cause as NodeJS.ErrnoException).code})`, {
      cause,
    });
  }
}

const PARSER_PROBLEMS: Readonly<Record<string, ProblemCode>> = {
  HPE_HEADER_OVERFLOW: "headers_too_large",
  HPE_CHUNK_EXTENSIONS_OVERFLOW: "request_too_large",
  ERR_HTTP_REQUEST_TIMEOUT: "request_timeout",
};

/**
 * A certificate whose signature is wrong leaves OpenSSL's error behind on this thread, and the next connection that is read, whoever's it is,
 * would be taken for broken; Node.js clears what is left there when it reads a certificate.
 */
function forgetUnproven(socket: TLSSocket): void {
  if (!socket.authorized) socket.getPeerCertificate();
}

/** What is not HTTP, or came too slowly, never becomes a request; it is answered on the bare connection. */
function refuseUnparsed(error: NodeJS.ErrnoException, socket: Socket, replies: ReplyWriter): void {
  if (!socket.writable || error.code === "ECONNRESET") return void socket.destroy();
  const code = PARSER_PROBLEMS[error.code ?? ""] ?? "request_malformed";
  endInStages(socket, replies.bare(presentUnparsed(code)));
}

/** @throws ListenError */
export function bind(
  server: NetServer,
  { host, port, reusePort = false }: Config["listen"] & { readonly reusePort?: boolean },
): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException) =>
      reject(new ListenError(listenMessage(error, host, port), { cause: error }));
    server.once("error", onError);
    server.listen({ host, port, reusePort }, () => {
      server.off("error", onError);
      resolve();
    });
  });
}

function listenMessage({ code, message }: NodeJS.ErrnoException, host: string, port: number): string {
  if (code === "EADDRINUSE")
    return `${host} port ${port} is in use; stop what listens there, or choose another with RAILGATE_LISTEN or --listen`;
  if (code === "EADDRNOTAVAIL") return `${host} is no address of this machine`;
  if (code === "EACCES") return `port ${port} takes more rights than this process has; choose one above 1023`;
  return `cannot listen on ${host} port ${port}: ${message}`;
}

/** Lets answers finish; connections that wait for nothing go at once, and all of them when time is up. */
async function stop(server: Server): Promise<void> {
  const idle = setInterval(() => server.closeIdleConnections(), 50);
  const late = setTimeout(() => server.closeAllConnections(), CLOSE_MS_MAX);
  await new Promise<void>((resolve) => server.close(() => resolve()));
  clearInterval(idle);
  clearTimeout(late);
}
