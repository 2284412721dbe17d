// Verifies an export as it streams by, once, keeping digests and nothing else (spec evidence §6). Conclusions are drawn in conclusions.ts.
import { parseCheckpoint, parseNote, type Checkpoint, type Note } from "../../core/note.ts";
import { inOrder, lineChunks } from "./chunks.ts";
import { conclude } from "./conclusions.ts";
import { DIGEST_BYTES, hexBytes } from "../../core/digest.ts";
import { JsonStream, JsonStreamError, parseJson } from "./json-stream.ts";
import { readKeys, readPins, type ExportKey, type Pin, type PinnedKeys } from "./keys.ts";
import { readManifest, type Manifest } from "./manifest.ts";
import { RangeInclusion, StreamingRoot } from "./merkle.ts";
import type { Primitives, Sha256Stream } from "./primitives.ts";
import { ARTIFACT_BYTES_MAX, ARTIFACT_NAME, FILES, type FileName } from "./files.ts";
import { Findings, type CheckName, type VerifyReport } from "./report.ts";
import {
  checkEvents,
  checkRecords,
  fromBase64url,
  rowDigest,
  type EventKeys,
  type EventRows,
  type LineChunk,
  type NotableEvent,
  type RecordRows,
  type RowFault,
} from "./rows.ts";
import { DigestColumn, DigestSet, Paired, PRESENT, REFERENCED } from "./tables.ts";
import { ArchiveError, type ArchiveEntry } from "../../archive/tar.ts";

/** Checks chunks of records; in Node on all cores. */
export interface Checker {
  events(chunk: LineChunk): Promise<EventRows>;
  records(chunk: LineChunk, keys: EventKeys): Promise<RecordRows>;
}

export interface VerificationOptions {
  readonly primitives: Primitives;
  /** Default: in this thread. */
  readonly checker?: Checker | undefined;
  /** Keys that the auditor holds; only these may have signed. */
  readonly jwks?: PinnedKeys | undefined;
  /** Called now and then with how many events were read. */
  readonly progress?: ((events: number) => void) | undefined;
}

/** Files that can only be checked once others are known. */
const NEEDS: Partial<Record<FileName, readonly FileName[]>> = {
  "records.jws": ["keys.json"],
  "proofs.json": ["checkpoint", "events.jsonl"],
};
/** Of what is kept as objects: policies that are named, rotations, erasures. Beyond it nothing passes. */
const KEPT_MAX = 1_000_000;
const EXTRA_FILES_MAX = 1000;

/** All that is known of an export when its last byte was read. */
export class Verification {
  readonly findings = new Findings();
  readonly primitives: Primitives;
  readonly pins: ReadonlyMap<string, Pin> | undefined;
  /** Digests of the files that are there, other than artifacts. */
  readonly digests = new Map<string, Uint8Array>();
  readonly artifacts = new DigestSet();
  readonly leaves = new DigestColumn();
  /** Milliseconds since the epoch, one per event. */
  readonly times: number[] = [];
  readonly snapshots = new Map<string, EventRows["snapshots"][number]>();
  readonly chains: EventRows["chains"][number][] = [];
  readonly notable: NotableEvent[] = [];
  readonly eventRoot: StreamingRoot;
  readonly segmentRoot: StreamingRoot;
  readonly segment = new Map<string, unknown>();
  readonly eventsAndRecords = new Paired((index) =>
    this.findings.fault("records", "the record holds another event than this line of events.jsonl", {
      file: "records.jws",
      index,
    }),
  );
  readonly eventsAndSegment = new Paired((index) =>
    this.findings.fault("segment", "the chain segment says something else of this event", {
      file: "chain-segment.json",
      index,
    }),
  );
  /** Kids in order of first use, and for each record the number of its own. */
  readonly kids: string[] = [];
  readonly keyNumbers: number[] = [];
  manifest: Manifest | undefined;
  keys: readonly ExportKey[] | undefined;
  note: Note | undefined;
  checkpoint: Checkpoint | undefined;
  inclusion: RangeInclusion | undefined;
  proofs = 0;
  treeSize: unknown;
  methods: unknown;
  events = 0;
  first: number | undefined;
  unchained: EventRows["unchained"];
  readonly #checker: Checker;
  readonly #progress: (events: number) => void;
  readonly #deferred = new Set<FileName>();
  #lastHash: Uint8Array | undefined;
  #damaged = false;

  constructor({ primitives, checker, jwks, progress }: VerificationOptions) {
    this.primitives = primitives;
    this.#checker = checker ?? inThisThread(primitives);
    this.#progress = progress ?? (() => {});
    this.pins = jwks && readPins(jwks, primitives);
    this.eventRoot = new StreamingRoot(primitives.sha256);
    this.segmentRoot = new StreamingRoot(primitives.sha256);
  }

