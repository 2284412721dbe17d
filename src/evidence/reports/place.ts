// How far decisions were reported, kept across restarts. Evidence itself is what waits; nothing else is kept of it.
import { existsSync, readFileSync } from "node:fs";
import { writeDurably } from "../../store/files.ts";
import type { StoreReader } from "../../store/store.ts";

/** Before all positions. */
export const START = -1;

/** The position of the last event on record. */
async function lastPosition(store: Pick<StoreReader, "events">): Promise<number> {
  return (await store.events({ order: "desc", limit: 1 }))[0]?.position ?? START;
}

/** Whoever reports for the first time reports what comes from now on; so does a store that was replaced by an older one. */
export async function beginAtEnd(
  path: string,
  store: Pick<StoreReader, "events">,
): Promise<{ readonly after: number; readonly last: number }> {
  const last = await lastPosition(store);
  const after = existsSync(path) ? readPlace(path) : last;
  if (!existsSync(path) || after > last) writePlace(path, last);
  return { after: Math.min(after, last), last };
}

/** What cannot be read makes all be reported again, under the same ids: nothing is lost by it. */
export function readPlace(path: string): number {
  try {
    const { after } = JSON.parse(readFileSync(path, "utf8")) as { after: unknown };
    return Number.isSafeInteger(after) ? (after as number) : START;
  } catch {
    return START;
  }
}

export function writePlace(path: string, after: number): void {
  writeDurably(path, `${JSON.stringify({ after })}\n`, 0o600);
}
