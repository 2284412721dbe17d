// An operator's settings on a node: they decide, they are pinned by every event, and exports with them prove the same.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { parseAdmissionRequest } from "../../src/core/request.ts";
import { digestOf, eventTextOf } from "../../src/core/event.ts";
import type { EvidenceEvent } from "../../src/core/schema/event.ts";
import { prepareExport } from "../../src/evidence/export/export.ts";
import { writeFolder } from "../../src/evidence/export/files.ts";
import { replay } from "../../src/evidence/replay/replay.ts";
import { verifyExport } from "../../src/evidence/verify/node.ts";
import { openRailgate } from "../../src/library/index.ts";
import { RailgateNode } from "../../src/node/open.ts";
import { admit } from "../gate/commands.ts";
import { asked, request, TRUSTING } from "../evidence/exports.ts";

const emptyDir = () => mkdtempSync(join(tmpdir(), "railgate-settings-"));

const SECRET_IN_A_CONTAINER = "# Ours.\ntriggers: {classification: {secret: container}}\n";

test("settings of one's own decide, stand in every event, and go with the export", async (t) => {
  const dir = emptyDir();
  const file = join(dir, "settings.yaml");
  const at = join(dir, "data");
  const secret = request("w1", "acme", "secret");
  await using before = await openRailgate({ dataDir: at, nodeId: "n1" });
  t.is((await before.admit(secret)).decision.outcome, "refused");
  await before.close();

  writeFileSync(file, SECRET_IN_A_CONTAINER);
  await using gate = await openRailgate({ dataDir: at, settings: file });
  t.is((await gate.admit(secret)).decision.outcome, "accepted");
  t.is((await gate.dryRun(secret)).outcome, "accepted");
  await gate.close();
  // Another start with the same settings activates nothing anew.
  await using node = await RailgateNode.open({ dataDir: at, settings: file });
  const pinned = digestOf(SECRET_IN_A_CONTAINER);
  const events = (await node.store.events({ order: "asc", limit: 100 })).map(
    ({ record }) => JSON.parse(eventTextOf(record)) as EvidenceEvent,
  );
  t.deepEqual(
    events.map(({ event_type, details }) => [event_type, details?.["settings_snapshot_id"]]),
    [
      ["node.start", undefined],
      ["policy.activate", undefined],
      ["workload.refuse", undefined],
      ["node.start", pinned],
      ["policy.activate", pinned],
      ["workload.admit", pinned],
      ["node.start", pinned],
    ],
  );
  const exported = join(dir, "export");
  using prepared = await prepareExport(node, asked());
  await writeFolder(prepared.files, exported);
  for (const path of [exported, at])
    t.like(await replay(path), { ok: true, decisions: 2, reproduced: 2, mismatches: [] }, path);
  const report = await verifyExport(exported, TRUSTING);
  t.true(report.ok, JSON.stringify(report));
});

test("an export without the settings that it names does not verify, and is not replayed", async (t) => {
  const dir = emptyDir();
  await using node = await RailgateNode.open({
    dataDir: join(dir, "data"),
    settings: { triggers: { classification: { secret: "container" } } },
  });
  await admit(node, parseAdmissionRequest(request("w1", "acme", "secret")));
  const exported = join(dir, "export");
  using prepared = await prepareExport(node, asked());
  await writeFolder(prepared.files, exported);
  const digest = node.policy!.settings!.digest;
  rmSync(join(exported, "artifacts", digest.slice("sha256:".length)));
  const report = await verifyExport(exported, TRUSTING);
  t.is(report.checks.find(({ name }) => name === "policies")?.status, "failed");
  const { mismatches } = await replay(exported);
  t.regex(mismatches[0]!.problem, new RegExp(`or the settings ${digest}, is not here`));
});

test("settings that are none keep a node from starting, and it says which and why", async (t) => {
  const dir = emptyDir();
  const file = join(dir, "settings.yaml");
  const refused = (settings: string | object, message: RegExp) =>
    t.throwsAsync(RailgateNode.open({ dataDir: join(dir, "data"), settings: settings as string }), {
      code: "config_invalid",
      message,
    });
  writeFileSync(file, "rails: {vm: shard}\n");
  await refused(file, /^railgate\.settings: \S+settings\.yaml: \/rails\/vm must be one of shared, process_isolated/);
  await refused(join(dir, "none.yaml"), /^railgate\.settings: can't read \S+none\.yaml \(ENOENT\)$/);
  await refused({ contaner: {} }, /^railgate\.settings: \/contaner unknown setting, did you mean "container"\?$/);
});
