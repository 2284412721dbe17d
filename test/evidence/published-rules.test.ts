// Exports as others' tools read them: the ECS contracts' published rules hold of ours, others' exports are judged by their own methods, and those of 0.1 still verify.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import test from "ava";
import { replay } from "../../src/evidence/replay/replay.ts";
import type { CheckName, VerifyReport } from "../../src/evidence/verify/report.ts";
import { verifyExport as verifyInBrowser } from "../../src/evidence/verify/index.ts";
import {
  admit,
  canonical,
  exportFiles,
  jws,
  keysOf,
  makeAttacker,
  merkleRoot,
  sha256,
  Tampering,
  TRUSTING,
  withNode,
  type Files,
  type Json,
  type Keys,
} from "./exports.ts";
import { theyAgree, verifyExport } from "./second-verifier.ts";

test.after("audit/verify.py, which shares nothing with ours, says the same of each", theyAgree);

const NOTHING = sha256("[]");
let files: Files;
let later: Files;
let accepted: Files;
let keys: Keys;

test.before(async () => {
  await withNode(async (node, dir) => {
    await admit(node, 6);
    files = await exportFiles(node);
    later = await exportFiles(node, { fromSequence: 2, toSequence: 4, evidenceProfileId: "ecs-evidence-baseline" });
    accepted = await exportFiles(node, { fromSequence: 1, toSequence: 2 });
    keys = await keysOf(dir, node);
  });
});

const json = (from: Files, name: string): Json => JSON.parse(from.get(name)!.toString()) as Json;
const eventsOf = (from: Files): Json[] =>
  from
    .get("events.jsonl")!
    .toString()
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Json);
const check = ({ checks }: VerifyReport, name: CheckName) => checks.find((each) => each.name === name)!;
const failing = ({ checks }: VerifyReport): string[] =>
  checks.filter(({ status }) => status === "failed").map(({ name }) => name);

/** The published rules, read apart from our code. */
function faultsByTheRules(from: Files): string[] {
  const faults: string[] = [];
  const must = (holds: boolean, rule: string): void => void (holds || faults.push(rule));
  const [manifest, claim, inputs, segment] = [
    "manifest.json",
    "profile-claim.json",
    "verifier-inputs.json",
    "chain-segment.json",
  ].map((name) => json(from, name)) as [Json, Json, Json, Json];
  const events = eventsOf(from);
  for (const name of ["evidence_profile_id", "profile_version", "verifier_expectations_ref", "producer_identity"])
    for (const document of [claim, inputs])
      must(manifest[name] !== undefined && canonical(document[name] ?? 0) === canonical(manifest[name]), `R2 ${name}`);
  for (const event of events)
    for (const name of ["id", "event_type", "occurred_at", "tenant_id", "outcome", "evidence_pointer"])
      must(Boolean(event[name]) && Number.isInteger(event["sequence"]), `R3 ${name}`);
  must(!events[0]!["prev_hash"], "R4 first");
  events.slice(1).forEach((event, i) => must(event["prev_hash"] === events[i]!["event_hash"], "R4"));
  const refused = events.filter(({ outcome }) => outcome === "refused");
  must(refused.length > 0 && refused.every(({ refusal_reason }) => Boolean(refusal_reason)), "R5");
  must(
    events.every(({ evidence_pointer }) => /^eosc:\/\/evidence\/sha256:[0-9a-f]{64}$/.test(evidence_pointer)),
    "R6",
  );
  const sequences = events.map(({ sequence }) => sequence as number);
  must(Math.min(...sequences) === manifest["scope"].from_sequence, "R7 from");
  must(Math.max(...sequences) === manifest["scope"].to_sequence, "R7 to");
  must(manifest["hash_profile_id"] === "ecs-hash-v1", "R8");
  const ref = `eosc://evidence/chain/${sha256(from.get("chain-segment.json")!)}`;
  must(manifest["chain_segment_ref"] === ref && inputs["chain_segment_ref"] === ref, "chain_segment_ref");
  must(inputs["chain_id"] === manifest["chain_id"] && inputs["hash_profile_id"] === "ecs-hash-v1", "inputs");
  must(segment["evidence_profile_id"] === manifest["evidence_profile_id"], "segment");
  segment["events"].forEach((row: Json, i: number) => {
    must(row["event_ref"] === events[i]!["evidence_pointer"], "event_ref");
    must(row["evidence_profile_id"] === manifest["evidence_profile_id"], "row profile");
  });
  const pointers = Object.values(manifest["artifacts"] as Record<string, string[]>).flat();
  must(
    pointers.every((pointer) => /^eosc:\/\/evidence\/sha256:[0-9a-f]{64}$/.test(pointer)),
    "pointers",
  );
  must(
    pointers.every((pointer) => from.has(`artifacts/${pointer.slice(-64)}`)),
    "pointers resolve",
  );
  must(
    events.every(({ evidence_pointer }) => pointers.includes(evidence_pointer)),
    "events' pointers",
  );
  for (const [kind, member] of [
    ["policy_snapshots", "policy_snapshot_id"],
    ["authority_bindings", "authority_snapshot_id"],
  ] as const) {
    const documents = (manifest["artifacts"][kind] as string[]).map((pointer) =>
      json(from, `artifacts/${pointer.slice(-64)}`),
    );
    for (const event of events)
      must(
        documents.some(({ id }) => id === event[member]),
        kind,
      );
    for (const { id, made_of, pointers: to } of documents) {
      must(typeof made_of === "string" && Array.isArray(to), `${kind} form`);
      must(id === NOTHING ? to.length === 0 : to.every((each: string) => pointers.includes(each)), `${kind} pointers`);
    }
  }
  const { implements: implemented } = claim;
  for (const name of ["evidence_profiles", "hash_profiles", "export_endpoints", "verifier_inputs_supported"])
    must(Array.isArray(implemented[name]) && implemented[name].length > 0, name);
  must(implemented.evidence_profiles.includes(implemented.default_evidence_profile), "default_evidence_profile");
  return [...new Set(faults)];
}

