// `railgate events` and `railgate keys`: what was recorded, read while nobody or somebody writes.
import { admit } from "../gate/commands.ts";
import { once } from "node:events";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { RailgateNode } from "../../src/node/open.ts";
import { emptyDir, railgate, railgateOnTerminal, says, start } from "./railgate.ts";
import { admissible, insufficient } from "../http/support.ts";
import { comes } from "../until.ts";

type Event = {
  id: string;
  event_type: string;
  outcome: string;
  occurred_at: string;
  subject?: string;
  correlation_id: string;
  sequence: number;
};

/** A node with two tenants' decisions in it. */
async function recordedNode(): Promise<string> {
  const cwd = emptyDir();
  await using node = await RailgateNode.open({ dataDir: join(cwd, "data") });
  for (const request of [admissible("one"), insufficient(), { ...admissible("two"), correlation_id: "c-1" }])
    await admit(node, request);
  const other = admissible("three");
  other.workload["tenant_id"] = "zeta";
  await admit(node, other);
  return cwd;
}

const shared = recordedNode();

async function events(args: string[]): Promise<Event[]> {
  const { code, stdout, stderr } = await railgate(["events", "--json", ...args], { cwd: await shared });
  if (code !== 0) throw new Error(stderr);
  return stdout
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Event);
}

test("newest first, unless told otherwise", async (t) => {
  const newest = await events([]);
  t.is(newest.length, 6);
  t.is(newest[0]?.subject, "three");
  t.deepEqual(await events(["--order", "asc"]), newest.toReversed());
  t.deepEqual(await events(["--limit", "2"]), newest.slice(0, 2));
});

test("filters narrow it down, and combine", async (t) => {
  const all = await events([]);
  const is = async (args: string[], wanted: (event: Event) => boolean) =>
    t.deepEqual(await events(args), all.filter(wanted), args.join(" "));
  await is(["--tenant", "acme"], ({ subject }) => subject !== undefined && subject !== "three");
  await is(["--type", "workload.refuse"], ({ event_type }) => event_type === "workload.refuse");
  await is(["--outcome", "refused"], ({ outcome }) => outcome === "refused");
  await is(["--workload", "two"], ({ subject }) => subject === "two");
  await is(["--correlation", "c-1"], ({ correlation_id }) => correlation_id === "c-1");
  await is(["--since", "PT1H"], () => true);
  await is(["--until", "PT1H"], () => false);
  await is(["--since", "2000-01-01T00:00:00Z", "--until", "2000-01-02T00:00:00Z"], () => false);
  await is(["--tenant", "acme", "--outcome", "accepted"], ({ subject }) => subject === "one" || subject === "two");
});

test("a filter that is of the wrong kind is refused, and not taken for one that matches nothing", async (t) => {
  for (const [flag, value] of [
    ["--type", "workload"],
    ["--workload", "a b"],
    ["--tenant", ".."],
    ["--correlation", ""],
  ] as const) {
    const { code, stdout, stderr } = await railgate(["events", flag, value], { cwd: await shared });
    t.deepEqual([code, stdout], [2, ""], flag);
    t.regex(stderr, new RegExp(`^railgate: ${flag}: `));
  }
});

test("a person gets a table", async (t) => {
  const { code, stdout } = await railgate(["events", "--tenant", "acme", "--order", "asc"], { cwd: await shared });
  t.is(code, 0);
  const [heading, ...rows] = stdout.trimEnd().split("\n");
  t.regex(heading ?? "", /^NUMBER +TIME +TENANT +TYPE +OUTCOME +SUBJECT +CODES +ACTOR +EVENT$/);
  t.is(rows.length, 3);
  t.regex(
    rows[0] ?? "",
    /^0 +\d{4}-\d\d-\d\dT\S+Z {2}acme +workload\.admit {3}accepted {2}one {11}- +test +[0-9a-f-]{36}$/,
  );
  t.regex(
    rows[1] ?? "",
    /workload\.refuse {2}refused {3}payments-api {2}envelope_insufficient {2}test +[0-9a-f-]{36}$/,
  );
});

test("nothing found is said beside the output, and no failure", async (t) => {
  t.deepEqual(await railgate(["events", "--tenant", "nobody"], { cwd: await shared }), {
    code: 0,
    stdout: "",
    stderr: "No events match.\n",
  });
  t.deepEqual(await railgate(["events", "--tenant", "nobody", "--json"], { cwd: await shared }), {
    code: 0,
    stdout: "",
    stderr: "",
  });
});

test("--follow goes on with what is recorded by another process, until interrupted", async (t) => {
  const cwd = await recordedNode();
  const child = start(["events", "--follow", "--json", "--tenant", "acme"], { cwd });
  t.teardown(() => child.kill("SIGKILL"));
  const known = await says(child, /"subject":"two"/);
  t.true(known.indexOf('"subject":"one"') < known.indexOf('"subject":"two"'), "oldest first");
  t.false(known.includes('"subject":"three"'));
  await using node = await RailgateNode.open({ dataDir: join(cwd, "data") });
  const next = says(child, /"subject":"four"/);
  await admit(node, admissible("four"));
  t.is((await next).trim().split("\n").length, 1);
  child.kill("SIGINT");
  const [code] = (await comes("it ends", once(child, "close"))) as [number | null];
  t.is(code, 0);
});

test("a reader that has seen enough is no error", async (t) => {
  const child = start(["events", "--follow", "--json"], { cwd: await recordedNode() });
  let stderr = "";
  child.stderr.on("data", (data: Buffer) => (stderr += data.toString()));
  child.stdout.destroy();
  const [code] = (await comes("it ends", once(child, "close"))) as [number | null];
  t.deepEqual([code, stderr], [0, ""]);
});

test("keys are listed by their public halves", async (t) => {
  const cwd = await shared;
  const { code, stdout } = await railgate(["keys", "list"], { cwd });
  t.is(code, 0);
  t.regex(stdout, /^KID +ROLE +CREATED +STATE\n(?:[\w-]{43} {2}(?:event|log {2}) {2}\d{4}-\S+Z {2}active\n){2}$/);
  const json = await railgate(["keys", "list", "--json"], { cwd });
  const [key] = JSON.parse(json.stdout) as [{ kid: string; jwk: object }];
  t.deepEqual(Object.keys(key.jwk).sort(), ["alg", "crv", "kid", "kty", "use", "x"]);
  const secrets = readdirSync(join(cwd, "data/keys")).map(
    (file) => (JSON.parse(readFileSync(join(cwd, "data/keys", file), "utf8")) as { d: string }).d,
  );
  t.is(secrets.length, 2);
  for (const secret of secrets) t.false((stdout + json.stdout).includes(secret));
});

test("colour is for a terminal", async (t) => {
  const cwd = await shared;
  t.regex((await railgateOnTerminal(["events"], { cwd })).stdout, /\x1b\[32maccepted\x1b\[39m/);
  t.regex((await railgateOnTerminal(["keys", "list"], { cwd })).stdout, /\x1b\[32mactive\x1b\[39m/);
  t.notRegex((await railgateOnTerminal(["events"], { cwd, env: { NO_COLOR: "1" } })).stdout, /\x1b\[\d/);
});

test("a database that is none is said to be so", async (t) => {
  const cwd = emptyDir();
  writeFileSync(join(cwd, "railgate.db"), "not a database, and longer than a header would be ".repeat(20));
  const { code, stderr } = await railgate(["events", "--data-dir", "."], { cwd });
  t.is(code, 3);
  t.regex(stderr, /^railgate: the evidence in \/\S+ can't be read: file is not a database\n$/);
});
