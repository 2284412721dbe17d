// Every way of tampering with an export that we could think of, alone: each is caught, and by the check whose business it is.
import { createHmac, sign } from "node:crypto";
import { readFileSync } from "node:fs";
import test from "ava";
import type { CheckName, VerifyReport } from "../../src/evidence/verify/report.ts";
import { verifyExport as verifyByUs } from "../../src/evidence/verify/index.ts";
import {
  admit,
  base64url,
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
import { compareLater, theyAgree, verifyExport } from "./second-verifier.ts";

const EVENTS = 12;
const attacker = makeAttacker();
let files: Files;
let other: Files;
let earlier: Files;
let keys: Keys;

async function verifyInBrowser(given: Files, options: typeof TRUSTING): Promise<VerifyReport> {
  const report = await verifyByUs(given, options);
  compareLater(given, options, report);
  return report;
}

test.after("audit/verify.py, which shares nothing with ours, says the same of each", theyAgree);

test.before(async () => {
  await withNode(async (node, dir) => {
    await admit(node, 6);
    earlier = await exportFiles(node);
    await admit(node, 5, "globex");
    other = await exportFiles(node, { tenantId: "globex" });
    await admit(node, EVENTS - 4, "acme", 6);
    // One that covers more than the range, whenever the last was made.
    const chain = `acme/${node.nodeId}`;
    await node.log.checkpoint(chain, (await node.log.stream(chain))!.size);
    // From the second event on, so that proofs have siblings on both sides of the range.
    files = await exportFiles(node, { fromSequence: 1, toSequence: EVENTS - 1 });
    keys = await keysOf(dir, node);
  });
});

const failing = ({ checks }: VerifyReport): string[] =>
  checks
    .filter(({ status }) => status !== "passed")
    .map(({ name }) => name)
    .sort();

interface Case {
  readonly change: (t: Tampering) => void;
  /** Exactly these checks fail when the one who tampered also has the event key. */
  readonly fails: readonly CheckName[];
  /** The record that is named first: its index in the range, and the file. */
  readonly bad?: readonly [file: string, index: number, shifted?: number];
  /** The manifest is not made right again: it is what was changed. */
  readonly unsealed?: true;
}

const CHAINED: readonly CheckName[] = ["chain", "records", "segment", "segment_hash", "bundle_hash"];
/** Without a manifest there is nothing to hold these against. */
const UNREADABLE: readonly CheckName[] = [
  "manifest",
  "files",
  "manifest_signature",
  "segment",
  "bundle_hash",
  "segment_signature",
  "checkpoint",
  "profile",
  "ecs",
];
const record = (t: Tampering, index: number, make: (payload: Buffer, header: Json, old: string) => string): void =>
  t.lines("records.jws", (lines) => {
    const [header, payload] = lines[index]!.split(".");
    lines[index] = make(
      Buffer.from(payload!, "base64url"),
      JSON.parse(Buffer.from(header!, "base64url").toString()) as Json,
      lines[index]!,
    );
  });
const flip = (text: string, at: number): string =>
  text.slice(0, at) + (text[at] === "A" ? "B" : "A") + text.slice(at + 1);
const swap = <T>(list: T[], a: number, b: number): void => void ([list[a], list[b]] = [list[b]!, list[a]!]);
const note = (size: number, root: string, origin: string, key = keys.log, name = origin): string => {
  const text = `${origin}\n${size}\n${root}\n`;
  const signature = Buffer.concat([
    Buffer.from(files.get("checkpoint")!.toString().trimEnd().split(" ").at(-1)!, "base64").subarray(0, 4),
    sign(null, Buffer.from(text), key),
  ]);
  return `${text}\n— ${name} ${signature.toString("base64")}\n`;
};
const head = () => {
  const [origin, size, root] = files.get("checkpoint")!.toString().split("\n");
  return { origin: origin!, size: Number(size), root: root! };
};
const artifactOf = (t: Tampering, index: number): string =>
  `artifacts/${(JSON.parse(t.text("events.jsonl").split("\n")[index]!) as Json)["evidence_pointer"].slice(-64)}`;
const bundleOf = (t: Tampering): string =>
  `artifacts/${(JSON.parse(t.text("events.jsonl").split("\n")[0]!) as Json)["policy_snapshot_id"].slice(-64)}`;
const unlist = (t: Tampering, name: string): void =>
  t.json("manifest.json", (manifest) => {
    delete manifest["files"][name];
    for (const kind of Object.keys(manifest["artifacts"]))
      manifest["artifacts"][kind] = manifest["artifacts"][kind].filter((ref: string) => !ref.endsWith(name.slice(-64)));
  });
const swapKey = (t: Tampering, change: (key: Json, keys: Json[]) => void, role = "event"): void =>
  t.json("keys.json", (jwks) =>
    change(
      jwks["keys"].find((key: Json) => key["role"] === role),
      jwks["keys"],
    ),
  );

const CASES: Record<string, Case> = {
  // events.jsonl
  "an event is changed": {
    change: (t) => t.event(3, (event) => (event["actor"] = "someone else")),
    fails: ["event_hashes", "records"],
    bad: ["events.jsonl", 3],
  },
  "an event is changed, and its hash with it": {
    change: (t) => t.event(3, (event) => (event["actor"] = "someone else"), true),
    fails: CHAINED,
    bad: ["records.jws", 3],
  },
  "an outcome is turned round": {
    change: (t) => t.event(2, (event) => (event["outcome"] = "accepted")),
    fails: ["event_hashes", "records"],
    bad: ["events.jsonl", 2],
  },
  "two events change places": {
    change: (t) => t.lines("events.jsonl", (lines) => swap(lines, 4, 5)),
    fails: CHAINED,
    bad: ["events.jsonl", 4],
  },
  "an event is left out": {
    change: (t) => t.lines("events.jsonl", (lines) => lines.splice(4, 1)),
    fails: [...CHAINED, "inclusion"],
    bad: ["events.jsonl", 4],
  },
  "the first event is left out": {
    change: (t) => t.lines("events.jsonl", (lines) => lines.shift()),
    fails: [...CHAINED, "inclusion"],
    bad: ["events.jsonl", 0, 1],
  },
  "the last event is left out": {
    change: (t) => t.lines("events.jsonl", (lines) => lines.pop()),
    fails: [...CHAINED, "inclusion"],
    bad: ["events.jsonl", EVENTS - 2],
  },
  "an event comes twice": {
    change: (t) => t.lines("events.jsonl", (lines) => lines.splice(4, 0, lines[4]!)),
    fails: [...CHAINED, "inclusion"],
    bad: ["events.jsonl", 5],
  },
  "another tenant's event is put in": {
    change: (t) =>
      t.lines("events.jsonl", (lines) => (lines[3] = t.other.get("events.jsonl")!.toString().split("\n")[4]!)),
    fails: [...CHAINED, "artifacts"],
    bad: ["events.jsonl", 3],
  },
  "an event is cut off": {
    change: (t) => t.set("events.jsonl", t.files.get("events.jsonl")!.subarray(0, -40)),
    fails: ["events", ...CHAINED],
    bad: ["events.jsonl", EVENTS - 2],
  },
  "a space is put into an event": {
    change: (t) => t.lines("events.jsonl", (lines) => (lines[3] = lines[3]!.replace('":', '": '))),
    fails: ["events", "records"],
    bad: ["events.jsonl", 3],
  },
  "an event's members change places": {
    change: (t) =>
      t.lines(
        "events.jsonl",
        (lines) =>
          (lines[3] = JSON.stringify(Object.fromEntries(Object.entries(JSON.parse(lines[3]!) as Json).reverse()))),
      ),
    fails: ["events", "records"],
    bad: ["events.jsonl", 3],
  },
  "a member comes twice in an event": {
    change: (t) => t.lines("events.jsonl", (lines) => (lines[3] = lines[3]!.replace("{", '{"actor":"someone else",'))),
    fails: ["events", "records"],
    bad: ["events.jsonl", 3],
  },
  "an event is not UTF-8": {
    change: (t) => {
      const bytes = Buffer.from(t.files.get("events.jsonl")!);
      bytes[bytes.indexOf('"test"', bytes.length / 2) + 2] = 0xff;
      t.set("events.jsonl", bytes);
    },
    fails: ["events", ...CHAINED],
  },
  "a lone surrogate is put into an event": {
    change: (t) => t.lines("events.jsonl", (lines) => (lines[3] = lines[3]!.replace('"test"', '"\\ud800"'))),
    fails: ["events", "records"],
    bad: ["events.jsonl", 3],
  },
  "an empty line is put in": {
    change: (t) => t.lines("events.jsonl", (lines) => lines.splice(3, 0, "")),
    fails: ["events", ...CHAINED, "inclusion"],
    bad: ["events.jsonl", 3],
  },
  "lines end as in Windows": {
    change: (t) => t.set("events.jsonl", t.text("events.jsonl").replaceAll("\n", "\r\n")),
    fails: ["events", "records"],
    bad: ["events.jsonl", 0],
  },
  "a sequence is skipped": {
    change: (t) => t.event(3, (event) => event["sequence"]++, true),
    fails: CHAINED,
    bad: ["events.jsonl", 3],
  },
  "a prev_hash is taken away": {
    change: (t) => t.event(3, (event) => (event["prev_hash"] = null), true),
    fails: CHAINED,
    bad: ["events.jsonl", 3],
  },
  "a member that all profiles demand is taken away": {
    change: (t) => t.event(3, (event) => delete event["correlation_id"]),
    fails: ["events", "event_hashes", "records"],
    bad: ["events.jsonl", 3],
  },
  "an event points to another artifact": {
    change: (t) => t.event(3, (event) => (event["evidence_pointer"] = `eosc://evidence/${sha256("other")}`)),
    fails: ["event_hashes", "records", "artifacts", "ecs"],
    bad: ["events.jsonl", 3],
  },
  "an event names another policy": {
    change: (t) => t.event(3, (event) => (event["policy_snapshot_id"] = sha256("other"))),
    fails: ["event_hashes", "records", "policies", "ecs"],
    bad: ["events.jsonl", 3],
  },
  "all hashes are computed anew from an event on": {
    change: rewriteHistory,
    fails: ["records"],
    bad: ["records.jws", 3],
  },
  // records.jws
  "a signature is changed": {
    change: (t) => record(t, 3, (_, __, old) => flip(old, old.length - 20)),
    fails: ["record_signatures", "inclusion"],
    bad: ["records.jws", 3],
  },
  "a signature is another record's": {
    change: (t) =>
      t.lines(
        "records.jws",
        (lines) =>
          (lines[3] = `${lines[3]!.slice(0, lines[3]!.lastIndexOf("."))}${lines[4]!.slice(lines[4]!.lastIndexOf("."))}`),
      ),
    fails: ["record_signatures", "inclusion"],
    bad: ["records.jws", 3],
  },
  "a payload is changed": {
    change: (t) =>
      record(
        t,
        3,
        (payload, header, old) =>
          `${base64url(JSON.stringify(header))}.${base64url(payload.toString().replace("test", "fest"))}.${old.split(".")[2]}`,
      ),
    fails: ["records", "record_signatures", "inclusion"],
    bad: ["records.jws", 3],
  },
  "a record says another thing, signed by the node": {
    change: (t) =>
      record(t, 3, (payload, header) => jws(header, payload.toString().replace("test", "fest"), t.keys.event)),
    fails: ["records", "inclusion"],
    bad: ["records.jws", 3],
  },
  "two records change places": {
    change: (t) => t.lines("records.jws", (lines) => swap(lines, 4, 5)),
    fails: ["records", "inclusion"],
    bad: ["records.jws", 4],
  },
  "a record is left out": {
    change: (t) => t.lines("records.jws", (lines) => lines.splice(4, 1)),
    fails: ["records", "inclusion"],
    bad: ["records.jws", 4],
  },
  "the last record is cut off": {
    change: (t) => t.set("records.jws", t.files.get("records.jws")!.subarray(0, -30)),
    fails: ["records", "inclusion"],
    bad: ["records.jws", EVENTS - 2],
  },
  "a record comes twice": {
    change: (t) => t.lines("records.jws", (lines) => lines.push(lines.at(-1)!)),
    fails: ["records", "inclusion"],
    bad: ["records.jws", EVENTS - 1],
  },
  "a record of another stream is put in": {
    change: (t) =>
      t.lines("records.jws", (lines) => (lines[3] = t.other.get("records.jws")!.toString().split("\n")[4]!)),
    fails: ["records", "inclusion"],
    bad: ["records.jws", 3],
  },
  "a record claims the algorithm none": {
    change: (t) =>
      record(
        t,
        3,
        (payload, header) => `${base64url(JSON.stringify({ ...header, alg: "none" }))}.${base64url(payload)}.`,
      ),
    fails: ["records", "inclusion"],
    bad: ["records.jws", 3],
  },
  "a record is a MAC with the public key": {
    change: (t) =>
      record(t, 3, (payload, header) => {
        const input = `${base64url(JSON.stringify({ ...header, alg: "HS256" }))}.${base64url(payload)}`;
        const { x } = (JSON.parse(t.text("keys.json")) as Json)["keys"][0];
        return `${input}.${createHmac("sha256", Buffer.from(x, "base64url")).update(input).digest("base64url")}`;
      }),
    fails: ["records", "inclusion"],
    bad: ["records.jws", 3],
  },
  "a record claims another algorithm": {
    change: (t) => record(t, 3, (payload, header) => jws({ ...header, alg: "ES256" }, payload, t.keys.event)),
    fails: ["records", "inclusion"],
    bad: ["records.jws", 3],
  },
  "a record brings its own key": {
    change: (t) => record(t, 3, (payload, header) => jws({ ...header, jwk: attacker.jwk }, payload, attacker.key)),
    fails: ["records", "inclusion"],
    bad: ["records.jws", 3],
  },
  "a record is of another type": {
    change: (t) => record(t, 3, (payload, header) => jws({ ...header, typ: "JWT" }, payload, t.keys.event)),
    fails: ["records", "inclusion"],
    bad: ["records.jws", 3],
  },
  "a record has a critical extension": {
    change: (t) =>
      record(t, 3, (payload, header) => jws({ ...header, b64: false, crit: ["b64"] }, payload, t.keys.event)),
    fails: ["records", "inclusion"],
    bad: ["records.jws", 3],
  },
  "a record is signed by an unknown key": {
    change: (t) =>
      record(t, 3, (payload, header) => jws({ ...header, kid: attacker.jwk["kid"] }, payload, attacker.key)),
    fails: ["record_signatures", "inclusion"],
    bad: ["records.jws", 3],
  },
  "a record is signed by another key under a known name": {
    change: (t) => record(t, 3, (payload, header) => jws(header, payload, attacker.key)),
    fails: ["record_signatures", "inclusion"],
    bad: ["records.jws", 3],
  },
  "a record is signed by the log key": {
    change: (t) =>
      record(t, 3, (payload, header) =>
        jws(
          {
            ...header,
            kid: (JSON.parse(t.text("keys.json")) as Json)["keys"].find((key: Json) => key["role"] === "log")["kid"],
          },
          payload,
          t.keys.log,
        ),
      ),
    fails: ["record_signatures", "inclusion"],
    bad: ["records.jws", 3],
  },
  "a record is padded": {
    change: (t) => record(t, 3, (_, __, old) => `${old}==`),
    fails: ["records", "inclusion"],
    bad: ["records.jws", 3],
  },
  "a record's last digit has bits too many": {
    change: (t) =>
      record(t, 3, (_, __, old) => old.slice(0, -1) + String.fromCharCode(old.charCodeAt(old.length - 1) + 1)),
    fails: ["records", "inclusion"],
    bad: ["records.jws", 3],
  },
  // keys.json
  "the event key is taken away": {
    change: (t) => swapKey(t, (key, all) => all.splice(all.indexOf(key), 1)),
    fails: ["keys", "record_signatures", "manifest_signature", "segment_signature"],
    bad: ["records.jws", 0],
  },
  "the event key is replaced under its name": {
    change: (t) => swapKey(t, (key) => (key["x"] = attacker.jwk["x"])),
    fails: ["keys", "record_signatures", "manifest_signature", "segment_signature"],
    bad: ["records.jws", 0],
  },
  "the event key ends too early": {
    change: (t) => swapKey(t, (key) => (key["to_sequence"] = 5)),
    fails: ["key_ranges", "manifest_signature"],
    bad: ["records.jws", 5],
  },
  "the event key begins too late": {
    change: (t) => swapKey(t, (key) => (key["from_sequence"] = 5)),
    fails: ["key_ranges"],
    bad: ["records.jws", 0],
  },
  "the event key was known to others": {
    change: (t) => swapKey(t, (key) => (key["compromised_at"] = "2020-01-01T00:00:00Z")),
    fails: ["key_ranges", "manifest_signature"],
    bad: ["records.jws", 0],
  },
  "the event key becomes a log key": {
    change: (t) => swapKey(t, (key) => (key["role"] = "log")),
    fails: ["keys", "record_signatures", "manifest_signature", "segment_signature"],
    bad: ["records.jws", 0],
  },
  "a key has no role": { change: (t) => swapKey(t, (key) => delete key["role"], "log"), fails: ["keys", "checkpoint"] },
  "a private key is given away": {
    change: (t) => swapKey(t, (key) => (key["d"] = "c2VjcmV0"), "log"),
    fails: ["keys", "checkpoint"],
  },
  "a key is there twice": { change: (t) => swapKey(t, (key, all) => all.push(key)), fails: ["keys"] },
  "a second event key is valid at once": {
    change: (t) =>
      swapKey(t, (_, all) => all.push({ ...attacker.jwk, role: "event", from_sequence: 5, to_sequence: null })),
    fails: ["keys", "key_ranges"],
    bad: ["records.jws", 4],
  },
  "a key takes over that nobody named": {
    change: (t) =>
      swapKey(t, (key, all) => {
        key["to_sequence"] = 5;
        all.push({ ...attacker.jwk, role: "event", from_sequence: 6, to_sequence: null });
        t.lines("records.jws", (lines) =>
          lines.forEach(
            (line, i) =>
              i > 4 &&
              (lines[i] = jws(
                { alg: "EdDSA", kid: attacker.jwk["kid"], typ: "railgate-event+jws" },
                Buffer.from(line.split(".")[1]!, "base64url"),
                attacker.key,
              )),
          ),
        );
      }),
    fails: ["key_ranges", "manifest_signature", "inclusion"],
    bad: ["records.jws", 5],
  },
  "a key comes after the range that nobody named": {
    change: (t) =>
      swapKey(t, (key, all) => {
        key["to_sequence"] = 99;
        all.push({ ...attacker.jwk, role: "event", from_sequence: 100, to_sequence: null });
      }),
    fails: ["keys", "manifest_signature"],
  },
  "keys.json is no JSON": {
    change: (t) => t.set("keys.json", "keys"),
    fails: ["keys", "record_signatures", "manifest_signature", "segment_signature", "checkpoint"],
    bad: ["records.jws", 0],
  },
  // checkpoint
  "the checkpoint's size is changed": {
    change: (t) => t.set("checkpoint", t.text("checkpoint").replace(`\n${head().size}\n`, `\n${head().size + 1}\n`)),
    fails: ["checkpoint", "inclusion"],
  },
  "the checkpoint's root is changed": {
    change: (t) =>
      t.set("checkpoint", t.text("checkpoint").replace(head().root, Buffer.alloc(32, 7).toString("base64"))),
    fails: ["checkpoint", "inclusion"],
  },
  "the checkpoint's root is changed, and signed": {
    change: (t) => t.set("checkpoint", note(head().size, Buffer.alloc(32, 7).toString("base64"), head().origin)),
    fails: ["inclusion"],
  },
  "the checkpoint's signature is changed": {
    change: (t) => t.set("checkpoint", flip(t.text("checkpoint"), t.text("checkpoint").length - 20)),
    fails: ["checkpoint"],
  },
  "the checkpoint is signed by the event key": {
    change: (t) => t.set("checkpoint", note(head().size, head().root, head().origin, t.keys.event)),
    fails: ["checkpoint"],
  },
  "the checkpoint is not signed": {
    change: (t) => t.set("checkpoint", t.text("checkpoint").split("—")[0]!),
    fails: ["checkpoint", "inclusion"],
  },
  "the checkpoint is another stream's": {
    change: (t) => t.set("checkpoint", t.other.get("checkpoint")!),
    fails: ["checkpoint", "inclusion"],
  },
  "the checkpoint is too old to cover the range": {
    change: (t) => t.set("checkpoint", earlier.get("checkpoint")!),
    fails: ["checkpoint", "inclusion"],
  },
  // proofs.json
  "a proof's hash is changed": {
    change: (t) =>
      t.json("proofs.json", ({ proofs }) => (proofs[3].hashes[0] = Buffer.alloc(32, 7).toString("base64"))),
    fails: ["inclusion"],
    bad: ["proofs.json", 3],
  },
  "a proof is left out": {
    change: (t) => t.json("proofs.json", ({ proofs }) => proofs.splice(3, 1)),
    fails: ["inclusion"],
    bad: ["proofs.json", 3],
  },
  "two proofs change places": {
    change: (t) => t.json("proofs.json", ({ proofs }) => swap(proofs, 3, 4)),
    fails: ["inclusion"],
    bad: ["proofs.json", 3],
  },
  "a proof is another record's": {
    change: (t) => t.json("proofs.json", ({ proofs }) => (proofs[3].hashes = proofs[6].hashes)),
    fails: ["inclusion"],
    bad: ["proofs.json", 3],
  },
  "a proof is too short": {
    change: (t) => t.json("proofs.json", ({ proofs }) => proofs[3].hashes.pop()),
    fails: ["inclusion"],
    bad: ["proofs.json", 3],
  },
  "a proof is too long": {
    change: (t) => t.json("proofs.json", ({ proofs }) => proofs[3].hashes.push(proofs[3].hashes[0])),
    fails: ["inclusion"],
    bad: ["proofs.json", 3],
  },
  "a proof holds no base64": {
    change: (t) => t.json("proofs.json", ({ proofs }) => (proofs[3].hashes[0] = "no hash")),
    fails: ["inclusion"],
    bad: ["proofs.json", 3],
  },
  "the proofs are for another size": {
    change: (t) => t.json("proofs.json", (proofs) => proofs["tree_size"]++),
    fails: ["inclusion"],
  },
  "the proofs are cut off": {
    change: (t) => t.set("proofs.json", t.files.get("proofs.json")!.subarray(0, 300)),
    fails: ["inclusion"],
  },
  // chain-segment.json
  "the segment says another hash": {
    change: (t) => t.json("chain-segment.json", ({ events }) => (events[3].event_hash = sha256("other"))),
    fails: ["segment", "segment_hash"],
    bad: ["chain-segment.json", 3],
  },
  "the segment says another id": {
    change: (t) => t.json("chain-segment.json", ({ events }) => (events[3].id = events[4].id)),
    fails: ["segment"],
    bad: ["chain-segment.json", 3],
  },
  "the segment leaves an event out": {
    change: (t) => t.json("chain-segment.json", ({ events }) => events.splice(3, 1)),
    fails: ["segment", "segment_hash"],
    bad: ["chain-segment.json", 3],
  },
  "the segment has another order": {
    change: (t) => t.json("chain-segment.json", ({ events }) => swap(events, 3, 4)),
    fails: ["segment", "segment_hash"],
    bad: ["chain-segment.json", 3],
  },
  "the segment refers to no event": {
    change: (t) => t.json("chain-segment.json", ({ events }) => delete events[3].event_ref),
    fails: ["segment"],
    bad: ["chain-segment.json", 3],
  },
  "segment_hash is another": {
    change: (t) => t.json("chain-segment.json", (segment) => (segment["segment_hash"] = sha256("other"))),
    fails: ["segment_hash"],
  },
  "the segment has another range": {
    change: (t) => t.json("chain-segment.json", (segment) => (segment["to_sequence"] = 99)),
    fails: ["segment"],
  },
  "the segment is another tenant's": {
    change: (t) => t.json("chain-segment.json", (segment) => (segment["tenant_id"] = "globex")),
    fails: ["segment"],
  },
  "the segment's signature is taken away": {
    change: (t) => t.json("chain-segment.json", (segment) => delete segment["signature"]),
    fails: ["segment_signature"],
  },
  "the segment's signature is changed": {
    change: (t) => {
      t.json(
        "chain-segment.json",
        (segment) => (segment["signature"].signature = flip(segment["signature"].signature, 20)),
      );
      t.sealManifest();
    },
    unsealed: true,
    fails: ["segment_signature"],
  },
  // manifest.json
  "the manifest's signature is changed": {
    change: (t) =>
      t.json(
        "manifest.json",
        (manifest) => (manifest["signatures"][0].signature = flip(manifest["signatures"][0].signature, 20)),
      ),
    unsealed: true,
    fails: ["manifest_signature"],
  },
  "the manifest's signature is taken away": {
    change: (t) => t.json("manifest.json", (manifest) => delete manifest["signatures"]),
    unsealed: true,
    fails: ["manifest_signature", "segment_signature"],
  },
  "the manifest is changed": {
    change: (t) => t.json("manifest.json", (manifest) => (manifest["provider_id"] = "someone else")),
    unsealed: true,
    fails: ["manifest_signature"],
  },
  "the manifest is signed by a stranger": {
    change: (t) => void t.sealManifest(attacker.key, attacker.jwk["kid"]),
    unsealed: true,
    fails: ["manifest_signature", "segment_signature"],
  },
  "the manifest is signed by another key under a known name": {
    change: (t) => void t.sealManifest(attacker.key),
    unsealed: true,
    fails: ["manifest_signature"],
  },
  "bundle_hash is another": {
    change: (t) => t.json("manifest.json", (manifest) => (manifest["bundle_hash"] = sha256("other"))),
    fails: ["bundle_hash"],
  },
  "the range is narrower": {
    change: (t) => t.json("manifest.json", (manifest) => manifest["scope"].to_sequence--),
    fails: ["chain", "segment", "ecs"],
    bad: ["events.jsonl", EVENTS - 2],
  },
  "the range is wider": {
    change: (t) => t.json("manifest.json", (manifest) => manifest["scope"].to_sequence++),
    fails: ["chain", "segment", "ecs"],
    bad: ["events.jsonl", EVENTS - 1],
  },
  "the export is of another stream": {
    change: (t) => t.json("manifest.json", (manifest) => (manifest["chain_id"] = "acme/node-2")),
    fails: ["chain", "checkpoint", "ecs"],
    bad: ["events.jsonl", 0],
  },
  "the export is another tenant's": {
    change: (t) => t.json("manifest.json", (manifest) => (manifest["tenant_id"] = "globex")),
    fails: ["chain", "segment"],
    bad: ["events.jsonl", 0],
  },
  "a profile is claimed that demands more": {
    change: (t) => t.json("manifest.json", (manifest) => (manifest["evidence_profile_id"] = "ecs-evidence-ncp")),
    fails: ["profile", "ecs"],
  },
  "a profile is claimed that nobody knows": {
    change: (t) => t.json("manifest.json", (manifest) => (manifest["evidence_profile_id"] = "__proto__")),
    fails: ["profile", "ecs"],
  },
  "the manifest lacks a member": {
    change: (t) => t.json("manifest.json", (manifest) => delete manifest["created_at"]),
    fails: ["manifest"],
  },
  "the manifest has another schema": {
    change: (t) => t.json("manifest.json", (manifest) => (manifest["schema_version"] = "2")),
    fails: ["manifest"],
  },
  "events are hashed in another way": {
    change: (t) => t.json("manifest.json", (manifest) => (manifest["hash_profile_id"] = "ecs-hash-v2")),
    fails: ["methods", "ecs"],
  },
  "a member comes twice in the manifest": {
    change: (t) => {
      t.set("manifest.json", t.text("manifest.json").replace(',"bundle_hash":', ',"bundle_hash":"x","bundle_hash":'));
    },
    unsealed: true,
    fails: UNREADABLE,
  },
  "the manifest is cut off": {
    change: (t) => t.set("manifest.json", t.files.get("manifest.json")!.subarray(0, 900)),
    unsealed: true,
    fails: UNREADABLE,
  },
  "a file is not listed": {
    change: (t) => t.json("manifest.json", (manifest) => delete manifest["files"]["checkpoint"]),
    fails: ["files"],
  },
  "a listed file is not there": {
    change: (t) => t.json("manifest.json", (manifest) => (manifest["files"]["README"] = sha256("x"))),
    fails: ["files"],
  },
  "a listed path leads out": {
    change: (t) => t.json("manifest.json", (manifest) => (manifest["files"]["../../etc/passwd"] = sha256("x"))),
    fails: ["manifest"],
  },
  "the manifest lists itself": {
    change: (t) => t.json("manifest.json", (manifest) => (manifest["files"]["manifest.json"] = sha256("x"))),
    fails: ["files"],
  },
  // artifacts
  "an artifact is changed": {
    change: (t) => t.set(artifactOf(t, 3), t.text(artifactOf(t, 3)).replace("gvisor", "evisor")),
    fails: ["artifacts"],
  },
  "two artifacts change places": {
    change: (t) => {
      const [a, b] = [artifactOf(t, 3), artifactOf(t, 4)];
      const held = t.files.get(a)!;
      t.files.set(a, t.files.get(b)!);
      t.files.set(b, held);
    },
    fails: ["artifacts"],
  },
  "an artifact is taken away": {
    change: (t) => void t.files.delete(artifactOf(t, 3)),
    fails: ["files", "artifacts"],
    bad: ["events.jsonl", 3],
  },
  "an artifact is taken away, and its listing": {
    change: (t) => {
      unlist(t, artifactOf(t, 3));
      t.files.delete(artifactOf(t, 3));
    },
    fails: ["artifacts"],
    bad: ["events.jsonl", 3],
  },
  "the policy bundle is taken away, and its listing": {
    change: (t) => {
      unlist(t, bundleOf(t));
      t.files.delete(bundleOf(t));
    },
    fails: ["policies"],
    bad: ["events.jsonl", 0],
  },
  "an artifact is put in": { change: (t) => t.set(`artifacts/${sha256("more").slice(7)}`, "more"), fails: ["files"] },
  "an artifact is listed under no kind": {
    change: (t) => t.json("manifest.json", (manifest) => (manifest["artifacts"]["policy_bundle"] = [])),
    fails: ["files"],
  },
  "a file is put in": { change: (t) => t.set("README", "read me"), fails: ["files"] },
  "an artifact has another's name": {
    change: (t) => t.set(`artifacts/${"0".repeat(64)}`, "more"),
    fails: ["files", "artifacts"],
  },
  "an erasure is claimed that is none": {
    change: (t) => {
      unlist(t, artifactOf(t, 3));
      t.files.delete(artifactOf(t, 3));
      t.json("manifest.json", (manifest) => (manifest["erasures"] = [t.text("records.jws").split("\n")[4]]));
    },
    fails: ["artifacts"],
    bad: ["events.jsonl", 3],
  },
  // verifier-inputs.json
  "another method of hashing is claimed": {
    change: (t) => t.json("verifier-inputs.json", (inputs) => (inputs["segment_hash_method"] = "md5")),
    fails: ["methods"],
  },
  "verifier-inputs.json is no JSON": { change: (t) => t.set("verifier-inputs.json", "{"), fails: ["methods", "ecs"] },
};

/** A history of one's own: everything from the fourth event on computed anew. */
function rewriteHistory(t: Tampering): void {
  t.event(3, (event) => (event["actor"] = "someone else"));
  t.lines("events.jsonl", (lines) => {
    let before = (JSON.parse(lines[2]!) as Json)["event_hash"];
    for (let i = 3; i < lines.length; i++) {
      const { event_hash: _, ...event }: Json = { ...(JSON.parse(lines[i]!) as Json), prev_hash: before };
      before = sha256(canonical(event));
      lines[i] = canonical({ ...event, event_hash: before });
    }
  });
  const events = t
    .text("events.jsonl")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Json);
  const root = `sha256:${merkleRoot(events.map((event) => Buffer.from(event["event_hash"].slice(7), "hex"))).toString("hex")}`;
  t.json("chain-segment.json", (segment) => {
    segment["events"] = events.map(
      ({ id, sequence, prev_hash, event_hash, evidence_pointer, evidence_profile_id }) => ({
        id,
        sequence,
        prev_hash,
        event_hash,
        event_ref: evidence_pointer,
        evidence_profile_id,
      }),
    );
    segment["segment_hash"] = root;
  });
  t.json("manifest.json", (manifest) => (manifest["bundle_hash"] = root));
}

