// Decisions to replay from an export: it is read as it streams by, and what events say is joined with artifacts by sorting, so that memory stays flat.
import { ArchiveError, type ArchiveEntry } from "../../archive/tar.ts";
import { DIGEST_BYTES, digestBytes, digestOfHex, digestText, EMPTY_SNAPSHOT } from "../../core/digest.ts";
import { ChunkMemory, lineChunks } from "../verify/chunks.ts";
import { compareDigests, DigestSorter } from "../verify/digest-sort.ts";
import type { DiskPages } from "../verify/disk-pages.ts";
import { ARTIFACT_BYTES_MAX, ARTIFACT_NAME, ARTIFACT_PREFIX } from "../verify/files.ts";
import { Rows } from "../verify/pages.ts";
import { NoDecisionsError, ReplayError } from "./check.ts";
import { type DecisionPlace, itemOf, type ReplaySource, type SourceItem } from "./items.ts";

/** Line of events.jsonl, number of what decided, and whether the artifact came. */
const PAYLOAD_BYTES = 8 + 4 + 1;
const ROW_BYTES = DIGEST_BYTES + PAYLOAD_BYTES;
const LINE_AT = DIGEST_BYTES;
const DECIDED_AT = DIGEST_BYTES + 8;
const CAME_AT = DIGEST_BYTES + 12;
/** Of what came before the events and may be a policy or settings, so that the archive need not be read once more for it. */
const EARLY_BYTES_MAX = 32 * 1024 * 1024;
const EARLY_MAX = 256;
/** How artifacts of decisions begin. */
const DECISION_START = Buffer.from('{"decision":');

/** What decided, which few of an export's events differ in. */
type Decided = Pick<SourceItem, "policy" | "settings" | "evaluation">;

type Open = () => AsyncIterable<ArchiveEntry>;

export class ExportDecisions implements ReplaySource {
  readonly #open: Open;
  readonly #scratch: DiskPages;
  readonly #events: Events;
  readonly #shared: ReadonlyMap<string, Uint8Array>;

  private constructor(open: Open, scratch: DiskPages, events: Events, shared: ReadonlyMap<string, Uint8Array>) {
    this.#open = open;
    this.#scratch = scratch;
    this.#events = events;
    this.#shared = shared;
  }

  /** Reads it up to its events. @throws ReplayError what was given is no export. */
  static async read(open: Open, scratch: DiskPages): Promise<ExportDecisions> {
    try {
      const { events, early } = await readEvents(open(), scratch);
      const pinned = new Set(events.decided.flatMap(({ policy, settings }) => [policy, settings ?? policy]));
      pinned.delete(EMPTY_SNAPSHOT);
      const known = new Map([...early].filter(([digest]) => pinned.has(digest)));
      return new ExportDecisions(
        open,
        scratch,
        events,
        known.size === pinned.size ? known : await readShared(open(), pinned),
      );
    } catch (error) {
      scratch[Symbol.dispose]();
      throw replayError(error);
    }
  }

  /** In order of the archive; then those whose artifacts are not in it. */
  async *items(): AsyncGenerator<SourceItem> {
    try {
      for await (const { name, size, whole, body } of this.#open()) {
        const digest = digestOfName(name);
        const rows = digest === undefined || size > ARTIFACT_BYTES_MAX ? [] : this.#events.take(digestBytes(digest)!);
        if (rows.length === 0) continue;
        const artifact = whole ?? (await collect(body));
        for (const row of rows) yield { ...row, pointer: digest!, artifact };
      }
    } catch (error) {
      throw replayError(error);
    }
    for (const row of this.#events.left()) yield { ...row, artifact: undefined };
  }

  async places(lines: readonly number[]): Promise<ReadonlyMap<number, DecisionPlace>> {
    const places = new Map<number, DecisionPlace>();
    const wanted = new Set(lines);
    for await (const { name, body } of this.#open()) {
      if (name !== "events.jsonl") continue;
      for await (const [line, text] of linesOf(body)) if (wanted.has(line)) places.set(line, itemOf(text)!.place);
      break;
    }
    return places;
  }

  async shared(digest: string): Promise<Uint8Array | undefined> {
    return this.#shared.get(digest);
  }

  [Symbol.dispose](): void {
    this.#scratch[Symbol.dispose]();
  }
}

function replayError(error: unknown): unknown {
  return error instanceof ArchiveError
    ? new ReplayError(`the export cannot be read: ${error.message}`, { cause: error })
    : error;
}

/** What events say of decisions, in order of the artifacts that they point to. */
class Events {
  readonly decided: readonly Decided[];
  readonly #rows: Rows;
  readonly #count: number;
  readonly #strays: Gathered["strays"];
  /** Behind the last that was found: archives hold artifacts in order. */
  #next = 0;

  constructor({ decided, sorter, strays }: Gathered, scratch: DiskPages) {
    this.decided = decided.all;
    this.#strays = strays;
    this.#rows = new Rows(scratch, ROW_BYTES);
    let count = 0;
    for (const row of sorter.merged()) this.#rows.change(count++).set(row);
    this.#count = count;
  }

