// What is known of each artifact's digest, gathered from lists in any order and joined at the end by sorting, so that nothing but a few rows is ever in memory.
import { DIGEST_BYTES, digestBytes, digestText } from "../../core/digest.ts";
import { DigestSorter } from "./digest-sort.ts";
import { Rows, type PageStore } from "./pages.ts";
import { sameDigest } from "./tables.ts";

/** What is known of a digest. */
export const PRESENT = 1;
export const LISTED = 2;
export const REFERENCED = 4;
export const KIND = 8;
/** Listed as a document about a policy, or about authority. */
export const POLICY_DOCUMENT = 16;
export const AUTHORITY_DOCUMENT = 32;
/** There, by a name of its producer's. */
export const NAMED = 64;

/** There, listed, and listed by kind: nothing needs to be said of it. */
const PLAIN = PRESENT | LISTED | KIND;
const REMARKABLE = POLICY_DOCUMENT | AUTHORITY_DOCUMENT | NAMED;
/** Marks, and a number: the place of the event that points to it. */
const PAYLOAD_BYTES = 1 + 8;
const MARK_AT = DIGEST_BYTES;
const NUMBER_AT = DIGEST_BYTES + 1;

export interface Marked {
  /** Good until the next. */
  readonly digest: Uint8Array;
  readonly marks: number;
  /** The smallest that was given; Infinity where none was. */
  readonly number: number;
}

/** A digest that a list holds twice, where each may be there once. */
export interface Repeated {
  readonly mark: typeof PRESENT | typeof LISTED;
  readonly digest: Uint8Array;
}

export class DigestMarks {
  readonly #sorter: DigestSorter;
  readonly #payload = new Uint8Array(PAYLOAD_BYTES);
  readonly #payloadView = new DataView(this.#payload.buffer);
  #isEmpty = true;
  readonly #remarkable: Rows;
  #remarkables = 0;
  readonly #wanted = new Map<string, number>();
  /** How those that are wanted begin: few others begin so. */
  readonly #wantedStarts = new Set<number>();
  readonly #joined = new Uint8Array(DIGEST_BYTES);

  /** @param runRows how many are sorted at once, where that is to be another number than is good. */
  constructor(scratch: PageStore, runRows?: number) {
    this.#sorter = new DigestSorter(scratch, PAYLOAD_BYTES, runRows);
    this.#remarkable = new Rows(scratch, DIGEST_BYTES + PAYLOAD_BYTES);
  }

  /** Adds a mark. @param number kept with the digest, the smallest of them. */
  mark(digest: Uint8Array, mark: number, number = Infinity): void {
    this.#payload[0] = mark;
    this.#payloadView.setFloat64(1, number);
    this.#sorter.add(digest, this.#payload);
    this.#isEmpty = false;
  }

  /** Whether nothing was marked. */
  get isEmpty(): boolean {
    return this.#isEmpty;
  }

  /**
   * Joins all that was marked.
   * @param wanted digests, as text, whose marks will be asked for.
   * @returns those that are there, or listed, twice.
   */
  *settle(wanted: Iterable<string>): Generator<Repeated, void> {
    for (const digest of wanted) {
      this.#wanted.set(digest, 0);
      const bytes = digestBytes(digest);
      if (bytes !== undefined) this.#wantedStarts.add(startOf(bytes));
    }
    let [marks, number] = [0, Infinity];
    for (const row of this.#sorter.merged()) {
      const mark = row[MARK_AT]!;
      if (marks === 0 || !sameDigest(this.#joined, row)) {
        if (marks !== 0) this.#keep(marks, number);
        this.#joined.set(row.subarray(0, DIGEST_BYTES));
        [marks, number] = [0, Infinity];
      }
      const twice = marks & mark & (PRESENT | LISTED);
      if (twice !== 0) yield { mark: twice === PRESENT ? PRESENT : LISTED, digest: this.#joined.slice() };
      marks |= mark;
      number = Math.min(number, numberIn(row));
    }
    if (marks !== 0) this.#keep(marks, number);
  }

  /** Marks of a digest that was wanted when all was joined. */
  marks(digest: Uint8Array): number {
    return this.#wanted.get(digestText(digest)) ?? 0;
  }

  /** In order of digests: all but those that are there, listed and listed by kind, and no more. */
  *entries(): Generator<Marked, void> {
    for (let row = 0; row < this.#remarkables; row++) yield markedIn(this.#remarkable.at(row));
  }

  #keep(marks: number, number: number): void {
    if (this.#wantedStarts.has(startOf(this.#joined))) {
      const name = digestText(this.#joined);
      if (this.#wanted.has(name)) this.#wanted.set(name, marks);
    }
    if ((marks & PLAIN) === PLAIN && (marks & REMARKABLE) === 0) return;
    const row = this.#remarkable.change(this.#remarkables++);
    row.set(this.#joined);
    row[MARK_AT] = marks;
    viewOf(row).setFloat64(NUMBER_AT, number);
  }
}

const viewOf = (row: Uint8Array): DataView => new DataView(row.buffer, row.byteOffset, row.byteLength);
const numberIn = (row: Uint8Array): number => viewOf(row).getFloat64(NUMBER_AT);
const startOf = (digest: Uint8Array): number => (digest[0]! << 16) | (digest[1]! << 8) | digest[2]!;

const markedIn = (row: Uint8Array): Marked => ({
  digest: row.subarray(0, DIGEST_BYTES),
  marks: row[MARK_AT]!,
  number: numberIn(row),
});
