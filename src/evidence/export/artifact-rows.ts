// Which artifacts the events of a range point to, a few bytes each, and how such listings are put together.
import { hexOfDigest } from "../../core/digest.ts";
import { HASH_BYTES } from "../../core/merkle.ts";

const FIRST_ROWS = 256;
const ROW_BYTES = 40;

/** Artifacts that events of the range point to: digest and sequence of each, in rows of 40 bytes, so that a million need little. */
export class ArtifactRows {
  #rows = Buffer.alloc(FIRST_ROWS * ROW_BYTES);
  #count = 0;

  add(digest: string, sequence: number): void {
    const at = this.#count++ * ROW_BYTES;
    if (at === this.#rows.length) this.#rows = Buffer.concat([this.#rows, Buffer.alloc(this.#rows.length)]);
    this.#rows.write(hexOfDigest(digest), at, "hex");
    this.#rows.writeDoubleBE(sequence, at + HASH_BYTES);
  }

  /** In order of digests, each once. */
  *sorted(): Generator<{ hex: string; sequence: number }> {
    const rows = this.#rows;
    const compare = (a: number, b: number) =>
      rows.compare(rows, b * ROW_BYTES, b * ROW_BYTES + HASH_BYTES, a * ROW_BYTES, a * ROW_BYTES + HASH_BYTES);
    const order = Uint32Array.from({ length: this.#count }, (_, i) => i).sort((a, b) => compare(a, b) || a - b);
    let last = -1;
    for (const row of order) {
      if (last === -1 || compare(last, row) !== 0) {
        yield {
          hex: rows.toString("hex", row * ROW_BYTES, row * ROW_BYTES + HASH_BYTES),
          sequence: rows.readDoubleBE(row * ROW_BYTES + HASH_BYTES),
        };
      }
      last = row;
    }
  }
}

/** Two sorted sequences as one, what is in both once. */
export function* mergedRows(
  rows: Iterable<{ hex: string; sequence: number }>,
  shared: Iterable<string>,
): Generator<{ hex: string; sequence: number | undefined }> {
  const others = shared[Symbol.iterator]();
  let other = others.next();
  for (const row of rows) {
    for (; other.done !== true && other.value <= row.hex; other = others.next())
      if (other.value !== row.hex) yield { hex: other.value, sequence: undefined };
    yield row;
  }
  for (; other.done !== true; other = others.next()) yield { hex: other.value, sequence: undefined };
}

export function* merged(
  rows: Iterable<{ hex: string; sequence: number }>,
  shared: Iterable<string>,
): Generator<string> {
  for (const { hex } of mergedRows(rows, shared)) yield hex;
}
