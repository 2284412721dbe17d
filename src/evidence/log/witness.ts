// A witness of other logs (https://c2sp.org/tlog-witness): cosigns a checkpoint only where it continues the one it cosigned before.
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { equalBytes, fromBase64, toBase64, toHex } from "../../core/bytes.ts";
import { provenRoots, PROOF_LENGTH_MAX, verifyConsistency } from "../../core/merkle-verify.ts";
import { HASH_BYTES } from "../../core/merkle.ts";
import {
  cosign,
  formatNote,
  formatSignature,
  formatVkey,
  parseCheckpoint,
  parseNote,
  verifyNote,
  type Checkpoint,
  type Ed25519Sign,
  type Note,
  type NoteKey,
  type NoteSignature,
} from "../../core/note.ts";
import { sha256, TREE_HASHER } from "../../core/sha256.ts";
import { writeDurably } from "../../store/files.ts";
import { ed25519Verify } from "./note-signing.ts";

/** What add-checkpoint answers; where it is not 200, why is for people. */
export type WitnessAnswer =
  | { readonly status: 200 /** Our signature line. */; readonly text: string }
  | {
      readonly status: 409 /** Size of the latest checkpoint that we cosigned, and a newline. */;
      readonly text: string;
    }
  | { readonly status: 400 | 403 | 404 | 422; readonly text: string };

/** Two checkpoints that a log has signed and that no honest log signs both. */
export interface Fork {
  readonly origin: string;
  /** With which both verify. */
  readonly vkey: string;
  /**
   * `same_size`: two roots of one size. `other_beginning`: the second's own consistency proof, bound by its root, begins with
   * another root than the first's. `unproven`: no proof that they are consistent came, which proves nothing until the log is asked for one.
   */
  readonly evidence: "same_size" | "other_beginning" | "unproven";
  /** Signed notes. */
  readonly first: string;
  readonly second: string;
  /** Base64: what was submitted as proof that the second continues the first. */
  readonly hashes: readonly string[];
}

/** A log, and a key that signs its checkpoints. */
export interface WitnessedLog {
  readonly origin: string;
  readonly key: NoteKey;
}

export interface WitnessParts {
  /** Where its state lies. */
  readonly dir: string;
  /** Of type cosignature. */
  readonly key: NoteKey;
  readonly sign: Ed25519Sign;
  /** The logs that it watches; one with several keys stands here several times. */
  readonly logs: readonly WitnessedLog[];
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Told once of each. */
  readonly onFork: (fork: Fork) => void;
}

interface Submission {
  readonly old: number;
  readonly proof: readonly Uint8Array[];
  readonly note: Note;
  readonly checkpoint: Checkpoint;
}

interface Latest {
  readonly checkpoint: Checkpoint;
  readonly note: string;
}

/** Files of forks for one log; whoever repeats a checkpoint cannot fill the disk. */
const FORKS_KEPT_MAX = { proven: 64, unproven: 8 };
const EMPTY: Checkpoint = { origin: "", size: 0, root: TREE_HASHER.empty, extensions: [] };

export class Witness {
  readonly #parts: WitnessParts;
  readonly #latest = new Map<string, Latest | undefined>();

  constructor(parts: WitnessParts) {
    this.#parts = parts;
    mkdirSync(parts.dir, { recursive: true, mode: 0o700 });
  }

