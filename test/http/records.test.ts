// Records of other nodes over HTTP: what is taken, once and in order, and what a hostile node gets for its trouble.
import { generateKeyPairSync, sign, type KeyObject } from "node:crypto";
import { gzipSync, zstdCompressSync } from "node:zlib";
import test from "ava";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { digestOf } from "../../src/core/event.ts";
import { parseCheckpoint, parseNote } from "../../src/core/note.ts";
import { verifyStore } from "../../src/evidence/fsck/streams.ts";
import { admit, request } from "../evidence/exports.ts";
import {
  bodyOf,
  edgeWith,
  eventIn,
  eventKeyOf,
  forged,
  openEdge,
  post,
  recordsPath,
  sendAll,
  twins,
} from "../evidence/edges.ts";
import { theyAgree, verifyExport } from "../evidence/second-verifier.ts";
import { start } from "./support.ts";

const ACME = "acme/edge-1";
/** Records in one request: as many as a forwarder sends at a time. */
const LARGE = 512;
const hub = await start({ node_id: "hub" });
const { dir, node } = await edgeWith(12, "edge-1");
test.after.always(() => Promise.all([hub.close(), node.close()]));
test.after("audit/verify.py says the same of an export that the hub made", theyAgree);
const whole = await bodyOf(node, ACME);

const sizeOf = async (chainId: string) => (await (await hub.store()).log.stream(chainId))?.size ?? 0;
const failing = ({ checks }: { checks: readonly { name: string; status: string }[] }) =>
  checks.filter(({ status }) => status !== "passed").map(({ name }) => name);
const code = (answer: { json: { code?: string } }) => answer.json.code;

test.serial(
  "records are taken once, in order, and served under their own chain id with what belongs to them",
  async (t) => {
    const first = { ...whole, records: whole.records.slice(0, 5), artifacts: whole.artifacts!.slice(0, 5) };
    const taken = await post(hub, ACME, first);
    t.like(taken.json, { chain_id: ACME, node_id: "hub", next_sequence: 5, accepted: 5 });
    const gap = await post(hub, ACME, await bodyOf(node, ACME, 7));
    t.is(gap.status, 409);
    t.like(gap.json, { code: "record_gap", next_sequence: 5 });
    const overlapping = await post(hub, ACME, whole);
    t.like(overlapping.json, { next_sequence: 12, accepted: 7 });
    const again = await post(hub, ACME, whole);
    t.like(again.json, { next_sequence: 12, accepted: 0 });
    await sendAll(hub, node);
    const { id } = eventIn(whole.records[3]!);
    const shown = await hub.call("GET", `/v1/events/${id}?tenant_id=acme`);
    t.is(shown.json.record, whole.records[3]);
    const artifact = await hub.call("GET", `/v1/events/${id}/artifact?tenant_id=acme`);
    t.is(artifact.text, whole.artifacts![3]!);
    const exported = await hub.call("POST", "/v1/exports", { body: { tenant_id: "acme", chain_id: ACME } });
    const verified = await hub.call("POST", "/v1/verify", {
      body: exported.bytes,
      headers: { "content-type": "application/gzip" },
    });
    t.true(verified.json.ok, verified.text);
    // By itself, too, though the hub made it and its key stands nowhere in the stream; whoever knows only the edge's keys is not content.
    const trusting = await verifyExport(exported.bytes, { trustEmbeddedKeys: true });
    t.true(trusting.ok, JSON.stringify(trusting.checks));
    const by = trusting.checks.find(({ name }) => name === "manifest_signature")!.detail;
    t.regex(by, /which came with the export, and nothing in it ties to the stream/);
    const unknown = await verifyExport(exported.bytes, { jwks: await node.jwks() });
    t.deepEqual(failing(unknown), ["signer"]);
    t.true((await verifyExport(exported.bytes, { jwks: (await hub.call("GET", "/.well-known/jwks.json")).json })).ok);
  },
);

test.serial("what another node decided is evidence, and no state of this one", async (t) => {
  t.deepEqual((await hub.call("GET", "/v1/workloads?tenant_id=acme")).json.items, []);
  await using store = await hub.store();
  const { streams, states } = await verifyStore(store, () => {});
  t.deepEqual(states, []);
  t.deepEqual(
    streams.map(({ fault }) => fault),
    streams.map(() => undefined),
  );
});

