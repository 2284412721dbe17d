// Pages of bytes that a verification remembers things in: in memory here, on disk where there is one, so that no export is too large for memory.

export const PAGE_BYTES = 64 * 1024;

/** A growing sequence of pages, zeros until they are written. */
export interface Pages {
  /**
   * One page, good until the next is asked for.
   * @param changed whether it will be written to.
   */
  page(n: number, changed: boolean): Uint8Array;
}

/** Where pages are kept. */
export interface PageStore {
  pages(): Pages;
}

/** Keeps all pages in memory. */
export const IN_MEMORY: PageStore = {
  pages() {
    const pages: Uint8Array[] = [];
    return { page: (n) => (pages[n] ??= new Uint8Array(PAGE_BYTES)) };
  },
};

/** Rows of one width, zeros until they are written; cheap as long as those asked for lie near each other. */
export class Rows {
  readonly #pages: Pages;
  readonly #width: number;
  readonly #perPage: number;
  #page = new Uint8Array(0) as Uint8Array;
  #number = -1;
  #changed = false;

  constructor(scratch: PageStore, width: number) {
    this.#pages = scratch.pages();
    this.#width = width;
    this.#perPage = Math.floor(PAGE_BYTES / width);
  }

  /** To be read, before another row is asked for. */
  at(index: number): Uint8Array {
    return this.#row(index, false);
  }

  /** To be written in place, before another row is asked for. */
  change(index: number): Uint8Array {
    return this.#row(index, true);
  }

  /** Writes rows that come one after the other. @param index where the first belongs. */
  append(index: number, rows: Uint8Array): void {
    for (let at = 0; at < rows.length; ) {
      const row = index + at / this.#width;
      this.#turn(row, true);
      const within = row % this.#perPage;
      const part = rows.subarray(at, at + (this.#perPage - within) * this.#width);
      this.#page.set(part, within * this.#width);
      at += part.length;
    }
  }

  /** Rows that lie one after the other, `count` at most and one at least, to be read before others are asked for. */
  some(index: number, count: number): Uint8Array {
    this.#turn(index, false);
    const within = index % this.#perPage;
    return this.#page.subarray(within * this.#width, Math.min(this.#perPage, within + count) * this.#width);
  }

  #row(index: number, changed: boolean): Uint8Array {
    this.#turn(index, changed);
    const start = (index % this.#perPage) * this.#width;
    return this.#page.subarray(start, start + this.#width);
  }

  #turn(index: number, changed: boolean): void {
    const number = Math.floor(index / this.#perPage);
    if (number === this.#number && (!changed || this.#changed)) return;
    this.#page = this.#pages.page(number, changed);
    this.#number = number;
    this.#changed = changed;
  }
}

/** Bytes that are appended, and read again in order. */
export class Spool {
  readonly #pages: Pages;
  #length = 0;

  constructor(scratch: PageStore) {
    this.#pages = scratch.pages();
  }

  get length(): number {
    return this.#length;
  }

  append(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const offset = this.#length % PAGE_BYTES;
      const part = bytes.subarray(at, at + PAGE_BYTES - offset);
      this.#pages.page(Math.floor(this.#length / PAGE_BYTES), true).set(part, offset);
      at += part.length;
      this.#length += part.length;
    }
  }

  /** The bytes from `from` on, `to` not included, in pieces that are good until the next. */
  *pieces(from: number, to: number): Generator<Uint8Array, void> {
    for (let at = from; at < to; ) {
      const offset = at % PAGE_BYTES;
      const end = Math.min(PAGE_BYTES, offset + to - at);
      yield this.#pages.page(Math.floor(at / PAGE_BYTES), false).subarray(offset, end);
      at += end - offset;
    }
  }
}