  /** The key that its cosignatures verify with. */
  get vkey(): string {
    return formatVkey(this.#parts.key);
  }

  /** `add-checkpoint`. What it cosigns is durable before it is answered. @param body as the specification has it. */
  async addCheckpoint(body: string): Promise<WitnessAnswer> {
    const submission = parseSubmission(body);
    if (!submission) return { status: 400, text: "that is no add-checkpoint request\n" };
    const { checkpoint, note, old } = submission;
    const keys = this.#parts.logs.filter(({ origin }) => origin === checkpoint.origin).map(({ key }) => key);
    if (keys.length === 0) return { status: 404, text: "no log of that origin is witnessed here\n" };
    const signed = await verifyNote(note, keys, ed25519Verify);
    if (!signed) return { status: 403, text: "the log's signature is missing or wrong\n" };
    if (old > checkpoint.size) return { status: 400, text: "the old size is larger than the checkpoint's\n" };
    // From here on nothing waits, so that no two submissions stand on the same state.
    const keysThatSigned = signed.map(({ key }) => key);
    return this.#judge(submission, keysThatSigned);
  }

  /** The latest checkpoint of a log that it cosigned, its own signature included. @param originHash SHA-256 of the origin, hex. */
  checkpoint(originHash: string): string | undefined {
    const log = this.#parts.logs.find(({ origin }) => hashOf(origin) === originHash);
    return log && this.#latestOf(log.origin)?.note;
  }

  /** What it holds against a log. @param originHash SHA-256 of the origin, hex. */
  forks(originHash: string): Fork[] {
    return this.#forkFiles(originHash).map(
      (name) => JSON.parse(readFileSync(join(this.#parts.dir, name), "utf8")) as Fork,
    );
  }

  #judge(submission: Submission, keys: readonly NoteKey[]): WitnessAnswer {
    const { checkpoint, old, proof } = submission;
    const latest = this.#latestOf(checkpoint.origin);
    const known = latest?.checkpoint ?? EMPTY;
    if (latest && known.size === checkpoint.size && !equalBytes(known.root, checkpoint.root))
      this.#keepFork(latest, submission, keys[0]!, "same_size");
    if (old !== known.size) return { status: 409, text: `${known.size}\n` };
    if (checkpoint.size === 0 && !equalBytes(checkpoint.root, TREE_HASHER.empty))
      return { status: 422, text: "that is not the root of an empty log\n" };
    if (verifyConsistency(TREE_HASHER, { from: known, to: checkpoint }, proof)) return this.#cosign(submission, keys);
    if (latest && checkpoint.size > known.size)
      this.#keepFork(latest, submission, keys[0]!, evidenceOf(latest.checkpoint, submission));
    return { status: 422, text: "the checkpoint is not shown to continue the one before\n" };
  }

  /** State first: a crash in between leaves a checkpoint that is on record and not handed out. */
  #cosign({ note, checkpoint }: Submission, keys: readonly NoteKey[]): WitnessAnswer {
    const { key, sign, now } = this.#parts;
    const ours = cosign(note.text, key, Math.floor(now() / 1000), sign);
    const cosigned = formatNote({ text: note.text, signatures: [...signaturesBy(note, keys), ours] });
    writeDurably(this.#file(checkpoint.origin), cosigned);
    this.#latest.set(checkpoint.origin, { checkpoint, note: cosigned });
    return { status: 200, text: formatSignature(ours) };
  }

  #latestOf(origin: string): Latest | undefined {
    if (!this.#latest.has(origin)) this.#latest.set(origin, readLatest(this.#file(origin)));
    return this.#latest.get(origin);
  }

  #keepFork(first: Latest, { note, checkpoint, proof }: Submission, key: NoteKey, evidence: Fork["evidence"]): void {
    const hash = hashOf(checkpoint.origin);
    const kind = evidence === "unproven" ? "unproven" : "proven";
    const name = `${hash}.${kind}-fork-${first.checkpoint.size}-${checkpoint.size}-${toHex(checkpoint.root.subarray(0, 8))}.json`;
    const kept = this.#forkFiles(hash).filter((file) => file.startsWith(`${hash}.${kind}-`));
    if (kept.includes(name) || kept.length >= FORKS_KEPT_MAX[kind]) return;
    const second = formatNote({ text: note.text, signatures: signaturesBy(note, [key]) });
    const fork: Fork = {
      origin: checkpoint.origin,
      vkey: formatVkey(key),
      evidence,
      first: first.note,
      second,
      hashes: proof.map(toBase64),
    };
    writeDurably(join(this.#parts.dir, name), `${JSON.stringify(fork, null, 2)}\n`);
    this.#parts.onFork(fork);
  }

  #forkFiles(hash: string): string[] {
    return readdirSync(this.#parts.dir)
      .filter((name) => name.startsWith(`${hash}.`) && name.endsWith(".json"))
      .sort();
  }

  #file(origin: string): string {
    return join(this.#parts.dir, `${hashOf(origin)}.checkpoint`);
  }
}

/** SHA-256 of a log's origin, lowercase hex. */
export function hashOf(origin: string): string {
  return toHex(sha256(new TextEncoder().encode(origin)));
}

function signaturesBy({ signatures }: Note, keys: readonly NoteKey[]): NoteSignature[] {
  return signatures.filter(({ name, keyId }) => keys.some((key) => key.name === name && key.keyId === keyId));
}

function evidenceOf(known: Checkpoint, { checkpoint, proof }: Submission): Fork["evidence"] {
  const roots = provenRoots(TREE_HASHER, known, checkpoint.size, proof);
  return roots && equalBytes(roots.to, checkpoint.root) && !equalBytes(roots.from, known.root)
    ? "other_beginning"
    : "unproven";
}

/** `old <size>`, the proof's hashes, each on a line; an empty line; the checkpoint. */
function parseSubmission(body: string): Submission | undefined {
  const split = body.indexOf("\n\n");
  const [first, ...lines] = body.slice(0, Math.max(split, 0)).split("\n");
  const old = /^old (0|[1-9]\d{0,15})$/.exec(first ?? "")?.[1];
  const proof = lines.map((line) => fromBase64(line)).filter((hash) => hash?.length === HASH_BYTES) as Uint8Array[];
  const note = parseNote(body.slice(split + 2));
  const checkpoint = note && parseCheckpoint(note.text);
  if (
    old === undefined ||
    !Number.isSafeInteger(Number(old)) ||
    proof.length !== lines.length ||
    proof.length > PROOF_LENGTH_MAX ||
    !checkpoint
  )
    return undefined;
  return { old: Number(old), proof, note, checkpoint };
}

/** @throws Error the file is damaged: going on without it would forget what was cosigned. */
function readLatest(file: string): Latest | undefined {
  if (!existsSync(file)) return undefined;
  const note = readFileSync(file, "utf8");
  const parsed = parseNote(note);
  const checkpoint = parsed && parseCheckpoint(parsed.text);
  if (!checkpoint) throw new Error(`${file} is damaged; bring back its newest copy`);
  return { checkpoint, note };
}