test.serial("a checkpoint over what is held is cosigned, and no other", async (t) => {
  const { note } = await node.log.checkpoint(ACME, 12);
  const { json } = await post(hub, ACME, { from_sequence: 12, records: [], checkpoint: note });
  const [own, cosigned] = [parseNote(note)!, parseNote(json.checkpoint)!];
  t.is(cosigned.text, own.text);
  t.deepEqual(
    cosigned.signatures.map(({ name }) => name),
    [`railgate.local/edge-1/${ACME}`, "railgate.local/hub/witness"],
  );
  t.is(parseCheckpoint(cosigned.text)?.size, 12);
  const other = note.replace("\n12\n", "\n11\n");
  t.is((await post(hub, ACME, { from_sequence: 12, records: [], checkpoint: other })).json.checkpoint, null);
});

test.serial("packed bodies are taken as others are; a bomb is not", async (t) => {
  const text = JSON.stringify(whole);
  for (const [encoding, body] of [
    ["gzip", gzipSync(text)],
    ["zstd", zstdCompressSync(text)],
  ] as const)
    t.is((await post(hub, ACME, body, { "content-encoding": encoding })).status, 200, encoding);
  const unknown = await post(hub, ACME, gzipSync(text), { "content-encoding": "deflate" });
  t.is(unknown.status, 415);
  const bomb = zstdCompressSync(Buffer.alloc(64 * 1024 * 1024, " "));
  const refused = await post(hub, ACME, bomb, { "content-encoding": "zstd" });
  t.is(refused.status, 413);
  t.is((await post(hub, ACME, Buffer.from("not packed"), { "content-encoding": "gzip" })).status, 400);
});

/** Signed and hashed as its text says, but for a byte that is no UTF-8: whoever reads leniently sees U+FFFD in its place. */
function untidy(record: string, { key, kid }: { key: KeyObject; kid: string }): string {
  const lenient = forged(record, { actor: "\ufffd" }, { key, kid });
  const text = Buffer.from(lenient.split(".")[1]!, "base64url")
    .toString("latin1")
    .replace("\u00ef\u00bf\u00bd", "\u00ff");
  const input = `${lenient.split(".")[0]}.${Buffer.from(text, "latin1").toString("base64url")}`;
  return `${input}.${sign(null, Buffer.from(input), key).toString("base64url")}`;
}

test.serial("what is not what it must be is refused with its place, and nothing of it is taken", async (t) => {
  await admit(node, 6, "acme", 100);
  const good = await bodyOf(node, ACME, 12);
  const { key, kid } = eventKeyOf(dir);
  const stranger = { key: generateKeyPairSync("ed25519").privateKey, kid };
  const [first, second] = good.records as [string, string];
  const flipped = `${second.slice(0, -3)}${second.at(-3) === "A" ? "B" : "A"}${second.slice(-2)}`;
  const withRecord = (record: string) => ({ ...good, records: [first, record, ...good.records.slice(2)] });
  const cases: [name: string, body: object, pointer: string][] = [
    ["another's signature", withRecord(forged(second, {}, stranger)), "/records/1"],
    ["a signature with a bit flipped", withRecord(flipped), "/records/1"],
    ["an unknown key", withRecord(forged(second, {}, { key: stranger.key, kid: "x".repeat(43) })), "/records/1"],
    [
      "another stream's",
      withRecord(forged(second, { chain_id: "other/edge-1", tenant_id: "other" }, { key, kid })),
      "/records/1",
    ],
    ["another sequence", withRecord(forged(second, { sequence: 99 }, { key, kid })), "/records/1"],
    // Proof against a node is signed by it: nobody else can make two histories of its own.
    [
      "another history, by a stranger",
      { ...good, records: [forged(first, { prev_hash: digestOf("x") }, stranger)], artifacts: [null] },
      "/records/0",
    ],
    [
      "another history, by a key that nobody knows",
      {
        ...good,
        records: [forged(first, { prev_hash: digestOf("x") }, { ...stranger, kid: "x".repeat(43) })],
        artifacts: [null],
      },
      "/records/0",
    ],
    ["another chain", withRecord(forged(second, { prev_hash: digestOf("x") }, { key, kid })), "/records/1"],
    [
      "an id that is taken",
      {
        ...good,
        records: [first, forged(second, { id: eventIn(whole.records[0]!).id }, { key, kid })],
        artifacts: good.artifacts!.slice(0, 2),
      },
      "/records/1",
    ],
    ["no event", withRecord(forged(second, { event_type: "nonsense" as never }, { key, kid })), "/records/1"],
    ["bytes that are no text", withRecord(untidy(second, { key, kid })), "/records/1"],
    [
      "a day that does not exist",
      withRecord(forged(second, { occurred_at: "2026-02-30T00:00:00.000Z" }, { key, kid })),
      "/records/1",
    ],
    ["no record", withRecord("a.b.c"), "/records/1"],
    [
      "reordered",
      { ...good, records: good.records.toReversed(), artifacts: good.artifacts!.toReversed() },
      "/records/0",
    ],
    ["another artifact", { ...good, artifacts: good.artifacts!.with(2, "{}") }, "/artifacts/2"],
    [
      "a blob that is another",
      { ...good, blobs: { [digestOf("a")]: Buffer.from("b").toString("base64") } },
      `/blobs/${digestOf("a")}`,
    ],
  ];
  for (const [name, body, pointer] of cases) {
    const answer = await post(hub, ACME, body);
    t.is(answer.status, 422, `${name}: ${answer.text}`);
    t.like(answer.json, { code: "record_invalid", next_sequence: 12, errors: [{ pointer }] }, name);
  }
  for (const body of [{}, { ...good, extra: 1 }, { ...good, from_sequence: -1 }, { ...good, records: "x" }])
    t.is((await post(hub, ACME, body)).json.code, "request_invalid");
  t.is((await hub.call("POST", recordsPath(ACME), { body: "{" })).status, 400);
  t.is(await sizeOf(ACME), 12);
  t.like((await post(hub, ACME, good)).json, { next_sequence: 18, accepted: 6 });
});

