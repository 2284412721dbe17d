// Exports made by a real node: what is in them, that they are the same to the byte, when they are refused, and what pins prove.
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { compactVerify, createLocalJWKSet } from "jose";
import { eventTextOf } from "../../src/core/event.ts";
import { EvidenceEventSchema } from "../../src/core/schema/event.ts";
import { ExportTargetError, tarGz, writeFolder, writeTarGz } from "../../src/evidence/export/files.ts";
import { EvidenceUnavailableError } from "../../src/core/errors.ts";
import { prepareExport, type ExportRequest } from "../../src/evidence/export/export.ts";
import { TransparencyLog } from "../../src/evidence/log/log.ts";
import { RailgateNode } from "../../src/node/open.ts";
import { Compile } from "typebox/compile";
import {
  admit,
  asked,
  canonical,
  exportFiles,
  filesOf,
  keysOf,
  makeAttacker,
  merkleRoot,
  sha256,
  Tampering,
  TRUSTING,
  withNode,
  type Files,
  type Json,
} from "./exports.ts";
import { theyAgree, verifyExport } from "./second-verifier.ts";

test.after("audit/verify.py, which shares nothing with ours, says the same of each", theyAgree);

const parse = (files: Files, name: string): Json => JSON.parse(files.get(name)!.toString()) as Json;
const lines = (files: Files, name: string): string[] => files.get(name)!.toString().trim().split("\n");
const failing = async (files: Files, jwks?: Json) =>
  (await verifyExport(files, jwks ? { jwks: jwks as never } : TRUSTING)).checks
    .filter(({ status }) => status !== "passed")
    .map(({ name, status }) => `${name} ${status}`);

test("an export has the layout of the specification, and says what it must", async (t) => {
  await withNode(async (node) => {
    await admit(node, 7);
    const files = await exportFiles(node);
    const names = [...files.keys()];
    t.deepEqual(
      names.filter((name) => !name.startsWith("artifacts/")),
      [
        "chain-segment.json",
        "checkpoint",
        "events.jsonl",
        "keys.json",
        "manifest.json",
        "profile-claim.json",
        "proofs.json",
        "records.jws",
        "verifier-inputs.json",
      ],
    );
    t.deepEqual(names, [...names].sort());
    const manifest = parse(files, "manifest.json");
    t.is(files.get("manifest.json")!.toString(), canonical(manifest));
    t.deepEqual(Object.keys(manifest).sort(), [
      "artifacts",
      "bundle_hash",
      "chain_id",
      "chain_segment_ref",
      "created_at",
      "evidence_profile_id",
      "export_id",
      "files",
      "hash_profile_id",
      "producer_identity",
      "profile_version",
      "provider_id",
      "schema_version",
      "scope",
      "signatures",
      "tenant_id",
      "verifier_expectations_ref",
    ]);
    t.deepEqual(
      Object.keys(manifest["files"]).sort(),
      names.filter((name) => name !== "manifest.json"),
    );
    for (const name of names) if (name !== "manifest.json") t.is(manifest["files"][name], sha256(files.get(name)!));
    for (const name of names)
      if (name.startsWith("artifacts/"))
        t.is(name, `artifacts/${createHash("sha256").update(files.get(name)!).digest("hex")}`);
    const events = lines(files, "events.jsonl").map((line) => JSON.parse(line) as Json);
    const isEvent = Compile(EvidenceEventSchema);
    t.true(events.every((event) => isEvent.Check(event)));
    t.deepEqual(lines(files, "records.jws").map(eventTextOf), lines(files, "events.jsonl"));
    const root = `sha256:${merkleRoot(events.map((event) => Buffer.from(event["event_hash"].slice(7), "hex"))).toString("hex")}`;
    t.is(manifest["bundle_hash"], root);
    const segment = parse(files, "chain-segment.json");
    t.is(segment["segment_hash"], root);
    t.deepEqual(
      segment["events"].map((event: Json) => event["event_hash"]),
      events.map((event) => event["event_hash"]),
    );
    t.deepEqual(manifest["artifacts"]["policy_bundle"], [`eosc://evidence/${node.policy!.digest}`]);
    t.is(manifest["artifacts"]["decision"].length, 7);
    t.is(manifest["created_at"], events.at(-1)!["occurred_at"]);
    const jwks = createLocalJWKSet((await node.jwks()) as never);
    for (const record of lines(files, "records.jws"))
      await t.notThrowsAsync(compactVerify(record, jwks, { algorithms: ["EdDSA"] }));
  });
});

