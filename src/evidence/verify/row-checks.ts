// The checks of rows, each by the name under which a thread is asked for it.
import type { Checker } from "./context.ts";
import { checkEvents } from "./event-rows.ts";
import type { Primitives } from "./primitives.ts";
import { checkProofs } from "./proof-rows.ts";
import { checkRecords } from "./record-rows.ts";
import { checkSegmentRows } from "./segment-rows.ts";

/** Checks rows in the thread that asks. */
export function rowChecks(primitives: Primitives): Checker {
  return {
    events: async (chunk) => checkEvents(chunk, primitives),
    records: (chunk, keys) => checkRecords(chunk, keys, primitives),
    segment: async (chunk) => checkSegmentRows(chunk, primitives),
    proofs: async (chunk, range) => checkProofs(chunk, range),
  };
}
