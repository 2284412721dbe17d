// Reads events.jsonl: its lines are checked in chunks, and what they say together is gathered in their order.
import { ArchiveError } from "../../archive/tar.ts";
import { DIGEST_BYTES } from "../../core/digest.ts";
import { inOrder, lineChunks } from "./chunks.ts";
import { type ReadingContext, EXCESS_MAX, KEPT_MAX, takeFaults } from "./context.ts";
import { StreamingRoot } from "./merkle.ts";
import type { Sha256Stream } from "./primitives.ts";
import type { EventRows, NotableEvent } from "./event-rows.ts";
import type { LineFact } from "./rows.ts";
import { REFERENCED } from "./digest-marks.ts";
import { isZero, NumberColumn, sameDigest } from "./tables.ts";

/** What events.jsonl says. `first` is undefined where its first event has no place. */
export interface Events {
  readonly count: number;
  readonly first: number | undefined;
  /** Root over the event hashes, and their hash by the flat method: joined by newlines. */
  readonly root: Uint8Array;
  readonly flat: Uint8Array;
  /** Hash of all pointers, a line each. */
  readonly pointers: Uint8Array;
  /** Milliseconds since the epoch, one an event. */
  readonly times: NumberColumn;
  readonly snapshots: ReadonlyMap<string, EventRows["snapshots"][number]>;
  readonly chains: readonly EventRows["chains"][number][];
  readonly notable: readonly NotableEvent[];
  readonly profiles: ReadonlySet<string>;
  readonly refusals: number;
  readonly unchained: LineFact | undefined;
  readonly unaddressed: LineFact | undefined;
  readonly unreasoned: LineFact | undefined;
  /** The first event has no `prev_hash`, as a member or as a value. */
  readonly bareStart: boolean;
  readonly startsUnlinked: boolean;
  /** Lines that are no events put an end to it. */
  readonly stopped: boolean;
}

export const FILE = "events.jsonl";
const CHAINS_TOLD = 2;

/** @param claimed how many there are to be; undefined where nothing says so yet. */
export async function readEvents(
  context: ReadingContext,
  body: AsyncIterable<Uint8Array>,
  claimed: number | undefined,
): Promise<Events> {
  const reader = new EventsReader(context, claimed);
  await inOrder(
    lineChunks(body, () => reader.stopped, context.checker.memory),
    (chunk) => context.checker.events(chunk),
    (rows) => reader.take(rows),
  );
  return reader.end();
}

class EventsReader {
  readonly #context: ReadingContext;
  readonly #countMax: number;
  readonly #root: StreamingRoot;
  readonly #flat: Sha256Stream;
  readonly #pointers: Sha256Stream;
  readonly #times: NumberColumn;
  readonly #snapshots = new Map<string, EventRows["snapshots"][number]>();
  readonly #chains: EventRows["chains"][number][] = [];
  readonly #notable: NotableEvent[] = [];
  readonly #profiles = new Set<string>();
  #count = 0;
  #first: number | undefined;
  #refusals = 0;
  #unchained: LineFact | undefined;
  #unaddressed: LineFact | undefined;
  #unreasoned: LineFact | undefined;
  #bareStart = false;
  #startsUnlinked = false;
  readonly #lastHash = new Uint8Array(DIGEST_BYTES);
  #lastNewline = new Uint8Array(0);
  #malformed = false;
  #over = false;

  constructor(context: ReadingContext, claimed: number | undefined) {
    this.#context = context;
    this.#countMax = claimed === undefined ? Infinity : claimed + EXCESS_MAX;
    const { sha256, sha256Stream } = context.primitives;
    this.#root = new StreamingRoot(sha256);
    this.#flat = sha256Stream();
    this.#pointers = sha256Stream();
    this.#times = new NumberColumn(context.scratch);
  }

  /** Whether nothing more is worth reading. */
  get stopped(): boolean {
    return this.#malformed || this.#over;
  }

