// What threads do not answer themselves: passed on to the main thread as it came, over a socket that only this process can speak on, and back.
import { randomBytes, timingSafeEqual } from "node:crypto";
import { once } from "node:events";
import {
  Agent,
  createServer,
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type RequestListener,
  type Server,
  type ServerResponse,
} from "node:http";
import type { Proven } from "../call/caller.ts";
import { Peer, type Peers } from "../call/peer.ts";
import { endBehind, watchEnd } from "../call/reply.ts";

export interface InnerAddress {
  /** Of Linux' abstract sockets: no file, gone with the process. */
  readonly path: string;
  /** Whoever knows it is this process. */
  readonly secret: string;
}

const SECRET = "railgate-inner-secret";
/** Who has shown a certificate to the thread that took the connection. */
const PROVEN = "railgate-inner-proven";
/** About one connection, and no other (RFC 9110 §7.6.1). */
const OF_THE_CONNECTION = ["connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"];

/** The main thread's end. */
export class Inner {
  readonly address: InnerAddress;
  readonly #server: Server;

  private constructor(address: InnerAddress, server: Server) {
    this.address = address;
    this.#server = server;
  }

  static async open(app: RequestListener): Promise<Inner> {
    const address = { path: `\0railgate-${randomBytes(16).toString("hex")}`, secret: randomBytes(32).toString("hex") };
    const secret = Buffer.from(address.secret);
    const own: RequestListener = (req, res) => {
      const given = Buffer.from(String(req.headers[SECRET] ?? ""));
      if (given.length === secret.length && timingSafeEqual(given, secret)) app(req, res);
      else req.socket.destroy();
    };
    // Its clients are this process: it is they who give a connection up, and they are as patient as the outer one.
    const patience = { keepAliveTimeout: 0, requestTimeout: 0, headersTimeout: 0 };
    // A Host is asked for by the door, as of all others.
    const server = createServer({ ...patience, requireHostHeader: false, noDelay: true }, own);
    server.on("checkContinue", own);
    server.listen({ path: address.path });
    await once(server, "listening");
    return new Inner(address, server);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** Who proved by a certificate, to the thread that took the connection, who it is. */
export function provenIn({ headers }: IncomingMessage): Proven | undefined {
  const given = headers[PROVEN];
  if (typeof given !== "string") return undefined;
  return JSON.parse(Buffer.from(given, "base64url").toString()) as Proven;
}

/** A thread's end. @param provenBy who proves by the connection itself who it is. */
export function passOn(
  address: InnerAddress,
  peers: Peers,
  provenBy: (req: IncomingMessage) => Proven | undefined,
): RequestListener {
  const agent = new Agent({ keepAlive: true });
  return (req, res) => {
    const proven = provenBy(req);
    const headers: OutgoingHttpHeaders = { ...withoutConnection(req.headers), [SECRET]: address.secret };
    delete headers[PROVEN];
    if (proven) headers[PROVEN] = Buffer.from(JSON.stringify(proven)).toString("base64url");
    const inner = httpRequest({
      agent,
      socketPath: address.path,
      method: req.method!,
      // Express shortens it where a part of the application is mounted; none is.
      path: req.url!,
      headers: withHosts(headers, req.headersDistinct["host"] ?? []),
      setHost: false,
    });
    let answering = false;
    inner.on("response", (answer) => {
      answering = true;
      passBack(answer, res);
      answer.on("end", () => watchEnd(req, res, new Peer(peers), 0));
    });
    // The rest of a body may find no reader any more, and an answer that breaks off says so itself.
    inner.on("error", () => answering || res.destroy());
    res.on("close", () => inner.destroy());
    if (req.headers.expect === undefined) return void req.pipe(inner);
    inner.on("continue", () => {
      res.writeContinue();
      req.pipe(inner);
    });
    inner.flushHeaders();
  };
}

function passBack(answer: IncomingMessage, res: ServerResponse): void {
  if (answer.headers.connection === "close") endBehind(res);
  const headers = answer.rawHeaders.flatMap((name, i, all) =>
    i % 2 === 0 && !OF_THE_CONNECTION.includes(name.toLowerCase()) ? [[name, all[i + 1]!] as const] : [],
  );
  res.writeHead(answer.statusCode!, headers.flat());
  // An answer that breaks off must not look whole.
  answer.on("aborted", () => res.destroy()).on("error", () => res.destroy());
  answer.pipe(res);
}

function withoutConnection(headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !OF_THE_CONNECTION.includes(name)));
}

/** With each Host that came: more than one is for the main thread to refuse. */
function withHosts(headers: OutgoingHttpHeaders, hosts: readonly string[]): OutgoingHttpHeaders | readonly string[] {
  if (hosts.length < 2) return headers;
  const others = Object.entries(headers).filter(([name]) => name !== "host");
  return [...hosts.map((host) => ["host", host]), ...others.map(([name, value]) => [name, String(value)])].flat();
}
