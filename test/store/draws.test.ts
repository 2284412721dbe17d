// Places in the order of all streams that are drawn and not yet used: whoever follows misses nothing, however commits overtake each other, fail or are paused (docs/decisions/0320).
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import test from "ava";
import pg from "pg";
import { openReader, openWriter } from "../../src/store/open.ts";
import type { DatabaseAt } from "../../src/store/postgres/address.ts";
import { takeLease } from "../../src/store/postgres/lease.ts";
import type { Append, StoreReader, StoreWriter } from "../../src/store/store.ts";
import { noPostgres, testServer } from "../postgres/server.ts";
import { until } from "../until.ts";

const missing = noPostgres();
if (missing !== undefined) console.warn(missing);
const run = missing === undefined ? test : test.skip;
/** Longer runs: see CONTRIBUTING.md. */
const SECONDS = Number(process.env["RAILGATE_TEST_DRAWS_S"] ?? 2);
const DIGEST = `sha256:${"0".repeat(64)}`;

const event = (chain_id: string, sequence: number, id = `${chain_id}.${sequence}`): Append => ({
  chain_id,
  sequence,
  id,
  event_type: "workload.admit",
  outcome: "accepted",
  tenant_id: "a",
  workload_id: null,
  correlation_id: "c",
  occurred_at_ms: 1000 + sequence,
  event_hash: DIGEST,
  artifact_digest: DIGEST,
  artifact: "{}",
  blobs: [],
  record: `r.${id}.s`,
  states: [],
});

async function nodeAt(url: string, nodeId: string): Promise<DatabaseAt> {
  const at = { url, poolMax: 2, scope: randomUUID() };
  return { ...at, lease: await takeLease(at, nodeId) };
}

async function client(url: string): Promise<pg.Client> {
  const made = new pg.Client({ connectionString: url, options: "-c search_path=railgate" });
  made.on("error", () => {});
  await made.connect();
  return made;
}

/** Somebody who keeps whoever writes to a stream waiting. */
async function holding(url: string, chainId: string): Promise<pg.Client> {
  const made = await client(url);
  await made.query("BEGIN");
  await made.query("SELECT * FROM streams WHERE chain_id = $1 FOR UPDATE", [chainId]);
  return made;
}

const listed = async (reader: StoreReader, order: "asc" | "desc"): Promise<string[]> =>
  (await reader.events({ order, limit: 100 })).map(({ record }) => record);

run(
  "what was committed behind a place that is still open is listed backwards, and followed once that place is used",
  async (t) => {
    const url = await (await testServer()).url();
    await using one = await openWriter(await nodeAt(url, "one"));
    await using two = await openWriter(await nodeAt(url, "two"));
    await using reader = await openReader({ url, poolMax: 2, scope: "none" });
    await one.append([event("a/one", 0)]);
    // The first has drawn its place, and waits for a row that somebody holds.
    const beside = await holding(url, "a/one");
    const slow = one.append([event("a/one", 1), event("a/one", 2)]);
    await until(async () => (await beside.query("SELECT 1 FROM draws WHERE first = 2")).rowCount === 1);
    // However long this takes, it does not become one that may be closed.
    const keeping = await client(url);
    await keeping.query("UPDATE draws SET drawn_at = 'infinity' WHERE first = 2");
    t.is(await two.append([event("a/two", 0)]), 4, "nobody waits for it");
    t.deepEqual(await listed(reader, "asc"), ["r.a/one.0.s"]);
    t.deepEqual(await listed(reader, "desc"), ["r.a/two.0.s", "r.a/one.0.s"]);
    t.is((await reader.events({ order: "asc", limit: 9, ahead: true })).length, 2);
    t.is((await reader.events({ order: "asc", limit: 9, chain_id: "a/two" })).length, 1, "one stream has no gaps");
    t.is(await reader.settled(), 1);
    await beside.query("ROLLBACK");
    t.is(await slow, 2);
    t.is(await reader.settled(), 4);
    t.deepEqual(await listed(reader, "asc"), ["r.a/one.0.s", "r.a/one.1.s", "r.a/one.2.s", "r.a/two.0.s"]);
    await Promise.all([beside.end(), keeping.end()]);
  },
);

