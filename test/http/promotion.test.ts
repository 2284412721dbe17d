// A standby takes the primary's place: one that has all goes on with all, one that lacks the end is found out before anything is written.
import { randomUUID } from "node:crypto";
import test, { type ExecutionContext } from "ava";
import pg from "pg";
import { openWriter } from "../../src/store/open.ts";
import { takeLease } from "../../src/store/postgres/lease.ts";
import { DisplacedError, type Append } from "../../src/store/store.ts";
import { noPostgres, ownServer, type OwnServer } from "../postgres/server.ts";
import { Way } from "../postgres/way.ts";
import { admissible, start, type Started } from "./support.ts";
import { until } from "../until.ts";

const missing = noPostgres();
if (missing !== undefined) console.warn(missing);
const run = missing === undefined ? test.serial : test.serial.skip;
const BOUND_MS = 60_000;

interface Pair {
  readonly at: Started;
  readonly primary: OwnServer;
  readonly standby: OwnServer;
  /** The address of the primary leads to the standby, which is one no more. */
  promote(): void;
  rows(server: OwnServer): Promise<number>;
}

async function pair(t: ExecutionContext, waits: boolean): Promise<Pair> {
  t.timeout(5 * BOUND_MS);
  const primary = await ownServer();
  const standby = await primary.standby();
  await primary.waitsForStandby(waits);
  let leadsTo = primary;
  const way = await Way.to(() => leadsTo.socketDir);
  const at = await start({ node_id: "r1", store: { url: way.url("postgres"), pool_max: 3 } });
  t.teardown(async () => {
    way.cut(true);
    await at.close();
    way.close();
    primary.stop();
    standby.stop();
  });
  return {
    at,
    primary,
    standby,
    promote: () => {
      standby.promote();
      leadsTo = standby;
    },
    rows: async (server) => {
      const client = new pg.Client({ connectionString: await server.url("postgres") });
      await client.connect();
      const { rows } = await client.query("SELECT count(*)::int AS n FROM railgate.events");
      await client.end();
      return rows[0].n;
    },
  };
}

run("under load, one that commits wait for: all that was answered is there, and it goes on by itself", async (t) => {
  const { at, primary, promote } = await pair(t, true);
  const answered: string[] = [];
  let over = false;
  const caller = async (name: string) => {
    for (let n = 0; !over; n++) {
      const { status, json } = await at.call("POST", "/v1/admissions", { body: admissible(`${name}-${n}`) });
      if (status === 200) answered.push(json.event.id);
    }
  };
  const load = Promise.all(["a", "b", "c"].map(caller));
  try {
    await until(async () => answered.length > 20, "some answers");
    primary.kill();
    promote();
    const before = answered.length;
    await until(async () => answered.length > before + 20, "answers by the standby");
  } finally {
    over = true;
    await load;
  }
  for (const id of answered) t.is((await at.call("GET", `/v1/events/${id}?tenant_id=acme`)).status, 200, id);
  t.is((await at.call("GET", "/readyz")).status, 200);
});

run(
  "one that lacks the last records: the node says log_rolled_back, writes nothing, and goes on reading",
  async (t) => {
    const { at, primary, standby, promote, rows } = await pair(t, false);
    const admit = (name: string) => at.call("POST", "/v1/admissions", { body: admissible(name) });
    const kept = (await admit("kept")).json.event.id;
    await until(async () => (await rows(standby)) === (await rows(primary)), "the standby has it");
    standby.kill();
    const lost = await admit("lost");
    t.is(lost.status, 200, "nobody waits for that standby");
    primary.kill();
    await standby.start();
    promote();
    const there = await rows(standby);
    await until(async () => (await at.call("GET", "/readyz")).json.code === "log_rolled_back", "log_rolled_back");
    const refused = await admit("later");
    t.deepEqual([refused.status, refused.json.code], [503, "evidence_unavailable"]);
    t.is(await rows(standby), there, "nothing was written");
    t.is((await at.call("GET", `/v1/events/${kept}?tenant_id=acme`)).status, 200);
    t.is((await at.call("GET", `/v1/events/${lost.json.event.id}?tenant_id=acme`)).status, 404);
    t.is((await at.call("GET", "/readyz")).json.code, "log_rolled_back", "it stays so");
    t.true(at.logs.some(({ problem }) => /lacks what was recorded in/.test(String(problem))));
  },
);

run("one that lacks a takeover of a node id: the holder before has it again, and never do both commit", async (t) => {
  const primary = await ownServer();
  const standby = await primary.standby();
  let leadsTo = primary;
  const way = await Way.to(() => leadsTo.socketDir);
  t.teardown(() => {
    way.cut(true);
    way.close();
    primary.stop();
    standby.stop();
  });
  const at = { url: way.url("postgres"), poolMax: 2, scope: "one directory" };
  const rows = async (server: OwnServer, sql: string) => {
    const client = new pg.Client({ connectionString: await server.url("postgres") });
    await client.connect();
    const found = await client.query(sql);
    await client.end();
    return JSON.stringify(found.rows);
  };
  const epochs = "SELECT token, epoch FROM railgate.nodes";
  const older = await takeLease(at, "n");
  const paused = await openWriter({ ...at, lease: older });
  await paused.append([event(0)]);
  // It is paused over its lease, which the standby has heard of; what comes then it has not.
  await rows(primary, "UPDATE railgate.nodes SET expires_at = now()");
  await until(async () => (await rows(standby, epochs)) === (await rows(primary, epochs)), "the standby has it");
  standby.kill();
  const younger = await takeLease(at, "n");
  const writer = await openWriter({ ...at, lease: younger });
  await writer.append([event(1)]);
  await t.throwsAsync(paused.append([event(1)]), { instanceOf: DisplacedError, message: /taken over/ });
  primary.kill();
  await standby.start();
  standby.promote();
  leadsTo = standby;
  way.cut(true);
  way.cut(false);
  await t.throwsAsync(writer.append([event(2)]));
  await until(
    () =>
      rows(standby, epochs).then(
        () => true,
        () => false,
      ),
    "the new primary answers",
  );
  await t.throwsAsync(openWriter({ ...at, lease: younger }), { instanceOf: DisplacedError, message: /taken over/ });
  await using again = await openWriter({ ...at, lease: older });
  await again.append([event(1)]);
  await t.throwsAsync(takeLease(at, "n"), { code: "data_dir_locked" });
  await t.throwsAsync(openWriter({ ...at, lease: younger }), { instanceOf: DisplacedError });
  await again.append([event(2)]);
  await Promise.all([paused, writer].map((each) => each.close().catch(() => {})));
});

const event = (sequence: number): Append => ({
  chain_id: "a/n",
  sequence,
  id: `a.${sequence}.${randomUUID()}`,
  event_type: "workload.admit",
  outcome: "accepted",
  tenant_id: "a",
  workload_id: null,
  correlation_id: "c",
  occurred_at_ms: sequence,
  event_hash: `sha256:${"0".repeat(64)}`,
  artifact_digest: `sha256:${"0".repeat(64)}`,
  artifact: null,
  blobs: [],
  record: `r.${sequence}.s`,
  states: [],
});
