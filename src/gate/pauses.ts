// How a run of many commands lets others be decided in between.
import { setImmediate } from "node:timers/promises";

/** Once it has taken this long, a run of many commands lets others be decided before it goes on. */
const TURN_MS = 10;

export class Pauses {
  #startedMs = performance.now();

  /** @returns undefined while nothing need be let in between. */
  next(): Promise<void> | undefined {
    if (performance.now() - this.#startedMs < TURN_MS) return undefined;
    return setImmediate().then(() => {
      this.#startedMs = performance.now();
    });
  }
}
