// Sorts rows by the digest that each begins with, more of them than memory holds: runs that are sorted, then merged.
import { DIGEST_BYTES } from "../../core/digest.ts";
import { Rows, type PageStore } from "./pages.ts";

/** Rows that are sorted at once. */
const RUN_ROWS = 64 * 1024;
const FIRST_ROWS = 256;
/** The first bytes of a digest as a number, and the row's place in its run behind it, fit a double exactly. */
const PLACES = 2 ** 20;

export class DigestSorter {
  readonly #scratch: PageStore;
  readonly #width: number;
  readonly #runRows: number;
  #buffer: Uint8Array;
  #filled = 0;
  #isSorted = true;
  readonly #runs: Run[] = [];

  /** @param payloadBytes what follows the digest in each row. @param runRows at most 2^20. */
  constructor(scratch: PageStore, payloadBytes: number, runRows = RUN_ROWS) {
    this.#scratch = scratch;
    this.#width = DIGEST_BYTES + payloadBytes;
    this.#runRows = runRows;
    this.#buffer = new Uint8Array(FIRST_ROWS * this.#width);
  }

  add(digest: Uint8Array, payload: Uint8Array): void {
    if (this.#filled === this.#runRows) this.#endRun();
    const start = this.#filled++ * this.#width;
    if (start === this.#buffer.length) this.#grow();
    this.#buffer.set(digest, start);
    this.#buffer.set(payload, start + DIGEST_BYTES);
    this.#isSorted &&= start === 0 || compareDigests(this.#buffer, start - this.#width, this.#buffer, start) <= 0;
  }

  /** The rows in order of digests, each good until the next; to be read once, when all were added. */
  *merged(): Generator<Uint8Array, void> {
    this.#endRun();
    const heap: Cursor[] = [];
    for (const run of this.#runs) {
      heap.push({ run, index: 0, row: run.row(0)! });
      rise(heap);
    }
    while (heap.length > 0) {
      const least = heap[0]!;
      yield least.row;
      const row = least.run.row(++least.index);
      const last = row === undefined ? heap.pop()! : undefined;
      if (row !== undefined) least.row = row;
      else if (heap.length > 0) heap[0] = last!;
      sink(heap);
    }
    this.#runs.length = 0;
  }

  #grow(): void {
    const larger = new Uint8Array(2 * this.#buffer.length);
    larger.set(this.#buffer);
    this.#buffer = larger;
  }

  #endRun(): void {
    if (this.#filled === 0) return;
    const order = this.#isSorted ? undefined : this.#order();
    const [buffer, width] = [this.#buffer, this.#width];
    const last = this.#runs.at(-1);
    // Lists that come in order become one long run.
    const goesOn = last?.endsBefore(buffer, (order?.[0] ?? 0) * width) ?? false;
    const run = goesOn ? last! : new Run(this.#scratch, width);
    if (!goesOn) this.#runs.push(run);
    if (order === undefined) run.append(buffer.subarray(0, this.#filled * width));
    else
      for (const row of order) {
        const start = row * width;
        run.append(buffer.subarray(start, start + width));
      }
    this.#filled = 0;
    this.#isSorted = true;
  }

  /** Numbers sort several times as fast as rows, so only what begins alike is compared byte by byte. */
  #order(): Uint32Array {
    const [buffer, width, filled] = [this.#buffer, this.#width, this.#filled];
    const view = new DataView(buffer.buffer);
    const keys = new Float64Array(filled);
    for (let row = 0; row < filled; row++) keys[row] = view.getUint32(row * width) * PLACES + row;
    keys.sort();
    const order = new Uint32Array(filled);
    const beginning = (at: number): number => Math.floor(keys[at]! / PLACES);
    for (let at = 0; at < filled; at++) order[at] = keys[at]! % PLACES;
    for (let from = 0, to; from < filled; from = to) {
      const begins = beginning(from);
      for (to = from + 1; to < filled && beginning(to) === begins; ) to++;
      if (to - from > 1)
        order.subarray(from, to).sort((a, b) => compareDigests(buffer, a * width, buffer, b * width) || a - b);
    }
    return order;
  }
}

/** Rows in order of digests. */
class Run {
  readonly #rows: Rows;
  readonly #width: number;
  #length = 0;

  constructor(scratch: PageStore, width: number) {
    this.#rows = new Rows(scratch, width);
    this.#width = width;
  }

  /** @param rows one after the other. */
  append(rows: Uint8Array): void {
    this.#rows.append(this.#length, rows);
    this.#length += rows.length / this.#width;
  }

  endsBefore(bytes: Uint8Array, start: number): boolean {
    return compareDigests(this.#rows.at(this.#length - 1), 0, bytes, start) <= 0;
  }

  /** Undefined behind the last. */
  row(index: number): Uint8Array | undefined {
    return index < this.#length ? this.#rows.at(index) : undefined;
  }
}

/** Where the merge stands in one run; the cursors are a heap. */
interface Cursor {
  readonly run: Run;
  index: number;
  row: Uint8Array;
}

const isLess = (a: Cursor, b: Cursor): boolean => compareDigests(a.row, 0, b.row, 0) < 0;

/** Puts the last in its place. */
function rise(heap: Cursor[]): void {
  for (let at = heap.length - 1; at > 0; ) {
    const above = (at - 1) >> 1;
    if (!isLess(heap[at]!, heap[above]!)) return;
    [heap[at], heap[above]] = [heap[above]!, heap[at]!];
    at = above;
  }
}

/** Puts the first in its place. */
function sink(heap: Cursor[]): void {
  for (let at = 0; ; ) {
    let least = at;
    for (const below of [2 * at + 1, 2 * at + 2])
      if (below < heap.length && isLess(heap[below]!, heap[least]!)) least = below;
    if (least === at) return;
    [heap[at], heap[least]] = [heap[least]!, heap[at]!];
    at = least;
  }
}

/** Compares the digests that begin at these places. */
export function compareDigests(a: Uint8Array, aStart: number, b: Uint8Array, bStart: number): number {
  for (let at = 0; at < DIGEST_BYTES; at++) {
    const difference = a[aStart + at]! - b[bStart + at]!;
    if (difference !== 0) return difference;
  }
  return 0;
}
