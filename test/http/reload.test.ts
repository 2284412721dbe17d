// Files that change under a running server: taken anew as a whole, or not at all, and said either way.
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { Agent } from "node:https";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { connect, type TLSSocket } from "node:tls";
import test from "ava";
import { CompactSign, exportJWK, generateKeyPair, SignJWT, type CryptoKey, type JWK } from "jose";
import { makeLogging } from "../../src/http/logging.ts";
import { Metrics } from "../../src/http/metrics.ts";
import { noteFiles, Reloader } from "../../src/http/reload.ts";
import { readBundleFiles } from "../../src/policy/bundle-files.ts";
import { signBundleFiles, writeBundleFiles } from "../../src/policy/sign.ts";
import { MAIN } from "../cli/railgate.ts";
import { admissible, emptyDir, send, start, type Started } from "./support.ts";
import { spawn } from "../spawn.ts";
import { comes, until } from "../until.ts";

process.setMaxListeners(100);
const [ISSUER, ROOT] = ["https://login.example", "https://root.example"];
const often = { reloadEveryMs: 20 };

/** In one step, as whoever is careful does it. */
function put(file: string, content: string | Uint8Array): void {
  writeFileSync(`${file}.new`, content);
  renameSync(`${file}.new`, file);
}

const said = ({ logs }: Started, what: string, msg: RegExp) =>
  logs.filter((line) => line["what"] === what && msg.test(line["msg"]));
const TAKEN = /^files were taken anew$/;
const KEPT = /^changed files were not taken; what was in use before stays in use$/;

async function signer(alg: string): Promise<{ alg: string; key: CryptoKey; jwk: JWK }> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  return { alg, key: privateKey, jwk: { ...(await exportJWK(publicKey)), kid: "k", alg } };
}
type Signer = Awaited<ReturnType<typeof signer>>;
const jwks = (...signers: Signer[]) => JSON.stringify({ keys: signers.map(({ jwk }) => jwk) });

async function metric(served: Started, line: string): Promise<boolean> {
  return (await (await fetch(`${served.diagnosticsUrl}/metrics`)).text()).split("\n").includes(line);
}

test("callers' keys: the new are taken and the old forgotten; a half-written file changes nothing, and is told", async (t) => {
  const [old, next] = await Promise.all([signer("ES256"), signer("EdDSA")]);
  const file = join(emptyDir(), "callers.jwks.json");
  writeFileSync(file, jwks(old));
  const jwt = { jwks: file, issuer: ISSUER, audience: "railgate" };
  const served = await start({ authentication: { jwt }, diagnostics: { listen: "127.0.0.1:0" } }, often);
  t.teardown(() => served.close());
  const asked = async (by: Signer) => {
    const token = await new SignJWT({ tenant_id: "acme" })
      .setProtectedHeader({ alg: by.alg, kid: "k" })
      .setSubject("ann")
      .setIssuer(ISSUER)
      .setAudience("railgate")
      .setExpirationTime("5m")
      .sign(by.key);
    return (await served.call("GET", "/v1/events", { headers: { authorization: `Bearer ${token}` } })).status;
  };
  t.deepEqual([await asked(old), await asked(next)], [200, 401]);
  writeFileSync(file, jwks(next).slice(0, 60));
  await until(() => said(served, "callers", KEPT).length > 0);
  t.deepEqual([await asked(old), await asked(next)], [200, 401]);
  t.like(said(served, "callers", KEPT)[0], { level: "error", files: [file] });
  t.regex(said(served, "callers", KEPT)[0]!["problem"], /railgate\.authentication\.jwt\.jwks: the file is no JWKS/);
  t.true(await metric(served, 'railgate_reload_failed{what="callers"} 1'));
  put(file, jwks(next));
  await until(() => said(served, "callers", TAKEN).length > 0);
  t.deepEqual([await asked(old), await asked(next)], [401, 200]);
  t.true(await metric(served, 'railgate_reload_failed{what="callers"} 0'));
  put(file, JSON.stringify({ keys: [{ kty: "oct", k: "AAAA" }] }));
  await until(() => said(served, "callers", KEPT).length > 1);
  rmSync(file);
  await until(() => said(served, "callers", KEPT).length > 2);
  t.is(await asked(next), 200);
});

