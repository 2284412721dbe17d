// Inclusion proofs of a whole range at once: what they say of the tree's nodes, held against the leaves and the root.
import { DIGEST_BYTES } from "../../core/digest.ts";
import { type Hash, nodeHash, type Subtrees } from "./merkle.ts";
import { Rows, type PageStore } from "./pages.ts";
import { sameDigest } from "./tables.ts";

/** Leaves `from` to `to` of a tree of `size` leaves, 0 ≤ from ≤ to < size. */
export interface LeafRange {
  readonly from: number;
  readonly to: number;
  readonly size: number;
}

/** A hash and whether it is known, so wide that an even number of rows makes a page. */
export const LEVEL_ROW_BYTES = DIGEST_BYTES + 8;
export const CONTRADICTIONS_MAX = 1000;

/** What some proofs say of nodes of one level, rows of a hash and whether there is one, from number `base` on. */
export interface LevelClaims {
  readonly base: number;
  readonly rows: Uint8Array;
}

/** What a proof says of a node, where an earlier one says otherwise. */
export interface Contradiction {
  readonly leaf: number;
  readonly level: number;
  readonly index: number;
  readonly hash: Uint8Array;
}

export const shift = (leaf: number, level: number): number => Math.floor(leaf / 2 ** level);
/** How many nodes a level of the tree has, one that is not full counting too. */
export const levelWidth = (size: number, level: number): number => Math.ceil(size / 2 ** level);
/** Siblings lie on one page. */
export const firstOfPair = (index: number): number => index - (index % 2);

/** Hashes of one level of the tree, from number `base` on. */
class Level {
  readonly #base: number;
  readonly #count: number;
  readonly #rows: Rows;

  constructor(scratch: PageStore, base: number, count: number) {
    this.#base = firstOfPair(base);
    this.#count = base + count - this.#base;
    this.#rows = new Rows(scratch, LEVEL_ROW_BYTES);
  }

  /** Good until a hash of another place than its sibling's is asked for. */
  get(index: number): Uint8Array | undefined {
    const at = index - this.#base;
    if (at < 0 || at >= this.#count) return undefined;
    const row = this.#rows.at(at);
    return row[DIGEST_BYTES] === 1 ? row.subarray(0, DIGEST_BYTES) : undefined;
  }

  set(index: number, hash: Uint8Array): void {
    const row = this.#rows.change(index - this.#base);
    row.set(hash);
    row[DIGEST_BYTES] = 1;
  }

  /** Takes what is said of nodes. @returns those of which something else was said before. */
  take({ base, rows }: LevelClaims): { index: number; hash: Uint8Array }[] {
    const differing: { index: number; hash: Uint8Array }[] = [];
    for (let at = 0; at < rows.length; at += LEVEL_ROW_BYTES) {
      if (rows[at + DIGEST_BYTES] !== 1) continue;
      const index = base + at / LEVEL_ROW_BYTES;
      const row = this.#rows.change(index - this.#base);
      if (row[DIGEST_BYTES] !== 1) row.set(rows.subarray(at, at + LEVEL_ROW_BYTES));
      else if (!sameDigest(row, rows, 0, at)) differing.push({ index, hash: rows.slice(at, at + DIGEST_BYTES) });
    }
    return differing;
  }
}

/** Where the first disagreement lies, and what it is about. `index` counts records of the range from 0. */
export interface InclusionFault {
  readonly index: number | undefined;
  readonly message: string;
}

/**
 * Inclusion proofs of consecutive leaves, checked together: each hash in a proof is a node of the tree, and two proofs that
 * name the same node must agree. Once the leaves are known, every node above the range is computed from them, and must be
 * what the proofs say and lead to the root. So a proof passes exactly if it would alone (RFC 9162 §2.1.3.2), and a million
 * of them cost a million hashes.
 */
export class RangeInclusion {
  readonly #sha256: Hash;
  readonly #scratch: PageStore;
  readonly #from: number;
  readonly #to: number;
  readonly #size: number;
  readonly #claimed: Level[] = [];
  /** Which of two that contradict each other is wrong shows once the leaves are known. */
  readonly #contradictions: Contradiction[] = [];

  constructor(sha256: Hash, scratch: PageStore, { from, to, size }: LeafRange) {
    this.#sha256 = sha256;
    this.#scratch = scratch;
    this.#from = from;
    this.#to = to;
    this.#size = size;
    for (let level = 0; levelWidth(size, level) > 1; level++) {
      const [first, last] = [shift(from, level), shift(to, level)];
      this.#claimed.push(new Level(scratch, first, firstOfPair(last) - first + 2));
    }
  }

