// A clock that all threads of a process read alike, in place of the machine's.

/** Milliseconds since the epoch, in memory that threads share. */
export type SharedClock = BigInt64Array<SharedArrayBuffer>;

/** @returns what reads it; absent: the machine's own. */
export function readerOf(clock: SharedClock | undefined): () => number {
  return clock === undefined ? Date.now : () => Number(Atomics.load(clock, 0));
}
