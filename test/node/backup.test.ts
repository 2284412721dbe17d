// A backup is whole, consistent and verified, or there is none; a restore fills an empty directory with all of it, or leaves it as it was.
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import test from "ava";
import { gunzipSync, gzipSync } from "node:zlib";
import { openRailgate } from "../../src/embed/index.ts";
import { makeBackup } from "../../src/node/backup/make.ts";
import { restoreBackup } from "../../src/node/backup/restore.ts";
import { openReader } from "../../src/store/open.ts";
import { admissible, emptyDir, start } from "../http/support.ts";
import { MAIN, railgate } from "../cli/railgate.ts";
import { spawn } from "../spawn.ts";
import { comes, until } from "../until.ts";

process.setMaxListeners(100);
const nowMs = Date.now();

/** A backup of a node with a few decisions, which is closed again. */
async function backedUp(): Promise<{ dir: string; file: string; dataDir: string }> {
  const dir = emptyDir();
  const dataDir = join(dir, "data");
  const gate = await openRailgate({ dataDir, nodeId: "n1" });
  await gate.admitAll(["a", "b", "c"].map((id) => admissible(id, "acme")));
  await gate.close();
  const file = join(dir, "backup.tar.gz");
  await makeBackup({ dataDir, out: file, nowMs });
  return { dir, file, dataDir };
}

