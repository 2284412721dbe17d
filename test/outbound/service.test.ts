// What goes out: credentials to their own host alone, and nothing waits or grows without bound.
import { mkdtempSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import { createServer as createTls } from "node:https";
import { connect, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import test, { type ExecutionContext } from "ava";
import type { ServiceAccess } from "../../src/outbound/access.ts";
import { backoffMs, between, pause } from "../../src/outbound/pace.ts";
import { RemoteService, ServiceError } from "../../src/outbound/service.ts";
import { certificates } from "../http/certificates.ts";

async function serving(t: ExecutionContext, listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function service(t: ExecutionContext, url: string, more: Partial<ServiceAccess> = {}): RemoteService {
  const made = new RemoteService({
    name: "control",
    url,
    headers: {},
    allowInsecureTls: false,
    responseHeaderTimeoutS: 10,
    tls: { systemCaRequired: false },
    ...more,
  });
  t.teardown(() => made.close());
  return made;
}

const text = ({ bytes }: { bytes: Uint8Array }) => Buffer.from(bytes).toString();
const told = (req: IncomingMessage, res: ServerResponse) => res.end(`${req.url} ${req.headers.authorization}`);

test("a request goes below the service's URL, with its headers and a token that is read anew", async (t) => {
  const url = await serving(t, (req, res) => res.end(`${req.url} ${req.headers.authorization} ${req.headers["x-a"]}`));
  const tokenPath = join(mkdtempSync(join(tmpdir(), "railgate-outbound-")), "token");
  writeFileSync(tokenPath, "one\n");
  const control = service(t, `${url}/v1`, { bearer: { tokenPath, scheme: "Bearer" }, headers: { "X-A": "a" } });
  t.is(text(await control.request({ method: "GET", path: "/bundles/x?y=1" })), "/v1/bundles/x?y=1 Bearer one a");
  writeFileSync(tokenPath, "two");
  t.is(text(await control.request({ method: "GET", path: "bundles/x" })), "/v1/bundles/x Bearer two a");
});

test("a redirect on the same host is followed; one to another host is not, so credentials stay", async (t) => {
  const seen: string[] = [];
  const other = await serving(t, (req, res) => {
    seen.push(String(req.headers.authorization));
    told(req, res);
  });
  const url = await serving(t, (req, res) => {
    if (req.url === "/here") res.writeHead(302, { Location: "/there" }).end();
    else if (req.url === "/away") res.writeHead(307, { Location: `${other}/there` }).end();
    else if (req.url === "/round") res.writeHead(301, { Location: "/round" }).end();
    else told(req, res);
  });
  const control = service(t, url, { bearer: { token: "secret", scheme: "Bearer" } });
  t.is(text(await control.request({ method: "GET", path: "here" })), "/there Bearer secret");
  await t.throwsAsync(control.request({ method: "GET", path: "away" }), {
    instanceOf: ServiceError,
    code: "service_unreachable",
    message: /redirects to another host/,
  });
  await t.throwsAsync(control.request({ method: "GET", path: "round" }), { message: /redirects more than 5 times/ });
  t.deepEqual(seen, []);
});

test("answers are bounded in size, packed and unpacked, and in time", async (t) => {
  const url = await serving(t, (req, res) => {
    if (req.url === "/large") res.end(Buffer.alloc(2000));
    else if (req.url === "/packed") res.writeHead(200, { "Content-Encoding": "gzip" }).end(gzipSync(Buffer.alloc(999)));
    else if (req.url === "/bomb") res.writeHead(200, { "Content-Encoding": "gzip" }).end(gzipSync(Buffer.alloc(1e6)));
    else if (req.url === "/trickle") res.write("a");
    else if (req.url === "/held") setTimeout(() => res.end("late"), 50);
  });
  const control = service(t, url, { responseHeaderTimeoutS: 0.01 });
  const get = (path: string, more: object = {}) =>
    control.request({ method: "GET", path, bytesMax: 1000, heldMs: 60_000, ...more });
  await t.throwsAsync(get("large"), { message: /sends more than 1000 bytes/ });
  t.is((await get("packed")).bytes.length, 999);
  await t.throwsAsync(get("bomb"), { message: /sends more than 1000 bytes/ });
  await t.throwsAsync(get("silent", { heldMs: 0 }), { message: /did not answer within 0 s/ });
  await t.throwsAsync(get("trickle", { msMax: 20 }), { message: /was given up after/ });
  t.is(text(await get("held")), "late");
  const ended = new AbortController();
  const waiting = get("silent", { signal: ended.signal });
  ended.abort();
  await t.throwsAsync(waiting, { instanceOf: ServiceError });
});

test("a service that has a proxy is asked by it alone: http in full, https through a tunnel that it cannot see into", async (t) => {
  const asked: string[] = [];
  const proxy = createServer((req, res) => {
    asked.push(`${req.method} ${req.url} ${req.headers["proxy-authorization"]}`);
    res.end("by proxy");
  });
  const dir = mkdtempSync(join(tmpdir(), "railgate-outbound-"));
  const file = certificates(dir);
  const secure = createTls({ key: file("server.key"), cert: file("server.crt") }, told);
  proxy.on("connect", (req, socket: Socket) => {
    asked.push(`${req.method} ${req.url} ${req.headers["proxy-authorization"]}`);
    const through = connect((secure.address() as AddressInfo).port, "127.0.0.1", () => {
      socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
      through.pipe(socket).pipe(through);
    });
    for (const end of [socket, through]) end.on("error", () => {});
    t.teardown(() => (socket.destroy(), through.destroy()));
  });
  for (const server of [proxy, secure]) {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    t.teardown(() => (server.closeAllConnections(), server.close()));
  }
  const by = `http://u:p@127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  const plain = service(t, "http://hub.invalid/v1", { proxy: by });
  t.is(text(await plain.request({ method: "GET", path: "x" })), "by proxy");
  const port = (secure.address() as AddressInfo).port;
  const bearer = { token: "secret", scheme: "Bearer" };
  const tls = { caCert: join(dir, "ca.crt"), systemCaRequired: false };
  const tunnelled = service(t, `https://127.0.0.1:${port}`, { proxy: by, tls, bearer });
  t.is(text(await tunnelled.request({ method: "GET", path: "y" })), "/y Bearer secret");
  t.deepEqual(asked, ["GET http://hub.invalid/v1/x Basic dTpw", `CONNECT 127.0.0.1:${port} Basic dTpw`]);
});

test("a service that is not there is said to be so", async (t) => {
  await t.throwsAsync(service(t, "http://127.0.0.1:1").request({ method: "GET", path: "x" }), {
    instanceOf: ServiceError,
    message: /service control can't be reached: .*ECONNREFUSED/,
  });
  const tokenPath = "/nowhere/token";
  await t.throwsAsync(
    service(t, "http://127.0.0.1:1", { bearer: { tokenPath, scheme: "Bearer" } }).request({ method: "GET", path: "x" }),
    { message: /\/nowhere\/token can't be read \(ENOENT\)/ },
  );
});

test("waits grow with failures up to a bound, and no two nodes wait alike", async (t) => {
  const shortest = [1, 2, 3, 40].map((failures) => backoffMs(failures, 1000, () => 0));
  const longest = [1, 2, 3, 40].map((failures) => backoffMs(failures, 1000, () => 1));
  t.deepEqual(
    [shortest, longest],
    [
      [50, 100, 200, 500],
      [100, 200, 400, 1000],
    ],
  );
  t.is(
    between(10, 20, () => 0.5),
    15,
  );
  await pause(1e6, AbortSignal.abort());
});