for (const [name, { change, fails, bad, unsealed }] of Object.entries(CASES)) {
  test(`caught: ${name}`, async (t) => {
    const tampering = new Tampering(files, other, keys);
    change(tampering);
    if (unsealed === undefined) tampering.seal();
    const report = await verifyInBrowser(tampering.files, TRUSTING);
    t.false(report.ok);
    t.deepEqual(failing(report), [...fails].sort());
    if (bad !== undefined)
      t.deepEqual(report.first_bad, {
        file: bad[0],
        line: /jsonl|jws/.test(bad[0]) ? bad[1] + 1 : null,
        sequence: bad[1] + 1 + (bad[2] ?? 0),
      });
  });

  if (unsealed === undefined) {
    test(`caught without the key: ${name}`, async (t) => {
      const tampering = new Tampering(files, other, keys);
      change(tampering);
      t.true(
        failing(await verifyInBrowser(tampering.files, TRUSTING)).some(
          (check) =>
            check === "files" || check === "manifest_signature" || check === "artifacts" || check === "manifest",
        ),
      );
      tampering.digests();
      t.false((await verifyInBrowser(tampering.files, TRUSTING)).ok);
    });
  }
}

for (const name of [
  "manifest.json",
  "keys.json",
  "verifier-inputs.json",
  "profile-claim.json",
  "checkpoint",
  "chain-segment.json",
  "events.jsonl",
  "records.jws",
  "proofs.json",
]) {
  test(`caught: ${name} is taken away`, async (t) => {
    const tampering = new Tampering(files, other, keys);
    tampering.files.delete(name);
    const report = await verifyInBrowser(tampering.files, TRUSTING);
    t.false(report.ok);
    if (name !== "manifest.json") {
      t.is(report.checks.find((check) => check.name === "files")!.status, "failed");
      t.is(report.checks.find((check) => check.name === "files")!.file, name);
    } else t.is(report.checks.find((check) => check.name === "manifest")!.status, "failed");
  });
}

