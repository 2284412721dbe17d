// Keys that change and artifacts that go: what was signed before still verifies, nothing later does, and it is all on record.
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { DatabaseSync } from "node:sqlite";
import { join } from "node:path";
import test from "ava";
import { eventTextOf } from "../../src/core/event.ts";
import { keyFile, makeNextKey, nextKeyFile } from "../../src/evidence/keys/keys.ts";
import { replay } from "../../src/evidence/replay/replay.ts";
import { RailgateNode } from "../../src/node/open.ts";
import {
  admit,
  exportFiles,
  jws,
  keysOf,
  makeAttacker,
  sha256,
  Tampering,
  TRUSTING,
  withNode,
  type Files,
  type Json,
} from "./exports.ts";
import { theyAgree, verifyExport } from "./second-verifier.ts";

test.after("audit/verify.py, which shares nothing with ours, says the same of each", theyAgree);

const checks = async (files: Files, jwks?: Json) =>
  (await verifyExport(files, jwks ? { jwks: jwks as never } : TRUSTING)).checks
    .filter(({ status }) => status !== "passed")
    .map(({ name, detail }) => `${name}: ${detail}`);
const keysIn = (files: Files): Json[] =>
  (JSON.parse(files.get("keys.json")!.toString()) as Json)["keys"].filter((key: Json) => key["role"] === "event");
const kids = (files: Files): string[] =>
  files
    .get("records.jws")!
    .toString()
    .trim()
    .split("\n")
    .map((record) => (JSON.parse(Buffer.from(record.split(".")[0]!, "base64url").toString()) as Json)["kid"]);

test("a rotation is the last event that the old key signs in every stream, and names the new one", async (t) => {
  await withNode(async (node, dir) => {
    await admit(node, 3);
    await admit(node, 2, "globex");
    const before = (await node.jwks()).keys[0]!["kid"];
    const { old_kid, new_kid, streams } = await node.rotateKey();
    t.is(old_kid, before as string);
    t.is(streams, 3);
    await admit(node, 2, "acme", 3);
    const files = await exportFiles(node);
    t.deepEqual(kids(files), [old_kid, old_kid, old_kid, old_kid, new_kid, new_kid]);
    const rotation = JSON.parse(files.get("events.jsonl")!.toString().split("\n")[3]!) as Json;
    t.like(rotation, { event_type: "key.rotate", details: { old_kid, new_kid } });
    t.deepEqual(
      keysIn(files).map(({ kid, from_sequence, to_sequence }) => [kid, from_sequence, to_sequence]),
      [
        [old_kid, 0, 3],
        [new_kid, 4, null],
      ],
    );
    t.deepEqual(await checks(files, await node.jwks()), []);
    t.deepEqual(await checks(await exportFiles(node, { tenantId: "globex" }), await node.jwks()), []);
    t.deepEqual(await checks(await exportFiles(node, { tenantId: "default" }), await node.jwks()), []);
    t.is((await node.jwks()).keys.length, 2);
    t.deepEqual((await node.jwks()).keys.map((key) => "retired_at" in key).sort(), [false, true]);
    t.deepEqual(readdirSync(join(dir, "data", "keys")).sort(), ["event.jwk", "log.jwk"]);
    t.is(statSync(keyFile(join(dir, "data"), "event")).mode & 0o777, 0o600);
  });
});

test("ranges before, across and after several rotations verify; a range before one proves whose key signs now", async (t) => {
  await withNode(async (node) => {
    for (let i = 0; i < 3; i++) {
      await admit(node, 2, "acme", 2 * i);
      await node.rotateKey();
    }
    await admit(node, 1, "acme", 6);
    for (const [fromSequence, toSequence] of [
      [0, 1],
      [0, 2],
      [1, 4],
      [3, 3],
      [2, 9],
      [9, 9],
      [0, 9],
    ] as const) {
      const files = await exportFiles(node, { fromSequence, toSequence });
      t.deepEqual(await checks(files, await node.jwks()), [], `${fromSequence}–${toSequence}`);
      t.is(keysIn(files).length, 4);
    }
    const files = await exportFiles(node, { toSequence: 1 });
    t.is((JSON.parse(files.get("manifest.json")!.toString()) as Json)["rotations"].length, 3);
  });
});

