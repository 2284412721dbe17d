// A node whose database fails it in every way that is not an answer: it is told in time, nothing is admitted, and it goes on by itself.
import test, { type ExecutionContext } from "ava";
import pg from "pg";
import { noPostgres, ownServer, type OwnServer } from "../postgres/server.ts";
import { Way } from "../postgres/way.ts";
import { admissible, start, type Answered, type Started } from "./support.ts";
import { until } from "../until.ts";

const missing = noPostgres();
if (missing !== undefined) console.warn(missing);
const run = missing === undefined ? test : test.skip;

/** Of anything: below it lies what the store gives up by itself, with a machine that is busy. */
const BOUND_MS = 60_000;

let server: OwnServer;
test.before(async () => {
  if (missing === undefined) server = await ownServer();
});
test.after.always(() => server?.stop());

/** By a user of its own, who stays when that of the node is turned away. */
async function asked(sql: string, database = "postgres"): Promise<pg.QueryResult> {
  const client = new pg.Client({ connectionString: await server.url(database) });
  await client.connect();
  try {
    return await client.query(sql);
  } finally {
    await client.end();
  }
}

interface Case {
  readonly at: Started;
  readonly way: Way;
  readonly database: string;
  readonly user: string;
  admit(): Promise<Answered>;
}

async function nodeAt(t: ExecutionContext): Promise<Case> {
  t.timeout(10 * BOUND_MS);
  const database = new URL(await server.url()).pathname.slice(1);
  const user = `u_${database}`;
  await asked(`CREATE ROLE ${user} LOGIN; ALTER DATABASE ${database} OWNER TO ${user}`);
  const way = await Way.to(server.socketDir);
  const at = await start({ node_id: "r1", store: { url: way.url(database, user), pool_max: 3 } });
  t.teardown(async () => {
    way.cut(true);
    await at.close();
    way.close();
  });
  let n = 0;
  const admit = () => at.call("POST", "/v1/admissions", { body: admissible(`w-${n++}`) });
  t.is((await admit()).json.decision.outcome, "accepted");
  return { at, way, database, user, admit };
}

const readiness = async ({ at }: Case): Promise<number> => (await at.call("GET", "/readyz")).status;
const becomes = (node: Case, status: number): Promise<boolean> =>
  until(async () => (await readiness(node)) === status, `readiness ${status}`);

/** While it lasts nobody is admitted, which is said; afterwards all is as before, with nobody's help. */
async function survives(t: ExecutionContext, node: Case, mended: () => Promise<void> | void): Promise<void> {
  await becomes(node, 503);
  const { status, json } = await node.admit();
  t.deepEqual([status, json.code], [503, "evidence_unavailable"]);
  t.is((await node.at.call("GET", "/metrics")).status, 200);
  await mended();
  await becomes(node, 200);
  await until(async () => (await node.admit()).status === 200, "an admission");
  t.is((await node.at.call("GET", "/v1/events?tenant_id=acme")).status, 200);
}

run("the way to it is cut", async (t) => {
  const node = await nodeAt(t);
  node.way.cut(true);
  await survives(t, node, () => node.way.cut(false));
});

run("the way to it carries nothing, without a word", async (t) => {
  const node = await nodeAt(t);
  node.way.silence(true);
  await survives(t, node, () => node.way.silence(false));
});

run("its sessions are ended, all of them, again and again", async (t) => {
  const node = await nodeAt(t);
  for (let n = 0; n < 3; n++) {
    await asked(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '${node.user}'`);
    await until(async () => (await node.admit()).status === 200, "an admission");
    await becomes(node, 200);
  }
});

run("nobody is let in any more, and who is in already stays: a node that cannot read says so", async (t) => {
  const node = await nodeAt(t);
  await asked(`ALTER ROLE ${node.user} NOLOGIN`);
  const reading = `usename = '${node.user}' AND query NOT LIKE '%nodes%' AND query NOT LIKE '%COMMIT%'`;
  await asked(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE ${reading}`);
  await survives(t, node, async () => void (await asked(`ALTER ROLE ${node.user} LOGIN`)));
});

run("another database lies there, and then the first one again: nothing is written into the other", async (t) => {
  const node = await nodeAt(t);
  const { database, user } = node;
  const rename = async (from: string, to: string) => {
    await asked(`ALTER DATABASE ${from} ALLOW_CONNECTIONS false`);
    await asked(`SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '${from}'`);
    await asked(`ALTER DATABASE ${from} RENAME TO ${to}`);
    await asked(`ALTER DATABASE ${to} ALLOW_CONNECTIONS true`);
  };
  await rename(database, `${database}_away`);
  await becomes(node, 503);
  await asked(`CREATE DATABASE ${database} OWNER ${user}`);
  await survives(t, node, async () => {
    const { rows } = await asked("SELECT to_regnamespace('railgate') AS made", database);
    t.deepEqual(rows, [{ made: null }]);
    await asked(`DROP DATABASE ${database} WITH (FORCE)`);
    await rename(`${database}_away`, database);
  });
});

run("there is no room left for evidence, but for smaller things", async (t) => {
  const node = await nodeAt(t);
  await asked(
    `CREATE FUNCTION railgate.full() RETURNS trigger LANGUAGE plpgsql AS
       $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$;
     CREATE TRIGGER full_disk BEFORE INSERT ON railgate.artifacts EXECUTE FUNCTION railgate.full()`,
    node.database,
  );
  t.is((await node.admit()).status, 503);
  await survives(
    t,
    node,
    async () => void (await asked("DROP TRIGGER full_disk ON railgate.artifacts", node.database)),
  );
});

run("all that is read waits for a lock: whoever asks is told in time, and connections are free again", async (t) => {
  const node = await nodeAt(t);
  const client = new pg.Client({ connectionString: await server.url(node.database) });
  await client.connect();
  await client.query("BEGIN; LOCK TABLE railgate.events IN ACCESS EXCLUSIVE MODE");
  const asking = Array.from({ length: 6 }, () => node.at.call("GET", "/v1/events?tenant_id=acme"));
  const answers = await Promise.all([...asking, node.admit()]);
  t.deepEqual([...new Set(answers.map(({ status }) => status))], [503]);
  await client.end();
  await becomes(node, 200);
  await until(async () => (await node.admit()).status === 200, "an admission");
});

run("its id is taken over by another: it says so, and what it had under way is no more", async (t) => {
  const node = await nodeAt(t);
  await asked("UPDATE railgate.nodes SET epoch = epoch + 1, token = 'other'", node.database);
  await becomes(node, 503);
  const { status, json } = await node.admit();
  t.deepEqual([status, json.code], [503, "evidence_unavailable"]);
  t.regex((await node.at.call("GET", "/readyz")).text, /taken over by another process.*restart/);
});

test.serial("all of the server is paused over the lease, and then ends without notice", async (t) => {
  if (missing !== undefined) return void t.pass(missing);
  const node = await nodeAt(t);
  server.signal("SIGSTOP");
  try {
    await becomes(node, 503);
  } finally {
    server.signal("SIGCONT");
  }
  await becomes(node, 200);
  await until(async () => (await node.admit()).status === 200, "an admission");
  server.kill();
  await becomes(node, 503);
  t.is((await node.admit()).status, 503);
  await server.start();
  await becomes(node, 200);
  await until(async () => (await node.admit()).status === 200, "an admission");
});