test("what was not tampered with passes, in Node and in browsers", async (t) => {
  for (const verify of [verifyExport, verifyInBrowser]) {
    for (const given of [files, other, earlier]) {
      const report = await verify(given, TRUSTING);
      t.deepEqual(failing(report), []);
      t.true(report.ok);
      t.is(report.first_bad, null);
    }
  }
});

test("any byte of any file, changed, is caught", async (t) => {
  let seed = 20_261;
  const random = (below: number): number => (seed = (seed * 48_271) % 2_147_483_647) % below;
  const names = [...files.keys()].sort();
  for (let round = 0; round < 150; round++) {
    const name = names[round % names.length]!;
    const bytes = Buffer.from(files.get(name)!);
    const at = random(bytes.length);
    bytes[at]! ^= 1 << random(8);
    const report = await verifyInBrowser(new Map(files).set(name, bytes), TRUSTING);
    t.false(report.ok, `${name}, byte ${at}`);
    t.true(
      report.checks.some(({ status }) => status === "failed"),
      name,
    );
  }
});

test("any file cut off anywhere is caught", async (t) => {
  for (const [name, content] of files) {
    for (const length of [0, 1, content.length >> 1, content.length - 1]) {
      t.false(
        (await verifyInBrowser(new Map(files).set(name, content.subarray(0, length)), TRUSTING)).ok,
        `${name}, ${length} bytes`,
      );
    }
  }
});

