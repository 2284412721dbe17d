// The listener: TLS, limits on what a connection may do, and what is answered to what is not HTTP.
import { readFileSync } from "node:fs";
import { createServer as createHttpServer, type RequestListener, type Server, type ServerOptions } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { Socket } from "node:net";
import type { Config } from "../node/config/config.ts";
import { ConfigError, RailgateError } from "../core/errors.ts";
import { presentUnparsed, type ProblemCode } from "./call/problem.ts";
import type { ReplyWriter } from "./call/reply.ts";

/** The address cannot be listened on. */
export class ListenError extends RailgateError {
  static override code: string = "listen_failed";
}

/** A slow client may take this long to send its headers; how long a body may take depends on the route. */
const HEADERS_MS_MAX = 10_000;
const KEEP_ALIVE_MS = 65_000;
const HEADER_BYTES_MAX = 16 * 1024;
const CHECK_EVERY_MS = 2000;
const UNPARSED_MS_MAX = 2000;
/** Answers that are still under way when it closes have this long. */
export const CLOSE_MS_MAX = 10_000;

/** @throws ConfigError for a certificate or key that cannot be read. */
export function makeServer({ tls, authentication }: Config, replies: ReplyWriter, listener: RequestListener): Server {
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
  // The go-ahead to send a body comes from whoever reads it, so that one who may not send it need not.
  server.on("checkContinue", listener);
  server.on("clientError", (error: NodeJS.ErrnoException, socket: Socket) => refuseUnparsed(error, socket, replies));
  return server;
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
  // Whether a certificate is needed is decided per route: health and keys are for everyone.
  return {
    cert: read("cert", cert),
    key: read("key", key),
    ...(clientCa !== undefined && { ca: read("client_ca", clientCa) }),
    requestCert,
    rejectUnauthorized: false,
  };
}

const PARSER_PROBLEMS: Readonly<Record<string, ProblemCode>> = {
  HPE_HEADER_OVERFLOW: "headers_too_large",
  HPE_CHUNK_EXTENSIONS_OVERFLOW: "request_too_large",
  ERR_HTTP_REQUEST_TIMEOUT: "request_timeout",
};

/** What is not HTTP, or came too slowly, never becomes a request; it is answered on the bare connection. */
function refuseUnparsed(error: NodeJS.ErrnoException, socket: Socket, replies: ReplyWriter): void {
  if (!socket.writable || error.code === "ECONNRESET") return void socket.destroy();
  const code = PARSER_PROBLEMS[error.code ?? ""] ?? "request_malformed";
  socket.end(replies.bare(presentUnparsed(code)));
  // Whoever does not take that answer, or goes on sending, is not waited for.
  setTimeout(() => socket.destroy(), UNPARSED_MS_MAX).unref();
}

/** @throws ListenError */
export function bind(server: Server, { host, port }: Config["listen"]): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException) =>
      reject(new ListenError(listenMessage(error, host, port), { cause: error }));
    server.once("error", onError);
    server.listen({ host, port }, () => {
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
export async function stop(server: Server): Promise<void> {
  const idle = setInterval(() => server.closeIdleConnections(), 50);
  const late = setTimeout(() => server.closeAllConnections(), CLOSE_MS_MAX);
  await new Promise<void>((resolve) => server.close(() => resolve()));
  clearInterval(idle);
  clearTimeout(late);
}
