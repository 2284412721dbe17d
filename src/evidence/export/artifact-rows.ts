// Which artifacts the events of a range point to, in order of their digests.
import { DIGEST_BYTES, hexOf } from "../../core/digest.ts";
import { DigestSorter } from "../verify/digest-sort.ts";
import { type PageStore, Rows } from "../verify/pages.ts";
import { sameDigest } from "../verify/tables.ts";

const SEQUENCE_BYTES = 8;

/** Artifacts that events of the range point to: digest and first sequence of each. */
export class ArtifactRows {
  readonly #sorter: DigestSorter;
  /** In order of digests, each once, as soon as they were asked for. */
  readonly #rows: Rows;
  #count = 0;
  #isSorted = false;
  readonly #sequence = new Uint8Array(SEQUENCE_BYTES);
  readonly #sequenceView = new DataView(this.#sequence.buffer);

  constructor(store: PageStore) {
    this.#sorter = new DigestSorter(store, SEQUENCE_BYTES);
    this.#rows = new Rows(store, DIGEST_BYTES + SEQUENCE_BYTES);
  }

  add(digest: Uint8Array, sequence: number): void {
    this.#sequenceView.setFloat64(0, sequence);
    this.#sorter.add(digest, this.#sequence);
  }

  /** In order of digests, each once; when all were added. */
  *sorted(): Generator<{ hex: string; sequence: number }> {
    if (!this.#isSorted) this.#sort();
    for (let at = 0; at < this.#count; at++) {
      const row = this.#rows.at(at);
      yield { hex: hexOf(row.subarray(0, DIGEST_BYTES)), sequence: sequenceOf(row) };
    }
  }

  #sort(): void {
    this.#isSorted = true;
    for (const row of this.#sorter.merged()) {
      if (this.#count > 0 && sameDigest(this.#rows.at(this.#count - 1), row)) {
        const known = this.#rows.change(this.#count - 1);
        if (sequenceOf(row) < sequenceOf(known)) known.set(row);
      } else this.#rows.change(this.#count++).set(row);
    }
  }
}

const sequenceOf = (row: Uint8Array): number =>
  new DataView(row.buffer, row.byteOffset, row.byteLength).getFloat64(DIGEST_BYTES);
