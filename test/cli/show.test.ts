// `railgate show`: an export and its events as a person reads them, from a folder and an archive, whole and tampered with.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { openRailgate } from "../../src/library/index.ts";
import { emptyDir, railgate, railgateOnTerminal } from "./railgate.ts";
import { admissible, insufficient } from "../http/support.ts";

async function exported(): Promise<string> {
  const cwd = emptyDir();
  {
    await using gate = await openRailgate({ dataDir: join(cwd, "data") });
    await gate.admitAll([admissible("one"), insufficient()]);
    await gate
      .mesh("edge", "acme")
      .remove("one")
      .catch(() => {});
  }
  for (const out of ["folder", "e.tar.gz"])
    await railgate(["export", "--tenant", "acme", "--profile", "ecs-evidence-baseline", "--to", "2", "--out", out], {
      cwd,
    });
  return cwd;
}

const shared = exported();

test("an export is a line an event, with every code", async (t) => {
  const cwd = await shared;
  const [folder, archive] = [
    await railgate(["show", "folder"], { cwd }),
    await railgate(["show", "e.tar.gz"], { cwd }),
  ];
  t.deepEqual(folder, archive);
  const [heading, ...rows] = folder.stdout.trimEnd().split("\n");
  t.regex(heading!, /^NUMBER +TIME +TENANT +TYPE +OUTCOME +SUBJECT +CODES +ACTOR +EVENT$/);
  t.is(rows.length, 3);
  t.regex(
    rows[1]!,
    /^1 +\S+Z +acme +workload\.refuse +refused +payments-api +envelope_insufficient +library +[0-9a-f-]{36}$/,
  );
  t.regex(rows[2]!, /^2 .* mesh\.remove +refused .* ERR_MESH_UNKNOWN_WORKLOAD +library/);
  const json = (await railgate(["show", "folder", "--json"], { cwd })).stdout.trim().split("\n");
  t.deepEqual(
    json.map((line) => (JSON.parse(line) as { sequence: number }).sequence),
    [0, 1, 2],
  );
});

test("an event is a page: refusals in words with their cure, the request, the proofs", async (t) => {
  const cwd = await shared;
  const { code, stdout } = await railgate(["show", "e.tar.gz", "--event", "1"], { cwd });
  t.is(code, 0);
  t.regex(stdout, /^workload\.refuse {2}refused {2}payments-api\n\nEvent +[0-9a-f-]{36}, number 1 of acme\//);
  t.regex(
    stdout,
    /ENV-03 {2}The declared envelope is weaker than the required one {2}envelope_insufficient\n {2}What .*\n {2}Where {2}\/workload\/envelope\/kind\n {2}Found {2}"container"\n {2}Cure /,
  );
  t.regex(stdout, /Request\n {2}\{\n {4}"workload"/);
  t.regex(stdout, /signature {4}holds {2}by the key [\w-]{43}\nartifact {5}holds {2}sha256:/);
  const mesh = await railgate(["show", "folder", "--event", "2"], { cwd });
  t.regex(mesh.stdout, /Refused {2}.* {2}ERR_MESH_UNKNOWN_WORKLOAD\n {2}What .*\n(?: {2}Where .*\n)? {2}Cure /);
  t.is((await railgate(["show", "folder", "--event", "99"], { cwd })).code, 2);
  const [, id] = /Event +([0-9a-f-]{36})/.exec(stdout)!;
  const here = await railgate(["show", id!], { cwd });
  t.is(here.code, 0, here.stderr);
  t.regex(here.stdout, /ENV-03[^]*inclusion {4}holds {2}number 1 of the \d+ that the log railgate\.local\//);
});

test("what was changed afterwards fails, and what is no export is called so", async (t) => {
  const cwd = await exported();
  const file = join(cwd, "folder", "events.jsonl");
  writeFileSync(file, readFileSync(file, "utf8").replace(/"event_hash":"sha256:./, '"event_hash":"sha256:x'));
  const changed = await railgate(["show", "folder", "--event", "0"], { cwd });
  t.is(changed.code, 1);
  t.regex(changed.stdout, /signature {4}FAILED/);
  writeFileSync(join(cwd, "notes.txt"), "nothing of an export");
  for (const [command, what, exit] of [
    ["show", "notes.txt", 2],
    ["show", "data", 2],
    ["verify", "notes.txt", 2],
    ["replay", "notes.txt", 2],
    ["show", "nowhere.tar.gz", 3],
    ["verify", "nowhere.tar.gz", 3],
    ["replay", "nowhere.tar.gz", 3],
  ] as const) {
    const { code, stdout, stderr } = await railgate([command, what, "--json"], { cwd });
    t.is(code, exit, `${command} ${what}: ${stderr}`);
    t.truthy((JSON.parse(stdout) as { message: string }).message);
  }
});

test("on a narrow terminal a row goes on in a further line, and none is longer than it", async (t) => {
  const { stdout } = await railgateOnTerminal(["show", "folder"], { cwd: await shared }, 80);
  const lines = stdout
    .replaceAll(/\x1b\[\d+m/g, "")
    .trimEnd()
    .split(/\r?\n/);
  for (const line of lines) t.true(line.length <= 80, line);
  t.regex(lines.join("\n"), /^NUMBER .*\n {4}\S/);
});
