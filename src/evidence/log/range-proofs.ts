// Inclusion proofs of all records of a range at once: each tree node over the range is hashed once, the rest comes from two proofs.
import { fromBase64 } from "../../core/bytes.ts";
import { HASH_BYTES } from "../../core/merkle.ts";
import { TREE_HASHER } from "../../core/sha256.ts";
import { type PageStore, Rows } from "../verify/pages.ts";

/** Hashes of one level of the tree, from number `first` on. */
interface Level {
  readonly first: number;
  readonly last: number;
  readonly hashes: Rows;
}

/** What is needed: where the range lies in the tree, its leaf hashes one after another, and the proofs of its first and last leaf. */
export interface RangeProofsInput {
  readonly from: number;
  readonly to: number;
  readonly size: number;
  readonly leaves: Rows;
  /** Where the levels over them are kept. */
  readonly pages: PageStore;
  /** Base64, from the leaf up. Siblings outside the range stand in one of these two. */
  readonly firstProof: readonly string[];
  readonly lastProof: readonly string[];
}

export class RangeProofs {
  readonly #levels: Level[] = [];
  readonly #outside = new Map<string, Uint8Array>();
  readonly #pages: PageStore;
  readonly #size: number;
  readonly #last: { index: number; text: string }[] = [];

  constructor({ from, to, size, leaves, pages, firstProof, lastProof }: RangeProofsInput) {
    this.#size = size;
    this.#pages = pages;
    this.#keep(from, firstProof);
    this.#keep(to, lastProof);
    this.#levels.push({ first: from, last: to, hashes: leaves });
    for (let level = 1; widthAt(size, level - 1) > 1; level++)
      this.#levels.push(this.#above(level, shift(from, level), shift(to, level)));
  }

  /** The root that the proofs lead to. */
  get root(): Uint8Array {
    return this.#levels.at(-1)!.hashes.at(0);
  }

  /** PATH(index), RFC 6962 §2.1.1, in base64. */
  of(index: number): string[] {
    const path: string[] = [];
    for (let level = 0; widthAt(this.#size, level) > 1; level++) {
      const at = shift(index, level);
      const sibling = at % 2 === 0 ? at + 1 : at - 1;
      if (sibling < widthAt(this.#size, level)) path.push(this.#text(level, sibling));
    }
    return path;
  }

  /** Neighbours share most siblings, so each level remembers its last. */
  #text(level: number, index: number): string {
    const last = this.#last[level];
    if (last?.index === index) return last.text;
    const text = Buffer.from(this.#node(level, index)).toString("base64");
    this.#last[level] = { index, text };
    return text;
  }

  #keep(leaf: number, proof: readonly string[]): void {
    let at = 0;
    for (let level = 0; widthAt(this.#size, level) > 1; level++) {
      const index = shift(leaf, level);
      const sibling = index % 2 === 0 ? index + 1 : index - 1;
      if (sibling < widthAt(this.#size, level)) this.#outside.set(`${level}/${sibling}`, fromBase64(proof[at++]!)!);
    }
  }

  #above(level: number, first: number, last: number): Level {
    const hashes = new Rows(this.#pages, HASH_BYTES);
    for (let index = first; index <= last; index++) {
      const left = this.#node(level - 1, 2 * index);
      const alone = 2 * index + 1 >= widthAt(this.#size, level - 1);
      hashes.change(index - first).set(alone ? left : TREE_HASHER.node(left, this.#node(level - 1, 2 * index + 1)));
    }
    return { first, last, hashes };
  }

  #node(level: number, index: number): Uint8Array {
    const { first, last, hashes } = this.#levels[level]!;
    // A page that is put away keeps what it held, so both of two siblings can be had at once.
    if (index >= first && index <= last) return hashes.at(index - first);
    const outside = this.#outside.get(`${level}/${index}`);
    if (!outside) throw new RangeError(`no node ${level}/${index} beside the range`);
    return outside;
  }
}

const shift = (leaf: number, level: number): number => Math.floor(leaf / 2 ** level);
/** How many nodes a level has, one that is not full counting too. */
const widthAt = (size: number, level: number): number => Math.ceil(size / 2 ** level);
