// Replicas as processes on one PostgreSQL: killed, paused beyond the lease and taken over, and never two histories of one node.
import { cpSync, statSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import pg from "pg";
import { connectRailgate } from "../../src/client/index.ts";
import { verifyStore } from "../../src/evidence/fsck/streams.ts";
import { openReader } from "../../src/store/open.ts";
import { admissible, emptyDir, start } from "../http/support.ts";
import { noPostgres, testServer } from "../postgres/server.ts";
import { comes, until } from "../until.ts";
import { spawnServer } from "./process.ts";

const missing = noPostgres();
if (missing !== undefined) console.warn(missing);
const run = missing === undefined ? test : test.skip;

run(
  "killed, it starts again at once; paused and taken over, it loses its commit; nothing that was answered is lost",
  async (t) => {
    const url = await (await testServer()).url();
    const env = { RAILGATE_STORE_URL: url, RAILGATE_NODE_ID: "r1" };
    const dir = emptyDir();
    const answered: string[] = [];
    const admit = async (at: { url: string }, id: string) => {
      const { event } = await connectRailgate({ url: at.url }).admit(admissible(id));
      answered.push(event.id);
    };
    const first = await spawnServer(dir, env);
    await admit(first, "a");
    await first.kill();
    // The lease of ten seconds is not waited for: its holder is known to be gone.
    const paused = await spawnServer(dir, env);
    await admit(paused, "b");
    t.teardown(() => paused.kill());
    paused.signal("SIGSTOP");
    // The clock of a lease is the database's. This one lasts for as long as the next takes to start.
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    await client.query("UPDATE railgate.nodes SET expires_at = now() + interval '1 hour'");
    const other = emptyDir();
    const copied = (path: string) => !path.endsWith("lock.json") && !statSync(path).isSocket();
    cpSync(join(dir, "data"), join(other, "data"), { recursive: true, filter: copied });
    await t.throwsAsync(spawnServer(other, env), { message: /the node id r1 is held by process \d+ on .* since / });
    await client.query("UPDATE railgate.nodes SET expires_at = now()");
    await client.end();
    const taken = await spawnServer(other, env);
    t.teardown(() => taken.kill());
    await admit(taken, "c");
    paused.signal("SIGCONT");
    const late = await t.throwsAsync(connectRailgate({ url: paused.url, retryForMs: 0 }).admit(admissible("d")));
    t.is((late as { code?: string }).code, "evidence_unavailable");
    await admit(taken, "e");
    await paused.kill();
    await taken.stop();
    await using store = await openReader({ url, poolMax: 2, scope: "none" });
    for (const id of answered) t.truthy(await store.event(id));
    const { streams, states } = await verifyStore(store, () => {});
    t.deepEqual(
      streams.map(({ fault }) => fault),
      streams.map(() => undefined),
    );
    t.deepEqual(states, []);
  },
);

run("paused within its turn, it keeps others waiting for seconds, and none of them is turned away", async (t) => {
  t.timeout(300_000);
  const url = await (await testServer()).url();
  const paused = await spawnServer(emptyDir(), { RAILGATE_STORE_URL: url, RAILGATE_NODE_ID: "r1" });
  const other = await start({ node_id: "r2", store: { url } });
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  t.teardown(async () => {
    await paused.kill();
    await other.close();
    await client.end();
  });
  const answered: string[] = [];
  const admit = async (at: { url: string }) => {
    const { event } = await connectRailgate({ url: at.url, retryForMs: 0 }).admit(admissible("hot"));
    answered.push(event.id);
  };
  const sessions = (which: string) =>
    until(async () => {
      const { rowCount } = await client.query(
        `SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND ${which}`,
      );
      return rowCount! > 0;
    }, `a session where ${which}`);
  const turns = async () =>
    Number(/^railgate_turn_wait_seconds_count (\d+)/m.exec(await (await fetch(`${paused.url}/metrics`)).text())![1]);
  await until(async () => {
    await Promise.all([admit(paused), admit(other)]);
    return (await turns()) > 0;
  }, "a turn of the one that is to be paused");
  // It is about to have another one when it is paused, and has it then.
  await client.query("BEGIN");
  await client.query("SELECT FROM railgate.states WHERE kind = 'workload' AND key = 'hot' FOR UPDATE");
  const late = admit(paused).catch((error: { code?: string }) => t.is(error.code, "evidence_unavailable"));
  await sessions("wait_event_type = 'Lock'");
  paused.signal("SIGSTOP");
  await client.query("COMMIT");
  await sessions("state = 'idle in transaction'");
  const others = [admit(other), admit(other)];
  await comes("answers while it is paused", Promise.all(others));
  paused.signal("SIGCONT");
  await comes("an answer of the one that was paused", late);
  await until(
    () =>
      admit(paused).then(
        () => true,
        () => false,
      ),
    "an admission by the one that was paused",
  );
  await using store = await openReader({ url, poolMax: 2, scope: "none" });
  for (const id of answered) t.truthy(await store.event(id));
  const { streams, states } = await verifyStore(store, () => {});
  t.deepEqual(
    streams.map(({ fault }) => fault),
    streams.map(() => undefined),
  );
  t.deepEqual(states, []);
  const { items } = (await other.call("GET", "/v1/events?tenant_id=acme&event_type=workload.admit&limit=1000")).json;
  const versions = items.map(({ details }: { details: { state_revision: number } }) => details.state_revision);
  t.deepEqual(
    versions.toSorted((a: number, b: number) => a - b),
    versions.map((_: number, i: number) => i + 1),
  );
});