  /** Reads the export. @param open gives its files, from the start again when called again; null on the second call if that cannot be. */
  async read(open: () => AsyncIterable<ArchiveEntry> | null): Promise<VerifyReport> {
    try {
      for await (const entry of open()!) await this.#take(entry, false);
      const again = this.#deferred.size > 0 ? open() : null;
      if (again !== null)
        for await (const entry of again) if (this.#deferred.has(entry.name as FileName)) await this.#take(entry, true);
      for (const name of this.#deferred) if (again === null) this.#outOfOrder(name);
      this.findings.done("archive");
    } catch (error) {
      if (!(error instanceof ArchiveError)) throw error;
      this.#damaged = true;
      this.findings.fault("archive", error.message);
    }
    return conclude(this);
  }

  /** The archive was given up before its end. */
  get damaged(): boolean {
    return this.#damaged;
  }

  has(name: FileName): boolean {
    return this.digests.has(name);
  }

  #outOfOrder(name: FileName): void {
    this.findings.fault(
      "archive",
      `${name} comes before ${NEEDS[name]!.join(" and ")}, without which it cannot be checked as it streams by`,
      { file: name },
    );
  }

  async #take(entry: ArchiveEntry, again: boolean): Promise<void> {
    const { name } = entry;
    if (ARTIFACT_NAME.test(name)) return this.#artifact(entry);
    if (this.digests.has(name) && !again) throw new ArchiveError(`${name} is in it twice`);
    const known = Object.hasOwn(FILES, name);
    if (entry.size > (known ? FILES[name as FileName].bytesMax : ARTIFACT_BYTES_MAX))
      throw new ArchiveError(`${name} is larger than it may be`);
    if (!known && this.digests.size >= EXTRA_FILES_MAX) throw new ArchiveError("it holds more files than it may");
    const hash = this.primitives.sha256Stream();
    const body = hashed(entry.body, hash);
    if (!known) await drain(body);
    else await this.#file(name as FileName, entry.size, body);
    const digest = hash.digest();
    if (again && this.digests.get(name)?.some((byte, at) => byte !== digest[at]))
      throw new ArchiveError(`${name} changed while it was read`);
    this.digests.set(name, digest);
  }

  async #artifact({ name, size, body }: ArchiveEntry): Promise<void> {
    if (size > ARTIFACT_BYTES_MAX) throw new ArchiveError(`${name} is larger than it may be`);
    const named = hexBytes(name, undefined, 0, "artifacts/".length);
    if ((await this.#digestOf(size, body)).some((byte, at) => byte !== named[at]))
      this.findings.fault("artifacts", `${name} is not what its name says`, { file: name });
    if ((this.artifacts.mark(named, PRESENT) & PRESENT) !== 0) throw new ArchiveError(`${name} is in it twice`);
  }

  async #digestOf(size: number, body: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
    let hash: Sha256Stream | undefined;
    for await (const part of body) {
      // Most artifacts come in one piece, and hashing one at once is several times as fast.
      if (part.length === size) return this.primitives.sha256(part);
      hash ??= this.primitives.sha256Stream();
      hash.update(part);
    }
    return hash?.digest() ?? this.primitives.sha256(new Uint8Array(0));
  }

  async #file(name: FileName, size: number, body: AsyncIterable<Uint8Array>): Promise<void> {
    const missing = NEEDS[name]?.some((needed) => !this.digests.has(needed)) ?? false;
    if (missing && !this.#deferred.has(name)) {
      this.#deferred.add(name);
      return drain(body);
    }
    const readers: Record<FileName, () => Promise<void>> = {
      "manifest.json": async () =>
        void (this.manifest = readManifest(await collect(body, size), this.artifacts, this.findings)),
      "keys.json": async () => void (this.keys = readKeys(await collect(body, size), this.findings, this.primitives)),
      "verifier-inputs.json": async () => void (this.methods = this.#json("methods", name, await collect(body, size))),
      checkpoint: async () => this.#checkpoint(await collect(body, size)),
      "chain-segment.json": () => this.#segment(body),
      "events.jsonl": () => this.#events(body),
      "records.jws": () => this.#records(body),
      "proofs.json": () => this.#proofs(body),
    };
    await readers[name]();
  }

