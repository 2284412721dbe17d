// The log of a running node: checkpoints in time, proofs that check without its code, and a database that went back in time.
import { admit as admitOne } from "../gate/commands.ts";
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import test from "ava";
import { fromBase64 } from "../../src/core/bytes.ts";
import { eventTextOf } from "../../src/core/event.ts";
import { verifyConsistency, verifyInclusion } from "../../src/core/merkle-verify.ts";
import { rootOfLeaves } from "../../src/core/merkle.ts";
import { parseCheckpoint, parseNote, parseVkey, verifyNote, type Checkpoint } from "../../src/core/note.ts";
import { parseAdmissionRequest } from "../../src/core/request.ts";
import { sha256, TREE_HASHER } from "../../src/core/sha256.ts";
import { parseEntryBundle } from "../../src/core/tiles.ts";
import { CheckpointFile, type StreamCheckpoint } from "../../src/evidence/log/checkpoints.ts";
import { ed25519Verify } from "../../src/evidence/log/note-signing.ts";
import { RailgateNode, type NodeOptions } from "../../src/node/open.ts";
import { containerRequest } from "../core/requests.ts";
import { ranMs, until } from "../until.ts";

async function inDir(
  work: (dir: string, open: (options?: Partial<NodeOptions>) => Promise<RailgateNode>) => Promise<void>,
): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), "railgate-log-"));
  try {
    await work(dir, (options = {}) => RailgateNode.open({ dataDir: join(dir, "data"), nodeId: "n1", ...options }));
  } finally {
    rmSync(dir, { recursive: true });
  }
}

let made = 0;
const admit = (node: RailgateNode, count = 1) =>
  Promise.all(
    Array.from({ length: count }, () => {
      const request = containerRequest();
      request.workload.workload_id = `w${++made}`;
      return admitOne(node, parseAdmissionRequest(request));
    }),
  );

const CHAIN = "acme/n1";
const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until nothing is to be written to the file of checkpoints any more. */
const checkpointed = (node: RailgateNode): Promise<boolean> =>
  until(async () => {
    for (const { chain_id, size } of await node.store.log.streams())
      if ((await node.store.log.checkpoint(chain_id))?.size !== size) return false;
    return true;
  }, "checkpoints of all that is committed");

/** A checkpoint whose signature verifies with the stream's published key. */
async function verified(node: RailgateNode, chain = CHAIN, note?: string): Promise<Checkpoint> {
  const parsed = parseNote(note ?? (await node.log.checkpoint(chain)).note)!;
  if (!(await verifyNote(parsed, [parseVkey(sha256, node.log.vkey(chain))!], ed25519Verify)))
    throw new Error("the checkpoint does not verify");
  return parseCheckpoint(parsed.text)!;
}

const leaf = (record: string) => TREE_HASHER.leaf(new TextEncoder().encode(record));
const bytesOf = (hashes: readonly string[]) => hashes.map((hash) => fromBase64(hash)!);

test("a checkpoint follows a commit within a second, and its root is over the records", async (t) => {
  await inDir(async (_, open) => {
    await using node = await open();
    await admit(node, 300);
    const tookMs: number[] = [];
    // A busy machine may be late once, but not every time.
    for (let size = 300; (tookMs.at(-1) ?? Infinity) > 1000 && tookMs.length < 5; size++) {
      const committed = ranMs();
      await until(async () => ((await node.store.log.checkpoint(CHAIN))?.size ?? 0) >= size, "a checkpoint");
      tookMs.push(ranMs() - committed);
      if (tookMs.at(-1)! > 1000) await admit(node);
    }
    t.true(tookMs.at(-1)! <= 1000, `${tookMs.join(", ")} ms`);
    const { size } = (await node.store.log.checkpoint(CHAIN))!;
    const checkpoint = await verified(node);
    t.like(checkpoint, { origin: "railgate.local/n1/acme/n1", size, extensions: [] });
    const records = await node.store.log.records(CHAIN, 0, size);
    t.deepEqual(
      Buffer.from(checkpoint.root),
      Buffer.from(
        rootOfLeaves(
          TREE_HASHER,
          records.map((record) => Buffer.from(record)),
        ),
      ),
    );
    t.deepEqual(
      (await node.log.streams()).map(({ chain_id, size }) => [chain_id, size]),
      [
        [CHAIN, size],
        ["default/n1", 2],
      ],
    );
  });
});