test("an export of the node's own profile passes all published rules, and our verifier says so", async (t) => {
  t.deepEqual(faultsByTheRules(files), []);
  t.is(check(await verifyExport(files, TRUSTING), "ecs").status, "passed");
  const refused = eventsOf(files).filter(({ outcome }) => outcome === "refused");
  t.true(refused.length > 0);
  for (const { refusal_reason, refusal_reason_code } of refused) {
    t.notRegex(refusal_reason as string, /\{|\}/);
    t.not(refusal_reason, refusal_reason_code);
  }
});

test("what is a matter of the range and not of form is told, and fails nothing", async (t) => {
  const report = await verifyExport(later, TRUSTING);
  t.true(report.ok);
  const { status, detail } = check(report, "ecs");
  t.is(status, "passed");
  t.regex(detail, /the range starts at 2.*events were made under "ecs-evidence-admissible"/);
  t.regex(check(await verifyExport(accepted, TRUSTING), "ecs").detail, /it holds no refusal/);
});

const AGAINST: Record<string, (t: Tampering) => void> = {
  "the claim is of another profile": (t) =>
    t.json("profile-claim.json", (claim) => (claim["evidence_profile_id"] = "ecs-evidence-ncp")),
  "the claim does not implement the profile": (t) =>
    t.json("profile-claim.json", (claim) => (claim["implements"].evidence_profiles = ["ecs-evidence-baseline"])),
  "the claim has no lists": (t) => t.json("profile-claim.json", (claim) => delete claim["implements"].hash_profiles),
  "the claim is no JSON": (t) => t.set("profile-claim.json", "{"),
  "the inputs name another producer": (t) =>
    t.json("verifier-inputs.json", (inputs) => (inputs["producer_identity"].producer_id = "node-2")),
  "the inputs refer to no segment": (t) =>
    t.json("verifier-inputs.json", (inputs) => delete inputs["chain_segment_ref"]),
  "the segment names another profile": (t) =>
    t.json("chain-segment.json", (segment) => (segment["evidence_profile_id"] = "ecs-evidence-baseline")),
  "a row of the segment names no profile": (t) =>
    t.json("chain-segment.json", (segment) => delete segment["events"][2].evidence_profile_id),
  "a row of the segment refers to something else": (t) =>
    t.json("chain-segment.json", (segment) => (segment["events"][2].event_ref = `eosc://evidence/${sha256("x")}`)),
  "artifacts are named by their paths": (t) =>
    t.json("manifest.json", ({ artifacts }) => {
      artifacts["decision"] = artifacts["decision"].map((pointer: string) => `artifacts/${pointer.slice(-64)}`);
    }),
  "no document says what a policy snapshot is": (t) =>
    t.json("manifest.json", ({ artifacts }) => {
      artifacts["other"] = artifacts["policy_snapshots"];
      delete artifacts["policy_snapshots"];
    }),
};

for (const [name, change] of Object.entries(AGAINST)) {
  test(`caught by the check of form, with the key in hand: ${name}`, async (t) => {
    const tampering = new Tampering(files, files, keys);
    change(tampering);
    tampering.seal();
    const report = await verifyExport(tampering.files, TRUSTING);
    t.false(report.ok);
    t.deepEqual(failing(report), ["ecs"]);
  });
}

test("the segment's digest in the manifest is checked", async (t) => {
  const tampering = new Tampering(files, files, keys);
  tampering.json("manifest.json", (manifest) => (manifest["chain_segment_ref"] = "chain-segment.json"));
  t.true(failing(await verifyExport(tampering.files, TRUSTING)).includes("ecs"));
});

