// Chance, by a seed: the same seed gives the same numbers, on every machine.
export class Random {
  #state: number;

  /** @param seed any integer; numbers of neighbouring seeds have nothing in common. */
  constructor(seed: number) {
    this.#state = seed | 0;
    for (let i = 0; i < 4; i++) this.next();
  }

  /** From 0 to below 1 (Mulberry32). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number, the end not included. */
  below(end: number): number {
    return Math.floor(this.next() * end);
  }

  /** A whole number, both included. */
  within(min: number, max: number): number {
    return min + this.below(max - min + 1);
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(among: readonly T[]): T {
    return among[this.below(among.length)]!;
  }

  fill(bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; i++) bytes[i] = this.below(256);
  }
}
