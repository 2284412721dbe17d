// Replicas as processes on one PostgreSQL: killed, paused beyond the lease and taken over, and never two histories of one node.
import { cpSync, statSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import pg from "pg";
import { connectRailgate } from "../../src/client/index.ts";
import { verifyStore } from "../../src/evidence/fsck/streams.ts";
import { openReader } from "../../src/store/open.ts";
import { admissible, emptyDir } from "../http/support.ts";
import { noPostgres, testServer } from "../postgres/server.ts";
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
    const other = emptyDir();
    const copied = (path: string) => !path.endsWith("lock.json") && !statSync(path).isSocket();
    cpSync(join(dir, "data"), join(other, "data"), { recursive: true, filter: copied });
    await t.throwsAsync(spawnServer(other, env), { message: /the node id r1 is held by process \d+ on .* since / });
    // The clock of a lease is the database's.
    const client = new pg.Client({ connectionString: url });
    await client.connect();
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