  #json(check: CheckName, file: string, bytes: Uint8Array): unknown {
    try {
      return parseJson(bytes);
    } catch {
      this.findings.fault(check, "it is not JSON in UTF-8", { file });
      return undefined;
    }
  }

  #checkpoint(bytes: Uint8Array): void {
    try {
      this.note = parseNote(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
    } catch {
      this.note = undefined;
    }
    this.checkpoint = this.note && parseCheckpoint(this.note.text);
    if (this.checkpoint === undefined)
      this.findings.fault("checkpoint", "it is no signed checkpoint", { file: "checkpoint" });
  }

  async #events(body: AsyncIterable<Uint8Array>): Promise<void> {
    await inOrder(
      numbered(lineChunks(body)),
      (chunk) => this.#checker.events(chunk),
      (rows) => this.#takeEvents(rows),
    );
  }

  #takeEvents(rows: EventRows): void {
    this.#faults(rows.faults, "events.jsonl");
    this.unchained ??= rows.unchained;
    for (const snapshot of rows.snapshots) {
      const name = `${snapshot.member} ${snapshot.digest}`;
      if (this.snapshots.has(name)) continue;
      if (this.snapshots.size < KEPT_MAX) this.snapshots.set(name, snapshot);
      else
        this.findings.fault("policies", `the events name more than ${KEPT_MAX} policies and authorities`, {
          file: "events.jsonl",
          index: snapshot.index,
        });
    }
    for (const chain of rows.chains) {
      const last = this.chains.at(-1);
      if (
        this.chains.length < 2 &&
        (last === undefined || last.chain_id !== chain.chain_id || last.tenant_id !== chain.tenant_id)
      )
        this.chains.push(chain);
    }
    if (this.notable.length + rows.notable.length <= KEPT_MAX) this.notable.push(...rows.notable);
    for (let row = 0; row < rows.count; row++) this.#takeEvent(rows, row);
    this.#progress(this.events);
  }

  #takeEvent(rows: EventRows, row: number): void {
    const index = this.events++;
    const part = (column: Uint8Array): Uint8Array => column.subarray(row * DIGEST_BYTES, (row + 1) * DIGEST_BYTES);
    const eventHash = part(rows.eventHashes);
    const sequence = rows.sequences[row]!;
    if (index === 0 && !Number.isNaN(sequence)) this.first = sequence;
    this.#link(index, sequence, part(rows.prevHashes));
    this.#lastHash = eventHash.slice();
    this.eventRoot.add(eventHash);
    this.times.push(rows.times[row]!);
    const pointer = part(rows.pointers);
    if (pointer.some((byte) => byte !== 0)) this.artifacts.mark(pointer, REFERENCED, index);
    this.eventsAndSegment.put(0, part(rows.rowDigests));
    this.eventsAndRecords.put(0, part(rows.lineDigests));
  }

  #link(index: number, sequence: number, prevHash: Uint8Array): void {
    const place = { file: "events.jsonl", index };
    const expected = (this.first ?? 0) + index;
    if (sequence !== expected)
      this.findings.fault(
        "chain",
        Number.isNaN(sequence)
          ? "the event has no place in its stream"
          : `a gap or a wrong order: event ${sequence} stands where ${expected} should`,
        place,
      );
    const starts = prevHash.every((byte) => byte === 0);
    if (index === 0 && starts !== (sequence === 0))
      this.findings.fault(
        "chain",
        sequence === 0 ? "the first event of a stream names one before it" : "prev_hash is missing",
        place,
      );
    if (index > 0 && prevHash.some((byte, at) => byte !== this.#lastHash![at]))
      this.findings.fault("chain", "prev_hash is not the hash of the event before", place);
  }

  async #records(body: AsyncIterable<Uint8Array>): Promise<void> {
    const keys = new Map(
      (this.keys ?? []).filter(({ role }) => role === "event").map(({ kid, publicKey }) => [kid, publicKey]),
    );
    await inOrder(
      numbered(lineChunks(body)),
      (chunk) => this.#checker.records(chunk, keys),
      (rows) => this.#takeRecords(rows),
    );
  }

  #takeRecords(rows: RecordRows): void {
    this.#faults(rows.faults, "records.jws");
    const numbers = rows.kids.map((kid) =>
      this.kids.includes(kid) || this.kids.length > 10_000 ? this.kids.indexOf(kid) : this.kids.push(kid) - 1,
    );
    for (let row = 0; row < rows.count; row++) {
      this.keyNumbers.push(numbers[rows.keyNumbers[row]!] ?? -1);
      this.leaves.push(rows.leafHashes.subarray(row * DIGEST_BYTES, (row + 1) * DIGEST_BYTES));
      this.eventsAndRecords.put(1, rows.payloadDigests.subarray(row * DIGEST_BYTES, (row + 1) * DIGEST_BYTES));
    }
  }

  async #segment(body: AsyncIterable<Uint8Array>): Promise<void> {
    let index = 0;
    await this.#stream("segment", "chain-segment.json", body, { events: "array" }, (path, json) => {
      const value = parseJson(json);
      if (path[0] !== "events") return void this.segment.set(path[0]!, value);
      const { id, sequence, prev_hash, event_hash, event_ref } = (value ?? {}) as Record<string, unknown>;
      const hash =
        typeof event_hash === "string" && /^sha256:[0-9a-f]{64}$/.test(event_hash)
          ? hexBytes(event_hash, undefined, 0, 7)
          : undefined;
      if (hash === undefined || typeof event_ref !== "string")
        this.findings.fault("segment", "an event has no event_hash or event_ref", {
          file: "chain-segment.json",
          index,
        });
      this.segmentRoot.add(hash ?? new Uint8Array(DIGEST_BYTES));
      this.eventsAndSegment.put(1, rowDigest(this.primitives, id, sequence, prev_hash, event_hash));
      index++;
    });
  }

  async #proofs(body: AsyncIterable<Uint8Array>): Promise<void> {
    const { checkpoint, first, events } = this;
    if (checkpoint === undefined || first === undefined || events === 0 || first + events > checkpoint.size)
      return drain(body);
    const inclusion = new RangeInclusion(
      this.primitives.sha256,
      base64Hash,
      first,
      first + events - 1,
      checkpoint.size,
    );
    const fault = (message: string, index: number): void =>
      this.findings.fault("inclusion", message, { file: "proofs.json", index });
    await this.#stream("inclusion", "proofs.json", body, { proofs: "array" }, (path, json) => {
      if (path[0] !== "proofs") return void (path[0] === "tree_size" && (this.treeSize = parseJson(json)));
      const index = this.proofs++;
      if (index >= events) return;
      const { sequence, hashes } = (parseJson(json) ?? {}) as { sequence?: unknown; hashes?: unknown };
      if (sequence !== first + index || !Array.isArray(hashes)) return fault("it is no proof for this record", index);
      const problem = inclusion.put(first + index, hashes);
      if (problem !== undefined) fault(problem, index);
    });
    this.inclusion = inclusion;
  }

  async #stream(
    check: CheckName,
    file: string,
    body: AsyncIterable<Uint8Array>,
    streamed: ConstructorParameters<typeof JsonStream>[0],
    onValue: ConstructorParameters<typeof JsonStream>[1],
  ): Promise<void> {
    const stream = new JsonStream(streamed, onValue);
    try {
      for await (const part of body) stream.write(part);
      stream.end();
    } catch (error) {
      if (!(error instanceof JsonStreamError)) throw error;
      this.findings.fault(check, error.message, { file });
      await drain(body);
    }
  }

  #faults(faults: readonly RowFault[], file: string): void {
    for (const { check, index, message, count } of faults) this.findings.fault(check, message, { file, index }, count);
  }
}