test("a retired key verifies nothing later, not even with the producer's help, and signs no manifest", async (t) => {
  await withNode(async (node, dir) => {
    await admit(node, 2);
    const old = await keysOf(dir, node);
    await node.rotateKey();
    await admit(node, 2, "acme", 2);
    const files = await exportFiles(node);
    const { kid } = keysIn(files)[1]!;
    const now = { ...(await keysOf(dir, node)), kid: kid as string };
    const late = new Tampering(files, files, now);
    late.lines(
      "records.jws",
      (lines) =>
        (lines[4] = jws(
          { alg: "EdDSA", kid: old.kid, typ: "railgate-event+jws" },
          Buffer.from(lines[4]!.split(".")[1]!, "base64url"),
          old.event,
        )),
    );
    late.seal();
    const report = await verifyExport(late.files, TRUSTING);
    t.deepEqual(
      report.checks.filter(({ status }) => status !== "passed").map(({ name }) => name),
      ["key_ranges", "inclusion"],
    );
    t.deepEqual(report.first_bad, { file: "records.jws", line: 5, sequence: 4 });
    const resealed = new Tampering(files, files, old);
    resealed.seal();
    t.regex((await checks(resealed.files)).join(), /manifest_signature: .* is retired/);
    const untied = new Tampering(await exportFiles(node, { toSequence: 1 }), files, now);
    untied.json("manifest.json", (manifest) => delete manifest["rotations"]);
    untied.seal();
    t.regex((await checks(untied.files)).join(), /keys: .* came after the range, and no rotation on record says so/);
  });
});

test("a key that was known to others: what it signed from then on does not verify, what it signed before does", async (t) => {
  let clock = Date.parse("2026-01-01T00:00:00Z");
  await withNode(
    async (node) => {
      await admit(node, 2);
      clock += 3_600_000;
      await admit(node, 2, "acme", 2);
      await node.rotateKey({ compromisedSince: "2026-01-01T00:30:00Z" });
      await admit(node, 1, "acme", 4);
      t.deepEqual(await checks(await exportFiles(node, { toSequence: 1 })), []);
      const report = await verifyExport(await exportFiles(node), TRUSTING);
      t.deepEqual(
        report.checks.filter(({ status }) => status !== "passed").map(({ name, sequence }) => [name, sequence]),
        [["key_ranges", 2]],
      );
      t.deepEqual(await checks(await exportFiles(node, { fromSequence: 5 })), []);
    },
    { now: () => clock },
  );
});

test("decisions go on while the key changes, and every stream has one change", async (t) => {
  await withNode(async (node) => {
    await admit(node, 1);
    const tenants = ["acme", "globex", "initech"];
    const busy = tenants.map((tenant) => admit(node, 15, tenant));
    const rotations = [node.rotateKey()];
    await rotations[0];
    await Promise.all(busy);
    for (const tenantId of tenants) {
      const files = await exportFiles(node, { tenantId });
      t.deepEqual(await checks(files, await node.jwks()), [], tenantId);
      t.true(new Set(kids(files)).size <= 2);
    }
  });
});

test("rotations that are asked for at once happen one after the other", async (t) => {
  await withNode(async (node) => {
    await admit(node, 1);
    const rotations = await Promise.all([node.rotateKey(), node.rotateKey(), node.rotateKey()]);
    t.deepEqual(
      rotations.slice(1).map(({ old_kid }) => old_kid),
      rotations.slice(0, 2).map(({ new_kid }) => new_kid),
    );
    await admit(node, 1, "acme", 1);
    const files = await exportFiles(node);
    t.is(kids(files).at(-1), rotations[2]!.new_kid);
    t.deepEqual(await checks(files, await node.jwks()), []);
  });
});

test("a crash between the commit of a rotation and its file: the next start finishes it", async (t) => {
  await withNode(async (node, dir) => {
    const data = join(dir, "data");
    await admit(node, 2);
    const oldKey = readFileSync(keyFile(data, "event"));
    const { new_kid } = await node.rotateKey();
    await node.close();
    renameSync(keyFile(data, "event"), nextKeyFile(data, new_kid));
    writeFileSync(keyFile(data, "event"), oldKey, { mode: 0o600 });
    await using again = await RailgateNode.open({ dataDir: data, nodeId: "node-1" });
    t.false(existsSync(nextKeyFile(data, new_kid)));
    await admit(again, 1, "acme", 2);
    const files = await exportFiles(again);
    t.is(kids(files).at(-1), new_kid);
    t.deepEqual(await checks(files, await again.jwks()), []);
  });
});

test("a crash before the commit of a rotation: the old key signs on, and the new one is given up", async (t) => {
  await withNode(async (node, dir) => {
    const data = join(dir, "data");
    await admit(node, 1);
    const { kid } = (await node.jwks()).keys[0]!;
    await node.close();
    await makeNextKey(data);
    await using again = await RailgateNode.open({ dataDir: data, nodeId: "node-1" });
    t.deepEqual(readdirSync(join(data, "keys")).sort(), ["event.jwk", "log.jwk"]);
    await admit(again, 1, "acme", 1);
    t.deepEqual(kids(await exportFiles(again)), [kid, kid]);
  });
});

test("a rotation that cannot be committed changes nothing", async (t) => {
  await withNode(async (node, dir) => {
    await admit(node, 1);
    const before = await node.jwks();
    const other = new DatabaseSync(join(dir, "data", "railgate.db"));
    other.exec("BEGIN IMMEDIATE");
    await t.throwsAsync(node.rotateKey(), { code: "evidence_unavailable" });
    other.close();
    t.deepEqual(await node.jwks(), before);
    await admit(node, 1, "acme", 1);
    const files = await exportFiles(node);
    t.is(new Set(kids(files)).size, 1);
    t.deepEqual(await checks(files, await node.jwks()), []);
    await node.rotateKey();
    await admit(node, 1, "acme", 2);
    t.deepEqual(await checks(await exportFiles(node), await node.jwks()), []);
  });
});

