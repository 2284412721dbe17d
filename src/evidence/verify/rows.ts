// What the checks of rows have in common: rows are single records, checked a chunk at a time so that it can be done in parallel.
import type { CheckName } from "./report.ts";

/** The first fault of its kind in a chunk; `index` counts lines of the file from 0. */
export interface RowFault {
  readonly check: CheckName;
  readonly index: number;
  readonly message: string;
  readonly count: number;
}

/** What a line is the first to lack. */
export interface LineFact {
  readonly index: number;
  readonly message: string;
}

const NEWLINE = 0x0a;
/** Rows of a chunk that may be of no use at all; behind more of them there is nothing to be found. */
export const MALFORMED_MAX = 100;

export class Faults {
  readonly #first = new Map<CheckName, { index: number; message: string; count: number }>();

  add(check: CheckName, index: number, message: string): void {
    const known = this.#first.get(check);
    if (known === undefined) this.#first.set(check, { index, message, count: 1 });
    else known.count++;
  }

  count(check: CheckName): number {
    return this.#first.get(check)?.count ?? 0;
  }

  get list(): RowFault[] {
    return [...this.#first].map(([check, fault]) => ({ check, ...fault }));
  }
}

/** The lines of a chunk. */
export function* linesOf(bytes: Uint8Array): Generator<Uint8Array, void> {
  for (let start = 0; start < bytes.length; ) {
    const end = bytes.indexOf(NEWLINE, start);
    yield bytes.subarray(start, end === -1 ? bytes.length : end);
    start = end === -1 ? bytes.length : end + 1;
  }
}
