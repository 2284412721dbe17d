// A restored copy of a node: it does not start unless somebody says so, and then it signs under another id, with other keys, and on record.
import { once } from "node:events";
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { createInterface } from "node:readline";
import test, { type ExecutionContext } from "ava";
import { eventTextOf } from "../../src/core/event.ts";
import { nextKeyFile, keyFile } from "../../src/evidence/keys/keys.ts";
import { openReader } from "../../src/store/open.ts";
import { MAIN, railgate } from "../cli/railgate.ts";
import { admissible, checkpointed, emptyDir, send, verifiedEvents } from "../http/support.ts";
import { spawn } from "../spawn.ts";
import { comes } from "../until.ts";

process.setMaxListeners(100);

interface Node {
  readonly url: string;
  stop(): Promise<void>;
}

async function serve(t: ExecutionContext, cwd: string, args: string[] = [], env: object = {}): Promise<Node> {
  const child = spawn(process.execPath, [MAIN, "serve", ...args], {
    cwd,
    env: { PATH: process.env["PATH"], RAILGATE_LISTEN: "127.0.0.1:0", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  t.teardown(() => child.kill("SIGKILL"));
  let errors = "";
  child.stderr.on("data", (data) => (errors += data));
  const ended = once(child, "exit");
  const listening = async (): Promise<string> => {
    for await (const line of createInterface({ input: child.stdout })) {
      const { url } = JSON.parse(line) as { url?: string };
      if (url !== undefined) return url;
    }
    throw new Error(`the server ended: ${errors}`);
  };
  const url = await comes("the server says where it listens", listening());
  child.stdout.resume();
  return { url, stop: async () => void (child.kill("SIGTERM"), await comes("the server ends", ended)) };
}

const admit = (node: Node, id: string) => send(node.url, "POST", "/v1/admissions", { body: admissible(id) });

/** A node with three admissions, and what docs/operate.md says to copy of it while it runs. */
async function backedUp(t: ExecutionContext, nodeId = "n1"): Promise<{ dir: string; backup: string }> {
  t.timeout(120_000);
  const dir = emptyDir();
  const node = await serve(t, dir, [], { RAILGATE_NODE_ID: nodeId });
  for (const id of ["a", "b", "c"]) t.is((await admit(node, id)).status, 200);
  await checkpointed(node.url);
  const backup = emptyDir();
  mkdirSync(join(backup, "data"));
  const db = new DatabaseSync(join(dir, "data", "railgate.db"), { readOnly: true });
  db.exec(`VACUUM INTO '${join(backup, "data", "railgate.db")}'`);
  db.close();
  cpSync(join(dir, "data", "keys"), join(backup, "data", "keys"), { recursive: true });
  await node.stop();
  return { dir, backup };
}

async function starts(dir: string) {
  await using store = await openReader(join(dir, "data"));
  const { events } = await store.page({ event_type: "node.start", order: "asc", limit: 100 });
  return events.map(({ record }) => JSON.parse(eventTextOf(record)));
}

async function keysOf(dir: string) {
  await using store = await openReader(join(dir, "data"));
  return store.keys();
}

test.serial(
  "the documented backup opened elsewhere: exit 3, naming the flag; with a reason it goes on as another, on record",
  async (t) => {
    const { backup } = await backedUp(t);
    const refused = await railgate(["serve"], { cwd: backup });
    t.is(refused.code, 3);
    t.regex(refused.stderr, /--after-restore/);
    t.is((await railgate(["serve", "--after-restore", " "], { cwd: backup })).code, 2);
    const before = await keysOf(backup);
    const old = readFileSync(keyFile(join(backup, "data"), "event"), "utf8");

    const node = await serve(t, backup, ["--after-restore", "disk lost"]);
    const { json } = await admit(node, "d");
    t.is(json.event.chain_id, "acme/n1-r1");
    t.is(json.event.sequence, 0);
    t.is((await send(node.url, "GET", "/v1/workloads/a?tenant_id=acme")).json.state, "admitted");
    const streams = (await send(node.url, "GET", "/v1/streams")).json.items as {
      chain_id: string;
      size: number;
      vkey: string;
    }[];
    t.is(streams.find(({ chain_id }) => chain_id === "acme/n1")!.size, 3);
    t.regex(streams.find(({ chain_id }) => chain_id === "acme/n1")!.vkey, /^railgate\.local\/n1\/acme\/n1\+/);
    t.regex(streams.find(({ chain_id }) => chain_id === "acme/n1-r1")!.vkey, /^railgate\.local\/n1-r1\/acme\/n1-r1\+/);
    await node.stop();

    const keys = await keysOf(backup);
    for (const { kid, role } of before) t.not(keys.find((key) => key.kid === kid)!.retired_at_ms, null, role);
    t.deepEqual(
      keys
        .filter(({ retired_at_ms }) => retired_at_ms === null)
        .map(({ role }) => role)
        .sort(),
      ["event", "log"],
    );
    t.not(readFileSync(keyFile(join(backup, "data"), "event"), "utf8"), old);
    t.like((await starts(backup)).at(-1), {
      chain_id: "default/n1-r1",
      details: { node_id: "n1-r1", act: "restore", reason: "disk lost", restored_from: "n1" },
    });

    // The flag left in place, or taken away, or the id still in the settings: the same node goes on.
    for (const [args, env] of [
      [["--after-restore", "disk lost"], {}],
      [[], {}],
      [[], { RAILGATE_NODE_ID: "n1" }],
    ] as const) {
      const again = await serve(t, backup, [...args], env);
      t.is((await admit(again, "e")).json.event.chain_id, "acme/n1-r1");
      await again.stop();
    }
    t.deepEqual(
      (await starts(backup)).map(({ details }) => details.act ?? null),
      [null, "restore", null, null, null],
    );
    await verifiedEvents(backup);

    for (const chain of ["acme/n1-r1", "acme/n1"]) {
      const out = join(emptyDir(), "export");
      const made = await railgate(
        ["export", "--tenant", "acme", "--chain", chain, "--profile", "ecs-evidence-baseline", "--out", out],
        { cwd: backup },
      );
      t.is(made.code, 0, made.stderr);
      const verified = await railgate(["verify", out, "--json"], { cwd: backup });
      const failed = JSON.parse(verified.stdout).checks.filter(({ status }: any) => status === "failed");
      t.deepEqual(failed, [], chain);
    }
    const doctor = await railgate(["doctor", "--json"], { cwd: backup });
    t.notRegex(doctor.stdout, /"fail"/, doctor.stdout);
  },
);

test.serial(
  "a database that is older than what was signed: log_rolled_back, and the flag is the way out",
  async (t) => {
    const { dir, backup } = await backedUp(t);
    const node = await serve(t, dir, [], { RAILGATE_NODE_ID: "n1" });
    t.is((await admit(node, "later")).status, 200);
    await node.stop();
    for (const name of ["railgate.db", "railgate.db-wal", "railgate.db-shm"])
      rmSync(join(dir, "data", name), { force: true });
    cpSync(join(backup, "data", "railgate.db"), join(dir, "data", "railgate.db"));
    const refused = await railgate(["serve", "--json"], { cwd: dir });
    t.is(refused.code, 3);
    t.regex(refused.stdout + refused.stderr, /--after-restore/);
    const again = await serve(t, dir, ["--after-restore", "rolled back by the storage"]);
    t.is((await admit(again, "d")).json.event.chain_id, "acme/n1-r1");
    await again.stop();
    // A second copy of the same backup beside the same checkpoints is a third node.
    cpSync(join(backup, "data", "railgate.db"), join(dir, "data", "railgate.db"));
    const third = await serve(t, dir, ["--after-restore", "once more"]);
    t.is((await admit(third, "d")).json.event.chain_id, "acme/n1-r2");
    await third.stop();
  },
);

test.serial(
  "a restore that a crash cut short before the keys were in place is finished by the next start",
  async (t) => {
    const { backup } = await backedUp(t);
    const data = join(backup, "data");
    await (await serve(t, backup, ["--after-restore", "moved"])).stop();
    for (const { kid, role } of (await keysOf(backup)).filter(({ retired_at_ms }) => retired_at_ms === null))
      renameSync(keyFile(data, role), nextKeyFile(data, kid, role));
    const again = await serve(t, backup);
    t.is((await admit(again, "d")).json.event.chain_id, "acme/n1-r1");
    await again.stop();
    t.true(existsSync(keyFile(data, "log")));
    await verifiedEvents(backup);
  },
);