test("an artifact is erased on a basis that is on record; every proof still holds, and its bytes are gone", async (t) => {
  await withNode(async (node, dir) => {
    await admit(node, 4);
    await admit(node, 1, "acme", 4711);
    await admit(node, 1, "acme", 5);
    const target = (await node.store.events({ workload_id: "w4711", order: "asc", limit: 1 }))[0]!;
    const { id, sequence, evidence_pointer } = JSON.parse(eventTextOf(target.record)) as Json;
    const before = await exportFiles(node);
    const bytes = before.get(`artifacts/${evidence_pointer.slice(-64)}`)!;
    t.is(sha256(bytes).slice(7), evidence_pointer.slice(-64));
    await node.eraseArtifact(id, "acme", "GDPR Art. 17, request 4711", "privacy-office");
    t.is(await node.store.artifactOf(id), undefined);
    for (const range of [{}, { toSequence: sequence + 1 }, { fromSequence: sequence, toSequence: sequence }]) {
      const report = await verifyExport(await exportFiles(node, range), { jwks: await node.jwks() });
      t.true(report.ok);
      t.like(report.erased[0], {
        sequence,
        artifact: evidence_pointer.slice(-71),
        basis: "GDPR Art. 17, request 4711",
      });
      t.is(report.erased.length, 1);
      t.regex(report.checks.find(({ name }) => name === "artifacts")!.detail, /1 that was erased, on record/);
    }
    t.deepEqual(await checks(before, await node.jwks()), []);
    t.like(await replay(join(dir, "data")), { ok: true, decisions: 5, erased: 1, mismatches: [] });
    for (const code of ["artifact_unknown"]) {
      await t.throwsAsync(node.eraseArtifact(id, "acme", "again", "x"), { code });
      await t.throwsAsync(node.eraseArtifact(id, "globex", "not theirs", "x"), { code });
    }
    await node.close();
    // The input's own words are in no file of the data directory any more.
    for (const name of readdirSync(join(dir, "data"))) {
      if (name.startsWith("railgate.db"))
        t.false(
          readFileSync(join(dir, "data", name)).includes('"workload_id":"w4711","tenant_id":"acme","tenant_tier"'),
          name,
        );
    }
  });
});

test("keys that are given: from a file, from text, from a folder in which the next one lies already", async (t) => {
  const given = (key: ReturnType<typeof makeAttacker>): string => JSON.stringify(key.key.export({ format: "jwk" }));
  const [one, two] = [makeAttacker(), makeAttacker()];
  await withNode(
    async (node, dir) => {
      await admit(node, 1);
      t.is(kids(await exportFiles(node))[0], one.jwk["kid"]);
      t.deepEqual(readdirSync(join(dir, "data", "keys")), ["log.jwk"]);
      await t.throwsAsync(node.rotateKey(), { code: "key_unavailable", message: /holds one only/ });
    },
    { eventKey: { name: "the variable KEY", read: () => given(one) } },
  );
  await withNode(async (node) => t.notThrowsAsync(node.jwks()), {
    eventKey: { name: "a file", read: () => one.key.export({ format: "pem", type: "pkcs8" }) as string },
  });

  const folder = mkdtempSync(join(tmpdir(), "railgate-keys-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, "one.jwk"), given(one));
  const eventKey = { name: "the folder", directory: folder };
  await withNode(
    async (node, dir) => {
      await admit(node, 1);
      const [first, second] = [one.jwk["kid"] as string, two.jwk["kid"] as string];
      await t.throwsAsync(node.rotateKey({ to: second }), { code: "key_unavailable", message: /does not hold/ });
      writeFileSync(join(folder, "two.jwk"), given(two));
      await t.throwsAsync(node.rotateKey(), { code: "key_unavailable" });
      await node.rotateKey({ to: second });
      await t.throwsAsync(node.rotateKey({ to: first }), { code: "key_unavailable", message: /never signs again/ });
      await node.close();
      await using again = await RailgateNode.open({ dataDir: join(dir, "data"), nodeId: "node-1", eventKey });
      await admit(again, 1, "acme", 1);
      const files = await exportFiles(again);
      t.deepEqual(kids(files), [first, first, second]);
      t.deepEqual(await checks(files, await again.jwks()), []);
      await again.close();
      rmSync(join(folder, "two.jwk"));
      const error = await t.throwsAsync(RailgateNode.open({ dataDir: join(dir, "data"), nodeId: "node-1", eventKey }), {
        code: "key_unavailable",
      });
      t.false(error.message.includes(JSON.parse(given(one)).d));
    },
    { eventKey },
  );
});
