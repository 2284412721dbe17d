// A store copied into another: alike in everything, gone on with after an interruption and beside a node that runs, and stopped by the first record that is not what was signed.
import { once } from "node:events";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import test from "ava";
import pg from "pg";
import { verifyStore } from "../../src/evidence/fsck/streams.ts";
import { copyStore, type StoreCopyOptions } from "../../src/node/copy.ts";
import { RailgateNode } from "../../src/node/open.ts";
import { eventTextOf } from "../../src/core/event.ts";
import { openCopySource, openCopyTarget, openReader, type StoreAt } from "../../src/store/open.ts";
import { storeAt } from "../../src/store/shared.ts";
import { railgate, start as startCli } from "../cli/railgate.ts";
import { admit, admitAll, lifecycle, mesh } from "../gate/commands.ts";
import { spawnServer } from "../host/process.ts";
import { admissible, emptyDir, send } from "../http/support.ts";
import { noPostgres, testServer } from "../postgres/server.ts";
import { comes, until } from "../until.ts";

process.setMaxListeners(100);
const NOW = Date.UTC(2026, 10, 27);
const open = (dataDir: string) => RailgateNode.open({ dataDir, nodeId: "n1" });
const copy = (from: string, to: string, more: Partial<StoreCopyOptions> = {}) =>
  copyStore({ from, to, nowMs: NOW, progress: () => {}, ...more });

/** Decisions of all kinds, a rotated key, an erased artifact. */
async function filled(events = 0): Promise<string> {
  const dir = join(emptyDir(), "data");
  await using node = await open(dir);
  const [first] = await admitAll(
    node,
    ["a", "b", ...Array.from({ length: events }, (_, n) => `w-${n}`)].map((id) => admissible(id)),
  );
  await lifecycle(node, { command: "transition", workload_id: "a", transition: "create" }, "acme");
  const rails = [{ rail_id: "r", level: "sandbox_isolated", latency_overhead_us: 1, capacity: 1 }] as const;
  await mesh(node, { command: "reload", mesh_id: "m", rails }, "acme");
  await node.rotateKey();
  await node.eraseArtifact(first!.eventId, "acme", "on request", "test");
  await admit(node, { ...admissible("b"), attestation: { token: "x.y.z" } });
  return dir;
}

interface Held {
  readonly events: string[];
  readonly rest: unknown[];
}

async function held(dir: StoreAt): Promise<Held> {
  await using store = await openCopySource(dir);
  const events = await store.events({ order: "asc", limit: 100_000 });
  const artifacts = [];
  for (const { chain_id, size } of await store.log.streams())
    for (let n = 0; n < size; n++) artifacts.push((await store.log.artifactAt(chain_id, n))?.length ?? null);
  const meta = { ...(await store.metaRows()), probed_at_ms: "", copy_unfinished: "", moved_to: "" };
  return {
    events: events.map(({ record }) => record),
    rest: [artifacts, await store.stateRows(100_000), await store.keys(), await store.blobDigests(1000), meta],
  };
}

test("a copy is alike in everything, and its node goes on in the same streams", async (t) => {
  const from = await filled();
  const to = join(emptyDir(), "copy");
  const copied = await copy(from, to);
  t.like(copied, { from, to, finished: true });
  const [source, target] = [await held(from), await held(to)];
  t.is(copied.events, source.events.length);
  t.deepEqual(target, source);
  {
    await using node = await open(to);
    t.is((await admit(node, admissible("after"))).event.chain_id, "acme/n1");
  }
  {
    await using store = await openReader(to);
    const { streams, states, order } = await verifyStore(store, () => {});
    t.deepEqual([states, order, streams.filter(({ fault }) => fault)], [[], [], []]);
  }
  await t.throwsAsync(copy(from, to), { code: "target_not_empty" });
});

test("what a running node adds is copied as well, and a copy that is not finished is no place for a node", async (t) => {
  const from = await filled();
  const to = join(emptyDir(), "copy");
  {
    await using node = await open(from);
    const first = await copy(from, to);
    t.false(first.finished);
    await t.throwsAsync(open(to), { code: "store_moved" });
    await admit(node, admissible("later"));
    const again = await copy(from, to);
    t.false(again.finished);
    t.true(again.events > first.events);
  }
  t.true((await copy(from, to)).finished);
  t.deepEqual(await held(to), await held(from));
});

