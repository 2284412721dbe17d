// After a restore: exports of the streams of before verify, by what the old key said of the new one, and by nothing less.
import { createPrivateKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { keyFile } from "../../src/evidence/keys/keys.ts";
import { verifyExport as verifyInBrowser } from "../../src/evidence/verify/index.ts";
import { RailgateNode, type NodeOptions } from "../../src/node/open.ts";
import {
  admit,
  canonical,
  exportFiles,
  jws,
  keysOf,
  makeAttacker,
  Tampering,
  TRUSTING,
  type Files,
  type Json,
  type Keys,
} from "./exports.ts";
import { theyAgree, verifyExport } from "./second-verifier.ts";

test.after("audit/verify.py, which shares nothing with ours, says the same of each", theyAgree);

const OLD = "acme/node-1";
const TYP = "railgate-hand-over+jws";
const SIGNATURES = ["manifest_signature", "segment_signature"];

const failing = async (files: Files, jwks?: Json): Promise<string[]> => {
  const options = jwks === undefined ? TRUSTING : { jwks: jwks as never };
  const [report, inBrowser] = [await verifyExport(files, options), await verifyInBrowser(files, options)];
  const names = ({ checks }: typeof report) =>
    checks.filter(({ status }) => status !== "passed").map(({ name }) => name as string);
  if (names(report).join() !== names(inBrowser).join()) throw new Error("Node and browser differ");
  return names(report);
};
const detail = async (files: Files, check: string, options: Json = TRUSTING): Promise<string> =>
  (await verifyExport(files, options)).checks.find(({ name }) => name === check)!.detail;
const handOversIn = (files: Files): string[] =>
  (JSON.parse(files.get("keys.json")!.toString()) as Json)["hand_overs"] ?? [];
const payloadOf = (statement: string): Json =>
  JSON.parse(Buffer.from(statement.split(".")[1]!, "base64url").toString()) as Json;
const eventKey = (dir: string): KeyObject =>
  createPrivateKey({ key: JSON.parse(readFileSync(keyFile(join(dir, "data"), "event"), "utf8")), format: "jwk" });

interface Restored {
  readonly dir: string;
  readonly old: KeyObject;
  readonly oldJwks: Json;
  open(options?: Partial<NodeOptions>): Promise<RailgateNode>;
}

/** A node with three admissions of two tenants, closed; `old` is its event key, which a restore destroys. */
async function before(t: { teardown(end: () => void): void }): Promise<Restored> {
  const dir = mkdtempSync(join(tmpdir(), "railgate-hand-over-test-"));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  const open = (more: Partial<NodeOptions> = {}) =>
    RailgateNode.open({ dataDir: join(dir, "data"), nodeId: "node-1", ...more });
  const node = await open();
  await admit(node, 3);
  await admit(node, 3, "globex");
  const [oldJwks, old] = [(await node.jwks()) as Json, eventKey(dir)];
  await node.close();
  return { dir, old, oldJwks, open };
}

test("an old stream verifies after restores and rotations: the chain of statements leads to the key that signs now", async (t) => {
  const { open } = await before(t);
  for (const [afterRestore, rotations, statements] of [
    ["disk lost", 0, 1],
    ["disk lost", 2, 3],
    ["lost again", 0, 4],
  ] as const) {
    const node = await open({ afterRestore });
    for (let i = 0; i < rotations; i++) await node.rotateKey();
    await admit(node, 1, "acme", 10);
    for (const more of [{ chainId: OLD }, { chainId: "globex/node-1", tenantId: "globex", fromSequence: 1 }]) {
      const files = await exportFiles(node, more);
      t.is(handOversIn(files).length, statements);
      t.deepEqual(await failing(files), []);
      t.deepEqual(await failing(files, await node.jwks()), []);
      t.deepEqual((await verifyExport(files, { ownKeys: (await node.jwks()) as never })).ok, true);
      t.regex(await detail(files, "manifest_signature"), /last key handed over/);
    }
    const own = await exportFiles(node);
    t.deepEqual(handOversIn(own), []);
    t.deepEqual(await failing(own, await node.jwks()), []);
    t.false(JSON.stringify(await node.jwks()).includes("hand_over"));
    await node.close();
  }
});

test("after a rotation before the restore it is the stream's last key that hands over", async (t) => {
  const { open } = await before(t);
  const node = await open();
  const { new_kid } = await node.rotateKey();
  await node.close();
  const restored = await open({ afterRestore: "moved" });
  for (const toSequence of [1, 3]) {
    const files = await exportFiles(restored, { chainId: OLD, toSequence });
    t.deepEqual(
      handOversIn(files).map((text) => payloadOf(text)["from_kid"]),
      [new_kid],
    );
    t.deepEqual(await failing(files), []);
  }
  await restored.close();
});

test("pins decide who may have signed, hand-over or not", async (t) => {
  const { open, oldJwks } = await before(t);
  const node = await open({ afterRestore: "disk lost" });
  const files = await exportFiles(node, { chainId: OLD });
  t.deepEqual(await failing(files, oldJwks), ["signer"], "the new key is not among them");
  const { jwk } = makeAttacker();
  t.deepEqual(await failing(files, { keys: [...oldJwks["keys"], jwk] }), ["signer"]);
  await node.close();
});

test("where the old key is not at hand nothing ties the new one, and only who knows it takes its word", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "railgate-hand-over-keys-"));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const made = [1, 2].map((n) => {
    const file = join(folder, `${n}.jwk`);
    writeFileSync(file, JSON.stringify(generateKeyPairSync("ed25519").privateKey.export({ format: "jwk" })));
    return readFileSync(file, "utf8");
  });
  const given = (text: string) => ({ name: "a key", read: () => text });
  const dir = mkdtempSync(join(tmpdir(), "railgate-hand-over-test-"));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  const open = (more: Partial<NodeOptions>) =>
    RailgateNode.open({ dataDir: join(dir, "data"), nodeId: "node-1", ...more });
  const first = await open({ eventKey: given(made[0]!) });
  await admit(first, 3);
  await first.close();
  const node = await open({ eventKey: given(made[1]!), afterRestore: "lost" });
  const files = await exportFiles(node, { chainId: OLD });
  t.deepEqual(handOversIn(files), []);
  t.deepEqual(await failing(files), SIGNATURES);
  t.regex(await detail(files, "manifest_signature"), /no event key of keys\.json, and no hand-over ties it to one/);
  const jwks = (await node.jwks()) as { keys: Json[] };
  t.deepEqual(await failing(files, jwks), []);
  t.regex(await detail(files, "manifest_signature", { jwks }), /which you know, and nothing in the export ties/);
  const ended = jwks.keys.map((key) => ({ ...key, retired_at: "2001-01-01T00:00:00Z" }));
  t.true(
    (await failing(files, { keys: [...jwks.keys.slice(0, 1), ...ended.slice(1)] })).includes("manifest_signature"),
  );
  t.true(
    (await failing(files, { keys: jwks.keys.map((key) => ({ ...key, role: "log" })) })).includes("manifest_signature"),
  );
  await node.close();
});