  /**
   * Takes what proofs of neighbouring leaves say.
   * @param leaf the first of them. @param contradictions among themselves.
   */
  take(leaf: number, levels: readonly LevelClaims[], contradictions: readonly Contradiction[]): void {
    for (const [level, claims] of levels.entries())
      for (const { index, hash } of this.#claimed[level]!.take(claims)) {
        const beside = index % 2 === 0 ? index + 1 : index - 1;
        this.#contradict({ leaf: Math.max(leaf, beside * 2 ** level), level, index, hash });
      }
    for (const each of contradictions) this.#contradict(each);
  }

  #contradict(contradiction: Contradiction): void {
    if (this.#contradictions.length < CONTRADICTIONS_MAX) this.#contradictions.push(contradiction);
  }

  /** What lies before the range, as the proofs have it: roots of perfect subtrees, largest first. Only to be believed once they were held against the root. */
  before(): Subtrees {
    const subtrees: Subtrees[number][] = [];
    for (let level = this.#claimed.length - 1; level >= 0; level--) {
      const index = shift(this.#from, level);
      if (index % 2 === 1) subtrees.push({ hash: this.#claimed[level]!.get(index - 1)!.slice(), leaves: 2 ** level });
    }
    return subtrees;
  }

  /** Holds the proofs against the leaves and the root. */
  finish(leafHash: (index: number) => Uint8Array, root: Uint8Array): InclusionFault | undefined {
    const { length } = this.#claimed;
    let below = new Level(this.#scratch, this.#from, this.#to - this.#from + 1);
    for (let leaf = this.#from; leaf <= this.#to; leaf++) below.set(leaf, leafHash(leaf - this.#from));
    for (let level = 0; level < length; level++) {
      const fault = this.#compare(below, level) ?? this.#above(below, level);
      if (!(fault instanceof Level)) return fault;
      below = fault;
    }
    const [contradiction] = this.#contradictions;
    if (contradiction !== undefined)
      return { index: contradiction.leaf - this.#from, message: "the proof contradicts another one" };
    const top = below.get(0);
    return top !== undefined && sameDigest(top, root)
      ? undefined
      : { index: undefined, message: "the proofs do not lead to the checkpoint's root" };
  }

  /** Nodes that were computed must be what the proofs call them. */
  #compare(computed: Level, level: number): InclusionFault | undefined {
    const wrong: number[] = [];
    for (let index = shift(this.#from, level); index <= shift(this.#to, level); index++) {
      const claimed = this.#claimed[level]!.get(index);
      if (claimed === undefined || sameDigest(claimed, computed.get(index)!)) continue;
      // The node stands in the proofs of the leaves beside it, and the first of them brought it.
      const beside = index % 2 === 0 ? index + 1 : index - 1;
      wrong.push(Math.min(Math.max(beside * 2 ** level, this.#from), this.#to));
      break;
    }
    for (const { leaf, level: at, index, hash } of this.#contradictions) {
      const hashed = at === level && this.#isOver(level, index) ? computed.get(index) : undefined;
      if (hashed !== undefined && !sameDigest(hashed, hash)) wrong.push(leaf);
    }
    return wrong.length === 0
      ? undefined
      : { index: Math.min(...wrong) - this.#from, message: "the proof is not about these records" };
  }

  /** Whether a node is over leaves of the range. */
  #isOver(level: number, index: number): boolean {
    return index >= shift(this.#from, level) && index <= shift(this.#to, level);
  }

  #above(below: Level, level: number): Level | InclusionFault {
    const [first, last] = [shift(this.#from, level + 1), shift(this.#to, level + 1)];
    const above = new Level(this.#scratch, first, last - first + 1);
    for (let index = first; index <= last; index++) {
      const left = this.#node(below, level, 2 * index);
      const right = this.#node(below, level, 2 * index + 1);
      const alone = 2 * index + 1 >= levelWidth(this.#size, level);
      if (left === undefined || (right === undefined && !alone)) {
        const leaf = Math.min(Math.max(index * 2 ** (level + 1), this.#from), this.#to);
        return { index: leaf - this.#from, message: "there is no inclusion proof" };
      }
      above.set(index, alone ? left : nodeHash(this.#sha256, left, right!));
    }
    return above;
  }

  #node(computed: Level, level: number, index: number): Uint8Array | undefined {
    return (this.#isOver(level, index) ? computed : this.#claimed[level]!).get(index);
  }
}