test("one that was interrupted goes on where it was, and not as a copy of something else", async (t) => {
  const from = await filled(700);
  const to = join(emptyDir(), "copy");
  const interrupted = copy(from, to, {
    progress: ({ phase, events }) => {
      if (phase === "copied" && events > 256) throw new Error("interrupted");
    },
  });
  await t.throwsAsync(interrupted, { message: "interrupted" });
  await t.throwsAsync(copy(await filled(), to), { code: "target_not_empty" });
  let least = Infinity;
  await copy(from, to, {
    progress: ({ phase, events }) => void (phase === "copied" && (least = Math.min(least, events))),
  });
  t.true(least > 512, "what was there was not copied again");
  t.deepEqual(await held(to), await held(from));
});

const ALTERED: readonly [what: string, sql: string, message: RegExp][] = [
  [
    "a record",
    "UPDATE events SET record = replace(record, '.', '.A') WHERE event_type = 'mesh.reload'",
    /cannot be read|event \d+ of acme\/n1/,
  ],
  [
    "a record exchanged for another that was signed",
    "UPDATE events SET record = (SELECT record FROM events AS o WHERE o.position = events.position - 1) WHERE event_type = 'mesh.reload'",
    /lacks|event \d+ of acme\/n1|not alike/,
  ],
  [
    "an artifact",
    "UPDATE artifacts SET bytes = replace(bytes, '\"m\"', '\"n\"') WHERE position = (SELECT position FROM events WHERE event_type = 'mesh.reload')",
    /event \d+ of acme\/n1: its artifact is not the one it points to/,
  ],
];
for (const [what, sql, message] of ALTERED)
  test(`${what} that was altered stops it, and is named`, async (t) => {
    const from = await filled();
    {
      using db = new DatabaseSync(join(from, "railgate.db"));
      t.true(db.prepare(sql).run().changes > 0);
    }
    const error = await t.throwsAsync(copy(from, join(emptyDir(), "copy")), { message });
    t.true(["record_altered", "copy_differs"].includes((error as { code?: string }).code ?? ""), what);
  });

test("cut over, a running node is stopped, all that it recorded is in the copy, and it starts only there", async (t) => {
  t.timeout(120_000);
  const dir = emptyDir();
  const server = await spawnServer(dir, { RAILGATE_NODE_ID: "n1" });
  t.teardown(() => server.kill());
  t.is((await send(server.url, "POST", "/v1/admissions", { body: admissible("a") })).status, 200);
  const [from, to] = [join(dir, "data"), join(dir, "copy")];
  const { code, stdout, stderr } = await railgate(
    ["store", "copy", "--from", from, "--to", to, "--cut-over", "--json"],
    {
      cwd: dir,
    },
  );
  t.is(code, 0, stderr);
  t.like(JSON.parse(stdout), { from, to, finished: true });
  await t.throwsAsync(open(from), { code: "store_moved", message: /has gone over to .*copy/ });
  t.deepEqual((await held(to)).events, (await held(from)).events);
  {
    await using node = await open(to);
    t.is((await admit(node, admissible("b"))).event.chain_id, "acme/n1");
  }
  await using other = await RailgateNode.open({ dataDir: from, nodeId: "n1", afterRestore: "gone on by itself" });
  t.is(other.nodeId, "n1-r1");
});