test("a folder of keys that still holds the old one lets it hand over", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "railgate-hand-over-test-"));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  const directory = join(dir, "keys");
  mkdirSync(directory);
  const put = (name: string) =>
    writeFileSync(
      join(directory, name),
      JSON.stringify(generateKeyPairSync("ed25519").privateKey.export({ format: "jwk" })),
    );
  const open = (afterRestore?: string) =>
    RailgateNode.open({
      dataDir: join(dir, "data"),
      nodeId: "node-1",
      eventKey: { name: "keys", directory },
      afterRestore,
    });
  put("a.jwk");
  const first = await open();
  await admit(first, 3);
  await first.close();
  put("b.jwk");
  const node = await open("disk lost");
  const files = await exportFiles(node, { chainId: OLD });
  t.is(handOversIn(files).length, 1);
  t.deepEqual(await failing(files), []);
  await node.close();
});

test("a statement that is not exactly the stream's last key's word for this key ties nothing", async (t) => {
  const { open, dir, old, oldJwks } = await before(t);
  const stranger = await before(t);
  const node = await open({ afterRestore: "disk lost" });
  const other = await stranger.open({ afterRestore: "disk lost" });
  const files = await exportFiles(node, { chainId: OLD });
  const foreign = handOversIn(await exportFiles(other, { chainId: OLD }))[0]!;
  const keys: Keys = {
    ...(await keysOf(dir, node)),
    event: eventKey(dir),
    kid: payloadOf(handOversIn(files)[0]!)["kid"],
  };
  await Promise.all([node.close(), other.close()]);
  const attacker = makeAttacker();
  const [good] = handOversIn(files) as [string];
  const payload = payloadOf(good);
  const kid = oldJwks["keys"][0]["kid"] as string;
  const head = { alg: "EdDSA", kid, typ: TYP };
  const signed = (change: Json, header: Json = {}, key = old) =>
    jws({ ...head, ...header }, canonical({ ...payload, ...change }), key);
  const withStatements = (statements: unknown) => {
    const tampering = new Tampering(files, files, keys);
    tampering.json("keys.json", (json) => (json["hand_overs"] = statements));
    return tampering.seal().files;
  };
  t.deepEqual(await failing(withStatements([good])), [], "the means of the test do no harm");
  t.deepEqual(await failing(withStatements([signed({})])), []);
  const { x } = attacker.jwk;
  for (const [name, statements] of Object.entries({
    "signed by another": [signed({}, {}, attacker.key)],
    "signed by another, in its own name": [signed({}, { kid: attacker.jwk["kid"] }, attacker.key)],
    "signed by the new key itself": [signed({ from_kid: keys.kid }, { kid: keys.kid }, keys.event)],
    "names another key": [signed({ kid: attacker.jwk["kid"], jwk: attacker.jwk })],
    "names the key, and brings another": [signed({ jwk: { ...payload["jwk"], x } })],
    "of a record's type": [signed({}, { typ: "railgate-event+jws" })],
    "of no type": [jws({ alg: "EdDSA", kid }, canonical(payload), old)],
    "of another algorithm": [signed({}, { alg: "Ed25519" })],
    "with another member in its header": [signed({}, { crit: [] })],
    "of another node": [foreign],
    "of another node, signed by the same key": [signed({ from_node_id: "node-2" })],
    "from another key": [signed({ from_kid: "x" })],
    "with a private key": [signed({ jwk: { ...payload["jwk"], d: x } })],
    "with another member": [signed({ role: "event" })],
    "without a time": [signed({ created_at: "soon" })],
    "not canonical": [jws(head, JSON.stringify({ node_id: 1, ...payload }, null, 1), old)],
    "no JWS": ["x"],
    "a record": [files.get("records.jws")!.toString().split("\n")[0]],
    "cut off": [good.slice(0, -4)],
    "no text": [1],
    "no list": good,
  })) {
    const failed = await failing(withStatements(statements));
    t.true(failed.includes("keys") || name === "names another key", `${name}: ${failed}`);
    for (const check of SIGNATURES) t.true(failed.includes(check), `${name}: ${failed}`);
  }
  t.deepEqual(await failing(withStatements(undefined)), SIGNATURES);
  t.deepEqual(await failing(withStatements([good, good])), ["keys"], "one that leads on from nothing");
});

