// The witness against the specification's list of answers, against forks, and over restarts.
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { toBase64 } from "../../src/core/bytes.ts";
import { provenRoots } from "../../src/core/merkle-verify.ts";
import { consistencyProof, rootOfLeaves, type NodeReader } from "../../src/core/merkle.ts";
import {
  formatCheckpoint,
  formatNote,
  noteKey,
  parseCheckpoint,
  parseNote,
  parseVkey,
  signNote,
  SIGNATURE_TYPES,
  verifyNote,
  type NoteKey,
} from "../../src/core/note.ts";
import { sha256, TREE_HASHER } from "../../src/core/sha256.ts";
import { ed25519Sign, ed25519Verify, rawPublicKey } from "../../src/evidence/log/note-signing.ts";
import { hashOf, Witness, type Fork } from "../../src/evidence/log/witness.ts";

const ORIGIN = "log.example/acme/n1";

/** A log that can say whatever it likes. */
function makeLog(origin = ORIGIN) {
  const { privateKey } = generateKeyPairSync("ed25519");
  const key = noteKey(sha256, origin, SIGNATURE_TYPES.ed25519, rawPublicKey(privateKey));
  const leafOf = (branch: string) => (index: number) => Buffer.from(index < 3 ? `${index}` : `${index} ${branch}`);
  const root = (size: number, branch = "") =>
    rootOfLeaves(
      TREE_HASHER,
      Array.from({ length: size }, (_, i) => leafOf(branch)(i)),
    );
  const read =
    (branch: string): NodeReader =>
    (level, index) =>
      rootOfLeaves(
        TREE_HASHER,
        Array.from({ length: 2 ** level }, (_, i) => leafOf(branch)(index * 2 ** level + i)),
      );
  const note = (size: number, branch = "", root_ = root(size, branch)) => {
    const text = formatCheckpoint({ origin, size, root: root_, extensions: [] });
    return formatNote({ text, signatures: [signNote(text, key, ed25519Sign(privateKey))] });
  };
  const proof = (from: number, to: number, branch = "") =>
    consistencyProof(TREE_HASHER, read(branch), from, to).map(toBase64);
  const body = (from: number, to: number, branch = "") =>
    [`old ${from}`, ...proof(from, to, branch), "", note(to, branch)].join("\n");
  return { key, note, proof, body, root };
}

function inDir(work: (open: (logs: NoteKey[]) => Witness, dir: string, forks: Fork[]) => Promise<void>): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), "railgate-witness-"));
  const { privateKey } = generateKeyPairSync("ed25519");
  const key = noteKey(sha256, "witness.example/w", SIGNATURE_TYPES.cosignature, rawPublicKey(privateKey));
  const forks: Fork[] = [];
  const open = (logs: NoteKey[]) =>
    new Witness({
      dir,
      key,
      sign: ed25519Sign(privateKey),
      logs: logs.map((log) => ({ origin: ORIGIN, key: log })),
      now: () => 1_795_593_600_123,
      onFork: (fork) => forks.push(fork),
    });
  return work(open, dir, forks).finally(() => rmSync(dir, { recursive: true }));
}

test("a log that grows is cosigned, and the cosignature verifies with the witness's key", async (t) => {
  await inDir(async (open) => {
    const log = makeLog();
    const witness = open([log.key]);
    t.is(witness.checkpoint(hashOf(ORIGIN)), undefined);
    let size = 0;
    for (const next of [0, 1, 1, 2, 5, 8, 13, 13, 64, 100]) {
      const answer = await witness.addCheckpoint(log.body(size, next));
      t.is(answer.status, 200, `${size} → ${next}: ${answer.text}`);
      size = next;
      const witnessKey = parseVkey(sha256, witness.vkey)!;
      const cosigned = parseNote(log.note(next) + answer.text)!;
      t.deepEqual(await verifyNote(cosigned, [log.key, witnessKey], ed25519Verify), [
        { key: log.key },
        { key: witnessKey, timestampS: 1_795_593_600 },
      ]);
      t.is(witness.checkpoint(hashOf(ORIGIN)), log.note(next) + answer.text);
    }
  });
});

