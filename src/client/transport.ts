// One exchange over HTTP: by `fetch`, or, where a CA or a client certificate is given, by `node:https`.
import type { request, RequestOptions } from "node:http";
import type { Agent } from "node:https";
import type { Socket } from "node:net";

export interface WireRequest {
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array | AsyncIterable<Uint8Array> | undefined;
  readonly signal: AbortSignal;
}

/** Redirects are not followed. Rejects with what the connection broke on. */
export type Transport = (url: URL, asked: WireRequest) => Promise<Response>;

/** PEM text. */
export interface TlsOptions {
  /** Authorities that the server's certificate may be from; default: those of the runtime. */
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

export const fetchTransport: Transport = (url, { body, ...asked }) => {
  const whole = typeof body === "string" || body instanceof Uint8Array;
  const sent = body === undefined ? {} : whole ? { body } : { body: streamOf(body), duplex: "half" };
  return fetch(url, { ...asked, redirect: "manual", ...(sent as RequestInit) });
};

/** What `fetch` cannot be told: whom to trust, and who we are. Connections are kept. */
export function tlsTransport(tls: TlsOptions): Transport {
  let agent: Agent | undefined;
  return nodeTransport(async () => {
    const { Agent, request } = await import("node:https");
    agent ??= new Agent({ ...tls, keepAlive: true });
    return { request, options: { agent } };
  });
}

/** By a socket of this machine's, connected anew for each call. */
export function socketTransport(path: string): Transport {
  return nodeTransport(async () => {
    const [{ request }, socket] = await Promise.all([import("node:http"), connected(path)]);
    return { request, options: { createConnection: () => socket } };
  });
}

async function connected(path: string): Promise<Socket> {
  const [{ connect }, { withAddress }] = await Promise.all([import("node:net"), import("../store/socket.ts")]);
  return withAddress(path, async (address) => {
    const socket = connect(address);
    await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
    return socket.on("error", () => {});
  });
}

type Way = { readonly request: typeof request; readonly options: RequestOptions };

function nodeTransport(way: () => Promise<Way>): Transport {
  return async (url, { body, method, headers, signal }) => {
    const [{ request: send, options }, { Readable }, { pipeline }] = await Promise.all([
      way(),
      import("node:stream"),
      import("node:stream/promises"),
    ]);
    const { promise, resolve, reject } = Promise.withResolvers<Response>();
    const request = send(url, { ...options, method, headers, signal }, (answer) => {
      const { statusCode: status = 0, headersDistinct } = answer;
      const names = Object.entries(headersDistinct).flatMap(([name, values]) => values!.map((value) => [name, value]));
      const empty = status === 204 || status === 304;
      if (empty) answer.resume();
      const stream = empty ? null : (Readable.toWeb(answer) as ReadableStream<Uint8Array<ArrayBuffer>>);
      resolve(new Response(stream, { status, headers: names as [string, string][] }));
    });
    request.on("error", reject);
    if (body === undefined || typeof body === "string" || body instanceof Uint8Array) request.end(body);
    else pipeline(body, request).catch(reject);
    return promise;
  };
}

function streamOf(parts: AsyncIterable<Uint8Array>): ReadableStream<Uint8Array> {
  const iterator = parts[Symbol.asyncIterator]();
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await iterator.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    async cancel() {
      await iterator.return?.();
    },
  });
}

/** A body as it arrives. */
export async function* partsOf({ body }: Response): AsyncGenerator<Uint8Array> {
  if (body === null) return;
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    // Whoever stops in the middle wants no more of it; a connection that broke is gone anyway.
    await reader.cancel().catch(() => {});
  }
}
