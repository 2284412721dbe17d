// Waits of the tests, each with an end: what does not come about is named, before a watchdog ends the file without a word.
import { setTimeout as sleep } from "node:timers/promises";

/** No measure of anything: on a machine that does something else besides, what takes a moment takes seconds. */
const WAITED_MS_MAX = 90_000;
const LOOKED_MS = 10;

/**
 * Waits until something is there, looking again and again.
 * @param what in words; default: how it is looked for.
 * @throws Error saying what did not come about.
 */
export async function until<T>(
  look: () => T | undefined | false | Promise<T | undefined | false>,
  what = String(look),
): Promise<T> {
  for (const endMs = performance.now() + WAITED_MS_MAX; ; await sleep(LOOKED_MS)) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > endMs) throw new Error(`waited ${WAITED_MS_MAX / 1000} s in vain: ${what}`);
  }
}

let running: { ranMs: number; lastMs: number } | undefined;

/**
 * Milliseconds in which this process ran, from some moment on: of a pause, in which a busy machine did something else, no more counts than a
 * look takes. For what must not take too long; what must take long is measured by any other clock.
 */
export function ranMs(): number {
  if (running === undefined) {
    running = { ranMs: 0, lastMs: performance.now() };
    setInterval(ranMs, LOOKED_MS).unref();
  }
  const nowMs = performance.now();
  running.ranMs += Math.min(nowMs - running.lastMs, 2 * LOOKED_MS);
  running.lastMs = nowMs;
  return running.ranMs;
}

/** Waits for what is promised. @throws Error saying what did not come. */
export async function comes<T>(what: string, promised: PromiseLike<T>, withinMs = WAITED_MS_MAX): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(reject, withinMs, new Error(`waited ${withinMs / 1000} s in vain: ${what}`));
  try {
    return await Promise.race([promised, late]);
  } finally {
    clearTimeout(timer);
  }
}