test("certificates: a swapped link is followed, connections go on, and a key that does not fit is not taken", async (t) => {
  const dir = emptyDir();
  for (const [version, subject] of [
    ["v1", "/CN=one"],
    ["v2", "/CN=two"],
  ] as const) {
    mkdirSync(join(dir, version));
    const files = ["-keyout", "tls.key", "-out", "tls.crt", "-subj", subject, "-addext", "subjectAltName=IP:127.0.0.1"];
    const ec = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
    execFileSync("openssl", [...ec, ...files], { cwd: join(dir, version), stdio: "pipe" });
  }
  // As Kubernetes mounts a secret: names that point to a link, which is swapped.
  symlinkSync("v1", join(dir, "..data"));
  for (const name of ["tls.key", "tls.crt"]) symlinkSync(join("..data", name), join(dir, name));
  const served = await start({ tls: { cert: join(dir, "tls.crt"), key: join(dir, "tls.key") } }, often);
  t.teardown(() => served.close());
  const subject = async () => {
    const socket: TLSSocket = connect({ port: served.port, host: "127.0.0.1", rejectUnauthorized: false });
    await comes("a TLS connection", once(socket, "secureConnect"));
    const { CN } = socket.getPeerCertificate().subject;
    socket.destroy();
    return CN;
  };
  const agent = new Agent({ keepAlive: true, rejectUnauthorized: false, maxSockets: 1 });
  const kept = () => send(served.url, "GET", "/healthz", { agent });
  t.is((await kept()).status, 200);
  const [socket] = Object.values(agent.freeSockets)[0]!;
  t.is(await subject(), "one");
  symlinkSync("v2", join(dir, "..next"));
  renameSync(join(dir, "..next"), join(dir, "..data"));
  await until(() => said(served, "tls", TAKEN).length > 0);
  t.is(await subject(), "two");
  t.is((await kept()).status, 200);
  t.is(Object.values(agent.freeSockets)[0]![0], socket!, "the same connection");
  put(join(dir, "v2", "tls.key"), readFileSync(join(dir, "v1", "tls.key")));
  await until(() => said(served, "tls", KEPT).length > 0);
  t.regex(said(served, "tls", KEPT)[0]!["problem"], /railgate\.tls\.key: .* is not the key of the certificate/);
  t.is(await subject(), "two");
  agent.destroy();
});

test("keys whose word counts: a binding by the new key counts once it is there, and the event's snapshot is of it", async (t) => {
  const [old, next] = await Promise.all([signer("EdDSA"), signer("EdDSA")]);
  const file = join(emptyDir(), "root.jwks.json");
  writeFileSync(file, jwks(old));
  const served = await start({ trust: { authorities: [{ issuer: ROOT, jwks: file, root: true }] } }, often);
  t.teardown(() => served.close());
  const hour = 3_600_000;
  const admitted = async (by: Signer) => {
    const payload = {
      issuer: ROOT,
      tenant_id: "acme",
      subject: "*",
      scope: ["workload.admit"],
      valid_from: new Date(Date.now() - hour).toISOString(),
      valid_to: new Date(Date.now() + hour).toISOString(),
    };
    const binding = await new CompactSign(Buffer.from(JSON.stringify(payload)))
      .setProtectedHeader({ alg: "EdDSA", kid: "k", typ: "railgate-authority+jws" })
      .sign(by.key);
    const body = { ...admissible("pay", "acme"), authority: binding };
    const { decision, event } = (await served.call("POST", "/v1/admissions", { body })).json;
    return { outcome: decision.outcome as string, snapshot: event.authority_snapshot_id as string };
  };
  const before = await admitted(old);
  t.deepEqual([before.outcome, (await admitted(next)).outcome], ["accepted", "refused"]);
  put(file, "[]");
  await until(() => said(served, "trust", KEPT).length > 0);
  t.is((await admitted(old)).outcome, "accepted");
  put(file, jwks(next));
  await until(() => said(served, "trust", TAKEN).length > 0);
  const after = await admitted(next);
  t.is(after.outcome, "accepted");
  t.not(after.snapshot, before.snapshot);
  t.is((await admitted(old)).outcome, "refused");
});