  /** Those that point to an artifact, the first time that it is asked for. */
  take(digest: Uint8Array): Omit<SourceItem, "artifact" | "pointer">[] {
    const found: Omit<SourceItem, "artifact" | "pointer">[] = [];
    let at = this.#find(digest);
    for (; at < this.#count && compareDigests(this.#rows.at(at), 0, digest, 0) === 0; at++) {
      const row = this.#rows.change(at);
      if (row[CAME_AT] === 1) continue;
      row[CAME_AT] = 1;
      found.push(this.#said(row));
    }
    this.#next = at;
    return found;
  }

  /** Those whose artifact never came. */
  *left(): Generator<Omit<SourceItem, "artifact">, void> {
    for (let at = 0; at < this.#count; at++) {
      const row = this.#rows.at(at);
      if (row[CAME_AT] === 0) yield { ...this.#said(row), pointer: digestText(row.subarray(0, DIGEST_BYTES)) };
    }
    yield* this.#strays;
  }

  #said(row: Uint8Array): Omit<SourceItem, "artifact" | "pointer"> {
    const view = new DataView(row.buffer, row.byteOffset, row.byteLength);
    return { ...this.decided[view.getUint32(DECIDED_AT)]!, place: view.getFloat64(LINE_AT) };
  }

  /** The first row that is not less. */
  #find(digest: Uint8Array): number {
    const isLess = (at: number): boolean => compareDigests(this.#rows.at(at), 0, digest, 0) < 0;
    let [from, to] = [0, this.#count];
    const next = this.#next;
    if (next < this.#count && !isLess(next) && (next === 0 || isLess(next - 1))) return next;
    while (from < to) {
      const middle = (from + to) >>> 1;
      if (isLess(middle)) from = middle + 1;
      else to = middle;
    }
    return from;
  }
}

interface Gathered {
  readonly sorter: DigestSorter;
  readonly decided: Numbered;
  /** Other producers' pointers may be no digests, and lead to no artifact. */
  readonly strays: Omit<SourceItem, "artifact">[];
}

async function readEvents(
  entries: AsyncIterable<ArchiveEntry>,
  scratch: DiskPages,
): Promise<{ events: Events; early: ReadonlyMap<string, Uint8Array> }> {
  const early = new EarlyArtifacts();
  for await (const { name, size, whole, body } of entries) {
    if (name !== "events.jsonl") {
      if (whole === undefined || !startsAsDecision(whole)) await early.look(name, size, body);
      continue;
    }
    const gathered: Gathered = {
      sorter: new DigestSorter(scratch, PAYLOAD_BYTES),
      decided: new Numbered(),
      strays: [],
    };
    for await (const [line, text] of linesOf(body)) addEvent(gathered, line, text);
    return { events: new Events(gathered, scratch), early: early.found };
  }
  throw new NoDecisionsError("it holds no events.jsonl, so it is no export");
}

const startsAsDecision = (bytes: Uint8Array): boolean => DECISION_START.every((byte, at) => bytes[at] === byte);

/** Artifacts that may have decided, as far as they are few: anything that does not begin as the artifact of a decision does. */
class EarlyArtifacts {
  readonly found = new Map<string, Uint8Array>();
  #bytes = 0;

  async look(name: string, size: number, body: AsyncIterable<Uint8Array>): Promise<void> {
    const digest = digestOfName(name);
    if (digest === undefined || this.found.size >= EARLY_MAX || this.#bytes + size > EARLY_BYTES_MAX) return;
    const parts = body[Symbol.asyncIterator]();
    const first = await parts.next();
    if (first.done === true || startsAsDecision(first.value)) return;
    const held = [first.value.slice()];
    for (let part; (part = await parts.next()).done !== true; ) held.push(part.value.slice());
    this.found.set(digest, Buffer.concat(held));
    this.#bytes += size;
  }
}

/** Values that are few, by number. */
class Numbered {
  readonly all: Decided[] = [];
  readonly #numbers = new Map<string, number>();

  numberOf({ policy, settings, evaluation }: Decided): number {
    const name = `${policy} ${settings ?? ""} ${String(evaluation)}`;
    const known = this.#numbers.get(name);
    if (known !== undefined) return known;
    this.#numbers.set(name, this.all.length);
    return this.all.push({ policy, settings, evaluation }) - 1;
  }
}

const payload = new Uint8Array(PAYLOAD_BYTES);
const payloadView = new DataView(payload.buffer);

function addEvent({ sorter, decided, strays }: Gathered, line: number, text: string): void {
  let item: ReturnType<typeof itemOf>;
  try {
    item = itemOf(text);
  } catch (cause) {
    throw new ReplayError("events.jsonl holds what is no event", { cause });
  }
  if (!item) return;
  const digest = digestBytes(item.pointer);
  if (digest === undefined) return void strays.push({ ...item, place: line });
  payloadView.setFloat64(0, line);
  payloadView.setUint32(8, decided.numberOf(item));
  sorter.add(digest, payload);
}

async function* linesOf(body: AsyncIterable<Uint8Array>): AsyncGenerator<readonly [line: number, text: string]> {
  const memory = new ChunkMemory();
  for await (const { bytes, first } of lineChunks(body, undefined, memory)) {
    const lines = Buffer.from(bytes.buffer, 0, bytes.length).toString("utf8").split("\n");
    memory.giveBack(bytes.buffer);
    for (const [at, text] of lines.entries()) if (text !== "") yield [first + at, text];
  }
}

async function readShared(
  entries: AsyncIterable<ArchiveEntry>,
  digests: ReadonlySet<string>,
): Promise<Map<string, Uint8Array>> {
  const shared = new Map<string, Uint8Array>();
  for await (const { name, body, size } of entries) {
    const digest = digestOfName(name);
    if (digest !== undefined && digests.has(digest) && size <= ARTIFACT_BYTES_MAX)
      shared.set(digest, await collect(body));
    if (shared.size === digests.size) break;
  }
  return shared;
}

const digestOfName = (name: string): string | undefined =>
  ARTIFACT_NAME.test(name) ? digestOfHex(name.slice(ARTIFACT_PREFIX.length)) : undefined;

async function collect(body: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of body) parts.push(part.slice());
  return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
}