test("inclusion of an event that was only just recorded, and of every one", async (t) => {
  await inDir(async (_, open) => {
    await using node = await open();
    const [answer] = await admit(node);
    const { index, size, hashes, checkpoint } = await node.log.inclusion(CHAIN, 0);
    const head = await verified(node, CHAIN, checkpoint);
    t.true(
      verifyInclusion(TREE_HASHER, { leafHash: leaf(answer!.receipt), index, size, root: head.root }, bytesOf(hashes)),
    );
    const answers = await admit(node, 30);
    for (const { event, receipt } of answers) {
      const proof = await node.log.inclusion(CHAIN, event.sequence);
      const { root } = await verified(node, CHAIN, proof.checkpoint);
      t.true(
        verifyInclusion(
          TREE_HASHER,
          { leafHash: leaf(receipt), index: event.sequence, size: proof.size, root },
          bytesOf(proof.hashes),
        ),
      );
    }
    await t.throwsAsync(node.log.inclusion(CHAIN, 31), { code: "evidence_unavailable" });
    await t.throwsAsync(() => node.log.inclusionProof(CHAIN, 0, 32), { instanceOf: RangeError });
    await t.throwsAsync(() => node.log.consistencyProof(CHAIN, 3, 2), { instanceOf: RangeError });
  });
});

test("closing leaves a checkpoint of everything; after a restart the log goes on and is consistent with it", async (t) => {
  await inDir(async (dir, open) => {
    const first = await open();
    await admit(first, 257);
    await first.close();
    await using node = await open();
    const before = await verified(node);
    t.is(before.size, 257);
    await admit(node, 300);
    const after = await verified(node, CHAIN, (await node.log.checkpoint(CHAIN, 557)).note);
    t.true(
      verifyConsistency(
        TREE_HASHER,
        { from: before, to: after },
        bytesOf(await node.log.consistencyProof(CHAIN, before.size, after.size)),
      ),
    );
    const tile = (await node.log.tile(CHAIN, { level: 0, n: 1, width: 256 }))!;
    const bundle = parseEntryBundle((await node.log.tile(CHAIN, { level: "entries", n: 1, width: 256 }))!)!;
    t.deepEqual(Buffer.concat(bundle.map((entry) => TREE_HASHER.leaf(entry))), Buffer.from(tile));
    t.is((await node.log.tile(CHAIN, { level: 0, n: 2, width: 45 }))!.length, 45 * 32);
    t.is((await node.log.tile(CHAIN, { level: 1, n: 0, width: 2 }))!.length, 64);
    for (const missing of [
      { level: 0, n: 2, width: 46 },
      { level: 0, n: 3, width: 1 },
      { level: 1, n: 0, width: 3 },
      { level: 2, n: 0, width: 1 },
    ] as const)
      t.is(await node.log.tile(CHAIN, missing), undefined);
    t.is(statSync(join(dir, "data", "keys", "log.jwk")).mode & 0o777, 0o600);
    t.not((await node.jwks()).keys.length, 2);
    t.deepEqual((await node.store.keys()).map(({ role }) => role).sort(), ["event", "log"]);
  });
});

/** A copy of the database as a backup has it. */
function backup(dir: string): () => void {
  const [database, copy] = [join(dir, "data", "railgate.db"), join(dir, "backup")];
  mkdirSync(copy);
  for (const suffix of ["", "-wal"])
    if (existsSync(database + suffix)) cpSync(database + suffix, join(copy, `railgate.db${suffix}`));
  return () => {
    for (const suffix of ["", "-wal", "-shm"]) rmSync(database + suffix, { force: true });
    cpSync(copy, join(dir, "data"), { recursive: true });
  };
}

