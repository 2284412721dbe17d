// Reads an export's files, once, as they stream by: digests are kept of all of them, and of those of the layout what they say.
import { ArchiveError, type ArchiveEntry } from "../../archive/tar.ts";
import { digestText, hexBytes, hexOf } from "../../core/digest.ts";
import { type Checkpoint, type Note, parseCheckpoint, parseNote } from "../../core/note.ts";
import { collect, type ReadingContext, drain, KEPT_MAX } from "./context.ts";
import { type Events, readEvents } from "./events.ts";
import { ARTIFACT_BYTES_MAX, ARTIFACT_NAME, ARTIFACT_PREFIX, type FileName, FILES, isFileName } from "./files.ts";
import { parseJson } from "./json-stream.ts";
import { type ExportKey, readKeys } from "./keys.ts";
import { FILE as MANIFEST, type Manifest, readManifest, scopeOf } from "./manifest.ts";
import { type Proofs, readProofs } from "./proofs.ts";
import { readRecords, type Records } from "./records.ts";
import type { CheckName } from "./report.ts";
import { readSegment, type Segment } from "./segment.ts";
import { NAMED, PRESENT } from "./digest-marks.ts";
import { sameDigest } from "./tables.ts";

/** All that is known of an export when its last byte was read. A file that is there and could not be read is in `digests` alone. */
export interface ExportFacts {
  /** Digests of the files that are there, other than artifacts by their digests. */
  readonly digests: ReadonlyMap<string, Uint8Array>;
  readonly manifest?: Manifest;
  readonly keys?: readonly ExportKey[];
  readonly handOvers?: readonly string[];
  readonly inputs?: unknown;
  readonly claim?: unknown;
  readonly note?: Note;
  readonly checkpoint?: Checkpoint;
  readonly segment?: Segment;
  readonly events?: Events;
  readonly records?: Records;
  readonly proofs?: Proofs;
  /** Documents about snapshots among the artifacts: the id that each is about, by its digest. */
  readonly documents: ReadonlyMap<string, string>;
}

type Writable = { -readonly [Name in keyof ExportFacts]: ExportFacts[Name] };