test.serial("a node's own stream is written by nobody else", async (t) => {
  const { node: twin } = await edgeWith(1, "hub");
  const answer = await post(hub, "acme/hub", await bodyOf(twin, "acme/hub"));
  t.is(answer.status, 403);
  t.is(code(answer), "node_forbidden");
  await twin.close();
});

test.serial("a node that comes with another key than the one it was first believed with is not believed", async (t) => {
  const { node: impostor } = await edgeWith(2, "edge-1");
  const answer = await post(hub, "default/edge-1", await bodyOf(impostor, "default/edge-1"));
  t.is(code(answer), "record_invalid");
  await admit(impostor, 1, "fresh");
  const fresh = await post(hub, "fresh/edge-1", await bodyOf(impostor, "fresh/edge-1"));
  t.is(fresh.status, 403);
  t.is(code(fresh), "node_untrusted");
  await impostor.close();
});

test.serial("a rotation is followed in its stream, and in streams that begin after it", async (t) => {
  const edge = await edgeWith(3, "turning");
  await edge.node.rotateKey();
  await admit(edge.node, 3, "acme", 10);
  await admit(edge.node, 1, "late");
  // The stream that begins with the new key comes first: the hand-over is all that tells of it.
  const first = await bodyOf(edge.node, "default/turning");
  await post(hub, "default/turning", {
    ...first,
    records: first.records.slice(0, 2),
    artifacts: first.artifacts!.slice(0, 2),
  });
  t.is((await post(hub, "late/turning", await bodyOf(edge.node, "late/turning"))).status, 200);
  t.is((await sendAll(hub, edge.node))?.status, 200);
  t.is(await sizeOf("acme/turning"), 7);
  await edge.node.close();
});

test.serial("a restored node goes on under its new id, as its old key has said", async (t) => {
  const edge = await edgeWith(2, "phoenix");
  await sendAll(hub, edge.node);
  await edge.node.close();
  const risen = await openEdge(edge.dir, "phoenix", { afterRestore: "a drill" });
  t.is(risen.nodeId, "phoenix-r1");
  await admit(risen, 2, "acme", 50);
  t.is((await sendAll(hub, risen))?.status, 200);
  t.is(await sizeOf("acme/phoenix-r1"), 2);
  await risen.close();
});

test.serial("what the node erases is erased here, and stays so", async (t) => {
  const edge = await edgeWith(3, "eraser");
  await sendAll(hub, edge.node);
  const { id } = eventIn((await bodyOf(edge.node, "acme/eraser")).records[1]!);
  const path = `/v1/events/${id}/artifact?tenant_id=acme`;
  t.is((await hub.call("GET", path)).status, 200);
  await edge.node.eraseArtifact(id, "acme", "request 1", "test");
  await sendAll(hub, edge.node);
  t.is((await hub.call("GET", path)).status, 404);
  await sendAll(hub, edge.node);
  t.is((await hub.call("GET", path)).status, 404);
  await edge.node.close();
});

