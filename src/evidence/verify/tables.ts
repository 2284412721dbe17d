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
/** Listed as a document about a policy, or about authority. */
export const POLICY_DOCUMENT = 16;
export const AUTHORITY_DOCUMENT = 32;
/** There, by a name of its producer's. */
export const NAMED = 64;

const FIRST_CAPACITY = 1024;

/**
 * A set of digests with marks and a number each, in the order in which they came. Its slots lie by open addressing; names
 * can be chosen to collide, so nobody can know where they come to lie.
 */
export class DigestSet {
  #keys = new Uint8Array(FIRST_CAPACITY * DIGEST_BYTES);
  #marks = new Uint8Array(FIRST_CAPACITY);
  #numbers = new Float64Array(FIRST_CAPACITY);
  /** Numbers of entries, counted from 1; twice as many as there is room for. */
  #slots = new Uint32Array(2 * FIRST_CAPACITY);
  #used = 0;
  readonly #seed = crypto.getRandomValues(new Uint32Array(1))[0]!;

  /** Adds a mark. @param number kept with the digest the first time it is given. @returns the marks that it had before. */
  mark(digest: Uint8Array, mark: number, number?: number): number {
    if (this.#used === this.#marks.length) this.#grow();
    const slot = this.#slot(digest);
    const entry = this.#slots[slot] === 0 ? this.#add(slot, digest) : this.#slots[slot]! - 1;
    const before = this.#marks[entry]!;
    this.#marks[entry] = before | mark;
    if (number !== undefined && this.#numbers[entry] === -1) this.#numbers[entry] = number;
    return before;
  }

  marks(digest: Uint8Array): number {
    const entry = this.#slots[this.#slot(digest)]!;
    return entry === 0 ? 0 : this.#marks[entry - 1]!;
  }

  get size(): number {
    return this.#used;
  }

  *entries(): Generator<{ digest: Uint8Array; marks: number; number: number }> {
    for (let entry = 0; entry < this.#used; entry++)
      yield {
        digest: this.#keys.subarray(entry * DIGEST_BYTES, (entry + 1) * DIGEST_BYTES),
        marks: this.#marks[entry]!,
        number: this.#numbers[entry]!,
      };
  }

  #add(slot: number, digest: Uint8Array): number {
    const entry = this.#used++;
    this.#slots[slot] = entry + 1;
    this.#keys.set(digest, entry * DIGEST_BYTES);
    this.#numbers[entry] = -1;
    return entry;
  }

  #slot(digest: Uint8Array): number {
    const mask = this.#slots.length - 1;
    let mixed = this.#seed;
    for (let at = 0; at < DIGEST_BYTES; at += 4) {
      const word = digest[at]! | (digest[at + 1]! << 8) | (digest[at + 2]! << 16) | (digest[at + 3]! << 24);
      mixed = Math.imul(mixed ^ word, 0x9e3779b1);
      mixed ^= mixed >>> 15;
    }
    let slot = mixed & mask;
    while (this.#slots[slot] !== 0 && !this.#holds(this.#slots[slot]! - 1, digest)) slot = (slot + 1) & mask;
    return slot;
  }

  #holds(entry: number, digest: Uint8Array): boolean {
    const offset = entry * DIGEST_BYTES;
    for (let at = 0; at < DIGEST_BYTES; at++) if (this.#keys[offset + at] !== digest[at]) return false;
    return true;
  }

  #grow(): void {
    const capacity = this.#marks.length * 2;
    this.#keys = larger(this.#keys, new Uint8Array(capacity * DIGEST_BYTES));
    this.#marks = larger(this.#marks, new Uint8Array(capacity));
    this.#numbers = larger(this.#numbers, new Float64Array(capacity));
    this.#slots = new Uint32Array(2 * capacity);
    for (let entry = 0; entry < this.#used; entry++)
      this.#slots[this.#slot(this.#keys.subarray(entry * DIGEST_BYTES, (entry + 1) * DIGEST_BYTES))] = entry + 1;
  }
}

function larger<T extends Uint8Array | Float64Array>(old: T, made: T): T {
  made.set(old as never);
  return made;
}
