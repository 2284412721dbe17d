// Tables of digests and numbers: what is remembered of each record while an export streams by, in rows on pages, and not in objects.
import { DIGEST_BYTES } from "../../core/digest.ts";
import { Rows, type PageStore } from "./pages.ts";

/** Digests by number, 0, 1, 2, …; grows as they are put. */
export class DigestColumn {
  readonly #rows: Rows;
  #length = 0;

  constructor(scratch: PageStore) {
    this.#rows = new Rows(scratch, DIGEST_BYTES);
  }

  get length(): number {
    return this.#length;
  }

  /** @param digests any number of them, one after the other. */
  append(digests: Uint8Array): void {
    this.#rows.append(this.#length, digests);
    this.#length += digests.length / DIGEST_BYTES;
  }

  /** Good until another is asked for. */
  at(index: number): Uint8Array {
    return this.#rows.at(index);
  }

  /** Digests that lie one after the other, `count` at most and one at least; good until others are asked for. */
  some(index: number, count: number): Uint8Array {
    return this.#rows.some(index, count);
  }
}

const NUMBER_BYTES = 8;

/** Numbers, one a record. */
export class NumberColumn {
  readonly #rows: Rows;
  readonly #number = new Float64Array(1);
  readonly #bytes = new Uint8Array(this.#number.buffer);
  #length = 0;

  constructor(scratch: PageStore) {
    this.#rows = new Rows(scratch, NUMBER_BYTES);
  }

  get length(): number {
    return this.#length;
  }

  append(values: Float64Array): void {
    this.#rows.append(this.#length, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    this.#length += values.length;
  }

  /** NaN where there is none. */
  at(index: number): number {
    if (index < 0 || index >= this.#length) return NaN;
    this.#bytes.set(this.#rows.at(index));
    return this.#number[0]!;
  }
}

/**
 * Two files that must say the same of each record, whichever comes first: the first one's digests are kept, the second
 * one's are compared as they come.
 */
export class Paired {
  readonly #column: DigestColumn;
  readonly #lengths = [0, 0];
  readonly #onDiffering: (index: number) => void;

  constructor(scratch: PageStore, onDiffering: (index: number) => void) {
    this.#column = new DigestColumn(scratch);
    this.#onDiffering = onDiffering;
  }

  /** @param digests of the records that come next on this side, one after the other. */
  put(side: 0 | 1, digests: Uint8Array): void {
    const first = this.#lengths[side]!;
    const count = digests.length / DIGEST_BYTES;
    const known = Math.min(count, Math.max(0, this.#lengths[1 - side]! - first));
    for (let at = 0; at < known; ) {
      const others = this.#column.some(first + at, known - at);
      for (let of = 0; of < others.length; of += DIGEST_BYTES, at++)
        if (!sameDigest(others, digests, of, at * DIGEST_BYTES)) this.#onDiffering(first + at);
    }
    this.#column.append(digests.subarray(known * DIGEST_BYTES));
    this.#lengths[side] = first + count;
  }

  /** How many records each side has. */
  get lengths(): readonly [number, number] {
    return [this.#lengths[0]!, this.#lengths[1]!];
  }
}

/** Compares the digests that begin at these places. */
export function sameDigest(a: Uint8Array, b: Uint8Array, aStart = 0, bStart = 0): boolean {
  for (let at = 0; at < DIGEST_BYTES; at++) if (a[aStart + at] !== b[bStart + at]) return false;
  return true;
}

export function isZero(digests: Uint8Array, start: number): boolean {
  for (let at = 0; at < DIGEST_BYTES; at++) if (digests[start + at] !== 0) return false;
  return true;
}
