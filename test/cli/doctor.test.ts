// `railgate doctor`: it finds each thing that is wrong, names it, and says how to cure it.
import { admit, admitAll, mesh } from "../gate/commands.ts";
import { chmodSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import test from "ava";
import { RailgateNode } from "../../src/node/open.ts";
import { emptyDir, railgate, railgateOnTerminal } from "./railgate.ts";
import { admissible, insufficient } from "../http/support.ts";

type Report = { ok: boolean; checks: { check: string; status: string; message: string; cure?: string }[] };
const CHECKS = [
  "node",
  "settings",
  "directory",
  "lock",
  "private keys",
  "policy",
  "database",
  "evidence",
  "checkpoints",
  "clock",
  "size",
  "disk",
];

async function recordedNode(now?: () => number): Promise<string> {
  const cwd = emptyDir();
  await using node = await RailgateNode.open({ dataDir: join(cwd, "data"), ...(now && { now }) });
  for (const request of [admissible("one"), insufficient(), admissible("two")]) await admit(node, request);
  return cwd;
}

async function examined(cwd: string): Promise<Report & { code: number | null }> {
  const { code, stdout } = await railgate(["doctor", "--json"], { cwd });
  return { code, ...(JSON.parse(stdout) as Report) };
}

const failures = ({ checks }: Report) => checks.filter(({ status }) => status === "fail");

/** What somebody does to the database who isn't Railgate. */
function tamper(cwd: string, sql: string, ...values: (string | number)[]): void {
  using db = new DatabaseSync(join(cwd, "data/railgate.db"));
  db.exec("PRAGMA foreign_keys = OFF");
  db.prepare(sql).run(...values);
}

test("a node that never started is well", async (t) => {
  const { code, ok, checks } = await examined(emptyDir());
  t.deepEqual([code, ok], [0, true], JSON.stringify(checks));
  t.deepEqual(
    checks.map(({ check }) => check),
    CHECKS,
  );
});

test("a node that has recorded is well, stream by stream", async (t) => {
  const { code, checks } = await examined(await recordedNode());
  t.is(code, 0, JSON.stringify(checks));
  const evidence = checks
    .filter(({ check }) => check === "evidence")
    .map(({ message }) => message.replace(/node-\w+/, "N"));
  t.deepEqual(evidence, [
    "default/N: 2 events, signatures, hashes, chain and tree verified",
    "acme/N: 3 events, signatures, hashes, chain and tree verified",
    "the state of every workload and mesh is what its events say",
  ]);
});

test("it may look while a server writes", async (t) => {
  const cwd = await recordedNode();
  await using node = await RailgateNode.open({ dataDir: join(cwd, "data") });
  node.listening({ url: "http://127.0.0.1:4711" });
  const { code, checks } = await examined(cwd);
  t.is(code, 0, JSON.stringify(checks));
  t.regex(
    checks.find(({ check }) => check === "lock")?.message ?? "",
    new RegExp(`held by process ${process.pid} since \\S+, listening on http://127\\.0\\.0\\.1:4711`),
  );
});

test("a person reads a line each, and the cure below", async (t) => {
  const cwd = await recordedNode();
  chmodSync(join(cwd, "data/keys/event.jwk"), 0o644);
  const { code, stdout } = await railgate(["doctor"], { cwd });
  t.is(code, 1);
  t.regex(stdout, /^ok {4}node {10}Node\.js \d+/m);
  t.regex(
    stdout,
    /^fail {2}private keys {2}\S+event\.jwk is open to other users \(mode 644\)\n {6}cure {2}chmod 600 \S+event\.jwk; /m,
  );
  t.regex(stdout, /^1 failed, 0 to look at\.\n$/m);
  t.regex((await railgateOnTerminal(["doctor"], { cwd })).stdout, /\x1b\[31mfail\x1b\[39m/);
});

const TAMPERED: [what: string, tamper: (cwd: string) => void, message: RegExp][] = [
  [
    "a record cut short",
    (cwd) => tamper(cwd, "UPDATE events SET record = substr(record, 1, 500) WHERE position = 3"),
    /event (?:0|-1): /,
  ],
  [
    "a byte of a payload",
    (cwd) =>
      tamper(cwd, "UPDATE events SET record = replace(record, substr(record, 300, 4), 'AAAA') WHERE position = 4"),
    /./,
  ],
  [
    "an event taken out",
    (cwd) => tamper(cwd, "DELETE FROM events WHERE position = 4"),
    /acme\/\S+, event 2: a gap: it is number 2 where 1 should be/,
  ],
  [
    "the last event taken out",
    (cwd) => tamper(cwd, "DELETE FROM events WHERE position = 5"),
    /acme\/\S+, event 2: events 2 to 2 are missing/,
  ],
  [
    "two events swapped",
    (cwd) => tamper(cwd, "UPDATE events SET position = CASE position WHEN 4 THEN 99 ELSE position END"),
    /a gap: it is number 2 where 1 should be/,
  ],
  [
    "the stream's head",
    (cwd) => tamper(cwd, "UPDATE streams SET head_hash = 'sha256:00' WHERE chain_id LIKE 'acme/%'"),
    /the stream's head is not its last event/,
  ],
  [
    "an artifact",
    (cwd) => tamper(cwd, "UPDATE artifacts SET bytes = replace(bytes, 'payments-api', 'payments-apj')"),
    /its artifact is not the one it points to/,
  ],
  [
    "a workload's state",
    (cwd) => tamper(cwd, "UPDATE states SET value = replace(value, 'admitted', 'running') WHERE key = 'one'"),
    /the state of workload one of acme is not what its events say/,
  ],
  [
    "a workload's state gone",
    (cwd) => tamper(cwd, "DELETE FROM states WHERE key = 'two'"),
    /the state of workload two of acme is not what its events say/,
  ],
  [
    "a workload made up",
    (cwd) =>
      tamper(
        cwd,
        "INSERT INTO states (kind, tenant_id, key, value) SELECT kind, tenant_id, 'ghost', value FROM states WHERE key = 'one'",
      ),
    /the state of workload ghost of acme/,
  ],
  [
    "a key exchanged",
    (cwd) =>
      tamper(cwd, "UPDATE keys SET jwk = json_replace(jwk, '$.x', '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo')"),
    /its signature does not verify/,
  ],
  ["a key gone", (cwd) => tamper(cwd, "DELETE FROM keys"), /which is none of this node's keys/],
];
for (const [what, change, message] of TAMPERED) {
  test(`it finds ${what}`, async (t) => {
    const cwd = await recordedNode();
    change(cwd);
    const report = await examined(cwd);
    t.deepEqual([report.code, report.ok], [1, false]);
    const found = failures(report);
    t.true(
      found.some((finding) => finding.check === "evidence" && message.test(finding.message)),
      JSON.stringify(found),
    );
    t.true(found.every(({ cure }) => cure !== undefined));
  });
}

test("it finds a mesh that isn't what its events say", async (t) => {
  const cwd = emptyDir();
  const policy = {
    elevation_allowed: true,
    max_target_level: "hardware_isolated",
    preserve_latency_budget: false,
    latency_budget_us: 0,
  } as const;
  const rail = { rail_id: "r-1", level: "shared", latency_overhead_us: 1, capacity: 5 } as const;
  {
    await using node = await RailgateNode.open({ dataDir: join(cwd, "data") });
    await mesh(node, { command: "reload", mesh_id: "edge-1", rails: [rail] }, "acme");
    const { refusal } = await mesh(
      node,
      { command: "place", mesh_id: "edge-1", workload_id: "w", rail_id: "r-1", policy },
      "acme",
    );
    t.is(refusal, undefined);
  }
  const well = await examined(cwd);
  t.is(well.code, 0, JSON.stringify(well.checks));
  tamper(cwd, "UPDATE states SET value = replace(value, '\"capacity\":5', '\"capacity\":9') WHERE kind = 'mesh'");
  t.deepEqual(
    failures(await examined(cwd)).map(({ message }) => message),
    ["the state of mesh edge-1 of acme is not what its events say"],
  );
});

test("it finds a database that was rolled back, by the checkpoints beside it", async (t) => {
  const cwd = await recordedNode();
  {
    using db = new DatabaseSync(join(cwd, "data/railgate.db"));
    db.exec("PRAGMA wal_checkpoint(TRUNCATE)"); // all of it in the one file
  }
  const older = readFileSync(join(cwd, "data/railgate.db"));
  {
    await using node = await RailgateNode.open({ dataDir: join(cwd, "data") });
    await admit(node, admissible("three"));
  }
  for (const file of ["railgate.db-wal", "railgate.db-shm"]) rmSync(join(cwd, "data", file), { force: true });
  writeFileSync(join(cwd, "data/railgate.db"), older);
  const report = await examined(cwd);
  t.is(report.code, 1);
  t.true(
    failures(report).some(
      ({ check, message }) => check === "checkpoints" && /the database has 3 events, and 4 were signed/.test(message),
    ),
    JSON.stringify(report.checks),
  );
});

test("it finds a Merkle tile that isn't the records'", async (t) => {
  const cwd = emptyDir();
  {
    await using node = await RailgateNode.open({ dataDir: join(cwd, "data") });
    await admitAll(node, Array.from({ length: 300 }, (_, n) => admissible(`w-${n}`)) as never);
  }
  t.is((await examined(cwd)).code, 0);
  tamper(cwd, "UPDATE tiles SET hashes = zeroblob(length(hashes))");
  t.regex(
    failures(await examined(cwd))[0]?.message ?? "",
    /acme\/\S+, event 299: the stored Merkle tree is not that of the records/,
  );
});

test("an erased artifact is no fault", async (t) => {
  const cwd = await recordedNode();
  tamper(cwd, "DELETE FROM artifacts WHERE position = 4");
  const { code, checks } = await examined(cwd);
  t.is(code, 0);
  t.true(checks.some(({ message }) => /acme\/\S+: 3 events, .* verified, 1 artifact erased/.test(message)));
});

test("it finds a damaged database", async (t) => {
  const cwd = await recordedNode();
  const file = join(cwd, "data/railgate.db");
  using db = new DatabaseSync(file);
  db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  db.close();
  const { openSync, writeSync, closeSync, statSync } = await import("node:fs");
  const fd = openSync(file, "r+");
  for (let at = 8192; at < statSync(file).size; at += 8192) writeSync(fd, Buffer.alloc(512, 0xff), 0, 512, at);
  closeSync(fd);
  const report = await examined(cwd);
  t.is(report.code, 1);
  t.true(
    failures(report).some(({ check }) => check === "database"),
    JSON.stringify(report.checks),
  );
});

test("it finds a directory that is open to others", async (t) => {
  const cwd = await recordedNode();
  chmodSync(join(cwd, "data"), 0o755);
  const { code, checks } = await examined(cwd);
  t.is(code, 0);
  t.like(
    checks.find(({ check }) => check === "directory"),
    { status: "warn" },
  );
});

test("it finds a bundle that nobody trusted signed", async (t) => {
  const cwd = emptyDir();
  const { publicKey } = (await import("node:crypto")).generateKeyPairSync("ec", { namedCurve: "P-256" });
  const pem = (publicKey.export({ type: "spki", format: "pem" }) as string).trim().replaceAll("\n", "\n      ");
  const bundle = new URL("../../bundles/railgate.tar.gz", import.meta.url).pathname;
  writeFileSync(
    join(cwd, "opa.yaml"),
    `keys:\n  k:\n    algorithm: ES256\n    key: |\n      ${pem}\nbundles: { b: { resource: "file://${bundle}" } }\n`,
  );
  const report = await examined(cwd);
  t.is(report.code, 1);
  t.like(failures(report)[0], { check: "policy" });
});

test("it finds a clock that was set back", async (t) => {
  const report = await examined(await recordedNode(() => Date.now() + 3_600_000));
  t.is(report.code, 1);
  t.regex(failures(report)[0]?.message ?? "", /the last event was recorded 3[56]\d\d s in the future/);
});

test("it names settings that have no effect", async (t) => {
  const cwd = emptyDir();
  writeFileSync(join(cwd, "opa.yaml"), "storage: { disk: { directory: /x } }\n");
  const { code, checks } = await examined(cwd);
  t.is(code, 0);
  t.true(
    checks.some(
      ({ check, status, message }) =>
        check === "settings" && status === "warn" && message.startsWith("storage has no effect"),
    ),
  );
});

test("it leaves everything as it was", async (t) => {
  const cwd = await recordedNode();
  const before = readdirSync(join(cwd, "data"), { recursive: true }).sort();
  await examined(cwd);
  const after = readdirSync(join(cwd, "data"), { recursive: true }).sort();
  t.deepEqual(
    after.filter((file) => !/-(wal|shm)$/.test(String(file))),
    before.filter((file) => !/-(wal|shm)$/.test(String(file))),
  );
  await t.notThrowsAsync(async () => {
    await using _ = await RailgateNode.open({ dataDir: join(cwd, "data") });
  });
});
