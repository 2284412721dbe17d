// A service of bundles for tests: an HTTP server that says what it was asked, and answers as it is told to.
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer, type ServerOptions } from "node:https";
import type { AddressInfo } from "node:net";
import type { ExecutionContext } from "ava";
import type { ServiceAccess } from "../../src/outbound/access.ts";

export interface Control {
  readonly url: string;
  readonly access: ServiceAccess;
  /** What is offered from now on. */
  offer(bytes: Uint8Array): void;
  /** Answers with this status in place of a bundle; undefined: with the bundle again. */
  fail(status: number | undefined): void;
  /** Answers "not modified", whatever is asked with. */
  freeze(): void;
  /** Headers of the requests so far. */
  readonly asked: IncomingMessage["headers"][];
  /** Resolves with the next answer that is sent. */
  answered(): Promise<number>;
  close(): Promise<void>;
}

/** @param tls over TLS, with these. */
export async function makeControl(t: ExecutionContext, tls?: ServerOptions): Promise<Control> {
  let bytes: Uint8Array | undefined;
  let status: number | undefined;
  const asked: IncomingMessage["headers"][] = [];
  let waiting: ((status: number) => void)[] = [];
  const answer = (req: IncomingMessage, res: ServerResponse) => {
    asked.push(req.headers);
    const etag = bytes && `"${createHash("sha256").update(bytes).digest("hex")}"`;
    const matches = etag !== undefined && (req.headers["if-none-match"] ?? "").split(", ").includes(etag);
    const code = status ?? (bytes === undefined ? 404 : matches ? 304 : 200);
    res.on("finish", () => {
      for (const resolve of waiting) resolve(code);
      waiting = [];
    });
    res.writeHead(code, { ...(etag && { ETag: etag }), "Content-Type": "application/gzip" });
    res.end(code === 200 ? bytes : undefined);
  };
  const server = tls ? createTlsServer(tls, answer) : createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `${tls ? "https" : "http"}://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const close = () =>
    new Promise<void>((resolve) => {
      server.closeAllConnections();
      server.close(() => resolve());
    });
  t.teardown(close);
  return {
    url,
    access: {
      name: "control",
      url,
      headers: {},
      allowInsecureTls: false,
      responseHeaderTimeoutS: 10,
      tls: { systemCaRequired: false },
    },
    offer: (given) => (bytes = given),
    fail: (given) => (status = given),
    freeze: () => (status = 304),
    asked,
    answered: () => new Promise((resolve) => waiting.push(resolve)),
    close,
  };
}
