// Files taken away or replaced under a running node: it notices, answers EVI-01 and is not ready; and nobody else may write beside it.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import test, { type ExecutionContext } from "ava";
import { admissible, emptyDir, send, verifiedEvents } from "../http/support.ts";
import { MAIN } from "../cli/railgate.ts";
import { spawnServer, type Server } from "./process.ts";
import { until } from "../until.ts";

process.setMaxListeners(100);

interface Running {
  readonly dir: string;
  readonly data: string;
  readonly server: Server;
}

async function running(t: ExecutionContext): Promise<Running> {
  t.timeout(120_000);
  const dir = emptyDir();
  const server = await spawnServer(dir);
  t.teardown(() => server.kill());
  t.is((await admit(server, "before")).status, 200);
  // The first checkpoint is written.
  await sleep(1500);
  return { dir, data: join(dir, "data"), server };
}

const admit = (server: Server, id: string) => send(server.url, "POST", "/v1/admissions", { body: admissible(id) });

async function ready(server: Server): Promise<boolean> {
  return (await send(server.url, "GET", "/readyz")).status === 200;
}

const inPlace = (data: string) => {
  const copy = join(data, "copy.db");
  cpSync(join(data, "railgate.db"), copy);
  return copy;
};

const DISPLACED: Record<string, (running: Running) => void> = {
  "the database deleted": ({ data }) => rmSync(join(data, "railgate.db")),
  "the database replaced by its copy": ({ data }) => renameSync(inPlace(data), join(data, "railgate.db")),
  "the log of writes deleted": ({ data }) => rmSync(join(data, "railgate.db-wal")),
  "the directory deleted": ({ data }) => rmSync(data, { recursive: true }),
  "the directory moved away, an empty one in its place": ({ data }) => {
    renameSync(data, `${data}-2`);
    mkdirSync(data);
  },
  "the file of checkpoints deleted": ({ data }) => rmSync(join(data, "checkpoints"), { recursive: true }),
  "the file of checkpoints replaced": ({ data }) => {
    const [name] = readdirSync(join(data, "checkpoints"));
    rmSync(join(data, "checkpoints", name!));
    writeFileSync(join(data, "checkpoints", name!), "");
  },
};

for (const [what, displace] of Object.entries(DISPLACED)) {
  test.serial(`${what}: the next decision is EVI-01, and it stays so`, async (t) => {
    const node = await running(t);
    displace(node);
    for (const id of ["a", "b"]) {
      const { json } = await admit(node.server, id);
      t.like(json, { status: 503, code: "evidence_unavailable", recorded: "no" });
      t.false(await ready(node.server));
      await sleep(1200);
    }
  });

  test.serial(`${what}: a node at rest is not ready within two seconds`, async (t) => {
    const node = await running(t);
    displace(node);
    await sleep(2500);
    t.false(await ready(node.server));
    t.is((await send(node.server.url, "GET", "/healthz")).status, 200);
  });
}

test.serial(
  "what only the log of writes had is in the database when that is taken away, and a restart goes on",
  async (t) => {
    const node = await running(t);
    rmSync(join(node.data, "railgate.db-wal"));
    t.is((await admit(node.server, "refused")).status, 503);
    await node.server.kill();
    const again = await spawnServer(node.dir);
    t.teardown(() => again.kill());
    t.is((await admit(again, "after")).status, 200);
    await again.stop();
    const admitted = (await verifiedEvents(node.dir)).filter(({ event_type }) => event_type === "workload.admit");
    t.deepEqual(
      admitted.map(({ subject }) => subject),
      ["before", "after"],
    );
  },
);

test.serial("the very same directory moved away and back: it goes on by itself", async (t) => {
  const node = await running(t);
  renameSync(node.data, `${node.data}-2`);
  await until(async () => !(await ready(node.server)));
  renameSync(`${node.data}-2`, node.data);
  await until(() => ready(node.server));
  t.is((await admit(node.server, "after")).status, 200);
  await node.server.stop();
  await verifiedEvents(node.dir);
});

const WRITTEN_INTO = "written into its file";
const OLDER: Record<string, (copy: string, database: string) => void> = {
  [WRITTEN_INTO]: (copy, database) => writeFileSync(database, readFileSync(copy)),
  "put where it was": (copy, database) => cpSync(copy, database),
};

for (const [how, replace] of Object.entries(OLDER)) {
  test.serial(`an older copy of the database ${how} is not gone on with`, async (t) => {
    const node = await running(t);
    const copy = inPlace(node.data);
    for (let i = 0; i < 5; i++) t.is((await admit(node.server, `w${i}`)).status, 200);
    await sleep(1500);
    replace(copy, join(node.data, "railgate.db"));
    rmSync(copy);
    await sleep(2500);
    const { status } = await admit(node.server, "late");
    t.is((await send(node.server.url, "GET", "/healthz")).status, 200);
    await node.server.kill();
    // What was written into its file is still its own, and where its log of writes has all that is missing nothing was lost; else it must not have gone on.
    if (status === 200 && how === WRITTEN_INTO) await verifiedEvents(node.dir);
    else t.is(status, 503);
  });
}

test.serial("with the lock files removed, a second node is still refused, and the first goes on", async (t) => {
  const node = await running(t);
  rmSync(join(node.data, "lock.db"));
  const env = { PATH: process.env["PATH"], RAILGATE_DATA_DIR: node.data, RAILGATE_LISTEN: "127.0.0.1:0" };
  for (const more of [() => {}, () => rmSync(join(node.data, "lock.json"))]) {
    more();
    const second = spawnSync(process.execPath, [MAIN, "serve"], { env, encoding: "utf8", timeout: 60_000 });
    t.is(second.status, 3, second.stderr);
    t.regex(second.stderr, /in use by/);
  }
  t.is((await admit(node.server, "after")).status, 200);
  await node.server.stop();
  await verifiedEvents(node.dir);
});
