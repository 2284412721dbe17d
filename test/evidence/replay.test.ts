// Real decisions of a real node, decided again: from its data directory and from exports, and by policies that would decide otherwise.
import { admit as admitOne, lifecycle, mesh } from "../gate/commands.ts";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { parseAdmissionRequest } from "../../src/core/request.ts";
import { tarGz, writeFolder, writeTarGz } from "../../src/evidence/export/files.ts";
import { prepareExport } from "../../src/evidence/export/export.ts";
import { replay } from "../../src/evidence/replay/replay.ts";
import { DEFAULT_BUNDLE } from "../../src/node/open.ts";
import { readBundleFiles } from "../../src/policy/bundle-files.ts";
import { railgate } from "../cli/railgate.ts";
import { admit, asked, exportFiles, request, sha256, withNode, type Files, type Json } from "./exports.ts";

/** The bundle that comes with Railgate, with other settings, and not signed. */
async function candidate(change: (settings: Json) => void): Promise<Buffer> {
  const files = await readBundleFiles(DEFAULT_BUNDLE.bytes());
  const data = JSON.parse(Buffer.from(files.get("data.json")!).toString()) as Json;
  change(data["railgate"].settings);
  files.set("data.json", Buffer.from(JSON.stringify(data)));
  files.delete(".signatures.json");
  return packed(files);
}

async function packed(files: ReadonlyMap<string, Uint8Array>): Promise<Buffer> {
  const parts: Buffer[] = [];
  const entries = async function* () {
    for (const [name, content] of files) yield { name, size: content.length, open: () => [content] };
  };
  for await (const part of tarGz(entries)) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

async function withArchive(files: Files, work: (path: string) => Promise<void>): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), "railgate-replay-"));
  try {
    writeFileSync(join(dir, "export.tar.gz"), await packed(files));
    await work(join(dir, "export.tar.gz"));
  } finally {
    rmSync(dir, { recursive: true });
  }
}

const NOTHING = { host_refused: { total: 0, decides_now: 0 }, erased: 0, mismatches: [], changed: [], candidate: null };

test("every decision is reached again, byte for byte: from the data directory, the database, a folder, an archive", async (t) => {
  await withNode(async (node, dir) => {
    await admit(node, 10);
    for (const transition of ["create", "start", "create", "stop"] as const)
      await lifecycle(node, { command: "transition", workload_id: "w1", transition }, "acme");
    await mesh(
      node,
      {
        command: "reload",
        mesh_id: "m",
        rails: [{ rail_id: "r", level: "hardware_isolated", latency_overhead_us: 1, capacity: 1 }],
      },
      "acme",
    );
    await mesh(node, { command: "remove", mesh_id: "m", workload_id: "w1" }, "acme");
    using prepared = await prepareExport(node, asked());
    await writeFolder(prepared.files, join(dir, "folder"));
    await writeTarGz(prepared.files, join(dir, "export.tar.gz"));
    const decisions = (await node.store.events({ tenant_id: "acme", order: "asc", limit: 100 })).length - 1; // the export is no decision
    t.is(decisions, 16);
    for (const path of ["data", "data/railgate.db", "folder", "export.tar.gz"]) {
      t.deepEqual(await replay(join(dir, path)), { ok: true, decisions, reproduced: decisions, ...NOTHING }, path);
    }
  });
});

test("a decision that does not follow from its policy and input is named", async (t) => {
  await withNode(async (node) => {
    await admit(node, 4);
    const files = await exportFiles(node);
    const lines = files.get("events.jsonl")!.toString().split("\n");
    const event = JSON.parse(lines[0]!) as Json;
    const artifact = files.get(`artifacts/${event["evidence_pointer"].slice(-64)}`)!.toString();
    t.regex(artifact, /"outcome":"refused"/);
    const forged = artifact.replace('"outcome":"refused"', '"outcome":"accepted"');
    event["evidence_pointer"] = `eosc://evidence/${sha256(forged)}`;
    files.set(`artifacts/${sha256(forged).slice(7)}`, Buffer.from(forged));
    files.set("events.jsonl", Buffer.from([JSON.stringify(event), ...lines.slice(1)].join("\n")));
    await withArchive(files, async (path) => {
      const report = await replay(path);
      t.false(report.ok);
      t.like(report, { decisions: 4, reproduced: 3 });
      t.deepEqual(report.mismatches, [
        {
          sequence: 0,
          event_id: event["id"],
          chain_id: "acme/node-1",
          tenant_id: "acme",
          workload_id: "w0",
          problem: "the policy decides otherwise on this input",
        },
      ]);
    });
  });
});

test("an artifact that is another, and a bundle that is gone, are named", async (t) => {
  await withNode(async (node) => {
    await admit(node, 2);
    const files = await exportFiles(node);
    const pointer = (JSON.parse(files.get("events.jsonl")!.toString().split("\n")[1]!) as Json)[
      "evidence_pointer"
    ].slice(-64);
    await withArchive(new Map(files).set(`artifacts/${pointer}`, Buffer.from("{}")), async (path) => {
      const { mismatches } = await replay(path);
      t.deepEqual(
        mismatches.map(({ sequence, problem }) => [sequence, problem]),
        [[1, "the artifact is not the one that the event points to"]],
      );
    });
    const withoutBundle = new Map(files);
    withoutBundle.delete(`artifacts/${node.policy!.digest.slice(7)}`);
    await withArchive(withoutBundle, async (path) => {
      const report = await replay(path);
      t.false(report.ok);
      t.true(report.mismatches.every(({ problem }) => problem.includes("is not here")));
    });
    await withArchive(
      new Map(files).set(`artifacts/${node.policy!.digest.slice(7)}`, Buffer.from("no bundle")),
      async (path) => {
        await t.throwsAsync(replay(path), { code: "replay_impossible", message: /damaged/ });
      },
    );
  });
});

