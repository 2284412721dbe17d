// Checks of inclusion proofs, a chunk at a time: form, and what they say of the tree's nodes.
import { fromBase64Hash } from "./base64url.ts";
import { DIGEST_BYTES } from "../../core/digest.ts";
import {
  type Contradiction,
  CONTRADICTIONS_MAX,
  firstOfPair,
  type LeafRange,
  LEVEL_ROW_BYTES,
  type LevelClaims,
  levelWidth,
  shift,
} from "./inclusion.ts";
import { type ElementChunk, JsonStreamError, parseRun } from "./json-stream.ts";
import { Faults, type RowFault } from "./rows.ts";
import { sameDigest } from "./tables.ts";

/** What is kept of some of the proofs in proofs.json. */
export interface ProofRows {
  readonly count: number;
  /** The leaf that the first of them is about. */
  readonly leaf: number;
  readonly levels: readonly LevelClaims[];
  readonly contradictions: readonly Contradiction[];
  readonly faults: readonly RowFault[];
  /** What is behind those that were read is no JSON. */
  readonly problem: string | undefined;
}

/** Proofs of consecutive leaves. */
export function checkProofs(chunk: ElementChunk, range: LeafRange): ProofRows {
  const leaf = range.from + chunk.first;
  const last = Math.min(range.to, leaf + chunk.bounds.length / 2 - 1);
  const claims = new Claims({ ...range, from: leaf, to: last });
  const faults = new Faults();
  let count = 0;
  let problem: string | undefined;
  try {
    for (const value of parseRun(chunk)) {
      const index = chunk.first + count++;
      // Of those behind the range nothing but their number is looked at.
      if (range.from + index > last) continue;
      const { sequence, hashes } = (value ?? {}) as { sequence?: unknown; hashes?: unknown };
      const fault =
        sequence !== range.from + index || !Array.isArray(hashes)
          ? "it is no proof for this record"
          : claims.put(sequence, hashes);
      if (fault !== undefined) faults.add("inclusion", index, fault);
    }
  } catch (error) {
    if (!(error instanceof JsonStreamError)) throw error;
    problem = error.message;
  }
  return {
    count,
    leaf,
    levels: last < leaf ? [] : claims.levels,
    contradictions: claims.contradictions,
    faults: faults.list,
    problem,
  };
}

/** What proofs of neighbouring leaves say of the nodes beside their paths. */
class Claims {
  readonly #size: number;
  readonly levels: LevelClaims[] = [];
  readonly contradictions: Contradiction[] = [];
  /** The last sibling at each level, since neighbours share most of theirs. */
  readonly #last: { index: number; text: string }[] = [];

  constructor({ from, to, size }: LeafRange) {
    this.#size = size;
    for (let level = 0; from <= to && levelWidth(size, level) > 1; level++) {
      const base = firstOfPair(shift(from, level));
      const count = firstOfPair(shift(to, level)) - base + 2;
      this.levels.push({ base, rows: new Uint8Array(count * LEVEL_ROW_BYTES) });
    }
  }

  /** Takes one leaf's proof, the siblings from the leaf up in base64. @returns what is wrong with it. */
  put(leaf: number, hashes: readonly unknown[]): string | undefined {
    let [at, index, width] = [0, leaf, this.#size];
    for (let level = 0; level < this.levels.length; level++) {
      const sibling = index % 2 === 0 ? index + 1 : index - 1;
      if (sibling < width) {
        const problem = this.#claim(leaf, level, sibling, hashes[at++]);
        if (problem !== undefined) return problem;
      }
      index = Math.floor(index / 2);
      width = Math.ceil(width / 2);
    }
    return at === hashes.length ? undefined : `the proof has ${hashes.length} hashes, and ${at} belong there`;
  }

  #claim(leaf: number, level: number, index: number, text: unknown): string | undefined {
    const last = this.#last[level];
    if (last !== undefined && last.index === index && last.text === text) return undefined;
    const hash = typeof text === "string" ? fromBase64Hash(text) : undefined;
    if (hash === undefined) return "the proof is too short, or holds what is no base64 of a hash";
    const { base, rows } = this.levels[level]!;
    const start = (index - base) * LEVEL_ROW_BYTES;
    if (rows[start + DIGEST_BYTES] !== 1) {
      rows.set(hash, start);
      rows[start + DIGEST_BYTES] = 1;
    } else if (!sameDigest(hash, rows, 0, start) && this.contradictions.length < CONTRADICTIONS_MAX)
      this.contradictions.push({ leaf, level, index, hash });
    this.#last[level] = { index, text: text as string };
    return undefined;
  }
}