run(
  "a place that nobody uses is closed by whoever follows, and its holder, if he comes back, draws another",
  async (t) => {
    const url = await (await testServer()).url();
    await using one = await openWriter(await nodeAt(url, "one"));
    await using two = await openWriter(await nodeAt(url, "two"));
    await using reader = await openReader({ url, poolMax: 2, scope: "none" });
    await one.append([event("a/one", 0)]);
    const beside = await holding(url, "a/one");
    const slow = one.append([event("a/one", 1)]);
    await until(async () => (await beside.query("SELECT 1 FROM draws WHERE first = 2")).rowCount === 1);
    await two.append([event("a/two", 0)]);
    await until(async () => (await reader.settled()) === 3);
    t.deepEqual(await listed(reader, "asc"), ["r.a/one.0.s", "r.a/two.0.s"]);
    await beside.query("ROLLBACK");
    t.is(await slow, 4, "not behind the back of whoever has followed");
    t.deepEqual(await listed(reader, "asc"), ["r.a/one.0.s", "r.a/two.0.s", "r.a/one.1.s"]);
    await beside.end();
  },
);

/** As a node does: after a failure it opens its writer anew, and goes on where its stream ends. */
async function writing(
  at: DatabaseAt,
  reader: StoreReader,
  over: () => boolean,
  tried: (failed: boolean) => void,
): Promise<void> {
  const chain = `a/${at.lease!.nodeId}`;
  let writer: StoreWriter | undefined;
  for (let n = 0; !over(); n++)
    try {
      writer ??= await openWriter(at);
      const size = (await reader.log.stream(chain))?.size ?? 0;
      const some = Array.from({ length: 1 + (n % 3) }, (_, i) => event(chain, size + i, `${chain}.${size + i}.${n}`));
      await writer.append(some);
      tried(false);
    } catch {
      tried(true);
      await writer?.close();
      writer = undefined;
    }
  await writer?.close();
}

run(
  "three that write, whose connections end and whose places are closed at any time: whoever follows has each record once",
  async (t) => {
    t.timeout(120_000 + SECONDS * 10_000);
    const url = await (await testServer()).url();
    const nodes = await Promise.all(["one", "two", "three"].map((id) => nodeAt(url, id)));
    await using reader = await openReader({ url, poolMax: 8, scope: "none" });
    const beganMs = performance.now();
    let [failures, commits] = [0, 0];
    // A busy machine may take longer until enough has happened.
    const over = (): boolean => {
      const tookS = (performance.now() - beganMs) / 1000;
      return tookS > SECONDS + 60 || (tookS > SECONDS && commits > 10 && failures > 0);
    };
    let written = false;
    const followed: string[] = [];
    const follow = async (): Promise<void> => {
      for (let after = 0, last = false; ; ) {
        if (performance.now() > beganMs + (SECONDS + 120) * 1000) throw new Error(`it does not end behind ${after}`);
        const page = await reader.events({ order: "asc", limit: 10, after });
        followed.push(...page.map(({ record }) => record));
        after = page.at(-1)?.position ?? after;
        if (last && page.length === 0 && (await reader.settled()) <= after) return;
        last = written;
      }
    };
    const beside = await client(url);
    const disturb = async (): Promise<void> => {
      for (let n = 0; !over(); n++) {
        await sleep(5 * (n % 7));
        // As whoever waits does, and much too early.
        await beside.query(
          "UPDATE draws SET first = NULL FROM (SELECT node_id, epoch FROM draws WHERE first IS NOT NULL FOR UPDATE SKIP LOCKED) AS d WHERE (draws.node_id, draws.epoch) = (d.node_id, d.epoch)",
        );
        if (n % 8 === 0)
          await beside.query(
            `SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'railgate'
             AND query ~ 'UPDATE|INSERT|COMMIT|BEGIN' AND query !~ 'READ WRITE' ORDER BY random() LIMIT 1) AS one`,
          );
      }
    };
    const following = follow();
    await Promise.all([
      disturb(),
      ...nodes.map((at) => writing(at, reader, over, (failed) => void (failed ? failures++ : commits++))),
    ]);
    written = true;
    await following;
    await beside.end();
    const all = (await reader.events({ order: "desc", limit: 1_000_000 })).map(({ record }) => record).toReversed();
    t.log(`${all.length} events, ${failures} failures`);
    t.true(all.length > 10 && failures > 0);
    t.deepEqual(followed, all);
    for (const { lease } of nodes) {
      const size = (await reader.log.stream(`a/${lease!.nodeId}`))!.size;
      const own = await reader.events({ chain_id: `a/${lease!.nodeId}`, order: "asc", limit: 1_000_000 });
      t.is(own.length, size);
      t.deepEqual(
        own.map(({ position }) => position),
        own.map(({ position }) => position).toSorted((a, b) => a - b),
      );
    }
  },
);
