// What the log says, over real HTTP: who called, why one was turned away, why a node did not start; and nothing of what was sent.
import { copyFileSync, existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { loadConfig } from "../../src/node/config/config.ts";
import { serve } from "../../src/http/server.ts";
import { admissible, emptyDir, start } from "./support.ts";

const MARK = "s3cr3t";

test("bodies, tokens, headers and queries are in no line, whatever the level and whatever comes of the call", async (t) => {
  const { privateKey, publicKey } = await generateKeyPair("ES256");
  const jwks = { keys: [{ ...(await exportJWK(publicKey)), alg: "ES256", kid: "k" }] };
  const served = await start({
    log_level: "trace",
    authentication: { jwt: { jwks, issuer: "https://login.example", audience: "railgate" } },
  });
  const signed = (claims: object) =>
    new SignJWT({ tenant_id: "acme", email: `${MARK}@example`, ...claims })
      .setProtectedHeader({ alg: "ES256", kid: "k" })
      .setSubject("ann")
      .setIssuer("https://login.example")
      .setAudience("railgate")
      .setExpirationTime("5m")
      .sign(privateKey);
  const headers = { authorization: `Bearer ${await signed({})}`, cookie: `a=${MARK}`, "user-agent": MARK };
  const request = admissible("pay", "acme");
  const named = { ...request, workload: { ...request.workload, attributes: { "x/owner": `${MARK}@example` } } };
  const calls = [
    ["POST", `/v1/admissions`, { headers, body: named }],
    ["POST", `/v1/admissions`, { headers, body: { workload: MARK } }],
    ["POST", `/v1/admissions`, { headers, body: `{"${MARK}` }],
    ["POST", `/v1/admissions?tenant_id=${MARK}-other`, { headers, body: named }],
    ["GET", `/v1/events?correlation_id=${MARK}`, { headers }],
    ["GET", `/v1/nowhere?name=${MARK}`, { headers }],
    ["GET", `/v1/events`, { headers: { ...headers, authorization: `Bearer ${MARK}` } }],
    [
      "GET",
      `/v1/events`,
      { headers: { ...headers, authorization: `Bearer ${await signed({ tenant_id: `${MARK} ` })}` } },
    ],
  ] as const;
  const statuses: number[] = [];
  for (const [method, path, call] of calls) statuses.push((await served.call(method, path, call)).status);
  await served.close();
  t.deepEqual(statuses, [200, 422, 400, 403, 200, 404, 401, 401]);
  const lines = served.logs.map((line) => JSON.stringify(line));
  t.deepEqual(
    lines.filter((line) => line.includes(MARK)),
    [],
  );
  t.is(served.logs.filter(({ route }) => route !== undefined).length, calls.length);
  const [why, path] = [
    served.logs.find(({ status }) => status === 401),
    served.logs.find(({ status }) => status === 404),
  ];
  t.like(why, { code: "unauthenticated" });
  t.truthy(why!["problem"]);
  t.like(path, { path: "/v1/nowhere", caller: "jwt:https://login.example#ann", tenant_id: "acme" });
});

test("probes and scrapes that go well are told at debug only; one that does not is told", async (t) => {
  const served = await start();
  for (const path of ["/healthz", "/readyz", "/health", "/metrics"]) await served.call("GET", path);
  t.deepEqual(
    served.logs.filter(({ route }) => route !== undefined),
    [],
  );
  await served.call("POST", "/healthz");
  t.like(served.logs.at(-1), { route: "/healthz", status: 405, level: "info" });
  await served.close();
});

test("a node that finds its database behind what it signed says so in the log, by its code", async (t) => {
  const dir = emptyDir();
  writeFileSync(join(dir, "opa.yaml"), JSON.stringify({ railgate: { listen: "127.0.0.1:0", node_id: "n1" } }));
  const config = loadConfig({ env: {}, cwd: dir });
  const logs: Record<string, unknown>[] = [];
  const options = { signals: false, logTo: { write: (line: string) => void logs.push(JSON.parse(line)) } };
  const db = join(config.dataDir, "railgate.db");
  await (await serve(config, options)).close();
  // With its log of writes, which may hold all of it.
  for (const end of ["", "-wal"].filter((each) => existsSync(db + each)))
    copyFileSync(db + end, join(dir, `old${end}`));
  const second = await serve(config, options);
  await second.railgate.admit(admissible("pay", "acme"));
  await second.close();
  for (const end of ["", "-wal", "-shm"]) {
    rmSync(db + end, { force: true });
    if (existsSync(join(dir, `old${end}`))) copyFileSync(join(dir, `old${end}`), db + end);
  }
  await t.throwsAsync(serve(config, options), { code: "log_rolled_back" });
  t.like(logs.at(-1), { level: "fatal", code: "log_rolled_back", msg: "the node did not start" });
  t.regex(String(logs.at(-1)!["problem"]), /the database has \d+ events, and \d+ were signed.*--after-restore/);
});