  take(rows: EventRows): void {
    if (this.stopped) return;
    takeFaults(this.#context.findings, rows.faults, FILE);
    this.#unchained ??= rows.unchained;
    this.#unaddressed ??= rows.unaddressed;
    this.#unreasoned ??= rows.unreasoned;
    this.#refusals += rows.refusals;
    this.#bareStart ||= rows.bareStart;
    for (const profile of rows.profiles) if (this.#profiles.size < KEPT_MAX) this.#profiles.add(profile);
    this.#takeSnapshots(rows);
    this.#takeChains(rows);
    if (this.#notable.length + rows.notable.length <= KEPT_MAX) this.#notable.push(...rows.notable);
    this.#takeTexts(rows);
    this.#takeRows(rows);
    this.#malformed = rows.stopped;
    this.#over = this.#count > this.#countMax;
    if (this.#count > this.#context.limits.eventsMax)
      throw new ArchiveError(`it holds more than ${this.#context.limits.eventsMax} events`);
    this.#context.progress(this.#count);
  }

  end(): Events {
    return {
      count: this.#count,
      first: this.#first,
      root: this.#root.root,
      flat: this.#flat.digest(),
      pointers: this.#pointers.digest(),
      times: this.#times,
      snapshots: this.#snapshots,
      chains: this.#chains,
      notable: this.#notable,
      profiles: this.#profiles,
      refusals: this.#refusals,
      unchained: this.#unchained,
      unaddressed: this.#unaddressed,
      unreasoned: this.#unreasoned,
      bareStart: this.#bareStart,
      startsUnlinked: this.#startsUnlinked,
      stopped: this.#malformed,
    };
  }

  #takeSnapshots({ snapshots }: EventRows): void {
    for (const snapshot of snapshots) {
      const name = `${snapshot.member} ${snapshot.digest}`;
      if (this.#snapshots.has(name)) continue;
      if (this.#snapshots.size < KEPT_MAX) this.#snapshots.set(name, snapshot);
      else
        this.#context.findings.fault("policies", `the events name more than ${KEPT_MAX} policies and authorities`, {
          file: FILE,
          index: snapshot.index,
        });
    }
  }

  #takeChains({ chains }: EventRows): void {
    for (const chain of chains) {
      const last = this.#chains.at(-1);
      const another = last === undefined || last.chain_id !== chain.chain_id || last.tenant_id !== chain.tenant_id;
      if (another && this.#chains.length < CHAINS_TOLD) this.#chains.push(chain);
    }
  }

  /** The flat method joins by newlines, so the last one waits for what follows it. */
  #takeTexts({ hashText, pointerText }: EventRows): void {
    this.#pointers.update(pointerText);
    if (hashText.length === 0) return;
    this.#flat.update(this.#lastNewline);
    this.#flat.update(hashText.subarray(0, -1));
    this.#lastNewline = hashText.slice(-1) as Uint8Array<ArrayBuffer>;
  }

  /** Links, times and pointers of all rows; what is compared with other files, as columns. */
  #takeRows(rows: EventRows): void {
    const { artifacts, eventsAndSegment, eventsAndRecords } = this.#context;
    const { count, eventHashes, prevHashes, pointers, sequences } = rows;
    const digests = (column: Uint8Array): Uint8Array => column.subarray(0, count * DIGEST_BYTES);
    for (let row = 0; row < count; row++) {
      const index = this.#count + row;
      const sequence = sequences[row]!;
      if (index === 0 && !Number.isNaN(sequence)) this.#first = sequence;
      this.#place(index, sequence);
      const start = row * DIGEST_BYTES;
      if (index === 0) this.#startsUnlinked = isZero(prevHashes, 0);
      else if (row === 0 ? !sameDigest(prevHashes, this.#lastHash) : !follows(rows, row))
        this.#context.findings.fault("chain", "prev_hash is not the hash of the event before", { file: FILE, index });
      if (!isZero(pointers, start)) artifacts.mark(pointers.subarray(start, start + DIGEST_BYTES), REFERENCED, index);
    }
    if (count > 0) this.#lastHash.set(eventHashes.subarray((count - 1) * DIGEST_BYTES, count * DIGEST_BYTES));
    for (const { hash, leaves } of rows.subtrees) this.#root.addSubtree(hash, leaves);
    this.#times.append(rows.times.subarray(0, count));
    eventsAndSegment.put(0, digests(rows.rowDigests));
    eventsAndRecords.put(0, digests(rows.lineDigests));
    this.#count += count;
  }

  #place(index: number, sequence: number): void {
    const expected = (this.#first ?? 0) + index;
    if (sequence === expected) return;
    this.#context.findings.fault(
      "chain",
      Number.isNaN(sequence)
        ? "the event has no place in its stream"
        : `a gap or a wrong order: event ${sequence} stands where ${expected} should`,
      { file: FILE, index },
    );
  }
}

const follows = ({ prevHashes, eventHashes }: EventRows, row: number): boolean =>
  sameDigest(prevHashes, eventHashes, row * DIGEST_BYTES, (row - 1) * DIGEST_BYTES);