test("a restored backup is found out: the node does not open, says why, and signs nothing", async (t) => {
  await inDir(async (dir, open) => {
    const first = await open();
    await admit(first, 3);
    await first.close();
    const restore = backup(dir);
    const second = await open();
    await admit(second, 2);
    await second.close();
    const [file] = readdirSync(join(dir, "data", "checkpoints"));
    const signed = readFileSync(join(dir, "data", "checkpoints", file!), "utf8");
    restore();
    const error = await t.throwsAsync(open(), { code: "log_rolled_back" });
    t.regex(error!.message, /acme\/n1: the database has 3 events, and 5 were signed/);
    t.regex(error!.message, /--after-restore .* \(docs\/log\.md\)/);
    t.is(readFileSync(join(dir, "data", "checkpoints", file!), "utf8"), signed);
    // Again, since a refusal must not be what heals it.
    await t.throwsAsync(open(), { code: "log_rolled_back" });
    // Under another name there is no history to contradict.
    const renamed = await open({ nodeId: "n2" });
    await admit(renamed);
    t.is((await verified(renamed, "acme/n2")).origin, "railgate.local/n2/acme/n2");
    await renamed.close();
  });
});

test("a database that has other events, or as many but others, is found out", async (t) => {
  await inDir(async (dir, open) => {
    const first = await open();
    await admit(first, 2);
    await first.close();
    const restore = backup(dir);
    cpSync(join(dir, "data", "checkpoints"), join(dir, "older"), { recursive: true });
    const second = await open();
    await admit(second, 2);
    await second.close();
    const outside = join(dir, "outside");
    cpSync(join(dir, "data", "checkpoints"), outside, { recursive: true });
    restore();
    // With the file put back as well nothing tells; the checkpoints elsewhere do, whatever was appended since.
    rmSync(join(dir, "data", "checkpoints"), { recursive: true });
    cpSync(join(dir, "older"), join(dir, "data", "checkpoints"), { recursive: true });
    const third = await open();
    await admit(third, 5);
    await third.close();
    const error = await t.throwsAsync(open({ checkpointDir: outside }), { code: "log_rolled_back" });
    t.regex(error!.message, /acme\/n1: its first 4 events are others than those that were signed/);
  });
});

test("a record that was altered in the database is found out", async (t) => {
  await inDir(async (dir, open) => {
    const first = await open();
    await admit(first, 3);
    await first.close();
    const db = new DatabaseSync(join(dir, "data", "railgate.db"));
    db.exec("UPDATE events SET record = record || 'A' WHERE tenant_id = 'acme' AND sequence = 1");
    db.close();
    await t.throwsAsync(open(), { code: "log_rolled_back" });
  });
});

test("the file of checkpoints: cut short it is read to its last whole line; damaged, or by another key, it stops the node", async (t) => {
  await inDir(async (dir, open) => {
    const first = await open();
    await admit(first, 2);
    await first.close();
    const [name] = readdirSync(join(dir, "data", "checkpoints"));
    const file = join(dir, "data", "checkpoints", name!);
    appendFileSync(file, '{"chain_id":"acme/n1","si');
    const second = await open();
    await admit(second, 1);
    await second.close();
    t.is(new CheckpointFile(file).latest().get(CHAIN)!.size, 3);
    const whole = readFileSync(file, "utf8");
    for (const [text, message] of [
      [whole.replace('{"chain_id"', '{"chain"'), /damaged/],
      [`\n${whole}`, /damaged/],
      [
        whole.replaceAll(
          /(n1 [A-Za-z0-9+/]{20})(.)/g,
          (_, before: string, letter: string) => before + (letter === "A" ? "B" : "A"),
        ),
        /another key, or altered/,
      ],
      [whole.replaceAll("railgate.local", "railgate.other"), /another key, or altered/],
    ] as const) {
      t.not(text, whole);
      writeFileSync(file, text);
      const error = await t.throwsAsync(open(), { code: "log_rolled_back" });
      t.regex(error!.message, message);
    }
    // Gone altogether, nobody can tell whether the database is the newest.
    rmSync(file);
    const error = await t.throwsAsync(open(), { code: "checkpoints_missing" });
    t.regex(error!.message, /--after-restore/);
    t.false(existsSync(file));
    writeFileSync(file, whole);
    await (await open()).close();
  });
});

