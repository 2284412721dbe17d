// The verifier's own Merkle hashing (RFC 6962 §2.1): roots as leaves stream by.
import type { Primitives } from "./primitives.ts";
import { DIGEST_BYTES } from "../../core/digest.ts";

export type Hash = Primitives["sha256"];

/** Where two hashes are put together to be hashed. */
const NODE = new Uint8Array(1 + 2 * DIGEST_BYTES).fill(1, 0, 1);

export function nodeHash(sha256: Hash, left: Uint8Array, right: Uint8Array): Uint8Array {
  NODE.set(left, 1);
  NODE.set(right, 1 + DIGEST_BYTES);
  return sha256(NODE);
}

/** Roots of perfect subtrees that stand side by side, from left to right. */
export type Subtrees = readonly { readonly hash: Uint8Array; readonly leaves: number }[];

/** The root over leaves that come one by one, or as subtrees that others made of them. */
export class StreamingRoot {
  readonly #sha256: Hash;
  readonly #subtrees: Subtrees[number][] = [];
  /** Number of the leaf that comes next. */
  #end: number;
  readonly #leaf = new Uint8Array(1 + DIGEST_BYTES);

  /**
   * @param before what stands before the first leaf.
   * @param start number of the first leaf, where nothing is known of those before: there is no root then, but what subtrees they make.
   */
  constructor(sha256: Hash, before: Subtrees = [], start = 0) {
    this.#sha256 = sha256;
    this.#end = start;
    for (const { hash, leaves } of before) this.addSubtree(hash, leaves);
  }

  /** @param leaf the leaf's data, of 32 bytes. */
  add(leaf: Uint8Array): void {
    this.#leaf.set(leaf, 1);
    this.addSubtree(this.#sha256(this.#leaf), 1);
  }

  /** What comes next, which begins at a multiple of its leaves. */
  addSubtree(hash: Uint8Array, leaves: number): void {
    this.#end += leaves;
    let subtree = { hash, leaves };
    for (
      let last;
      (last = this.#subtrees.at(-1)) !== undefined &&
      last.leaves === subtree.leaves &&
      this.#end % (2 * last.leaves) === 0;
      this.#subtrees.pop()
    ) {
      subtree = { hash: nodeHash(this.#sha256, last.hash, subtree.hash), leaves: 2 * subtree.leaves };
    }
    this.#subtrees.push(subtree);
  }

  get subtrees(): Subtrees {
    return this.#subtrees.map(({ hash, leaves }) => ({ hash: hash.slice(), leaves }));
  }

  get root(): Uint8Array {
    const [smallest, ...larger] = this.#subtrees.toReversed();
    if (smallest === undefined) return this.#sha256(new Uint8Array(0));
    return larger.reduce((right, left) => nodeHash(this.#sha256, left.hash, right), smallest.hash);
  }
}