test("a bundle from a file: the newer decides, on record; one that is no good is refused on record, and told", async (t) => {
  const { privateKey, publicKey } = await generateKeyPair("ES256", { extractable: true });
  const { exportSPKI } = await import("jose");
  const committed = await readBundleFiles(readFileSync("bundles/railgate.tar.gz"));
  const bundle = async (sequence: number) => {
    const manifest = JSON.parse(Buffer.from(committed.get(".manifest")!).toString());
    const files = new Map(committed);
    files.delete(".signatures.json");
    const changed = { ...manifest, revision: `r${sequence}`, metadata: { railgate: { sequence } } };
    files.set(".manifest", Buffer.from(JSON.stringify(changed)));
    return writeBundleFiles(await signBundleFiles(files, { privateKey, algorithm: "ES256", keyId: "mine" }));
  };
  const file = join(emptyDir(), "law.tar.gz");
  writeFileSync(file, await bundle(10));
  const served = await start({}, often, {
    keys: { mine: { algorithm: "ES256", key: await exportSPKI(publicKey) } },
    bundles: { law: { resource: `file://${file}` } },
  });
  t.teardown(() => served.close());
  const decidedBy = async () =>
    (await served.call("POST", "/v1/admissions", { body: admissible("pay", "acme") })).json.event.policy_snapshot_id;
  const [first, newer] = [await decidedBy(), await bundle(11)];
  put(file, newer.subarray(0, 5000));
  await until(() => said(served, "bundle law", KEPT).length > 0);
  t.is(await decidedBy(), first);
  put(file, newer);
  await until(() => said(served, "bundle law", TAKEN).length > 0);
  t.not(await decidedBy(), first);
  put(file, await bundle(9));
  await until(() => said(served, "bundle law", KEPT).length > 1);
  const { items } = (await served.call("GET", "/v1/events?tenant_id=default&order=asc")).json;
  t.deepEqual(
    items.map(({ event_type }: { event_type: string }) => event_type).filter((type: string) => type !== "node.start"),
    ["policy.activate", "policy.reject", "policy.activate", "policy.reject"],
  );
});

test("SIGHUP takes everything anew, changed or not, and ends nothing", async (t) => {
  const dir = emptyDir();
  writeFileSync(join(dir, "callers.jwks.json"), jwks(await signer("ES256")));
  const jwt = { jwks: "callers.jwks.json", issuer: ISSUER, audience: "railgate" };
  writeFileSync(
    join(dir, "opa.yaml"),
    JSON.stringify({ railgate: { listen: "127.0.0.1:0", authentication: { jwt } } }),
  );
  const child = spawn(process.execPath, [MAIN, "serve"], {
    cwd: dir,
    env: { PATH: process.env["PATH"] },
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.teardown(() => child.kill("SIGKILL"));
  const lines: Record<string, unknown>[] = [];
  const listening = async (): Promise<void> => {
    for await (const line of createInterface({ input: child.stdout })) {
      const said = JSON.parse(line) as Record<string, unknown>;
      lines.push(said);
      if (said["msg"] === "listening") child.kill("SIGHUP");
      if (said["what"] === "callers") child.kill("SIGTERM");
    }
  };
  await comes("the end of its log", listening());
  t.like(
    lines.find(({ what }) => what === "callers"),
    { level: "info", msg: "files were taken anew", files: [join(dir, "callers.jwks.json")] },
  );
  if (child.exitCode === null) await comes("the server ends", once(child, "exit"));
  t.is(child.exitCode, 0);
});

test("what changed while the node started is taken as well", async (t) => {
  const file = join(emptyDir(), "keys");
  writeFileSync(file, "one");
  const before = noteFiles([file]);
  put(file, "two");
  const taken: string[] = [];
  const reload = async () => void taken.push(readFileSync(file, "utf8"));
  const { log } = makeLogging("silent", { write: () => {} });
  const parts = { before, log, metrics: new Metrics(), everyMs: 5 };
  const reloader = new Reloader([{ what: "keys", files: [file], reload }], parts);
  const keepsAlive = setInterval(() => {}, 1000);
  reloader.start();
  await until(() => taken.length > 0);
  clearInterval(keepsAlive);
  await reloader.stop();
  t.deepEqual(taken, ["two"]);
});
