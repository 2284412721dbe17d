// A host that holds a data directory is asked by the command line through the socket in it, and so is a server; nobody has to stop.
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import test from "ava";
import { connectRailgate, ConnectionError } from "../../src/client/index.ts";
import { openRailgate } from "../../src/embed/index.ts";
import { admissible, emptyDir, start } from "../http/support.ts";
import { railgate } from "../cli/railgate.ts";

test("a host is asked, commanded and audited by the command line while it holds the data", async (t) => {
  const cwd = emptyDir();
  const dataDir = join(cwd, "data");
  const host = await openRailgate({ dataDir });
  const { event } = await host.admit(admissible("pay", "default"));
  const socket = join(dataDir, "railgate.sock");
  t.is(statSync(socket).mode & 0o777, 0o600);
  t.deepEqual(
    readdirSync(dataDir).filter((name) => name.startsWith(".")),
    [],
  );
  writeFileSync(join(cwd, "good.json"), JSON.stringify(admissible("bill", "default")));
  const run = (...args: string[]) => railgate([...args, "--data-dir", dataDir], { cwd });
  const decided = await run("decide", "good.json");
  t.is(decided.code, 0, decided.stderr);
  t.regex(decided.stderr, new RegExp(`Decided by process ${process.pid}, which holds the data directory`));
  const listed = await run("events", "--json", "--limit", "1");
  t.like(JSON.parse(listed.stdout), { actor: "local", event_type: "workload.admit" });
  const exported = await run("export", "--tenant", "default", "--out", join(cwd, "out.tar.gz"));
  t.is(exported.code, 0, exported.stderr);
  t.is((await run("erase", event.id, "--tenant", "default", "--basis", "request 7")).code, 0);
  t.is((await run("keys", "rotate")).code, 0);
  t.is((await host.keys()).filter(({ role }) => role === "event").length, 2);
  await host.close();
  t.false(existsSync(socket));
});

test("a server that wants callers to log in is asked by whoever owns its data; a stranger is still refused", async (t) => {
  const { exportJWK, generateKeyPair } = await import("jose");
  const { publicKey } = await generateKeyPair("ES256");
  const jwks = { keys: [{ ...(await exportJWK(publicKey)), alg: "ES256", kid: "k" }] };
  const served = await start({
    data_dir: join(emptyDir(), "data"),
    authentication: { jwt: { jwks, issuer: "https://login.example", audience: "railgate" } },
  });
  t.teardown(() => served.close());
  t.is((await served.call("GET", "/v1/events")).status, 401);
  await using owner = connectRailgate({ socketPath: join(served.railgate.dataDir, "railgate.sock") });
  t.is((await owner.admit(admissible("pay", "acme"))).event.actor, "local");
  t.deepEqual(await owner.status(), { ready: true, problem: null });
  for await (const event of owner.follow({ since: "2020-01-01T00:00:00Z" })) {
    t.is(event.event_type, "node.start");
    break;
  }
});

test("a socket that an earlier holder left is replaced, and a path of any length has one", async (t) => {
  const dataDir = join(emptyDir(), "d".repeat(100), "e".repeat(60));
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  writeFileSync(join(dataDir, "railgate.sock"), "");
  const host = await openRailgate({ dataDir });
  const client = connectRailgate({ socketPath: join(dataDir, "railgate.sock") });
  t.is((await client.admit(admissible("pay", "acme"))).decision.outcome, "accepted");
  await host.close();
  const after = connectRailgate({ socketPath: join(dataDir, "railgate.sock"), retryForMs: 0 });
  await t.throwsAsync(after.status(), { instanceOf: ConnectionError });
});

test("closing takes no socket away that is another's", async (t) => {
  const dataDir = emptyDir();
  const host = await openRailgate({ dataDir });
  const path = join(dataDir, "railgate.sock");
  const { rmSync } = await import("node:fs");
  rmSync(path);
  const other = createServer().listen(path);
  await new Promise((resolve) => other.once("listening", resolve));
  await host.close();
  t.true(existsSync(path));
  other.close();
});