test("the file of checkpoints taken away or changed under a node: EVI-01, until it is back as it was", async (t) => {
  await inDir(async (dir, open) => {
    const outside = join(dir, "outside");
    const failures: string[] = [];
    await using node = await open({
      checkpointDir: outside,
      observe: { evidenceFailed: (message) => failures.push(message) },
    });
    await admit(node);
    t.is((await node.log.checkpoint(CHAIN)).size, 1);
    await checkpointed(node);
    const kept = readFileSync(join(outside, readdirSync(outside)[0]!));
    const changes = [
      (file: string) => rmSync(file),
      (file: string) => appendFileSync(file, kept),
      (file: string) => writeFileSync(file, kept.subarray(0, kept.lastIndexOf("\n", -2) + 1)),
      () => renameSync(outside, `${outside}-2`),
    ];
    await admit(node);
    await checkpointed(node);
    for (const change of changes) {
      const file = join(outside, readdirSync(outside)[0]!);
      const before = readFileSync(file);
      change(file);
      await t.throwsAsync(admit(node), { code: "evidence_unavailable", message: /the file of signed checkpoints/ });
      t.regex(node.problem!, /the file of signed checkpoints/);
      await wait(1500);
      t.truthy(node.problem, "it does not come back by itself");
      mkdirSync(outside, { recursive: true });
      writeFileSync(file, before);
      await until(() => node.problem === undefined, "it comes back");
      await admit(node);
      await node.log.inclusion(CHAIN, (await node.store.log.stream(CHAIN))!.size - 1);
    }
    t.true(failures.length >= changes.length);
  });
});

test("the file stays small, whatever is appended to it", (t) => {
  const dir = mkdtempSync(join(tmpdir(), "railgate-log-"));
  const path = join(dir, "n.jsonl");
  const file = new CheckpointFile(path);
  const checkpoint = (stream: number, size: number): StreamCheckpoint => ({
    chain_id: `t${stream}/n`,
    size,
    note: "x".repeat(300),
  });
  for (let size = 1; size <= 100; size++) file.append(Array.from({ length: 20 }, (_, i) => checkpoint(i, size)));
  t.true(statSync(path).size < 300 * 1024);
  file.append([]);
  for (let size = 101; size <= 200; size++) file.append(Array.from({ length: 20 }, (_, i) => checkpoint(i, size)));
  t.true(statSync(path).size < 300 * 1024);
  const read = new CheckpointFile(path).latest();
  t.is(read.size, 20);
  t.true([...read.values()].every(({ size }) => size === 200));
  rmSync(dir, { recursive: true });
});

test("a node that was cloned and goes on twice is caught by a witness, which puts it on record", async (t) => {
  await inDir(async (dir, open) => {
    const first = await open();
    await admit(first, 2);
    const vkey = first.log.vkey(CHAIN);
    await first.close();
    cpSync(join(dir, "data"), join(dir, "clone"), { recursive: true });
    await using one = await open();
    await using other = await open({ dataDir: join(dir, "clone") });
    await using witness = await open({
      dataDir: join(dir, "witness"),
      nodeId: "w",
      witness: { logs: [{ origin: "railgate.local/n1/acme/n1", key: parseVkey(sha256, vkey)! }] },
    });
    await admit(one, 1);
    await admit(other, 2);
    const submit = async (node: RailgateNode, from: number, size: number) => {
      const { note } = await node.log.checkpoint(CHAIN, size);
      return witness.witness!.addCheckpoint(
        [`old ${from}`, ...(await node.log.consistencyProof(CHAIN, from, size)), "", note].join("\n"),
      );
    };
    t.is((await submit(one, 0, 3)).status, 200);
    t.is((await submit(other, 3, 4)).status, 422);
    const { record } = await until(async () => {
      const [found] = await witness.store.events({ event_type: "node.equivocation", order: "desc", limit: 1 });
      return found;
    }, "it is on record");
    t.like(JSON.parse(eventTextOf(record)).details, {
      evidence: "other_beginning",
      origin: "railgate.local/n1/acme/n1",
      vkey,
    });
    t.deepEqual((await witness.store.keys()).map(({ role }) => role).sort(), ["event", "log", "witness"]);
  });
});
