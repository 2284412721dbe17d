// The node's clock against what it said before: one that was set back is noticed, and said.

/** Clocks are slewed, and stepped by little, all the time. */
const TOLERANCE_MS = 2000;

export class ClockWatch {
  /** The latest time that this node has seen or recorded. */
  #latestMs: number;
  #nowMs: number;
  #told = false;

  /** @param lastMs of the last event; undefined where there is none. */
  constructor(nowMs: number, lastMs: number | undefined) {
    this.#nowMs = nowMs;
    this.#latestMs = Math.max(nowMs, lastMs ?? nowMs);
  }

  /** By how much the clock is behind what it said before; 0 where it is not. */
  get behindMs(): number {
    const behindMs = this.#latestMs - this.#nowMs;
    return behindMs > TOLERANCE_MS ? behindMs : 0;
  }

  /** Looks at the clock. @returns whether it is found behind for the first time since it last was not. */
  look(nowMs: number): boolean {
    this.#nowMs = nowMs;
    this.#latestMs = Math.max(this.#latestMs, nowMs);
    const news = this.behindMs > 0 && !this.#told;
    this.#told = this.behindMs > 0;
    return news;
  }

  /** The latest time that was seen, RFC 3339. */
  get latest(): string {
    return new Date(this.#latestMs).toISOString();
  }
}