test("the same range and checkpoint give the same bytes, whenever and however often", async (t) => {
  await withNode(async (node) => {
    await admit(node, 9);
    const checkpoint = await node.log.checkpoint("acme/node-1", 9);
    const log = {
      stream: (chain: string) => node.log.stream(chain),
      checkpoint: async () => checkpoint,
      inclusionProof: (...args: [string, number, number]) => node.log.inclusionProof(...args),
    };
    const source = {
      store: node.store,
      nodeId: node.nodeId,
      logOrigin: node.logOrigin,
      sign: node.sign.bind(node),
      record: node.record.bind(node),
      log: log as never,
    };
    const make = async () => {
      using prepared = await prepareExport(source, asked({ toSequence: 6 }));
      const parts: Buffer[] = [];
      for await (const part of tarGz(() => prepared.files())) parts.push(part as Buffer);
      return { id: prepared.exportId, bytes: Buffer.concat(parts) };
    };
    const first = await make();
    await admit(node, 2, "acme", 9);
    t.deepEqual(await make(), first);
    t.true((await verifyExport(first.bytes, TRUSTING)).ok);
  });
});

test("an export is recorded before it is given out, in the tenant's stream", async (t) => {
  await withNode(async (node) => {
    await admit(node, 3);
    using prepared = await prepareExport(node, asked({ actor: "auditor" }));
    const [last] = await node.store.events({ tenant_id: "acme", order: "desc", limit: 1 });
    const event = JSON.parse(eventTextOf(last!.record)) as Json;
    t.is(event["event_type"], "evidence.export");
    t.is(event["actor"], "auditor");
    t.like(event["details"], {
      export_id: prepared.exportId,
      manifest_digest: prepared.manifestDigest,
      from_sequence: 0,
      to_sequence: 2,
      evidence_profile_id: "ecs-evidence-admissible",
    });
    t.is(sha256((await filesOf(prepared)).get("manifest.json")!), prepared.manifestDigest);
    // The next export has the one before in it.
    t.deepEqual(await failing(await exportFiles(node)), []);
  });
});

test("every range of a stream can be exported, and verifies", async (t) => {
  await withNode(async (node) => {
    await admit(node, 11);
    for (const [fromSequence, toSequence] of [
      [0, 0],
      [0, 10],
      [10, 10],
      [3, 3],
      [4, 7],
      [1, 9],
      [7, 8],
      [0, 7],
      [8, 10],
    ] as const) {
      const files = await exportFiles(node, { fromSequence, toSequence });
      t.deepEqual(await failing(files), [], `${fromSequence}–${toSequence}`);
      t.is(lines(files, "events.jsonl").length, toSequence - fromSequence + 1);
    }
  });
});

test("the node's own stream can be exported as well: its artifacts are what it did, and the bundle", async (t) => {
  await withNode(async (node) => {
    const files = await exportFiles(node, { tenantId: "default" });
    t.deepEqual(
      lines(files, "events.jsonl").map((line) => (JSON.parse(line) as Json)["event_type"]),
      ["node.start", "policy.activate"],
    );
    t.deepEqual(await failing(files), []);
  });
});