test("a host backs itself up while it decides; the copy goes on as another, on record, and all of it verifies", async (t) => {
  t.timeout(120_000);
  const dir = emptyDir();
  const gate = await openRailgate({ dataDir: join(dir, "data"), nodeId: "n1" });
  const before = await gate.admit(admissible("w0", "acme"));
  await gate.checkpoint("acme/n1");
  let deciding = true;
  const load = (async () => {
    for (let n = 1; deciding; n++) await gate.admit(admissible(`w${n}`, "acme"));
  })();
  const file = join(dir, "backup.tar.gz");
  const made = await gate.backup(file);
  deciding = false;
  await load;
  await gate.close();
  t.like(made, { path: file, node_id: "n1" });
  t.is(statSync(file).mode & 0o777, 0o600);
  t.deepEqual(readdirSync(dir).sort(), ["backup.tar.gz", "data"]);
  t.notRegex(gunzipSync(readFileSync(file)).toString("latin1"), /checkpoints\//);

  const to = join(dir, "restored");
  const restored = await railgate(["restore", file, "--data-dir", to, "--json"]);
  t.is(restored.code, 0, restored.stderr);
  t.like(JSON.parse(restored.stdout), { node_id: "n1", events: made.events, streams: made.streams });
  await t.throwsAsync(openRailgate({ dataDir: to }), { code: "checkpoints_missing" });
  await using copy = await openRailgate({ dataDir: to, afterRestore: "disk lost" });
  t.is(copy.figures.nodeId, "n1-r1");
  t.is((await copy.event(before.event.id)).record, before.receipt);
  const { items } = await copy.events({ event_type: "node.start", limit: 1 });
  t.like(items[0], { details: { act: "restore", reason: "disk lost", restored_from: "n1" } });
  await copy.admit(admissible("after", "acme"));
  // As far as it was signed: the last events may have come after the last checkpoint, and nobody signs for n1 any more.
  const size = Number((await copy.checkpoint("acme/n1")).split("\n")[1]);
  const exported = await copy.export({ tenant_id: "acme", chain_id: "acme/n1", to_sequence: size - 1 });
  t.true((await copy.verify(exported.archive)).ok);
});

test("from the command line: made beside a server, restored with a reason, and sound", async (t) => {
  t.timeout(120_000);
  const served = await start({ node_id: "n7", data_dir: join(emptyDir(), "data") });
  t.teardown(() => served.close());
  await served.call("POST", "/v1/admissions", { body: admissible("pay", "default") });
  const cwd = emptyDir();
  const file = join(cwd, "b.tar.gz");
  const made = await railgate(["backup", "--out", file, "--data-dir", served.railgate.dataDir], { cwd });
  t.is(made.code, 0, made.stderr);
  t.regex(made.stdout, /^Backed up n7: 3 events in 1 stream, verified, to .*b\.tar\.gz\.\n$/);
  const again = await railgate(["backup", "--out", file, "--data-dir", served.railgate.dataDir, "--json"], { cwd });
  t.is(again.code, 3);
  t.is(JSON.parse(again.stdout).code, "backup_failed");
  const to = join(cwd, "data");
  const restored = await railgate(["restore", file, "--data-dir", to, "--reason", "drill"], { cwd });
  t.is(restored.code, 0, restored.stderr);
  t.regex(restored.stdout, /It goes on as n7-r1, with new keys; that is on record\./);
  const twice = await railgate(["restore", file, "--data-dir", to, "--json"], { cwd });
  t.is(twice.code, 3);
  t.is(JSON.parse(twice.stdout).code, "data_dir_not_empty");
  t.regex(twice.stderr, /is not empty .*move away what is there, or name another place with --data-dir/);
  const remote = await railgate(["backup", "--out", "x"], { cwd, env: { RAILGATE_URL: served.url } });
  t.is(remote.code, 2);
});

test("what is no backup, or not the whole of one, restores nothing", async (t) => {
  const { dir, file } = await backedUp();
  const bytes = gunzipSync(readFileSync(file));
  const altered = Buffer.from(bytes);
  altered[altered.indexOf("SQLite format 3") + 5000]! ^= 1;
  const cases: [string, Uint8Array][] = [
    ["empty", new Uint8Array()],
    ["text", Buffer.from("not an archive at all")],
    ["cut", gzipSync(bytes.subarray(0, bytes.length / 2))],
    ["altered", gzipSync(altered)],
    ["renamed", gzipSync(Buffer.from(bytes.toString("latin1").replace("keys/event.jwk", "../../evil.jwk"), "latin1"))],
  ];
  for (const [name, content] of cases) {
    const path = join(dir, `${name}.tar.gz`);
    writeFileSync(path, content);
    const to = join(dir, `to-${name}`);
    await t.throwsAsync(restoreBackup({ path, dataDir: to, nowMs }), { code: "no_backup" }, name);
    t.deepEqual(
      readdirSync(to).filter((each) => each !== "lock.db"),
      [],
      name,
    );
    // What failed leaves it as empty as it was.
    await restoreBackup({ path: file, dataDir: to, nowMs });
  }
  const { code, stdout } = await railgate([
    "restore",
    join(dir, "text.tar.gz"),
    "--data-dir",
    join(dir, "x"),
    "--json",
  ]);
  t.deepEqual([code, JSON.parse(stdout).code], [3, "no_backup"]);
  const absent = await t.throwsAsync(restoreBackup({ path: join(dir, "none"), dataDir: join(dir, "y"), nowMs }));
  t.regex(absent!.message, /there is no file/);
});

test("evidence that does not verify is not backed up, and a directory that is held is not filled", async (t) => {
  const { dir, file, dataDir } = await backedUp();
  const db = new DatabaseSync(join(dataDir, "railgate.db"));
  db.exec("UPDATE events SET record = replace(record, '.', '.A') WHERE position = 3");
  db.close();
  const out = join(dir, "second.tar.gz");
  const { code, stdout } = await railgate(["backup", "--out", out, "--data-dir", dataDir, "--json"]);
  t.deepEqual([code, JSON.parse(stdout).code], [1, "backup_unsound"]);
  t.false(existsSync(out));
  t.deepEqual(readdirSync(dir).sort(), ["backup.tar.gz", "data"]);
  await t.throwsAsync(restoreBackup({ path: file, dataDir, nowMs }), { code: "data_dir_not_empty" });
  await t.throwsAsync(makeBackup({ dataDir: join(dir, "none"), out, nowMs }), { code: "backup_failed" });
});

test("a full disk leaves nothing behind, and says what to do", async (t) => {
  const { dir, dataDir } = await backedUp();
  const out = join(dir, "full.tar.gz");
  const child = spawn(
    "prlimit",
    ["--fsize=65536", process.execPath, MAIN, "backup", "--out", out, "--data-dir", dataDir, "--json"],
    {
      cwd: dir,
      env: { PATH: process.env["PATH"], HOME: dir },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  let said = "";
  child.stdout.on("data", (data) => (said += data));
  const [code] = await comes("the backup gives up", once(child, "close"));
  t.is(code, 3, said);
  t.like(JSON.parse(said), { code: "backup_failed" });
  t.regex(JSON.parse(said).message, /can't be written: .*make room, or name another place/);
  t.false(existsSync(out));
  t.deepEqual(
    readdirSync(dir).filter((name) => name.includes("partial")),
    [],
  );
});

test("killed in the middle there is no backup, or a whole one, and the next one is made", async (t) => {
  t.timeout(120_000);
  const { dir, dataDir } = await backedUp();
  const out = join(dir, "killed.tar.gz");
  const child = spawn(process.execPath, [MAIN, "backup", "--out", out, "--data-dir", dataDir], { stdio: "ignore" });
  const ended = once(child, "close");
  await until(() => child.exitCode !== null || readdirSync(dir).some((name) => name.includes("partial")));
  child.kill("SIGKILL");
  await comes("the backup is gone", ended);
  if (existsSync(out)) await restoreBackup({ path: out, dataDir: join(dir, "whole"), nowMs });
  const made = await makeBackup({ dataDir, out: join(dir, "next.tar.gz"), nowMs });
  t.is(made.events, 5);
  await using store = await openReader(dataDir);
  t.is((await store.log.streams()).length, 2);
});

test("what lies in the directory and is no file is not backed up", async (t) => {
  const { dir, dataDir } = await backedUp();
  mkdirSync(join(dataDir, "witness", "forks"), { recursive: true });
  const server = createServer().listen(join(dataDir, "keys", "x.sock"));
  await once(server, "listening");
  const out = join(dir, "b2.tar.gz");
  await makeBackup({ dataDir, out, nowMs });
  server.close();
  await restoreBackup({ path: out, dataDir: join(dir, "to"), nowMs });
  t.deepEqual(readdirSync(join(dir, "to", "keys")).sort(), ["event.jwk", "log.jwk"]);
});
