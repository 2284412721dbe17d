// Retention: what is older than its profile keeps it is erased, a range in one event; records, proofs and exports stand, and what is younger is replayed.
import { execFileSync } from "node:child_process";
import { createWriteStream, existsSync } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";
import test from "ava";
import { openRailgate } from "../../src/library/index.ts";
import { replayAll } from "../../src/library/replay.ts";
import { loadConfig } from "../../src/node/config/config.ts";
import { verifyExport } from "../../src/evidence/verify/node.ts";
import { openReader } from "../../src/store/open.ts";
import { admissible, emptyDir } from "../http/support.ts";
import { railgate } from "../cli/railgate.ts";
import { writeFileSync } from "node:fs";
import { until } from "../until.ts";

process.setMaxListeners(100);
const DAY_MS = 86_400_000;
const DAY_S = 86_400;

test("inputs and decisions go when they are too old, on record as a range, and everything else stands", async (t) => {
  t.timeout(120_000);
  const dir = emptyDir();
  const dataDir = join(dir, "data");
  let nowMs = Date.now() - 60 * DAY_MS;
  const now = () => nowMs;
  const options = {
    dataDir,
    now,
    nodeId: "n1",
    retention: { artifacts: { "ecs-evidence-admissible": 30 * DAY_S }, everyMs: 20 },
  };
  const gate = await openRailgate(options);
  const old = await gate.admitAll(["a", "b", "c"].map((id) => admissible(id, "acme")));
  const other = await gate.admit(admissible("d", "beta"));
  nowMs += 20 * DAY_MS;
  const young = await gate.admit(admissible("e", "acme"));
  const anchors = async (tenant_id: string) => (await gate.events({ tenant_id, event_type: "chain.anchor" })).items;
  // A few looks later nothing is old yet.
  await sleep(200);
  t.deepEqual([...(await anchors("acme")), ...(await anchors("beta"))], []);
  nowMs += 11 * DAY_MS;
  await until(async () => (await anchors("acme")).length > 0 && (await anchors("beta")).length > 0);
  const [anchor] = await anchors("acme");
  t.like(anchor!.details, {
    action: "artifacts_expired",
    basis: "retention: ecs-evidence-admissible keeps inputs and decisions for 30 days",
    from_sequence: 0,
    to_sequence: 2,
    artifacts: 3,
  });
  for (const answer of [...old, other])
    if ("event" in answer) await t.throwsAsync(gate.artifact(answer.event.id), { code: "artifact_unknown" });
  t.truthy((await gate.artifact(young.event.id)).bytes.length);
  // What is done is done: looking again records nothing.
  await sleep(200);
  t.is((await anchors("acme")).length, 1);

  const whole = await gate.export({ tenant_id: "acme" });
  const part = await gate.export({ tenant_id: "acme", to_sequence: 3 });
  for (const [name, made, erased] of [
    ["whole", whole, 3],
    ["part", part, 3],
  ] as const) {
    const file = join(dir, `${name}.tar.gz`);
    await pipeline(made.archive, createWriteStream(file));
    const report = await verifyExport(file, { pinnedKeys: await gate.jwks() } as never);
    t.is(report.checks.find((each) => each.name === "artifacts")!.status, "passed", name);
    t.is(report.erased.length, erased, name);
    t.is(report.erased[0]!.erasure_event_id, anchor!.id);
    if (existsSync("audit/verify.py")) {
      try {
        execFileSync("python3", ["-c", "import cryptography"], { stdio: "ignore" });
      } catch {
        t.log("Python's cryptography is not here: the second verifier was not asked");
        continue;
      }
      const said = execFileSync("sh", ["-c", `python3 audit/verify.py ${file} 2>&1 || true`], { encoding: "utf8" });
      t.notRegex(said, /no event says that it was erased/, name);
    }
  }
  await gate.close();
  await using store = await openReader(dataDir);
  t.true((await store.sizes()).length >= 2);
  const report = await replayAll(dataDir, { progress: () => {} });
  t.is(report.erased, 4);
  t.is(report.reproduced, 1);
  const said = await railgate(["replay", dataDir]);
  t.regex(said.stdout, /1 reached again, .*4 artifacts erased.*\nEvery decision whose artifact was retained follows/);
});

test("how long they are kept is a setting, by profile, of a day or more", (t) => {
  const read = (retention: object) => {
    const cwd = emptyDir();
    writeFileSync(join(cwd, "opa.yaml"), JSON.stringify({ railgate: { evidence: { retention } } }));
    return loadConfig({ env: {}, cwd }).evidence.retention;
  };
  t.deepEqual(read({ artifacts: { "ecs-evidence-baseline": "P30D", "ecs-evidence-ncp": "P400D" } }), {
    artifacts: { "ecs-evidence-baseline": 30 * DAY_S, "ecs-evidence-ncp": 400 * DAY_S },
  });
  t.is(read({ artifacts: {} }), undefined);
  for (const artifacts of [{ "ecs-evidence-baseline": "PT1H" }, { "ecs-evidence-baseline": 5 }, { all: "P1D" }])
    t.throws(() => read({ artifacts }), { code: "config_invalid" }, JSON.stringify(artifacts));
});