test("what another node has not signed a checkpoint for is not left out in silence: it is named, and how to export the rest", async (t) => {
  await withNode(async (node) => {
    await admit(node, 2);
    const signed = await node.log.checkpoint("acme/node-1", 2);
    await admit(node, 2, "acme", 2);
    class SignedNoMore extends TransparencyLog {
      override async checkpoint(_chainId: string, sizeMin = 1) {
        if (sizeMin > signed.size) throw new EvidenceUnavailableError("there is no checkpoint");
        return signed;
      }
    }
    const log = new SignedNoMore({ reader: node.store.log, logs: () => [], checkpoint: async () => {} });
    const sourceAs = (nodeId: string) => ({
      store: node.store,
      log,
      nodeId,
      logOrigin: node.logOrigin,
      sign: node.sign.bind(node),
      record: async () => {},
    });
    const asking = (more: Partial<ExportRequest> = {}) => asked({ chainId: "acme/node-1", ...more });
    const unsigned = (cure: string) => ({
      code: "export_incomplete",
      message: new RegExp(
        `a checkpoint over the events \\d+ to \\d+ of acme/node-1, which its node signs when it runs${cure}$`,
      ),
    });
    const last = signed.size - 1;
    await t.throwsAsync(
      prepareExport(sourceAs("node-2"), asking()),
      unsigned(`; with to_sequence ${last} .* before them`),
    );
    await t.throwsAsync(prepareExport(sourceAs("node-2"), asking({ fromSequence: signed.size })), unsigned(""));
    using prepared = await prepareExport(sourceAs("node-2"), asking({ toSequence: last }));
    t.deepEqual(await failing(await filesOf(prepared)), []);
    await t.throwsAsync(prepareExport(sourceAs("node-1"), asking()), { code: "evidence_unavailable" });
  });
});

test("refused: streams that are another's or not there, and ranges that are not", async (t) => {
  await withNode(async (node) => {
    await admit(node, 3);
    const code = "export_range_unknown";
    await t.throwsAsync(prepareExport(node, asked({ tenantId: "globex" })), { code });
    await t.throwsAsync(prepareExport(node, asked({ tenantId: "globex", chainId: "acme/node-1" })), { code });
    await t.throwsAsync(prepareExport(node, asked({ fromSequence: 2, toSequence: 1 })), { code });
    await t.throwsAsync(prepareExport(node, asked({ toSequence: 3 })), { code });
    t.is((await node.store.events({ event_type: "evidence.export", order: "asc", limit: 5 })).length, 0);
  });
});

test("profiles: what they demand comes from files that settings name, and what is missing is said", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "railgate-artifacts-"));
  t.teardown(() => rmSync(dir, { recursive: true }));
  const named = (...kinds: string[]) => Object.fromEntries(kinds.map((kind) => [kind, [join(dir, kind)]]));
  for (const kind of ["authority", "key_custody", "data_use_posture", "dataset_manifest", "model_provenance"])
    writeFileSync(join(dir, kind), `about ${kind}`);
  await withNode(async (node) => {
    await admit(node, 3);
    const make = (profile: string, ...kinds: string[]) =>
      exportFiles(node, { evidenceProfileId: profile, artifacts: named(...kinds) });
    const ncp = ["authority", "key_custody"];
    const ml = [...ncp, "data_use_posture", "dataset_manifest", "model_provenance"];
    t.deepEqual(await failing(await make("ecs-evidence-baseline")), []);
    t.deepEqual(await failing(await make("ecs-evidence-ncp", ...ncp)), []);
    t.deepEqual(await failing(await make("ecs-evidence-regulated-ml", ...ml)), []);
    for (const [profile, kinds] of [
      ["ecs-evidence-ncp", ncp],
      ["ecs-evidence-regulated-ml", ml],
    ] as const) {
      for (const left of kinds) {
        const error = await t.throwsAsync(make(profile, ...kinds.filter((kind) => kind !== left)), {
          code: "export_incomplete",
        });
        t.regex(error.message, new RegExp(left));
      }
    }
    await t.throwsAsync(make("ecs-evidence-ncp", ...ncp, "gone"), {
      code: "export_incomplete",
      message: /gone.*ENOENT/,
    });
    await t.throwsAsync(make("ecs-evidence-best"), { code: "export_incomplete" });
  });
});

