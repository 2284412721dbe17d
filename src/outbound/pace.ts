// When to ask again: waits that many nodes never spend alike, so that they don't all come at once.
import { setTimeout as after } from "node:timers/promises";

/** The first wait after a failure (OPA, util/backoff.go). */
const BACKOFF_MS_MIN = 100;

/** A moment between two, both included, in milliseconds. @param random from 0 to below 1. */
export const between = (minMs: number, maxMs: number, random = Math.random): number =>
  minMs + random() * (maxMs - minMs);

/**
 * How long to wait after as many failures in a row: doubled with each, and shortened at random by up to a half.
 * @param failures 1 for the first.
 */
export function backoffMs(failures: number, maxMs: number, random = Math.random): number {
  const whole = Math.min(maxMs, BACKOFF_MS_MIN * 2 ** Math.min(failures - 1, 30));
  return whole * (0.5 + random() / 2);
}

/** Waits, and keeps no process alive for it. Ends early where `signal` says so; it never rejects. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await after(ms, undefined, { signal, ref: false }).catch(() => {});
}
