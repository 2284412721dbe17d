// The log and the witness over HTTP, as an auditor's tool asks: with nothing but the answers and the published key.
import { gunzipSync } from "node:zlib";
import test from "ava";
import { fromBase64 } from "../../src/core/bytes.ts";
import { verifyConsistency, verifyInclusion } from "../../src/core/merkle-verify.ts";
import { rootAt } from "../../src/core/merkle.ts";
import { parseCheckpoint, parseNote, parseVkey, verifyNote, type Checkpoint } from "../../src/core/note.ts";
import { sha256, TREE_HASHER } from "../../src/core/sha256.ts";
import { nodesOfTiles, parseEntryBundle, tilePath } from "../../src/core/tiles.ts";
import { ed25519Verify } from "../../src/evidence/log/note-signing.ts";
import { hashOf } from "../../src/evidence/log/witness.ts";
import { admissible, send, start, type Started } from "./support.ts";
import { until } from "../until.ts";

const BASE = "/v1/streams/acme%2Fn1";

async function withAdmissions(count: number, settings: object = {}): Promise<Started> {
  const server = await start({ node_id: "n1", ...settings });
  await server.call("POST", "/v1/admissions/batch", {
    body: { items: Array.from({ length: count }, (_, i) => admissible(`w${i}`)) },
  });
  return server;
}

async function head(server: Started, base = BASE): Promise<Checkpoint & { note: string }> {
  const { items } = (await server.call("GET", "/v1/streams")).json;
  const { vkey } = items.find(
    ({ chain_id }: { chain_id: string }) => `/v1/streams/${encodeURIComponent(chain_id)}` === base,
  );
  const answer = await server.call("GET", `${base}/checkpoint`);
  const note = parseNote(answer.text)!;
  if (!(await verifyNote(note, [parseVkey(sha256, vkey)!], ed25519Verify)))
    throw new Error("the checkpoint does not verify");
  return { ...parseCheckpoint(note.text)!, note: answer.text };
}

/** Waits for a checkpoint over so many events. */
function headOf(server: Started, size: number): Promise<Checkpoint & { note: string }> {
  return until(async () => {
    const at = await head(server);
    return at.size >= size && at;
  }, `a checkpoint over ${size} events`);
}

const bytesOf = (hashes: string[]) => hashes.map((hash) => fromBase64(hash)!);

test("streams, checkpoint, tiles, entries and proofs", async (t) => {
  const server = await withAdmissions(300);
  const list = (await server.call("GET", "/v1/streams")).json;
  t.deepEqual(
    list.items.map(({ chain_id, size }: { chain_id: string; size: number }) => [chain_id, size]),
    [
      ["acme/n1", 300],
      ["default/n1", 2],
    ],
  );
  const at = await headOf(server, 300);
  t.like(at, { origin: "railgate.local/n1/acme/n1", size: 300 });
  const checkpoint = await server.call("GET", `${BASE}/checkpoint`);
  t.deepEqual(
    [checkpoint.headers["content-type"], checkpoint.headers["cache-control"]],
    ["text/plain; charset=utf-8", "no-cache"],
  );

  const tiles = new Map<string, Buffer>();
  for (const [level, n, width] of [
    [0, 0, 256],
    [0, 1, 44],
    [1, 0, 1],
  ] as const) {
    const answer = await server.call("GET", `${BASE}/${tilePath({ level, n, width })}`);
    t.deepEqual(
      [answer.status, answer.bytes.length, answer.headers["content-type"]],
      [200, width * 32, "application/octet-stream"],
    );
    t.is(answer.headers["cache-control"], "public, max-age=31536000, immutable");
    tiles.set(`${level}/${n}`, answer.bytes);
  }
  t.deepEqual(
    Buffer.from(
      rootAt(
        TREE_HASHER,
        nodesOfTiles(TREE_HASHER, (level, n) => tiles.get(`${level}/${n}`)!),
        300,
      ),
    ),
    Buffer.from(at.root),
  );

  const plain = await server.call("GET", `${BASE}/tile/entries/001.p/44`);
  const entries = parseEntryBundle(plain.bytes)!;
  t.deepEqual(Buffer.concat(entries.map((entry) => TREE_HASHER.leaf(entry))), tiles.get("0/1"));
  const zipped = await server.call("GET", `${BASE}/tile/entries/001.p/44`, {
    headers: { "accept-encoding": "gzip, identity" },
  });
  t.is(zipped.headers["content-encoding"], "gzip");
  t.deepEqual(gunzipSync(zipped.bytes), plain.bytes);
  t.is(
    (await server.call("GET", `${BASE}/tile/entries/000`, { headers: { "accept-encoding": "gzip;q=0, *" } })).headers[
      "content-encoding"
    ],
    undefined,
  );

  const inclusion = (await server.call("GET", `${BASE}/proof?index=299&size=300`)).json;
  t.true(
    verifyInclusion(
      TREE_HASHER,
      { leafHash: TREE_HASHER.leaf(entries[43]!), index: 299, size: 300, root: at.root },
      bytesOf(inclusion.hashes),
    ),
  );
  await server.call("POST", "/v1/admissions", { body: admissible("another") });
  const later = await headOf(server, 301);
  const consistency = (await server.call("GET", `${BASE}/proof?from=300&to=301`)).json;
  t.true(verifyConsistency(TREE_HASHER, { from: at, to: later }, bytesOf(consistency.hashes)));
  await server.close();
});