test("refused: an export whose artifact is gone or damaged", async (t) => {
  await withNode(async (node, dir) => {
    await admit(node, 4);
    await node.close();
    const { DatabaseSync } = await import("node:sqlite");
    // While no node runs: a running one notices that something else has written to its database.
    const altered = async (sql: string, check: (node: RailgateNode) => Promise<void>): Promise<void> => {
      const db = new DatabaseSync(join(dir, "data", "railgate.db"));
      db.exec(`${sql} WHERE position = (SELECT position FROM events WHERE tenant_id = 'acme' AND sequence = 1)`);
      db.close();
      await using again = await RailgateNode.open({ dataDir: join(dir, "data"), nodeId: "node-1" });
      await check(again);
    };
    await altered("UPDATE artifacts SET bytes = bytes || ' '", async (again) => {
      await t.throwsAsync(exportFiles(again), { code: "export_incomplete", message: /artifact of event 1 is damaged/ });
    });
    await altered("DELETE FROM artifacts", async (again) => {
      await t.throwsAsync(exportFiles(again), { code: "export_incomplete", message: /of event 1/ });
      t.deepEqual(await failing(await exportFiles(again, { fromSequence: 2, toSequence: 3 })), []);
    });
  });
});

test("a folder and a file are written as a whole, into nothing that is there", async (t) => {
  await withNode(async (node, dir) => {
    await admit(node, 3);
    using prepared = await prepareExport(node, asked());
    await writeFolder(prepared.files, join(dir, "out", "export"));
    t.true((await verifyExport(join(dir, "out", "export"), TRUSTING)).ok);
    await writeTarGz(prepared.files, join(dir, "export.tar.gz"));
    t.true((await verifyExport(join(dir, "export.tar.gz"), TRUSTING)).ok);
    await t.throwsAsync(writeFolder(prepared.files, join(dir, "out")), { instanceOf: ExportTargetError });
    const before = readFileSync(join(dir, "export.tar.gz"));
    await t.throwsAsync(writeTarGz(prepared.files, join(dir, "export.tar.gz")), { instanceOf: ExportTargetError });
    t.deepEqual(readFileSync(join(dir, "export.tar.gz")), before);
  });
});

test("pinned keys: an export that is somebody else's from end to end verifies by itself, and not by the producer's keys", async (t) => {
  await withNode(async (node, dir) => {
    await admit(node, 3);
    const files = await exportFiles(node);
    t.deepEqual(await failing(files, await node.jwks()), []);
    t.true((await verifyExport(files, { jwks: await node.jwks() })).keys.pinned);
    const forger = makeAttacker();
    await withNode(async (other) => {
      await admit(other, 3);
      const forged = await exportFiles(other);
      t.deepEqual(await failing(forged), []);
      t.deepEqual(await failing(forged, await node.jwks()), ["signer failed"]);
    });
    // The manifest alone signed by a stranger whose key was put beside the real one.
    const tampering = new Tampering(files, files, await keysOf(dir, node));
    tampering.json("keys.json", (jwks) => {
      jwks["keys"].find((key: Json) => key["role"] === "event")["to_sequence"] = 2;
      jwks["keys"].push({ ...forger.jwk, role: "event", from_sequence: 3, to_sequence: null });
    });
    tampering.seal(forger.key, forger.jwk["kid"]);
    t.deepEqual(await failing(tampering.files), ["keys failed"]);
    // As of another node's export: known by what the auditor brings, or not at all.
    const asProducer = new Tampering(files, files, await keysOf(dir, node));
    asProducer.json("keys.json", (jwks) =>
      jwks["keys"].push({ ...forger.jwk, role: "producer", from_sequence: 0, to_sequence: null }),
    );
    asProducer.seal(forger.key, forger.jwk["kid"]);
    t.deepEqual(await failing(asProducer.files, await node.jwks()), ["signer failed"]);
    const { checks } = await verifyExport(asProducer.files);
    t.deepEqual(
      checks.filter(({ status }) => status !== "passed").map(({ name }) => name),
      ["signer"],
    );
    const ended = { keys: (await node.jwks()).keys.map((key) => ({ ...key, retired_at: "2020-01-01T00:00:00Z" })) };
    t.deepEqual(await failing(files, ended), ["manifest_signature failed", "key_ranges failed"]);
    await t.throwsAsync(verifyExport(files, { jwks: { keys: [{ kty: "RSA" }] } }), { instanceOf: TypeError });
  });
});