/** Files that can only be checked once others are known. */
const NEEDS: Partial<Record<FileName, readonly FileName[]>> = {
  "records.jws": ["keys.json"],
  "proofs.json": ["checkpoint", "events.jsonl"],
};
const EXTRA_FILES_MAX = 1000;
const DOCUMENT_BYTES_MAX = 64 * 1024;
/** How a document about a snapshot begins; decisions begin otherwise. */
const DOCUMENT_START = /^\s*\{\s*"id"\s*:/;
const DECISION_START = new TextEncoder().encode('{"d');
const DOCUMENT_START_BYTES = 64;
const latin1 = new TextDecoder("latin1");

/**
 * @param open gives the export's files, from the start again when called again; null on the second call if that cannot be.
 * @returns with `whole` whether the archive was read to its end, or given up.
 */
export async function readFacts(
  context: ReadingContext,
  open: () => AsyncIterable<ArchiveEntry> | null,
): Promise<{ readonly facts: ExportFacts; readonly whole: boolean }> {
  const reading = new Reading(context);
  try {
    for await (const entry of open()!) await reading.take(entry);
    await reading.takeDeferred(open);
    reading.settleArtifacts();
    context.findings.done("archive");
    return { facts: reading.facts, whole: true };
  } catch (error) {
    if (!(error instanceof ArchiveError)) throw error;
    context.findings.fault("archive", error.message);
    return { facts: reading.facts, whole: false };
  }
}

class Reading {
  readonly #context: ReadingContext;
  readonly #digests = new Map<string, Uint8Array>();
  readonly #documents = new Map<string, string>();
  readonly #deferred = new Set<FileName>();
  readonly facts: Writable;

  constructor(context: ReadingContext) {
    this.#context = context;
    this.facts = { digests: this.#digests, documents: this.#documents };
  }

  async take(entry: ArchiveEntry): Promise<void> {
    const { name } = entry;
    if (ARTIFACT_NAME.test(name)) return this.#artifact(entry);
    if (this.#digests.has(name)) throw new ArchiveError(`${name} is in it twice`);
    if (entry.size > this.#bytesMax(name)) throw new ArchiveError(`${name} is larger than it may be`);
    if (!isFileName(name) && this.#digests.size >= EXTRA_FILES_MAX)
      throw new ArchiveError("it holds more files than it may");
    const digest = await this.#hashed(entry, (body) =>
      isFileName(name) ? this.#unlessTooEarly(name, entry.size, body) : drain(body),
    );
    if (name.startsWith(ARTIFACT_PREFIX)) this.#context.artifacts.mark(digest, NAMED);
    this.#digests.set(name, digest);
  }

  /** Files that came before those that they are checked with are read again, if that can be. */
  async takeDeferred(open: () => AsyncIterable<ArchiveEntry> | null): Promise<void> {
    if (this.#deferred.size === 0) return;
    const again = open();
    if (again === null) for (const name of this.#deferred) this.#unread(name);
    else
      for await (const entry of again)
        if (this.#deferred.has(entry.name as FileName)) await this.#again(entry.name as FileName, entry);
  }

  /** @throws ArchiveError an artifact is there twice. */
  settleArtifacts(): void {
    const { artifacts, findings } = this.#context;
    const wanted = [...(this.facts.events?.snapshots.values() ?? [])].map(({ digest }) => digest);
    for (const { mark, digest } of artifacts.settle(wanted)) {
      const path = `${ARTIFACT_PREFIX}${hexOf(digest)}`;
      if (mark === PRESENT) throw new ArchiveError(`${path} is in it twice`);
      findings.fault("manifest", `files lists ${path} twice`, { file: MANIFEST });
    }
  }

  async #again(name: FileName, entry: ArchiveEntry): Promise<void> {
    const digest = await this.#hashed(entry, (body) => this.#file(name, entry.size, body));
    if (this.#digests.get(name)?.some((byte, at) => byte !== digest[at]))
      throw new ArchiveError(`${name} changed while it was read`);
  }

  #unread(name: FileName): void {
    // What it needs never came: that is another check's business.
    if (NEEDS[name]!.some((needed) => !this.#digests.has(needed))) return;
    this.#context.findings.fault(
      "archive",
      `${name} comes before ${NEEDS[name]!.join(" and ")}, without which it cannot be checked as it streams by`,
      { file: name },
    );
  }

  #bytesMax(name: string): number {
    if (name === "manifest.json") return this.#context.limits.manifestBytesMax;
    return isFileName(name) ? FILES[name].bytesMax : ARTIFACT_BYTES_MAX;
  }

  async #hashed({ body }: ArchiveEntry, read: (body: AsyncIterable<Uint8Array>) => Promise<void>): Promise<Uint8Array> {
    const hash = this.#context.primitives.sha256Stream();
    const passing = async function* () {
      for await (const part of body) {
        hash.update(part);
        yield part;
      }
    };
    await read(passing());
    return hash.digest();
  }

  async #artifact({ name, size, whole, body }: ArchiveEntry): Promise<void> {
    const { findings, artifacts } = this.#context;
    if (size > ARTIFACT_BYTES_MAX) throw new ArchiveError(`${name} is larger than it may be`);
    const named = hexBytes(name, undefined, 0, ARTIFACT_PREFIX.length);
    // Most artifacts are small, and hashing one at once is several times as fast.
    const digest =
      size <= DOCUMENT_BYTES_MAX
        ? this.#smallDigest(whole ?? (await collect(body, size)))
        : await this.#largeDigest(body);
    if (!sameDigest(digest, named)) findings.fault("artifacts", `${name} is not what its name says`, { file: name });
    artifacts.mark(named, PRESENT);
  }

  #smallDigest(bytes: Uint8Array): Uint8Array {
    return this.#noteDocument(bytes, this.#context.primitives.sha256(bytes));
  }

  async #largeDigest(body: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
    const hash = this.#context.primitives.sha256Stream();
    for await (const part of body) hash.update(part);
    return hash.digest();
  }

  #noteDocument(bytes: Uint8Array, digest: Uint8Array): Uint8Array {
    if (this.#documents.size >= KEPT_MAX) return digest;
    if (DECISION_START.every((byte, at) => bytes[at] === byte)) return digest;
    if (!DOCUMENT_START.test(latin1.decode(bytes.subarray(0, DOCUMENT_START_BYTES)))) return digest;
    try {
      const { id } = parseJson(bytes) as { id?: unknown };
      if (typeof id === "string") this.#documents.set(digestText(digest), id);
    } catch {
      // It only looks like one.
    }
    return digest;
  }

  async #unlessTooEarly(name: FileName, size: number, body: AsyncIterable<Uint8Array>): Promise<void> {
    const early = NEEDS[name]?.some((needed) => !this.#digests.has(needed)) ?? false;
    if (!early) return this.#file(name, size, body);
    this.#deferred.add(name);
    return drain(body);
  }

  async #file(name: FileName, size: number, body: AsyncIterable<Uint8Array>): Promise<void> {
    const context = this.#context;
    const { facts } = this;
    const readers: Record<FileName, () => Promise<void>> = {
      "manifest.json": async () => {
        const manifest = await readManifest(context, body);
        if (manifest !== undefined) facts.manifest = manifest;
      },
      "keys.json": async () => {
        const { keys, handOvers } = readKeys(await collect(body, size), context.findings, context.primitives);
        facts.keys = keys;
        facts.handOvers = handOvers;
      },
      "verifier-inputs.json": async () => {
        facts.inputs = this.#json("methods", name, await collect(body, size));
      },
      "profile-claim.json": async () => {
        facts.claim = this.#json("ecs", name, await collect(body, size));
      },
      checkpoint: async () => this.#checkpoint(await collect(body, size)),
      "chain-segment.json": async () => {
        facts.segment = await readSegment(context, body);
      },
      "events.jsonl": async () => {
        facts.events = await readEvents(context, body, this.#claimedEvents());
      },
      "records.jws": async () => {
        facts.records = await readRecords(context, body, facts.keys);
      },
      "proofs.json": async () => {
        const proofs = await readProofs(context, body, facts.checkpoint, facts.events);
        if (proofs !== undefined) facts.proofs = proofs;
      },
    };
    await readers[name]();
  }

  #claimedEvents(): number | undefined {
    const scope = this.facts.manifest && scopeOf(this.facts.manifest.members);
    return scope && scope.to - scope.from + 1;
  }

  #json(check: CheckName, file: string, bytes: Uint8Array): unknown {
    try {
      return parseJson(bytes);
    } catch {
      this.#context.findings.fault(check, "it is not JSON in UTF-8", { file });
      return undefined;
    }
  }

  #checkpoint(bytes: Uint8Array): void {
    const file = "checkpoint";
    try {
      const note = parseNote(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
      const checkpoint = note && parseCheckpoint(note.text);
      if (note !== undefined) this.facts.note = note;
      if (checkpoint !== undefined) this.facts.checkpoint = checkpoint;
    } catch {
      // Said below.
    }
    if (this.facts.checkpoint === undefined) this.#context.findings.fault(file, "it is no signed checkpoint", { file });
  }
}
