// An operator's settings on a node: they decide, they are pinned by every event, and exports with them prove the same.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { exportJWK, exportSPKI, generateKeyPair } from "jose";
import { parseAdmissionRequest } from "../../src/core/request.ts";
import { digestOf, eventTextOf } from "../../src/core/event.ts";
import type { EvidenceEvent } from "../../src/core/schema/event.ts";
import { prepareExport } from "../../src/evidence/export/export.ts";
import { writeFolder } from "../../src/evidence/export/files.ts";
import { replay } from "../../src/evidence/replay/replay.ts";
import { verifyExport } from "../../src/evidence/verify/node.ts";
import { CHECKS } from "../../src/library/doctor.ts";
import { openRailgate } from "../../src/library/index.ts";
import { readBundleFiles } from "../../src/policy/bundle-files.ts";
import { signBundleFiles, writeBundleFiles } from "../../src/policy/sign.ts";
import { loadConfig } from "../../src/node/config/config.ts";
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

test("a node starts with no settings that its bundle's own schema does not take, and leaves no trace", async (t) => {
  const dir = emptyDir();
  const file = join(dir, "settings.yaml");
  const { privateKey, publicKey } = await generateKeyPair("ES256");
  const keys = { keys: [{ ...(await exportJWK(publicKey)), kid: "mine", alg: "ES256" }] };
  const files = new Map(await readBundleFiles(readFileSync("bundles/railgate.tar.gz")));
  const manifest = JSON.parse(new TextDecoder().decode(files.get(".manifest")));
  const settings_schema = { properties: { extensions: { properties: { acme: { type: "array" } } } } };
  files.delete(".signatures.json");
  files.set(".manifest", Buffer.from(JSON.stringify({ ...manifest, metadata: { railgate: { settings_schema } } })));
  const signed = writeBundleFiles(await signBundleFiles(files, { privateKey, algorithm: "ES256", keyId: "mine" }));
  const bundle = { bytes: () => signed, keys };
  writeFileSync(file, "extensions: {acme: {}}\n");
  await t.throwsAsync(RailgateNode.open({ dataDir: join(dir, "data"), bundle, settings: file }), {
    code: "config_invalid",
    message: /^railgate\.settings: \S+settings\.yaml: \/extensions\/acme Invalid type/,
  });
  writeFileSync(join(dir, "bundle.tar.gz"), signed);
  const opaYaml = {
    bundles: { mine: { resource: `file://${dir}/bundle.tar.gz`, signing: { keyid: "mine" } } },
    keys: { mine: { algorithm: "ES256", key: await exportSPKI(publicKey) } },
    railgate: { settings: file },
  };
  writeFileSync(join(dir, "opa.yaml"), JSON.stringify(opaYaml));
  const [, look] = CHECKS.find(([name]) => name === "policy")!;
  t.like(
    (await look(loadConfig({ env: {}, cwd: dir }), () => {})).map(({ status, message }) => [
      status,
      message.slice(0, 32),
    ]),
    [
      ["ok", file.slice(0, 32)],
      ["fail", "mine: /extensions/acme Invalid t"],
    ],
  );
  await using node = await RailgateNode.open({ dataDir: join(dir, "data"), bundle });
  const events = await node.store.events({ order: "asc", limit: 10 });
  t.deepEqual(
    events.map(({ record }) => (JSON.parse(eventTextOf(record)) as EvidenceEvent).event_type),
    ["node.start", "policy.activate"],
  );
});