test("another producer's export in the same layout, without signatures, is verified as far as it goes", async (t) => {
  const artifact = Buffer.from('{"decision":"yes"}');
  const digest = sha256(artifact);
  let before: string | null = null;
  const events = [0, 1, 2].map((sequence) => {
    const event: Json = {
      id: `event-${sequence}`,
      event_type: "custom.thing",
      occurred_at: "2026-01-01T00:00:00Z",
      tenant_id: "t",
      actor: "a",
      correlation_id: "c",
      outcome: "accepted",
      chain_id: "t/x",
      sequence,
      prev_hash: before,
      evidence_profile_id: "p",
      hash_profile_id: "ecs-hash-v1",
      evidence_pointer: `eosc://evidence/${digest}`,
      policy_snapshot_id: sha256("[]"),
      authority_snapshot_id: sha256("[]"),
    };
    event["event_hash"] = before = sha256(canonical(event));
    return event;
  });
  const root = `sha256:${merkleRoot(events.map((event) => Buffer.from(event["event_hash"].slice(7), "hex"))).toString("hex")}`;
  const files: Files = new Map([
    ["events.jsonl", Buffer.from(events.map((event) => `${canonical(event)}\n`).join(""))],
    [
      "chain-segment.json",
      Buffer.from(
        JSON.stringify(
          {
            segment_id: "s",
            tenant_id: "t",
            from_sequence: 0,
            to_sequence: 2,
            algorithm: "SHA-256",
            segment_hash: root,
            events: events.map(({ id, sequence, prev_hash, event_hash }) => ({
              id,
              sequence,
              prev_hash,
              event_hash,
              event_ref: id,
            })),
          },
          null,
          2,
        ),
      ),
    ],
    [
      "verifier-inputs.json",
      Buffer.from(JSON.stringify({ event_hash_method: "a", segment_hash_method: "b", bundle_hash_method: "c" })),
    ],
    [`artifacts/${digest.slice(7)}`, artifact],
  ]);
  const manifest: Json = {
    schema_version: "1.0",
    export_id: "e",
    created_at: "2026-01-01T00:00:00Z",
    provider_id: "p",
    tenant_id: "t",
    evidence_profile_id: "ecs-evidence-admissible",
    profile_version: "1",
    hash_profile_id: "ecs-hash-v1",
    producer_identity: { issuer_id: "i", producer_id: "p" },
    verifier_expectations_ref: "verifier-inputs.json",
    scope: { from_sequence: 0, to_sequence: 2 },
    chain_id: "t/x",
    chain_segment_ref: "chain-segment.json",
    bundle_hash: root,
    artifacts: { decision: [`artifacts/${digest.slice(7)}`] },
    files: Object.fromEntries([...files].map(([name, content]) => [name, sha256(content)])),
  };
  files.set("manifest.json", Buffer.from(JSON.stringify(manifest, null, 2)));
  const report = await verifyExport(files);
  t.false(report.ok);
  t.is(report.first_bad, null);
  t.deepEqual(
    report.checks.filter(({ status }) => status === "failed"),
    [],
  );
  t.deepEqual(
    report.checks.filter(({ status }) => status === "not_checked").map(({ name }) => name),
    [
      "manifest_signature",
      "methods",
      "keys",
      "signer",
      "records",
      "record_signatures",
      "key_ranges",
      "segment_signature",
      "checkpoint",
      "inclusion",
      "ecs",
    ],
  );
  files.set("events.jsonl", Buffer.from(files.get("events.jsonl")!.toString().replace("custom.thing", "custom.other")));
  t.deepEqual((await verifyExport(files)).first_bad, { file: "events.jsonl", line: 1, sequence: 0 });
});
