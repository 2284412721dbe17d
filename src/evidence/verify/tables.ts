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

  push(digest: Uint8Array): void {
    this.#rows.change(this.#length++).set(digest);
  }

  /** Good until another is asked for. */
  at(index: number): Uint8Array {
    return this.#rows.at(index);
  }

  equals(index: number, digest: Uint8Array): boolean {
    return index < this.#length && sameDigest(this.#rows.at(index), digest);
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

  push(value: number): void {
    this.#number[0] = value;
    this.#rows.change(this.#length++).set(this.#bytes);
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

  put(side: 0 | 1, digest: Uint8Array): void {
    const index = this.#lengths[side]!++;
    if (index < this.#lengths[1 - side]!) {
      if (!this.#column.equals(index, digest)) this.#onDiffering(index);
    } else this.#column.push(digest);
  }

  /** How many records each side has. */
  get lengths(): readonly [number, number] {
    return [this.#lengths[0]!, this.#lengths[1]!];
  }
}

export function sameDigest(a: Uint8Array, b: Uint8Array): boolean {
  for (let at = 0; at < DIGEST_BYTES; at++) if (a[at] !== b[at]) return false;
  return true;
}