test("who was handed a stream signs no record of it, whatever keys.json says", async (t) => {
  const { open, dir, old, oldJwks } = await before(t);
  const node = await open({ afterRestore: "disk lost" });
  const files = await exportFiles(node, { chainId: OLD });
  const jwks = await node.jwks();
  const payload = payloadOf(handOversIn(files)[0]!);
  const keys: Keys = { ...(await keysOf(dir, node)), event: eventKey(dir), kid: payload["kid"] };
  await node.close();
  const forged = (change: (tampering: Tampering) => void = () => {}) => {
    const tampering = new Tampering(files, files, keys);
    tampering.lines("records.jws", (lines) => {
      const text = Buffer.from(lines[2]!.split(".")[1]!, "base64url");
      lines[2] = jws({ alg: "EdDSA", kid: keys.kid, typ: "railgate-event+jws" }, text, keys.event);
    });
    change(tampering);
    return tampering.seal().files;
  };
  t.deepEqual(await failing(forged()), ["record_signatures", "inclusion"]);
  t.deepEqual(await failing(forged(), jwks), ["record_signatures", "inclusion"]);
  const listed = forged((tampering) =>
    tampering.json("keys.json", (json) => {
      json["keys"][0]["to_sequence"] = 1;
      json["keys"].push({ ...payload["jwk"], role: "event", from_sequence: 2, to_sequence: null });
    }),
  );
  t.true((await failing(listed, jwks)).includes("key_ranges"));
  // Nor is its own statement a record, or a record of the old key a statement.
  const passed = new Tampering(files, files, keys);
  passed.lines("records.jws", (lines) => {
    lines[2] = jws({ alg: "EdDSA", kid: oldJwks["keys"][0]["kid"], typ: TYP }, lines[2]!.split(".")[1]!, old);
  });
  t.true((await failing(passed.seal().files)).includes("records"));
});
