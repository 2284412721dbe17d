// `node bench/log.ts`: what a stream's Merkle log costs, at 10 thousand events and at a million: time must not grow with the log.
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { generateKeyPairSync } from "node:crypto";
import { v7 as uuidv7 } from "uuid";
import { recordLeaf, TREE_HASHER } from "../src/core/sha256.ts";
import { overTiles, TreeTail } from "../src/core/tiles.ts";
import { checkpointSigner } from "../src/evidence/log/checkpoints.ts";
import { TransparencyLog } from "../src/evidence/log/log.ts";
import { openReader, openWriter } from "../src/store/open.ts";
import type { Append, LogReader, StoreWriter } from "../src/store/store.ts";

const SMALL = 10_000;
const LARGE = 1_000_000;
/** Events measured, up to each size. */
const WINDOW = 8192;
const BATCH = 64;
const CHAIN = "acme/node-1";
/** As long as the receipt of an admission. */
const RECORD = "e".repeat(1800);
const FILLER = "e".repeat(120);

const scratch = mkdtempSync(join(tmpdir(), "railgate-bench-log-"));
const path = join(scratch, "railgate.db");

interface Row {
  readonly what: string;
  readonly unit: string;
  readonly small: number;
  readonly large: number;
}

function batchOf(from: number, count: number, record: string): Append[] {
  return Array.from({ length: count }, (_, i) => ({
    chain_id: CHAIN,
    sequence: from + i,
    id: uuidv7(),
    event_type: "workload.admit",
    outcome: "accepted",
    tenant_id: "acme",
    workload_id: null,
    correlation_id: String(from + i),
    occurred_at_ms: 0,
    event_hash: "sha256:00",
    artifact_digest: `sha256:${"00".repeat(32)}`,
    record: `${from + i}.${record}`,
    artifact: null,
    blobs: [],
    states: [],
  }));
}

/** Appends up to a size. @returns µs for each event. */
async function appendTo(writer: StoreWriter, size: number, batch: number, record: string): Promise<number> {
  const first = (await writer.tree(CHAIN)).size;
  let tookMs = 0;
  for (let at = first; at < size; at += batch) {
    const events = batchOf(at, Math.min(batch, size - at), record);
    const started = performance.now();
    await writer.append(events);
    tookMs += performance.now() - started;
  }
  return (tookMs * 1000) / (size - first);
}

/** Hashing and tree alone, as the committer does it for each record. @returns µs. */
function treeAlone(tail: TreeTail): number {
  const records = batchOf(0, WINDOW, RECORD).map(({ record }) => record);
  const started = performance.now();
  for (const record of records) tail.append(recordLeaf(record));
  return ((performance.now() - started) * 1000) / WINDOW;
}

const readTail = (log: LogReader, size: number): Promise<TreeTail> =>
  overTiles(
    (level, n) => log.tile(CHAIN, level, n),
    (tile) => TreeTail.read(TREE_HASHER, tile, size),
  );

/** Median of many, µs. */
async function median(rounds: number, work: (round: number) => unknown): Promise<number> {
  const took: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const started = performance.now();
    await work(round);
    took.push((performance.now() - started) * 1000);
  }
  return took.sort((a, b) => a - b)[Math.floor(rounds / 2)]!;
}

async function measure(writer: StoreWriter, size: number): Promise<{ [what: string]: [number, string] }> {
  await appendTo(writer, size - WINDOW, 4096, FILLER);
  const append = await appendTo(writer, size, BATCH, RECORD);
  await using reader = await openReader(path);
  const log = new TransparencyLog({
    reader: reader.log,
    logs: () => [{ nodeId: "bench", origin: "bench", kid: "bench", publicKey: new Uint8Array(32) }],
    checkpoint: () => Promise.resolve(),
  });
  const tail = await readTail(reader.log, size);
  const sign = checkpointSigner(generateKeyPairSync("ed25519").privateKey, "bench");
  treeAlone(TreeTail.empty(TREE_HASHER));
  return {
    [`append, in batches of ${BATCH}, synced`]: [append, "µs/event"],
    "of that: leaf hash and tree": [treeAlone(tail), "µs/event"],
    "checkpoint: root and signature": [
      await median(500, async () => {
        const { size: at, root } = await writer.tree(CHAIN);
        sign(CHAIN, at, root);
      }),
      "µs",
    ],
    "inclusion proof": [await median(300, (round) => log.inclusionProof(CHAIN, (round * 7919) % size, size)), "µs"],
    "consistency proof": [
      await median(300, (round) => log.consistencyProof(CHAIN, 1 + ((round * 7919) % size), size)),
      "µs",
    ],
    "end of the stream, read at start": [await median(20, () => readTail(reader.log, size)), "µs"],
  };
}

function tileBytes(): number {
  using db = new DatabaseSync(path, { readOnly: true });
  return db.prepare("SELECT sum(length(hashes)) AS bytes FROM tiles").get()!["bytes"] as number;
}

try {
  const writer = await openWriter(path);
  const small = await measure(writer, SMALL);
  const smallBytes = tileBytes() / SMALL;
  const large = await measure(writer, LARGE);
  const rows: Row[] = Object.entries(small).map(([what, [value, unit]]) => ({
    what,
    unit,
    small: value,
    large: large[what]![0],
  }));
  rows.push({ what: "stored by the log", unit: "bytes/event", small: smallBytes, large: tileBytes() / LARGE });
  await writer.close();
  console.log(`${"".padEnd(40)} ${String(SMALL).padStart(10)} ${String(LARGE).padStart(10)}`);
  for (const { what, unit, small: a, large: b } of rows)
    console.log(`${what.padEnd(40)} ${a.toFixed(2).padStart(10)} ${b.toFixed(2).padStart(10)}  ${unit}`);
  console.log(`database: ${(statSync(path).size / 2 ** 20).toFixed(0)} MiB`);
} finally {
  rmSync(scratch, { recursive: true });
}