test("what runs in browsers imports nothing of Node's, and nothing of the code that writes evidence", (t) => {
  const seen = new Set<string>();
  const walk = (file: URL): void => {
    if (seen.has(file.href)) return;
    seen.add(file.href);
    for (const [, name] of readFileSync(file, "utf8").matchAll(/^(?:import|export)(?! type)[^"]*?from\s+"([^"]+)"/gm)) {
      t.false(name!.startsWith("node:"), `${file.pathname} imports ${name}`);
      if (name!.startsWith(".")) walk(new URL(name!, file));
      else t.is(name, "@noble/hashes/sha2.js");
    }
  };
  walk(new URL("../../src/evidence/verify/index.ts", import.meta.url));
  const paths = [...seen].map((href) => href.split("/src/")[1]!);
  t.true(paths.length > 10);
  // Archives, how digests are written, and the note and checkpoint formats are shared; hashing, trees and canonical JSON are the verifier's own.
  t.deepEqual(paths.filter((path) => !path.startsWith("evidence/verify/")).sort(), [
    "archive/gzip.ts",
    "archive/tar.ts",
    "core/bytes.ts",
    "core/counted.ts",
    "core/digest.ts",
    "core/merkle.ts",
    "core/note.ts",
    "core/snapshots.ts",
  ]);
});
