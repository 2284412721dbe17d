// Reports in pieces that a service takes: as many events as fit into the limit, packed.
import { gzipSync } from "node:zlib";

/** A chunk fuller than this is full enough. */
const FULL = 0.9;

export interface ReportChunk {
  /** How many of the texts are in it, from the first; 1 at least. */
  readonly count: number;
  /** A JSON array, gzip. A single text may take more than the limit. */
  readonly bytes: Uint8Array;
}

/** Learns how far texts can be packed. */
export class Packer {
  readonly #bytesMax: number;
  /** How much goes into one, unpacked. */
  #plainMax: number;

  /** @param bytesMax of a chunk, packed. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
    this.#plainMax = bytesMax;
  }

  /** @param texts JSON, one at least. */
  pack(texts: readonly string[]): ReportChunk {
    for (let shrunk = false; ; ) {
      const { count, plainBytes } = this.#fitting(texts);
      const bytes = gzipSync(`[${texts.slice(0, count).join(",")}]`);
      if (bytes.length > this.#bytesMax && count > 1) {
        this.#plainMax = Math.floor(plainBytes / 2);
        shrunk = true;
      } else if (!shrunk && count < texts.length && bytes.length < FULL * this.#bytesMax) {
        this.#plainMax = Math.max(this.#plainMax, plainBytes) * 2;
      } else return { count, bytes };
    }
  }

  #fitting(texts: readonly string[]): { count: number; plainBytes: number } {
    let [count, plainBytes] = [0, 0];
    for (const text of texts) {
      const bytes = Buffer.byteLength(text) + 1;
      if (count > 0 && plainBytes + bytes > this.#plainMax) break;
      plainBytes += bytes;
      count += 1;
    }
    return { count, plainBytes };
  }
}