/** An export as the contracts' own examples are: no keys, flat hashes, a first event that names none before it. */
function othersExport(change: (manifest: Json, events: Json[]) => void = () => {}): Files {
  const artifact = Buffer.from('{"decision":"yes"}');
  const made: Files = new Map([["artifacts/evidence-1.json", artifact]]);
  let before: string | undefined;
  const events = [100, 101, 102].map((sequence): Json => {
    const event: Json = {
      id: `evt-${sequence}`,
      event_type: "policy.evaluate",
      occurred_at: "2025-01-01T00:00:00Z",
      tenant_id: "tenant-123",
      actor: "system",
      correlation_id: "c",
      outcome: "accepted",
      chain_id: "chain-001",
      sequence,
      ...(before !== undefined && { prev_hash: before }),
      evidence_profile_id: "ecs-evidence-baseline",
      hash_profile_id: "ecs-hash-v1",
      evidence_pointer: `eosc://evidence/${sha256(artifact)}`,
      policy_snapshot_id: "pol-001",
      authority_snapshot_id: "auth-001",
    };
    event["event_hash"] = before = sha256(canonical(event));
    return event;
  });
  const flat = `sha256:${createHash("sha256")
    .update(events.map(({ event_hash }) => event_hash as string).join("\n"))
    .digest("hex")}`;
  const head = {
    evidence_profile_id: "ecs-evidence-baseline",
    profile_version: "1.0",
    producer_identity: { issuer_id: "provider-A", producer_id: "exporter" },
    verifier_expectations_ref: "docs/verifier.md",
  };
  const put = (name: string, value: unknown) => made.set(name, Buffer.from(JSON.stringify(value, null, 2)));
  put("chain-segment.json", {
    segment_id: "seg-001",
    tenant_id: "tenant-123",
    from_sequence: 100,
    to_sequence: 102,
    algorithm: "sha256",
    evidence_profile_id: "ecs-evidence-baseline",
    events: events.map(({ id, sequence, prev_hash = null, event_hash, evidence_pointer, evidence_profile_id }) => ({
      id,
      sequence,
      prev_hash,
      event_hash,
      evidence_profile_id,
      event_ref: evidence_pointer,
    })),
    segment_hash: flat,
    signature: "optional-signature",
  });
  const chain_segment_ref = `eosc://evidence/chain/${sha256(made.get("chain-segment.json")!)}`;
  const method = "sha256(newline-joined event_hash values)";
  put("verifier-inputs.json", {
    ...head,
    hash_profile_id: "ecs-hash-v1",
    chain_id: "chain-001",
    from_sequence: 100,
    to_sequence: 102,
    event_hash_method: "sha256(canonical_json(event) without event_hash)",
    segment_hash_method: method,
    bundle_hash_method: method,
    chain_segment_ref,
  });
  put("profile-claim.json", { ...head, implements: { evidence_profiles: ["ecs-evidence-baseline"] } });
  const manifest: Json = {
    ...head,
    schema_version: "1.0",
    export_id: "exp-001",
    created_at: "2025-01-01T00:00:00Z",
    provider_id: "provider-A",
    tenant_id: "tenant-123",
    hash_profile_id: "ecs-hash-v1",
    scope: { from_sequence: 100, to_sequence: 102 },
    chain_id: "chain-001",
    chain_segment_ref,
    bundle_hash: flat,
    artifacts: {
      policy_snapshots: ["eosc://policy/pol-001"],
      evidence_artifacts: [`eosc://artifact/${sha256(artifact)}`],
    },
    signatures: [{ key_id: "key-001", signature: "base64..." }],
  };
  change(manifest, events);
  put("manifest.json", manifest);
  made.set("events.jsonl", Buffer.from(events.map((event) => `${canonical(event)}\n`).join("")));
  return made;
}

test("another producer's export is judged by what it declares; the rest is not checked, with the reason", async (t) => {
  const report = await verifyExport(othersExport());
  t.false(report.ok);
  t.deepEqual(failing(report), []);
  const passed = report.checks.filter(({ status }) => status === "passed").map(({ name }) => name);
  t.deepEqual(passed, [
    "archive",
    "manifest",
    "methods",
    "events",
    "event_hashes",
    "chain",
    "segment",
    "segment_hash",
    "bundle_hash",
    "profile",
  ]);
  for (const { status, detail } of report.checks) if (status === "not_checked") t.true(detail.length > 10);
  t.regex(check(report, "policies").detail, /no digest/);
});