test("every answer that the specification asks for", async (t) => {
  await inDir(async (open, _, forks) => {
    const [log, unknown, stranger] = [makeLog(), makeLog("other.example/log"), makeLog()];
    const witness = open([log.key]);
    t.is((await witness.addCheckpoint(log.body(0, 5))).status, 200);
    const answers: [what: string, body: string, status: 400 | 403 | 404 | 409 | 422, text?: string][] = [
      ["an unknown origin", unknown.body(0, 5), 404],
      ["a key that is not the log's", stranger.body(5, 8), 403],
      [
        "a signature that fails",
        log
          .body(5, 8)
          .replace(/([A-Za-z0-9+/]{10})=*\n$/, (end) =>
            end.replace(/[A-Za-z]/, (letter) => (letter === "A" ? "B" : "A")),
          ),
        403,
      ],
      ["an old size that is larger", log.body(0, 5).replace("old 0", "old 6"), 400],
      ["an old size that is behind", log.body(3, 8), 409, "5\n"],
      ["an old size that is ahead", log.body(6, 8), 409, "5\n"],
      ["nothing known of where it is", log.body(0, 8), 409, "5\n"],
      ["no proof", `old 5\n\n${log.note(8)}`, 422],
      ["a proof of something else", ["old 5", ...log.proof(6, 8), "", log.note(8)].join("\n"), 422],
      ["a proof where none is needed", ["old 5", ...log.proof(5, 8), "", log.note(5)].join("\n"), 422],
      ["another root of the same size", ["old 5", "", log.note(5, "b")].join("\n"), 422],
    ];
    for (const [what, body, status, text] of answers) {
      const answer = await witness.addCheckpoint(body);
      t.is(answer.status, status, what);
      if (text !== undefined) t.is(answer.text, text, what);
    }
    t.is((await witness.addCheckpoint(log.body(5, 8))).status, 200);
    t.deepEqual(
      forks.filter(({ evidence }) => evidence !== "unproven").map(({ evidence }) => evidence),
      ["same_size"],
    );
  });
});

test("an empty log has the empty root, and the first checkpoint needs no proof and may have none", async (t) => {
  await inDir(async (open) => {
    const log = makeLog();
    const witness = open([log.key]);
    t.is((await witness.addCheckpoint(`old 0\n\n${log.note(0, "", sha256(Buffer.from("x")))}`)).status, 422);
    t.is((await witness.addCheckpoint(["old 0", ...log.proof(3, 5), "", log.note(5)].join("\n"))).status, 422);
    t.is((await witness.addCheckpoint(log.body(0, 5))).status, 200);
  });
});

test("what is no request", async (t) => {
  await inDir(async (open) => {
    const log = makeLog();
    const witness = open([log.key]);
    const note = log.note(5);
    const hash = toBase64(log.root(1));
    for (const body of [
      "",
      "\n\n",
      note,
      `old 0\n${note}`,
      `old\n\n${note}`,
      `old  0\n\n${note}`,
      `old 00\n\n${note}`,
      `old -1\n\n${note}`,
      `old 0 \n\n${note}`,
      `old 9007199254740993\n\n${note}`,
      `Old 0\n\n${note}`,
      `old 0\nabc\n\n${note}`,
      `old 0\n${hash.replace("=", "")}\n\n${note}`,
      `old 0\n${hash} \n\n${note}`,
      `old 0\n${`${hash}\n`.repeat(64)}\n${note}`,
      `old 0\n\n${note}\n`,
      `old 0\n\n${note.replace("\n5\n", "\n05\n")}`,
    ])
      t.is((await witness.addCheckpoint(body)).status, 400, JSON.stringify(body.slice(0, 50)));
    t.is((await witness.addCheckpoint(`old 0\n\n${note}`)).status, 200);
  });
});

