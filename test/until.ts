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
