// The latest checkpoint of every stream, kept outside the database, so that a database that went back in time is found out (spec evidence §4).
import { counted } from "../../core/counted.ts";
import { createHash, type KeyObject } from "node:crypto";
import {
  closeSync,
  constants,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { equalBytes } from "../../core/bytes.ts";
import { LogRolledBackError } from "../../core/errors.ts";
import { rootAt } from "../../core/merkle.ts";
import {
  formatCheckpoint,
  formatNote,
  isKeyName,
  parseCheckpoint,
  parseNote,
  signNote,
  verifyNote,
  type Checkpoint,
} from "../../core/note.ts";
import { TREE_HASHER } from "../../core/sha256.ts";
import { nodesOfTiles, overTiles } from "../../core/tiles.ts";
import type { LogReader, StoredCheckpoint } from "../../store/store.ts";
import { syncDir, writeDurably } from "../../store/files.ts";
import { ed25519Sign, ed25519Verify, logNoteKey, originOf, rawPublicKey } from "./note-signing.ts";

export type StreamCheckpoint = StoredCheckpoint & { readonly chain_id: string };

/** Below this many bytes the file is not worth rewriting. */
const COMPACT_BYTES_MIN = 256 * 1024;

/** @returns a function that makes a stream's checkpoint. */
export function checkpointSigner(
  privateKey: KeyObject,
  logOrigin: string,
): (chainId: string, size: number, root: Uint8Array) => StreamCheckpoint {
  const sign = ed25519Sign(privateKey);
  const publicKey = rawPublicKey(privateKey);
  return (chain_id, size, root) => {
    const origin = originOf(logOrigin, chain_id);
    const text = formatCheckpoint({ origin, size, root, extensions: [] });
    return {
      chain_id,
      size,
      note: formatNote({ text, signatures: [signNote(text, logNoteKey(origin, publicKey), sign)] }),
    };
  };
}

/** Where the checkpoints of a node are kept. Several nodes may share the directory. */
export function checkpointFile(dir: string, nodeId: string): string {
  const readable = nodeId.replaceAll(/[^A-Za-z0-9._-]/g, "_").slice(0, 64);
  return join(dir, `${readable}-${createHash("sha256").update(nodeId).digest("hex").slice(0, 8)}.jsonl`);
}

/** A file of lines `{chain_id, size, note}`: appended to, the last of a stream counts, and rewritten once most of it is old. */
export class CheckpointFile {
  readonly #path: string;
  readonly #latest = new Map<string, StreamCheckpoint>();
  /** Bytes of whole lines, and of those that count. */
  #length = 0;
  #live = 0;
  /** As it was last read or written; undefined where there is none yet. */
  #seen: string | undefined;

  /** @throws LogRolledBackError the file is damaged. */
  constructor(path: string) {
    this.#path = path;
    const text = readIfThere(path);
    // What a crash cut short was never acted upon.
    const whole = text.slice(0, text.lastIndexOf("\n") + 1);
    this.#length = Buffer.byteLength(whole);
    for (const [i, line] of whole.split("\n").slice(0, -1).entries())
      this.#keep(parseLine(line, `${path}, line ${i + 1}`));
    this.#seen = look(path);
  }

  /** What has happened to the file since it was read or written here, in words; undefined where nothing has. */
  displaced(): string | undefined {
    const seen = look(this.#path);
    if (seen === this.#seen) return undefined;
    return seen === undefined
      ? `${this.#path}, the file of signed checkpoints, is gone; put it back as it was`
      : `something else than this node has written ${this.#path}, the file of signed checkpoints; put it back as it was`;
  }

  /** @throws LogRolledBackError this file lacks a checkpoint that the one before it held. */
  mustContinue(before: CheckpointFile): void {
    for (const { chain_id, size } of before.#latest.values())
      if ((this.#latest.get(chain_id)?.size ?? 0) < size)
        throw new LogRolledBackError(
          `${this.#path}, the file of signed checkpoints, lacks one of ${chain_id} over ${counted(size, "event")}; put it back as it was`,
        );
  }

  latest(): ReadonlyMap<string, StreamCheckpoint> {
    return this.#latest;
  }

  /** Durable when it returns. @throws LogRolledBackError it is not the file that it was; nothing was written. */
  append(checkpoints: readonly StreamCheckpoint[]): void {
    if (checkpoints.length === 0) return;
    const problem = this.displaced();
    if (problem !== undefined) throw new LogRolledBackError(problem);
    const before = this.#seen;
    try {
      this.#append(checkpoints);
      this.#seen = look(this.#path);
    } catch (error) {
      // A write that failed has changed the file as well, as long as it is the same one.
      const after = look(this.#path);
      if (before === undefined || after?.split(" ")[0] === before.split(" ")[0]) this.#seen = after;
      throw error;
    }
    for (const checkpoint of checkpoints) this.#keep(checkpoint);
  }

  #append(checkpoints: readonly StreamCheckpoint[]): void {
    const before = [...this.#latest.values()];
    if (this.#length > COMPACT_BYTES_MIN && this.#length > 2 * this.#live) {
      const all = new Map([...before, ...checkpoints].map((checkpoint) => [checkpoint.chain_id, checkpoint]));
      const text = [...all.values()].map(lineOf).join("");
      writeDurably(this.#path, text);
      this.#length = Buffer.byteLength(text);
    } else {
      this.#length += this.#write(checkpoints.map(lineOf).join(""));
    }
  }

  /** Writes behind the last whole line, over whatever a failure has left there. */
  #write(text: string): number {
    const dir = dirname(this.#path);
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    const fd = openSync(this.#path, constants.O_RDWR | constants.O_CREAT, 0o644);
    try {
      ftruncateSync(fd, this.#length);
      const bytes = Buffer.from(text);
      for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at, this.#length + at);
      fsyncSync(fd);
      if (this.#length === 0) syncDir(dir);
      return bytes.length;
    } finally {
      closeSync(fd);
    }
  }

  #keep(checkpoint: StreamCheckpoint): void {
    const before = this.#latest.get(checkpoint.chain_id);
    if (before) this.#live -= Buffer.byteLength(lineOf(before));
    this.#live += Buffer.byteLength(lineOf(checkpoint));
    this.#latest.set(checkpoint.chain_id, checkpoint);
  }
}

/** What tells one file, in one state, from another. */
function look(path: string): string | undefined {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false });
  return found && `${found.dev}:${found.ino} ${found.size} ${found.mtimeNs}`;
}

const lineOf = ({ chain_id, size, note }: StreamCheckpoint): string => `${JSON.stringify({ chain_id, size, note })}\n`;

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}

function parseLine(line: string, place: string): StreamCheckpoint {
  try {
    const { chain_id, size, note } = JSON.parse(line) as StreamCheckpoint;
    if (typeof chain_id === "string" && Number.isSafeInteger(size) && typeof note === "string")
      return { chain_id, size, note };
  } catch {
    // Said below.
  }
  throw new LogRolledBackError(`${place}: the file of signed checkpoints is damaged; bring back its newest copy`);
}

/**
 * Compares the database with what was signed: as many events at least, and the same root at that size.
 * @param publicKey of the log, 32 bytes.
 * @param place where the checkpoints come from, for the message.
 * @throws LogRolledBackError naming the streams that differ, and how to recover.
 */
export async function checkStreams(
  log: LogReader,
  checkpoints: Iterable<StreamCheckpoint>,
  publicKey: Uint8Array,
  place: string,
): Promise<void> {
  const problems: string[] = [];
  for (const signed of checkpoints) {
    const problem = await problemWith(log, signed, publicKey);
    if (problem !== undefined) problems.push(`${signed.chain_id}: ${problem}`);
  }
  if (problems.length === 0) return;
  const more = problems.length > 3 ? `, and ${problems.length - 3} more streams` : "";
  throw new LogRolledBackError(
    `the database is not the one that this node has signed checkpoints of (${place}). ${problems.slice(0, 3).join("; ")}${more}. ` +
      'Signing on would show two histories, so nothing is admitted. Bring back the newest railgate.db with its -wal file, or, if it is lost, go on under another node id: railgate serve --after-restore "why" (docs/log.md)',
  );
}

async function problemWith(
  log: LogReader,
  { chain_id, note }: StreamCheckpoint,
  publicKey: Uint8Array,
): Promise<string | undefined> {
  const signed = await readSigned(note, publicKey);
  if (!signed) return "its checkpoint was signed by another key, or altered";
  const size = (await log.stream(chain_id))?.size ?? 0;
  if (size < signed.size) return `the database has ${counted(size, "event")}, and ${signed.size} were signed`;
  const root = await overTiles(
    (level, n) => log.tile(chain_id, level, n),
    (tile) => rootAt(TREE_HASHER, nodesOfTiles(TREE_HASHER, tile), signed.size),
  );
  return equalBytes(root, signed.root)
    ? undefined
    : `its first ${counted(signed.size, "event")} are others than those that were signed`;
}

/** A checkpoint that this key has signed, whatever its origin. */
async function readSigned(note: string, publicKey: Uint8Array): Promise<Checkpoint | undefined> {
  const parsed = parseNote(note);
  const checkpoint = parsed && parseCheckpoint(parsed.text);
  if (!checkpoint || !isKeyName(checkpoint.origin)) return undefined;
  return (await verifyNote(parsed, [logNoteKey(checkpoint.origin, publicKey)], ed25519Verify)) && checkpoint;
}

/**
 * What a node does before it signs anything: compares, and sees to it that the file outside knows what the database knows.
 * @param isOwn whether a stream is this node's to write; others were written under an earlier id, and are only read.
 * @throws LogRolledBackError
 */
export async function openCheckpoints(
  path: string,
  log: LogReader,
  publicKey: Uint8Array,
  isOwn: (chainId: string) => boolean,
): Promise<void> {
  const file = new CheckpointFile(path);
  await checkStreams(log, file.latest().values(), publicKey, path);
  const inside: StreamCheckpoint[] = [];
  for (const { chain_id } of await log.streams()) {
    const stored = isOwn(chain_id) ? await log.checkpoint(chain_id) : undefined;
    if (stored && stored.size > (file.latest().get(chain_id)?.size ?? 0)) inside.push({ chain_id, ...stored });
  }
  await checkStreams(log, inside, publicKey, "in the database");
  file.append(inside);
}