test.serial(
  "two histories are equivocation: on record with both records, and nothing more of the node is taken",
  async (t) => {
    for (const [name, diverge] of [
      ["forker", 0],
      ["forker-2", 1],
    ] as const) {
      const chain = `acme/${name}`;
      const { one, other } = await twins(4, name);
      await admit(one, 2, "acme", 20);
      await admit(other, 3, "acme", 40);
      await sendAll(hub, one);
      // Another record in a place that is held; or one that continues another history.
      const answer = await post(hub, chain, await bodyOf(other, chain, diverge === 0 ? 4 : 6));
      t.is(answer.status, 409, answer.text);
      t.is(code(answer), "node_equivocation");
      const events = await hub.call("GET", "/v1/events?event_type=node.equivocation&tenant_id=default&limit=1");
      const [event] = events.json.items;
      t.like(event.details, { node_id: name, chain_id: chain });
      const proof = await hub.call("GET", `/v1/events/${event.id}/artifact?tenant_id=default`);
      const { first, second } = proof.json;
      t.not(first, second);
      t.deepEqual(event.details.records, [digestOf(first), digestOf(second)]);
      for (const body of [await bodyOf(one, chain, 6), await bodyOf(other, chain, 4)].filter(
        ({ records }) => records.length > 0,
      ))
        t.is(code(await post(hub, chain, body)), "node_quarantined");
      await Promise.all([one.close(), other.close()]);
    }
    const { items } = (await hub.call("GET", "/v1/events?event_type=node.equivocation&tenant_id=default")).json;
    t.is(items.length, 2);
  },
);

test.serial("decisions do not wait until a large batch is verified and taken", async (t) => {
  const { node: busy } = await edgeWith(0, "busy");
  for (let from = 0; from < LARGE; from += 256) await admit(busy, 256, "acme", from);
  const body = await bodyOf(busy, "acme/busy");
  t.is(body.records.length, LARGE);
  let underWay = true;
  const taken = post(hub, "acme/busy", body).finally(() => (underWay = false));
  // However slow the machine is: what is answered before the batch has not waited for all of it.
  let meanwhile = 0;
  for (let n = 0; underWay; n++) {
    const { status } = await hub.call("POST", "/v1/admissions", { body: request(`own-${n}`) });
    t.is(status, 200);
    if (underWay) meanwhile++;
  }
  t.like((await taken).json, { next_sequence: LARGE, accepted: LARGE });
  t.true(meanwhile >= 3, `${meanwhile} decisions meanwhile`);
  await busy.close();
});

test.serial("every record here still verifies", async (t) => {
  await using store = await hub.store();
  const { streams, states } = await verifyStore(store, () => {});
  t.deepEqual(states, []);
  t.deepEqual(
    streams.filter(({ fault }) => fault !== undefined),
    [],
  );
});

test("where callers prove who they are, a node sends its own records only, and its key is configured", async (t) => {
  const { privateKey, publicKey } = await generateKeyPair("ES256");
  const jwk = { ...(await exportJWK(publicKey)), alg: "ES256", kid: "k1" };
  const [issuer, audience] = ["https://login.example", "railgate"];
  const edge = await edgeWith(2, "edge-2");
  const strange = await edgeWith(2, "edge-3");
  const nodes = [{ node_id: "edge-2", jwks: await edge.node.jwks(), via: ["middle"] }];
  const locked = await start({
    node_id: "top",
    authentication: { jwt: { jwks: { keys: [jwk] }, issuer, audience } },
    downstream: { nodes },
  });
  const bearer = async (claims: Record<string, unknown>) => ({
    authorization: `Bearer ${await new SignJWT({ sub: "s", ...claims }).setProtectedHeader({ alg: "ES256", kid: "k1" }).setIssuer(issuer).setAudience(audience).setExpirationTime("5m").sign(privateKey)}`,
  });
  const as = (id: string) => bearer({ railgate_role: "node", node_id: id });
  const chain = "acme/edge-2";
  const body = await bodyOf(edge.node, chain);
  t.is((await post(locked, chain, body)).status, 401);
  t.is(code(await post(locked, chain, body, await bearer({ tenant_id: "acme" }))), "node_needed");
  t.is(code(await post(locked, chain, body, await as("edge-3"))), "node_forbidden");
  t.is((await post(locked, chain, { from_sequence: 0, records: [] }, await as("edge-3"))).json.code, "node_forbidden");
  t.is(
    code(await post(locked, "acme/edge-3", await bodyOf(strange.node, "acme/edge-3"), await as("edge-3"))),
    "node_untrusted",
  );
  t.is((await post(locked, chain, body, await as("middle"))).status, 200);
  t.is((await post(locked, chain, body, await as("edge-2"))).status, 200);
  for (const path of ["/v1/events", "/v1/streams", "/v1/workloads"])
    t.is((await locked.call("GET", path, { headers: await as("edge-2") })).json.code, "tenant_forbidden", path);
  await Promise.all([locked.close(), edge.node.close(), strange.node.close()]);
});