test("a fork is refused and kept: two checkpoints that both verify, and where it can be, proof that they differ", async (t) => {
  await inDir(async (open, dir, forks) => {
    const log = makeLog();
    const witness = open([log.key]);
    t.is((await witness.addCheckpoint(log.body(0, 6))).status, 200);
    t.is((await witness.addCheckpoint(log.body(6, 9, "b"))).status, 422);
    t.is((await witness.addCheckpoint(log.body(6, 9, "b"))).status, 422);
    t.is((await witness.addCheckpoint(log.body(0, 6, "b"))).status, 409);
    t.is((await witness.addCheckpoint(log.body(6, 8))).status, 200);
    // 8 is a power of two: the proof does not tell with which root it begins.
    t.is((await witness.addCheckpoint(log.body(8, 9, "b"))).status, 422);
    t.deepEqual(
      forks.map(({ evidence }) => evidence),
      ["other_beginning", "same_size", "unproven"],
    );
    t.deepEqual(
      witness
        .forks(hashOf(ORIGIN))
        .map(({ evidence }) => evidence)
        .sort(),
      ["other_beginning", "same_size", "unproven"],
    );
    for (const { vkey, first, second, origin } of forks) {
      const key = parseVkey(sha256, vkey)!;
      const notes = [parseNote(first)!, parseNote(second)!];
      for (const note of notes) t.truthy(await verifyNote(note, [key], ed25519Verify));
      const [a, b] = notes.map(({ text }) => parseCheckpoint(text)!);
      t.deepEqual([a!.origin, b!.origin], [origin, origin]);
    }
    const { first, second, hashes } = forks[0]!;
    const [a, b] = [first, second].map((note) => parseCheckpoint(parseNote(note)!.text)!);
    const roots = provenRoots(
      TREE_HASHER,
      a!,
      b!.size,
      hashes.map((hash) => Buffer.from(hash, "base64")),
    )!;
    t.deepEqual(Buffer.from(roots.to), Buffer.from(b!.root));
    t.notDeepEqual(Buffer.from(roots.from), Buffer.from(a!.root));
    t.is(readdirSync(dir).length, 4);
  });
});

test("whoever repeats checkpoints with nonsense for proofs does not fill the disk", async (t) => {
  await inDir(async (open, dir) => {
    const log = makeLog();
    const witness = open([log.key]);
    await witness.addCheckpoint(log.body(0, 5));
    for (let size = 6; size < 40; size++)
      t.is((await witness.addCheckpoint(`old 5\n${toBase64(log.root(size))}\n\n${log.note(size)}`)).status, 422);
    t.is(readdirSync(dir).length, 9);
  });
});

test("what was cosigned is remembered over a restart, and a damaged memory stops it", async (t) => {
  await inDir(async (open, dir) => {
    const log = makeLog();
    t.is((await open([log.key]).addCheckpoint(log.body(0, 6))).status, 200);
    const again = open([log.key]);
    t.deepEqual(await again.addCheckpoint(log.body(0, 3)), { status: 409, text: "6\n" });
    t.is((await again.addCheckpoint(log.body(6, 9))).status, 200);
    writeFileSync(join(dir, `${hashOf(ORIGIN)}.checkpoint`), "?");
    await t.throwsAsync(open([log.key]).addCheckpoint(log.body(0, 6)), { message: /damaged/ });
  });
});

test("submissions at the same time stand on each other", async (t) => {
  await inDir(async (open) => {
    const log = makeLog();
    const witness = open([log.key]);
    const answers = await Promise.all(
      [log.body(0, 5), log.body(0, 6, "b"), log.body(0, 5)].map((body) => witness.addCheckpoint(body)),
    );
    t.deepEqual(answers.map(({ status }) => status).sort(), [200, 409, 409]);
  });
});
