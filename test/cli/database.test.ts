// The command line over a database at a URL, with a node on it or none: it reads what is there, and says what is for a data directory only.
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { noPostgres, ownServer, testServer } from "../postgres/server.ts";
import { openRailgate } from "../../src/library/index.ts";
import { admissible } from "../http/support.ts";
import { emptyDir, railgate } from "./railgate.ts";

const missing = noPostgres();
if (missing !== undefined) console.warn(missing);
const run = missing === undefined ? test : test.skip;

run(
  "events, show, keys, export, verify, doctor and decisions are of the database that the settings name",
  async (t) => {
    const cwd = emptyDir();
    const dataDir = join(cwd, "data");
    const env = {
      RAILGATE_STORE_URL: await (await testServer()).url(),
      RAILGATE_NODE_ID: "r1",
      RAILGATE_DATA_DIR: dataDir,
    };
    const said = async (...args: string[]) => {
      const { code, stdout, stderr } = await railgate([...args, "--json"], { cwd, env });
      t.is(code, 0, stderr + stdout);
      return JSON.parse(stdout);
    };
    const nothing = await railgate(["events"], { cwd, env });
    t.is(nothing.code, 3);
    t.regex(nothing.stderr, /PostgreSQL at .* holds no evidence yet/);
    t.false(existsSync(dataDir), "reading makes nothing");
    const node = { dataDir, nodeId: "r1", store: { url: env.RAILGATE_STORE_URL } };
    await using held = await openRailgate(node);
    const { event } = await held.admit(admissible("w"));
    t.is((await said("events", "--type", "workload.admit")).id, event.id, "one line an event");
    t.is((await said("show", event.id)).event.id, event.id);
    const keys = await said("keys", "list");
    t.deepEqual(keys.map(({ role }: { role: string }) => role).sort(), ["event", "log"]);
    const { ok, checks } = await said("doctor");
    t.true(ok, JSON.stringify(checks));
    const messages = checks.map(({ message }: { message: string }) => message).join("\n");
    t.regex(messages, /acme\/r1: 1 event, signatures, hashes, chain and tree verified/);
    t.regex(messages, /PostgreSQL at .*: it can be written, and what it commits is durable/);
    await held.close();
    // With nobody there it is opened here, under the node's lease.
    await said("export", "--tenant", "acme", "--out", join(cwd, "out"));
    const verified = await said("verify", join(cwd, "out"));
    t.true(verified.ok);
    rmSync(join(cwd, "out"), { recursive: true });
  },
);

run("what is for a data directory alone is refused, with what to do; a database that is away is named", async (t) => {
  const server = await ownServer();
  const env = { RAILGATE_STORE_URL: await server.url("postgres") };
  server.stop();
  for (const [args, code, told] of [
    [["backup", "--out", "b.tar"], 2, /pg_dump.*copy that folder beside it/s],
    [["restore", "b.tar"], 2, /restored as PostgreSQL is/],
    [["replay", "postgres://db/railgate"], 2, /railgate export --out/],
    [["events"], 3, /railgate\.store\.url \(PostgreSQL at .*can't be read: .*ENOENT/],
    [["serve", "--listen", "127.0.0.1:0"], 3, /railgate\.store\.url: .*ENOENT/],
  ] as const) {
    const ran = await railgate(args, { env });
    t.is(ran.code, code, args.join(" ") + ran.stderr);
    t.regex(ran.stderr + ran.stdout, told);
  }
});