test("what the host refused for want of a policy is told apart: POL-01 and POL-03 are no decisions of the law", async (t) => {
  await withNode(
    async (node, dir) => {
      await admit(node, 3);
      t.regex(node.problem!, /policy/);
      t.deepEqual(await replay(join(dir, "data")), {
        ok: true,
        decisions: 3,
        reproduced: 0,
        ...NOTHING,
        host_refused: { total: 3, decides_now: 0 },
      });
      const files = await exportFiles(node);
      await withArchive(files, async (path) => void t.is((await replay(path)).host_refused.total, 3));
    },
    { bundle: { bytes: () => Buffer.from("no bundle"), keys: { keys: [] } } },
  );

  await withNode(
    async (node, dir) => {
      await admit(node, 2);
      const report = await replay(join(dir, "data"));
      t.true(report.ok);
      t.deepEqual(report.host_refused, { total: 2, decides_now: 2 });
    },
    { evaluationMsMax: -1 },
  );
});

test("a candidate policy: newly refused, newly admitted, other envelope, and who would do it", async (t) => {
  await withNode(async (node, dir) => {
    const ask = (id: string, classification: string, tier = "standard") => {
      const given = request(id, "acme", classification);
      given["workload"]["tenant_tier"] = tier;
      return admitOne(node, parseAdmissionRequest(given));
    };
    await ask("a", "internal");
    await ask("b", "secret");
    await ask("c", "internal", "regulated");
    const data = join(dir, "data");
    const changes = async (change: (settings: Json) => void) =>
      (await replay(data, { candidate: await candidate(change) })).changed.map((each) => [
        each.sequence,
        each.change,
        ...each.rules,
      ]);
    t.deepEqual(await changes(() => {}), []);
    t.deepEqual(await changes(({ triggers }) => (triggers.classification.internal = "vm")), [
      [0, "newly_refused", "ENV-03"],
    ]);
    t.deepEqual(await changes(({ triggers }) => (triggers.tenant_tier.regulated = "container")), [
      [2, "newly_admitted", "ENV-03"],
    ]);
    t.deepEqual(await changes(({ triggers }) => (triggers.tenant_tier.regulated = "tee")), [
      [2, "other_envelope", "vm → tee"],
    ]);
    t.deepEqual(await changes(({ container }) => (container.runtimes.gvisor = false)), [
      [0, "newly_refused", "CTR-01"],
    ]);
    await t.throwsAsync(replay(data, { candidate: Buffer.from("no bundle") }), { code: "replay_impossible" });
  });
});

test("in a spreadsheet, what a caller called a workload is text and no formula", async (t) => {
  await withNode(async (node, dir) => {
    await admitOne(node, parseAdmissionRequest(request("-2", "@acme")));
    writeFileSync(
      join(dir, "candidate.tar.gz"),
      await candidate(({ triggers }) => (triggers.classification.internal = "vm")),
    );
    const { stdout } = await railgate(["replay", "data", "--bundle", "candidate.tar.gz", "--csv"], { cwd: dir });
    t.regex(stdout, /^newly_refused,"'@acme","'-2",ENV-03,"'@acme\/node-1",0,/m);
  });
});

test("the command says the same, as a table and as JSON, and with its exit code", async (t) => {
  await withNode(async (node, dir) => {
    await admit(node, 4);
    using prepared = await prepareExport(node, asked());
    await writeTarGz(prepared.files, join(dir, "export.tar.gz"));
    writeFileSync(
      join(dir, "candidate.tar.gz"),
      await candidate(({ triggers }) => (triggers.classification.internal = "vm")),
    );
    const plain = await railgate(["replay", "export.tar.gz"], { cwd: dir });
    t.deepEqual([plain.code, plain.stderr], [0, ""]);
    t.regex(plain.stdout, /^4 decisions, 4 reached again, byte for byte, 0 not reached again\n/);
    const compared = await railgate(["replay", "export.tar.gz", "--bundle", "candidate.tar.gz"], { cwd: dir });
    t.is(compared.code, 0);
    t.regex(compared.stdout, /^newly_refused {2}ENV-03 {2}2$/m);
    t.regex(compared.stdout, /^acme {4}w1 {8}newly_refused {2}1 {7}acme\/node-1 {2}ENV-03$/m);
    const json = await railgate(["replay", "data", "--bundle", "candidate.tar.gz", "--fail-on-change", "--json"], {
      cwd: dir,
    });
    t.is(json.code, 1);
    const { changed } = JSON.parse(json.stdout) as { changed: Json[] };
    t.deepEqual(
      changed.map(({ sequence, change }) => [sequence, change]),
      [
        [1, "newly_refused"],
        [2, "newly_refused"],
      ],
    );
    t.like(changed[0], { tenant_id: "acme", workload_id: "w1", rules: ["ENV-03"] });
    t.true(changed.every((each) => typeof each["event_id"] === "string"));
    const csv = await railgate(["replay", "data", "--bundle", "candidate.tar.gz", "--csv"], { cwd: dir });
    t.deepEqual(csv.stdout.split("\n").slice(0, 2), [
      "change,tenant_id,workload_id,rules,chain_id,sequence,event_id",
      `newly_refused,acme,w1,ENV-03,acme/node-1,1,${changed[0]!["event_id"]}`,
    ]);
    t.is((await railgate(["replay", "data", "--csv"], { cwd: dir })).code, 2);
    t.is((await railgate(["replay", "nowhere"], { cwd: dir })).code, 3);
    t.is((await railgate(["replay", "export.tar.gz", "--fail-on-change"], { cwd: dir })).code, 2);
  });
});
