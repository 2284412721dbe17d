// The client against real servers: through restarts, over TLS with a certificate and a token, and what it does not do.
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import {
  connectRailgate,
  EvidenceUnavailableError,
  type AdmissionAnswer,
  type EvidenceEvent,
} from "../../src/client/index.ts";
import { loadConfig } from "../../src/node/config/config.ts";
import { serve } from "../../src/http/server.ts";
import { admissible, emptyDir, start } from "../http/support.ts";
import { until } from "../until.ts";

/** A server that is told what to answer, and remembers what it was asked. */
async function scripted(t: ExecutionContext, ...answers: ((req: IncomingMessage, res: ServerResponse) => void)[]) {
  const asked: { method: string; path: string; headers: IncomingMessage["headers"] }[] = [];
  const server = createServer((req, res) => {
    asked.push({ method: req.method!, path: req.url!, headers: req.headers });
    req.resume();
    req.on("end", () => (answers[asked.length - 1] ?? answers.at(-1)!)(req, res));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.teardown(() => server.closeAllConnections());
  t.teardown(() => server.close());
  return { asked, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

const answer =
  (status: number, body: object, headers: Record<string, string> = {}) =>
  (_: unknown, res: ServerResponse) =>
    void res.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
const hangUp = (_: unknown, res: ServerResponse) => void res.destroy();

test("a node that restarts in the middle is asked again, and each command is carried out once", async (t) => {
  const dir = emptyDir();
  writeFileSync(join(dir, "opa.yaml"), JSON.stringify({ railgate: { listen: "127.0.0.1:0", log_level: "silent" } }));
  const open = (port: number) =>
    serve(loadConfig({ env: { RAILGATE_LISTEN: `127.0.0.1:${port}` }, cwd: dir }), { signals: false });
  let served = await open(0);
  const { url } = served;
  const client = connectRailgate({ url });
  const followed: EvidenceEvent[] = [];
  const stopping = new AbortController();
  const following = (async () => {
    for await (const event of client.follow({ event_type: "workload.admit" }, stopping.signal)) followed.push(event);
  })();
  const ids = Array.from({ length: 40 }, (_, i) => `w-${i}`);
  const answers: AdmissionAnswer[] = [];
  const admitting = (async () => {
    for (const id of ids) answers.push(await client.admit(admissible(id)));
  })();
  for (const answered of [5, 15]) {
    await until(() => answers.length > answered && followed.length > 0, "some answers, and somebody who follows");
    await served.close();
    served = await open(Number(new URL(url).port));
  }
  await admitting;
  const { items } = await client.events({ event_type: "workload.admit", order: "asc", limit: 1000 });
  t.deepEqual(
    items.map(({ subject }) => subject),
    ids,
    "each once, in order",
  );
  t.deepEqual(
    answers.map(({ event }) => event.id),
    items.map(({ id }) => id),
  );
  await until(() => followed.at(-1)?.id === items.at(-1)!.id);
  stopping.abort();
  await following;
  t.deepEqual(followed, items.slice(-followed.length), "none left out, none twice");
  await served.close();
});

test("what failed for a moment is tried again under one key; Retry-After is waited for", async (t) => {
  const { asked, url } = await scripted(
    t,
    hangUp,
    answer(503, { code: "evidence_unavailable", recorded: "unknown", event_id: "e" }, { "retry-after": "1" }),
    answer(200, { decision: { outcome: "accepted" }, event: {}, receipt: "r" }),
  );
  const started = performance.now();
  t.is((await connectRailgate({ url }).admit({})).decision.outcome, "accepted");
  t.true(performance.now() - started > 990);
  const keys = asked.map(({ headers }) => headers["idempotency-key"]);
  t.regex(String(keys[0]), /^[0-9a-f-]{36}$/);
  t.deepEqual(new Set(keys).size, 1);
});

test("what may have been done, and has no key, is not done again", async (t) => {
  const broken = await scripted(t, hangUp, answer(200, { items: [] }));
  await t.throwsAsync(connectRailgate({ url: broken.url }).admitAll([]), { code: "connection_failed" });
  t.is(broken.asked.length, 1);
  const unsure = await scripted(t, answer(503, { code: "evidence_unavailable", recorded: "unknown", event_id: "e1" }));
  const error = await t.throwsAsync(connectRailgate({ url: unsure.url }).rotateKey(), {
    instanceOf: EvidenceUnavailableError,
  });
  t.like(error, { recorded: "unknown", eventId: "e1" });
  t.is(unsure.asked.length, 1);
  const busy = await scripted(
    t,
    answer(503, { code: "evidence_unavailable", recorded: "no" }),
    answer(200, { items: [] }),
  );
  t.deepEqual(await connectRailgate({ url: busy.url }).admitAll([]), []);
});

test("it gives up in time, and says who could not be asked", async (t) => {
  const { url } = await scripted(t, () => {});
  const client = connectRailgate({ url, timeoutMs: 50, retryForMs: 100 });
  await t.throwsAsync(client.jwks(), {
    code: "connection_failed",
    message: `the server at ${url} can't be asked (no answer within 50 ms)`,
  });
  const gone = createServer().listen(0, "127.0.0.1");
  await once(gone, "listening");
  const { port } = gone.address() as AddressInfo;
  gone.close();
  const nobody = connectRailgate({ url: `http://127.0.0.1:${port}`, retryForMs: 0 });
  await t.throwsAsync(nobody.status(), {
    code: "connection_failed",
    message: /can't be asked \(ECONNREFUSED\)/,
  });
  await t.throwsAsync(connectRailgate({ url, token: { file: "/nowhere" } }).jwks(), { code: "config_invalid" });
  t.throws(() => connectRailgate({ url: "ftp://x" }), { code: "config_invalid" });
  t.throws(() => connectRailgate({ url, ca: "x" }), { code: "config_invalid" });
});

test("a token is sent as it is now, and a redirect is not followed with it", async (t) => {
  const { asked, url } = await scripted(
    t,
    answer(200, { keys: [] }),
    answer(200, { keys: [] }),
    answer(302, {}, { location: "http://127.0.0.2/" }),
  );
  const file = join(emptyDir(), "token");
  const client = connectRailgate({ url, token: { file } });
  for (const token of ["one", "two"]) {
    writeFileSync(file, `${token}\n`);
    await client.jwks();
  }
  await t.throwsAsync(connectRailgate({ url, token: async () => "three" }).jwks(), { code: "redirected" });
  t.deepEqual(
    asked.map(({ headers }) => headers.authorization),
    ["Bearer one", "Bearer two", "Bearer three"],
  );
});

/** An authority, and certificates of a server and of a client of tenant acme, by the openssl command. */
function certificates(dir: string) {
  const ssl = (...args: string[]) => execFileSync("openssl", args, { cwd: dir, stdio: "pipe" });
  const key = (name: string) => ssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", `${name}.key`);
  key("ca");
  ssl("req", "-x509", "-new", "-key", "ca.key", "-subj", "/CN=ca", "-days", "2", "-out", "ca.crt");
  writeFileSync(join(dir, "san"), "subjectAltName=IP:127.0.0.1\n");
  for (const [name, subject] of [
    ["server", "/CN=server"],
    ["client", "/O=acme/CN=ci"],
  ] as const) {
    key(name);
    ssl("req", "-new", "-key", `${name}.key`, "-subj", subject, "-out", `${name}.csr`);
    const by = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "san"];
    ssl("x509", "-req", "-in", `${name}.csr`, ...by, "-days", "2", "-out", `${name}.crt`);
  }
  return (name: string) => readFileSync(join(dir, name), "utf8");
}

test("over TLS, by certificate or by token, a caller acts in its own tenant", async (t) => {
  const dir = emptyDir();
  const pem = certificates(dir);
  const { privateKey, publicKey } = await generateKeyPair("ES256");
  const jwks = { keys: [{ ...(await exportJWK(publicKey)), alg: "ES256", kid: "k" }] };
  const served = await start({
    tls: { cert: join(dir, "server.crt"), key: join(dir, "server.key"), client_ca: join(dir, "ca.crt") },
    authentication: { mtls: {}, jwt: { jwks, issuer: "https://login.example", audience: "railgate" } },
  });
  t.teardown(() => served.close());
  const { url } = served;
  const token = () =>
    new SignJWT({ tenant_id: "globex" })
      .setProtectedHeader({ alg: "ES256", kid: "k" })
      .setSubject("ann")
      .setIssuer("https://login.example")
      .setAudience("railgate")
      .setExpirationTime("5m")
      .sign(privateKey);
  const byCertificate = connectRailgate({ url, ca: pem("ca.crt"), cert: pem("client.crt"), key: pem("client.key") });
  const byToken = connectRailgate({ url, ca: pem("ca.crt"), token });
  t.is((await byCertificate.admit(admissible("a", "acme"))).event.actor, "mtls:ci");
  t.is((await byToken.admit(admissible("b", "globex"))).event.actor, "jwt:https://login.example#ann");
  await t.throwsAsync(byToken.events({ tenant_id: "acme" }), { code: "tenant_forbidden" });
  await t.throwsAsync(byToken.rotateKey(), { code: "operator_needed" });
  await using made = await byCertificate.export({ evidence_profile_id: "ecs-evidence-baseline" });
  const report = await byCertificate.verify(made.archive);
  t.is(report.export.export_id, made.exportId);
  for await (const event of byCertificate.follow({ since: "2026-01-01T00:00:00Z" })) {
    t.is(event.tenant_id, "acme");
    break;
  }
  await t.throwsAsync(connectRailgate({ url, ca: pem("ca.crt") }).events(), { code: "unauthenticated" });
  await t.throwsAsync(connectRailgate({ url, retryForMs: 0 }).jwks(), {
    code: "connection_failed",
    message: /CERT|SIGNATURE|certificate/,
  });
});