const missing = noPostgres();
(missing === undefined ? test : test.skip)(
  "from a data directory to PostgreSQL and back again it is alike, and a node goes on at either",
  async (t) => {
    const from = await filled(300);
    const url = await (await testServer()).url();
    const keys = join(emptyDir(), "keys");
    const interrupted = copy(from, url, {
      dataDir: keys,
      progress: ({ phase }) => {
        if (phase === "copied") throw new Error("interrupted");
      },
    });
    await t.throwsAsync(interrupted, { message: "interrupted" });
    await t.throwsAsync(RailgateNode.open({ dataDir: keys, nodeId: "n1", store: { url } }), { code: "store_moved" });
    const { events, finished } = await copy(from, url, { dataDir: keys });
    t.true(finished);
    const source = await held(from);
    t.is(events, source.events.length);
    t.deepEqual(await held(storeAt(keys, { url })), source);
    await t.throwsAsync(copy(from, url, { dataDir: keys }), { code: "target_not_empty" });
    {
      await using node = await RailgateNode.open({ dataDir: keys, nodeId: "n1", store: { url } });
      t.is((await admit(node, admissible("there"))).event.sequence, source.events.filter(isOf("acme")).length);
      await using store = await openReader(storeAt(keys, { url }));
      const { streams, states, order } = await verifyStore(store, () => {});
      t.deepEqual([states, order, streams.filter(({ fault }) => fault)], [[], [], []]);
    }
    const back = join(emptyDir(), "back");
    t.true((await copy(url, back, { dataDir: keys })).finished);
    t.deepEqual(await held(back), await held(storeAt(keys, { url })));
    await using node = await open(back);
    t.is((await admit(node, admissible("here-again"))).event.chain_id, "acme/n1");
  },
);

(missing === undefined ? test : test.skip)(
  "killed between the last index and the first, it is no place for any node, and is gone on with till all indices are back",
  async (t) => {
    t.timeout(300_000);
    const from = await filled();
    const [url, keys] = [await (await testServer()).url(), join(emptyDir(), "keys")];
    await (await openCopyTarget(storeAt(keys, { url }))).close();
    const [client, watcher] = [new pg.Client(url), new pg.Client(url)];
    await Promise.all([client.connect(), watcher.connect()]);
    t.teardown(() => Promise.all([client.end(), watcher.end()]));
    const waitsFor = async (table: string) =>
      (
        await watcher.query("SELECT 1 FROM pg_locks WHERE NOT granted AND relation = $1::regclass", [
          `railgate.${table}`,
        ])
      ).rows.length > 0;
    const indices = async () =>
      (
        await watcher.query(
          "SELECT indexname, indexdef FROM pg_indexes JOIN pg_class ON relname = indexname JOIN pg_index ON indexrelid = pg_class.oid WHERE schemaname = 'railgate' AND indisvalid ORDER BY 1",
        )
      ).rows;
    const before = await indices();
    // Held up where it has dropped them, then where it makes them: what waits for a lock is killed there.
    for (const [table, mode] of [
      ["artifacts", "ACCESS EXCLUSIVE"],
      ["events", "ROW EXCLUSIVE"],
    ] as const) {
      await client.query(`BEGIN; LOCK TABLE railgate.${table} IN ${mode} MODE`);
      const child = startCli(["store", "copy", "--from", from, "--to", url, "--data-dir", keys]);
      const ended = once(child, "close");
      await until(() => waitsFor(table), "the copy waits for the lock");
      child.kill("SIGKILL");
      await comes("the copy is gone", ended);
      await client.query("ROLLBACK");
      t.true((await indices()).length < before.length, table);
      for (const dataDir of [keys, join(emptyDir(), "another")])
        await t.throwsAsync(RailgateNode.open({ dataDir, nodeId: "n2", store: { url } }), {
          code: "store_moved",
          message: /^PostgreSQL at .* is a copy of .*\/data that is not finished.*railgate store copy --from/,
        });
    }
    t.true((await copy(from, url, { dataDir: keys })).finished);
    t.deepEqual(await indices(), before);
    t.deepEqual(await held(storeAt(keys, { url })), await held(from));
    await using node = await RailgateNode.open({ dataDir: keys, nodeId: "n1", store: { url } });
    t.is((await admit(node, admissible("after"))).event.chain_id, "acme/n1");
  },
);

const isOf = (tenant: string) => (record: string) => eventTextOf(record).includes(`"tenant_id":"${tenant}"`);

test("used wrongly, and where it cannot be", async (t) => {
  const cwd = emptyDir();
  t.is((await railgate(["store", "copy", "--from", "data"], { cwd })).code, 2);
  t.is((await railgate(["store", "copy", "--from", "nowhere", "--to", "copy"], { cwd })).code, 3);
  const dir = await filled();
  await t.throwsAsync(copy(dir, dir), { code: "target_not_empty" });
});