test("another producer's records without keys: what they say is checked, who signed them is not, with the reason", async (t) => {
  const { key, jwk } = makeAttacker();
  const signed = (change: (lines: string[]) => void = () => {}) => {
    const files = othersExport();
    const lines = eventsOf(files).map((event) =>
      jws({ alg: "EdDSA", kid: jwk["kid"], typ: "railgate-event+jws" }, canonical(event), key),
    );
    change(lines);
    return files.set("records.jws", Buffer.from(lines.map((line) => `${line}\n`).join("")));
  };
  for (const verify of [verifyExport, verifyInBrowser]) {
    const report = await verify(signed());
    t.false(report.ok);
    t.deepEqual(failing(report), []);
    t.is(check(report, "records").status, "passed");
    for (const name of ["record_signatures", "key_ranges"] as const)
      t.like(check(report, name), { status: "not_checked", detail: "there is no keys.json" });
  }
  const cut = await verifyExport(signed((lines) => lines.pop()));
  t.deepEqual(failing(cut), ["records"]);
  const swapped = await verifyExport(signed((lines) => lines.reverse()));
  t.deepEqual(failing(swapped), ["records"]);
  const ours = new Map(files);
  ours.delete("keys.json");
  const failed = failing(await verifyExport(ours));
  for (const name of ["record_signatures", "key_ranges"] as const) t.true(failed.includes(name), name);
});

test("what another producer says wrongly fails all the same", async (t) => {
  const wrong = (change: (manifest: Json, events: Json[]) => void) => verifyExport(othersExport(change)).then(failing);
  t.deepEqual(await wrong((manifest) => (manifest["bundle_hash"] = sha256("x"))), ["bundle_hash"]);
  t.deepEqual(await wrong((_, events) => (events[1]!["actor"] = "someone else")), ["event_hashes"]);
  t.true((await wrong((_, events) => (events[2]!["prev_hash"] = sha256("x")))).includes("chain"));
  // By the Merkle method, which it does not declare, the same hash would be wrong.
  const root = merkleRoot(
    eventsOf(othersExport()).map(({ event_hash }) => Buffer.from((event_hash as string).slice(7), "hex")),
  );
  t.deepEqual(await wrong((manifest) => (manifest["bundle_hash"] = `sha256:${root.toString("hex")}`)), ["bundle_hash"]);
});

test("an export of 0.1 verifies as it did, by its producer's keys, and its decisions are reached again", async (t) => {
  const path = "test/corpus/exports/railgate-0.1.tar.gz";
  const jwks = JSON.parse(readFileSync("test/corpus/exports/railgate-0.1.jwks.json", "utf8")) as never;
  const report = await verifyExport(path, { jwks });
  t.deepEqual(
    report.checks.filter(({ status }) => status !== "passed"),
    [],
  );
  t.regex(check(report, "ecs").detail, /before these rules/);
  t.like(await replay(path), { ok: true, decisions: 5, reproduced: 5 });
});

test("an export made before a rotation verifies with the keys as they are published afterwards", async (t) => {
  await withNode(async (node) => {
    await admit(node, 3);
    const before = await exportFiles(node);
    await node.rotateKey();
    await admit(node, 1, "acme", 3);
    const jwks = await node.jwks();
    t.is(jwks.keys.length, 2);
    t.true((await verifyExport(before, { jwks })).ok);
    t.true((await verifyExport(await exportFiles(node), { jwks })).ok);
    const [retired] = jwks.keys.filter((key) => "retired_at" in key);
    t.true((await verifyExport(before, { jwks: { keys: [retired!, { kty: "RSA", n: "x", e: "AQAB" }] } })).ok);
    // Its end lies before what it signed.
    const ended = { keys: jwks.keys.map((key) => ({ ...key, retired_at: "2020-01-01T00:00:00Z" })) };
    t.deepEqual(failing(await verifyExport(before, { jwks: ended })), ["manifest_signature", "key_ranges"]);
  });
});

test("who signed: known by pinned keys or the verifier's own, else not checked, in words that nobody can take for a proof", async (t) => {
  await withNode(async (node) => {
    await admit(node, 2);
    const [own, foreign] = [await exportFiles(node), files];
    const signer = async (given: Files, options: object) => check(await verifyExport(given, options), "signer");
    t.is((await signer(own, { jwks: await node.jwks() })).status, "passed");
    t.is((await signer(own, { ownKeys: await node.jwks() })).status, "passed");
    t.is((await signer(foreign, { jwks: await node.jwks() })).status, "failed");
    for (const options of [{}, { ownKeys: await node.jwks() }]) {
      const { status, detail } = await signer(foreign, options);
      t.is(status, "not_checked");
      t.regex(detail, /^UNKNOWN WHO SIGNED/);
      t.false((await verifyExport(foreign, options)).ok);
    }
    t.regex((await signer(foreign, TRUSTING)).detail, /^NOT PROVEN/);
    t.true((await verifyExport(foreign, TRUSTING)).ok);
  });
});
