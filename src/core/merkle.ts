// Merkle trees by RFC 6962 §2.1: appending, roots, and making proofs. Checking proofs is core/merkle-verify.ts, written apart from this.
import { concatBytes } from "./bytes.ts";
import { digestBytes, digestText } from "./digest.ts";

/** SHA-256, brought by the caller: node:crypto, or a library in a browser. */
export type Sha256 = (data: Uint8Array) => Uint8Array;

export const HASH_BYTES = 32;

/** RFC 6962 §2.1: a leaf never hashes like a node, so neither can stand for the other. */
export interface TreeHasher {
  /** The root of the tree without leaves. */
  readonly empty: Uint8Array;
  leaf(data: Uint8Array): Uint8Array;
  node(left: Uint8Array, right: Uint8Array): Uint8Array;
}

const LEAF_PREFIX = Uint8Array.of(0);
const NODE_PREFIX = Uint8Array.of(1);

export function treeHasher(sha256: Sha256): TreeHasher {
  return {
    empty: sha256(new Uint8Array(0)),
    leaf: (data) => sha256(concatBytes(LEAF_PREFIX, data)),
    node: (left, right) => sha256(concatBytes(NODE_PREFIX, left, right)),
  };
}

/**
 * Reads the hash of a perfect subtree: the one over leaves `index * 2^level` up to `(index + 1) * 2^level`.
 * It is only asked for subtrees that lie wholly inside the tree.
 */
export type NodeReader = (level: number, index: number) => Uint8Array;

/** A tree as the roots of the perfect subtrees that it consists of, left to right, so largest first: all that appending needs. */
export interface Frontier {
  readonly size: number;
  readonly roots: readonly Uint8Array[];
}

export const EMPTY_FRONTIER: Frontier = { size: 0, roots: [] };

/**
 * Appends one leaf hash; amortised one node hash.
 * @param perfect called with each subtree that became whole with this leaf, smallest first: its level and hash.
 */
export function appendLeaf(
  hasher: TreeHasher,
  frontier: Frontier,
  leaf: Uint8Array,
  perfect?: (level: number, hash: Uint8Array) => void,
): Frontier {
  const roots = [...frontier.roots];
  let hash = leaf;
  // As many subtrees close as the size has ones at its end.
  for (let level = 1, rest = frontier.size; rest % 2 === 1; level++, rest = (rest - 1) / 2) {
    hash = hasher.node(roots.pop()!, hash);
    perfect?.(level, hash);
  }
  roots.push(hash);
  return { size: frontier.size + 1, roots };
}

/** The root of the tree. */
export function rootOf(hasher: TreeHasher, { roots }: Frontier): Uint8Array {
  return roots.length === 0 ? hasher.empty : roots.reduceRight((right, left) => hasher.node(left, right));
}

/** The frontier of a tree of this size whose hashes can be read. */
export function readFrontier(read: NodeReader, size: number): Frontier {
  return { size, roots: perfectSubtrees(0, size).map(([level, index]) => read(level, index)) };
}

/** The root over leaves that are at hand. */
export function rootOfLeaves(hasher: TreeHasher, leaves: Iterable<Uint8Array>): Uint8Array {
  let frontier = EMPTY_FRONTIER;
  for (const leaf of leaves) frontier = appendLeaf(hasher, frontier, hasher.leaf(leaf));
  return rootOf(hasher, frontier);
}

/**
 * `segment_hash` and `bundle_hash` (spec evidence §6): the root over event hashes in order, 32 raw bytes each.
 * @param eventHashes `sha256:<hex>`
 * @throws RangeError when one is no such digest.
 */
export function rootOfDigests(hasher: TreeHasher, eventHashes: Iterable<string>): string {
  const leaves = Array.from(eventHashes, (digest) => {
    const bytes = digestBytes(digest);
    if (bytes === undefined) throw new RangeError(`${digest} is no sha256 digest`);
    return bytes;
  });
  return digestText(rootOfLeaves(hasher, leaves));
}

/**
 * PATH(index, D[size]), RFC 6962 §2.1.1: the siblings from the leaf up.
 * @throws RangeError unless 0 ≤ index < size.
 */
export function inclusionProof(hasher: TreeHasher, read: NodeReader, index: number, size: number): Uint8Array[] {
  if (!isSize(index) || !isSize(size) || index >= size) throw new RangeError(`no leaf ${index} in a tree of ${size}`);
  const path: Uint8Array[] = [];
  let [begin, end] = [0, size];
  while (end - begin > 1) {
    const middle = begin + splitOf(end - begin);
    if (index < middle) {
      path.push(rangeHash(hasher, read, middle, end));
      end = middle;
    } else {
      path.push(rangeHash(hasher, read, begin, middle));
      begin = middle;
    }
  }
  return path.reverse();
}

/**
 * PROOF(from, D[to]), RFC 6962 §2.1.2; empty where `from` is 0 or `to`.
 * @throws RangeError unless 0 ≤ from ≤ to.
 */
export function consistencyProof(hasher: TreeHasher, read: NodeReader, from: number, to: number): Uint8Array[] {
  if (!isSize(from) || !isSize(to) || from > to) throw new RangeError(`no proof from ${from} to ${to}`);
  if (from === 0) return [];
  const path: Uint8Array[] = [];
  let [begin, end] = [0, to];
  // SUBPROOF: go down to where the old tree ends, keeping what stands beside.
  while (end !== from) {
    const middle = begin + splitOf(end - begin);
    if (from <= middle) {
      path.push(rangeHash(hasher, read, middle, end));
      end = middle;
    } else {
      path.push(rangeHash(hasher, read, begin, middle));
      begin = middle;
    }
  }
  // Where the old tree is itself one of the subtrees, the verifier has its hash already.
  if (begin > 0) path.push(rangeHash(hasher, read, begin, end));
  return path.reverse();
}

/** The root at an earlier size, from hashes that can be read. */
export function rootAt(hasher: TreeHasher, read: NodeReader, size: number): Uint8Array {
  return rootOf(hasher, readFrontier(read, size));
}

/** MTH(D[begin:end]) where `begin` is where a split of the tree put it. */
function rangeHash(hasher: TreeHasher, read: NodeReader, begin: number, end: number): Uint8Array {
  return perfectSubtrees(begin, end)
    .map(([level, index]) => read(level, index))
    .reduceRight((right, left) => hasher.node(left, right));
}

/** The perfect subtrees of [begin, end), left to right: level and index of each. */
function perfectSubtrees(begin: number, end: number): [level: number, index: number][] {
  const subtrees: [number, number][] = [];
  for (let at = begin; at < end; ) {
    const level = Math.floor(Math.log2(end - at));
    // Math.log2 may round up for sizes beyond 2^48.
    const exact = 2 ** level > end - at ? level - 1 : level;
    subtrees.push([exact, at / 2 ** exact]);
    at += 2 ** exact;
  }
  return subtrees;
}

/** The largest power of two smaller than `size`, which is at least 2. */
function splitOf(size: number): number {
  let power = 1;
  while (power * 2 < size) power *= 2;
  return power;
}

function isSize(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