test("an event comes with its inclusion, however recent it is", async (t) => {
  const server = await withAdmissions(5);
  const { event, receipt } = (await server.call("POST", "/v1/admissions", { body: admissible("another") })).json;
  const found = (await server.call("GET", `/v1/events/${event.id}`)).json;
  t.is(found.record, receipt);
  const { index, size, hashes, checkpoint } = found.inclusion;
  t.is(index, event.sequence);
  const { root, size: signed } = parseCheckpoint(parseNote(checkpoint)!.text)!;
  t.is(signed, size);
  t.true(
    verifyInclusion(
      TREE_HASHER,
      { leafHash: TREE_HASHER.leaf(Buffer.from(receipt)), index, size, root },
      bytesOf(hashes),
    ),
  );
  await server.close();
});

test("what there is not, or not yet", async (t) => {
  const server = await withAdmissions(3);
  for (const path of [
    "acme%2Fn2/checkpoint",
    "acme/n1/checkpoint",
    "acme%2Fn2/tile/0/000.p/1",
    "acme%2Fn2/proof?index=0&size=1",
  ])
    t.is((await server.call("GET", `/v1/streams/${path}`)).status, 404, path);
  for (const tile of [
    "0/000",
    "0/000.p/4",
    "0/000.p/0",
    "0/0",
    "1/000.p/1",
    "entries/001.p/1",
    "64/000",
    "data/000",
    "0/000.p/3/",
    "0//000",
  ]) {
    const answer = await server.call("GET", `${BASE}/tile/${tile}`);
    t.deepEqual([answer.status, answer.json.code], [404, tile.endsWith("/") ? answer.json.code : "tile_unknown"], tile);
  }
  for (const [query, pointer] of [
    ["", "/query/index"],
    ["index=0", "/query/size"],
    ["size=1", "/query/index"],
    ["index=0&size=1&from=0", "/query/from"],
    ["from=1", "/query/to"],
    ["index=3&size=3", "/query/index"],
    ["index=0&size=4", "/query/size"],
    ["from=0&to=4", "/query/to"],
    ["from=3&to=2", "/query/from"],
    ["index=00&size=1", "/query/index"],
    ["index=0&size=1&x=1", "/query/x"],
  ] as const) {
    const answer = await server.call("GET", `${BASE}/proof?${query}`);
    t.deepEqual([answer.status, answer.json.errors?.[0].pointer], [422, pointer], query);
  }
  t.is((await server.call("POST", `${BASE}/checkpoint`)).status, 405);
  await server.close();
});

test("a witness cosigns a node's streams over HTTP, and catches the one that shows another history", async (t) => {
  const server = await withAdmissions(3);
  const { vkey } = (await server.call("GET", "/v1/streams")).json.items[0];
  const witness = await start({ node_id: "w1", witness: { logs: [{ origin: "railgate.local/n1/acme/n1", vkey }] } });
  const submit = (body: string) =>
    send(witness.url, "POST", "/v1/witness/add-checkpoint", { body, headers: { "content-type": "text/plain" } });
  const first = await headOf(server, 3);
  const cosigned = await submit(`old 0\n\n${first.note}`);
  t.is(cosigned.status, 200);
  const witnessKey = parseVkey(sha256, (await witness.call("GET", "/v1/witness/vkey")).text.trim())!;
  t.is(witnessKey.name, "railgate.local/w1/witness");
  t.is((await verifyNote(parseNote(first.note + cosigned.text)!, [witnessKey], ed25519Verify))?.length, 1);
  t.is((await witness.call("GET", `/v1/witness/${hashOf(first.origin)}/checkpoint`)).text, first.note + cosigned.text);
  t.is((await witness.call("GET", `/v1/witness/${hashOf("other")}/checkpoint`)).status, 404);

  await server.call("POST", "/v1/admissions", { body: admissible("another") });
  const second = await headOf(server, 4);
  const behind = await submit(`old 0\n\n${second.note}`);
  t.deepEqual([behind.status, behind.headers["content-type"], behind.text], [409, "text/x.tlog.size", "3\n"]);
  const { hashes } = (await server.call("GET", `${BASE}/proof?from=3&to=4`)).json;
  t.is((await submit(`old 3\n${hashes.map((hash: string) => `${hash}\n`).join("")}\n${second.note}`)).status, 200);
  for (const [body, status] of [
    ["", 400],
    [Buffer.from([0xff]), 400],
    [`old 4\n\n${second.note.replaceAll("/n1", "/n2")}`, 404],
    [`old 4\n\n${second.note.replace("\n4\n", "\n5\n")}`, 403],
    ["x".repeat(200_000), 413],
  ] as const) {
    t.is((await send(witness.url, "POST", "/v1/witness/add-checkpoint", { body })).status, status);
  }
  await server.close();
  await witness.close();
});

test("with no logs to witness there is no witness", async (t) => {
  const server = await start();
  t.is((await server.call("POST", "/v1/witness/add-checkpoint", { body: "old 0\n" })).status, 404);
  await server.close();
});

test("the description has the log's paths", async (t) => {
  const server = await start();
  const { paths } = (await server.call("GET", "/openapi.json")).json;
  for (const path of [
    "/v1/streams",
    "/v1/streams/{chain_id}/checkpoint",
    "/v1/streams/{chain_id}/tile/{tile}",
    "/v1/streams/{chain_id}/proof",
  ])
    t.truthy(paths[path], path);
  await server.close();
});
