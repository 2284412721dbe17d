// Tables of digests: what is remembered of an export while it streams by, in bytes and not in objects, so that memory stays small.
import { DIGEST_BYTES } from "../../core/digest.ts";

/** Digests by number, 0, 1, 2, …; grows as they are put. */
export class DigestColumn {
  #bytes = new Uint8Array(1024 * DIGEST_BYTES);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(digest: Uint8Array): void {
    this.set(this.#length, digest);
  }

  set(index: number, digest: Uint8Array): void {
    const end = (index + 1) * DIGEST_BYTES;
    if (end > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#bytes.length * 2, end));
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    this.#bytes.set(digest, end - DIGEST_BYTES);
    this.#length = Math.max(this.#length, index + 1);
  }

  at(index: number): Uint8Array {
    return this.#bytes.subarray(index * DIGEST_BYTES, (index + 1) * DIGEST_BYTES);
  }

  equals(index: number, digest: Uint8Array): boolean {
    if (index >= this.#length) return false;
    const offset = index * DIGEST_BYTES;
    for (let at = 0; at < DIGEST_BYTES; at++) if (this.#bytes[offset + at] !== digest[at]) return false;
    return true;
  }
}

/**
 * Two files that must say the same of each record, whichever comes first: the first one's digests are kept, the second
 * one's are compared as they come.
 */
export class Paired {
  readonly #column = new DigestColumn();
  readonly #lengths = [0, 0];
  readonly #onDiffering: (index: number) => void;

  constructor(onDiffering: (index: number) => void) {
    this.#onDiffering = onDiffering;
  }

  put(side: 0 | 1, digest: Uint8Array): void {
    const index = this.#lengths[side]!++;
    if (index < this.#lengths[1 - side]!) {
      if (!this.#column.equals(index, digest)) this.#onDiffering(index);
    } else this.#column.set(index, digest);
  }

  /** How many records each side has. */
  get lengths(): readonly [number, number] {
    return [this.#lengths[0]!, this.#lengths[1]!];
  }
}

/** What is known of a digest. */
export const PRESENT = 1;
export const LISTED = 2;
export const REFERENCED = 4;
export const KIND = 8;

/** A set of digests with marks and a number each: open addressing, since digests are as good as random. */
export class DigestSet {
  #keys = new Uint8Array(1024 * DIGEST_BYTES);
  #marks = new Uint8Array(1024);
  #numbers = new Float64Array(1024);
  #used = 0;

  /** Adds a mark. @param number kept with the digest the first time it is given. @returns the marks that it had before. */
  mark(digest: Uint8Array, mark: number, number?: number): number {
    if (this.#used * 3 >= this.#marks.length * 2) this.#grow();
    const slot = this.#slot(digest);
    const before = this.#marks[slot]!;
    if (before === 0) {
      this.#used++;
      this.#keys.set(digest, slot * DIGEST_BYTES);
      this.#numbers[slot] = -1;
    }
    this.#marks[slot] = before | mark;
    if (number !== undefined && this.#numbers[slot] === -1) this.#numbers[slot] = number;
    return before;
  }

  marks(digest: Uint8Array): number {
    return this.#marks[this.#slot(digest)]!;
  }

  get size(): number {
    return this.#used;
  }

  *entries(): Generator<{ digest: Uint8Array; marks: number; number: number }> {
    for (let slot = 0; slot < this.#marks.length; slot++) {
      const marks = this.#marks[slot]!;
      if (marks !== 0)
        yield {
          digest: this.#keys.slice(slot * DIGEST_BYTES, (slot + 1) * DIGEST_BYTES),
          marks,
          number: this.#numbers[slot]!,
        };
    }
  }

  #slot(digest: Uint8Array): number {
    const mask = this.#marks.length - 1;
    let slot = (digest[0]! | (digest[1]! << 8) | (digest[2]! << 16) | (digest[3]! << 24)) & mask;
    while (this.#marks[slot] !== 0 && !this.#holds(slot, digest)) slot = (slot + 1) & mask;
    return slot;
  }

  #holds(slot: number, digest: Uint8Array): boolean {
    const offset = slot * DIGEST_BYTES;
    for (let at = 0; at < DIGEST_BYTES; at++) if (this.#keys[offset + at] !== digest[at]) return false;
    return true;
  }

  #grow(): void {
    const entries = [this.#keys, this.#marks, this.#numbers] as const;
    const capacity = this.#marks.length * 2;
    this.#keys = new Uint8Array(capacity * DIGEST_BYTES);
    this.#marks = new Uint8Array(capacity);
    this.#numbers = new Float64Array(capacity);
    const [keys, marks, numbers] = entries;
    for (let old = 0; old < marks.length; old++) {
      if (marks[old] === 0) continue;
      const digest = keys.subarray(old * DIGEST_BYTES, (old + 1) * DIGEST_BYTES);
      const slot = this.#slot(digest);
      this.#keys.set(digest, slot * DIGEST_BYTES);
      this.#marks[slot] = marks[old]!;
      this.#numbers[slot] = numbers[old]!;
    }
  }
}
