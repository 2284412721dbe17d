// The verifier's own Merkle hashing (RFC 6962 §2.1): roots as leaves stream by, and inclusion proofs of a whole range at once.
import type { Primitives } from "./primitives.ts";
import { DIGEST_BYTES } from "../../core/digest.ts";
import { Rows, type PageStore } from "./pages.ts";

const CONTRADICTIONS_MAX = 1000;
/** A hash and whether it is known, so wide that an even number of rows makes a page. */
const LEVEL_ROW_BYTES = DIGEST_BYTES + 8;

type Hash = Primitives["sha256"];

function nodeHash(sha256: Hash, left: Uint8Array, right: Uint8Array): Uint8Array {
  const node = new Uint8Array(1 + 2 * DIGEST_BYTES);
  node[0] = 1;
  node.set(left, 1);
  node.set(right, 1 + DIGEST_BYTES);
  return sha256(node);
}

/** The root over leaves that come one by one. */
export class StreamingRoot {
  readonly #sha256: Hash;
  /** Roots of perfect subtrees, largest first, each with how many leaves it has. */
  readonly #subtrees: { hash: Uint8Array; leaves: number }[] = [];

  /** @param before what stands before the first leaf: roots of perfect subtrees, largest first. */
  constructor(sha256: Hash, before: readonly { readonly hash: Uint8Array; readonly leaves: number }[] = []) {
    this.#sha256 = sha256;
    this.#subtrees.push(...before);
  }

  /** @param leaf the leaf's data, of 32 bytes. */
  add(leaf: Uint8Array): void {
    const data = new Uint8Array(1 + leaf.length);
    data.set(leaf, 1);
    this.addLeafHash(this.#sha256(data));
  }

  addLeafHash(hash: Uint8Array): void {
    let subtree = { hash, leaves: 1 };
    for (
      let last;
      (last = this.#subtrees.at(-1)) !== undefined && last.leaves === subtree.leaves;
      this.#subtrees.pop()
    ) {
      subtree = { hash: nodeHash(this.#sha256, last.hash, subtree.hash), leaves: 2 * subtree.leaves };
    }
    this.#subtrees.push(subtree);
  }

  get root(): Uint8Array {
    const [smallest, ...larger] = this.#subtrees.toReversed();
    if (smallest === undefined) return this.#sha256(new Uint8Array(0));
    return larger.reduce((right, left) => nodeHash(this.#sha256, left.hash, right), smallest.hash);
  }
}

/** Hashes of one level of the tree, from number `base` on. */
class Level {
  readonly #base: number;
  readonly #count: number;
  readonly #rows: Rows;

  constructor(scratch: PageStore, base: number, count: number) {
    // Siblings lie on one page.
    this.#base = base - (base % 2);
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
  /** Text of the last sibling at each level, since neighbours share most of theirs. */
  readonly #last: { index: number; text: string }[] = [];
  readonly #decode: (text: string) => Uint8Array | undefined;
  /** What contradicts an earlier proof. Which of the two is wrong shows once the leaves are known. */
  readonly #contradictions: { leaf: number; level: number; index: number; hash: Uint8Array }[] = [];

  /** The leaves `from` to `to` of a tree of `size` leaves, 0 ≤ from ≤ to < size. */
  constructor(
    sha256: Hash,
    scratch: PageStore,
    decode: (text: string) => Uint8Array | undefined,
    { from, to, size }: { readonly from: number; readonly to: number; readonly size: number },
  ) {
    this.#sha256 = sha256;
    this.#scratch = scratch;
    this.#decode = decode;
    this.#from = from;
    this.#to = to;
    this.#size = size;
    for (let level = 0; levelWidth(size, level) > 1; level++) {
      const [first, last] = [shift(from, level), shift(to, level)];
      const base = first - (first % 2);
      this.#claimed.push(new Level(scratch, base, last - base + 2));
    }
  }

  /** Takes one leaf's proof, the siblings from the leaf up in base64. @returns what is wrong with it. */
  put(leaf: number, hashes: readonly unknown[]): string | undefined {
    let at = 0;
    for (let level = 0; level < this.#claimed.length; level++) {
      const index = shift(leaf, level);
      const sibling = index % 2 === 0 ? index + 1 : index - 1;
      if (sibling >= levelWidth(this.#size, level)) continue;
      const problem = this.#claim(leaf, level, sibling, hashes[at++]);
      if (problem !== undefined) return problem;
    }
    return at === hashes.length ? undefined : `the proof has ${hashes.length} hashes, and ${at} belong there`;
  }

  #claim(leaf: number, level: number, index: number, text: unknown): string | undefined {
    const last = this.#last[level];
    if (last !== undefined && last.index === index && last.text === text) return undefined;
    const hash = typeof text === "string" ? this.#decode(text) : undefined;
    if (hash?.length !== DIGEST_BYTES) return "the proof is too short, or holds what is no base64 of a hash";
    const known = this.#claimed[level]!.get(index);
    if (known === undefined) this.#claimed[level]!.set(index, hash);
    else if (!equal(known, hash) && this.#contradictions.length < CONTRADICTIONS_MAX)
      this.#contradictions.push({ leaf, level, index, hash });
    this.#last[level] = { index, text: text as string };
    return undefined;
  }

  /** What lies before the range, as the proofs have it: roots of perfect subtrees, largest first. Only to be believed once they were held against the root. */
  before(): { hash: Uint8Array; leaves: number }[] {
    const subtrees: { hash: Uint8Array; leaves: number }[] = [];
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
    return top !== undefined && equal(top, root)
      ? undefined
      : { index: undefined, message: "the proofs do not lead to the checkpoint's root" };
  }

  /** Nodes that were computed must be what the proofs call them. */
  #compare(computed: Level, level: number): InclusionFault | undefined {
    const wrong: number[] = [];
    for (let index = shift(this.#from, level); index <= shift(this.#to, level); index++) {
      const claimed = this.#claimed[level]!.get(index);
      if (claimed === undefined || equal(claimed, computed.get(index)!)) continue;
      // The node stands in the proofs of the leaves beside it, and the first of them brought it.
      const beside = index % 2 === 0 ? index + 1 : index - 1;
      wrong.push(Math.min(Math.max(beside * 2 ** level, this.#from), this.#to));
      break;
    }
    for (const { leaf, level: at, index, hash } of this.#contradictions) {
      const hashed = at === level && this.#isOver(level, index) ? computed.get(index) : undefined;
      if (hashed !== undefined && !equal(hashed, hash)) wrong.push(leaf);
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

const shift = (leaf: number, level: number): number => Math.floor(leaf / 2 ** level);
/** How many nodes a level of the tree has, one that is not full counting too. */
const levelWidth = (size: number, level: number): number => Math.ceil(size / 2 ** level);

function equal(a: Uint8Array, b: Uint8Array): boolean {
  for (let at = 0; at < DIGEST_BYTES; at++) if (a[at] !== b[at]) return false;
  return true;
}