function inThisThread(primitives: Primitives): Checker {
  return {
    events: async (chunk) => checkEvents(chunk, primitives),
    records: (chunk, keys) => checkRecords(chunk, keys, primitives),
  };
}

async function* numbered(chunks: AsyncIterable<{ bytes: Uint8Array; lines: number }>): AsyncGenerator<LineChunk> {
  let first = 0;
  for await (const { bytes, lines } of chunks) {
    yield { bytes, first };
    first += lines;
  }
}

/** Bytes as they pass, hashed. Iterating it again goes on where it stopped. */
function hashed(body: AsyncIterable<Uint8Array>, hash: { update(data: Uint8Array): void }): AsyncIterable<Uint8Array> {
  return {
    async *[Symbol.asyncIterator]() {
      for await (const part of body) {
        hash.update(part);
        yield part;
      }
    },
  };
}

async function drain(body: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const _ of body);
}

async function collect(body: AsyncIterable<Uint8Array>, size: number): Promise<Uint8Array> {
  const whole = new Uint8Array(size);
  let at = 0;
  for await (const part of body) {
    whole.set(part, at);
    at += part.length;
  }
  return whole.subarray(0, at);
}

const HASH_LENGTH = 44;

/** A hash in standard base64, written in the one way that encodes it (RFC 4648 §4). */
function base64Hash(text: string): Uint8Array | undefined {
  if (text.length !== HASH_LENGTH || !text.endsWith("=") || text.includes("-") || text.includes("_")) return undefined;
  return fromBase64url(text.slice(0, -1).replaceAll("+", "-").replaceAll("/", "_"));
}
