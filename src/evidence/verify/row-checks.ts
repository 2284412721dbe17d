// The checks of rows, each by the name under which a thread is asked for it.
import { ChunkMemory } from "./chunks.ts";
import type { Checker, RowChecks } from "./context.ts";
import { checkEvents } from "./event-rows.ts";
import type { Primitives } from "./primitives.ts";
import { checkProofs } from "./proof-rows.ts";
import { checkRecords } from "./record-rows.ts";
import { checkSegmentRows } from "./segment-rows.ts";

export function rowChecks(primitives: Primitives): RowChecks {
  return {
    events: async (chunk) => checkEvents(chunk, primitives),
    records: (chunk, keys) => checkRecords(chunk, keys, primitives),
    segment: async (chunk) => checkSegmentRows(chunk, primitives),
    proofs: async (chunk, range) => checkProofs(chunk, range),
  };
}

/** Checks rows in the thread that asks. */
export function checkerHere(primitives: Primitives): Checker {
  const memory = new ChunkMemory();
  const checks = rowChecks(primitives);
  const checked = async <Chunk extends { readonly bytes: Uint8Array }, Rows>(
    chunk: Chunk,
    work: (chunk: Chunk) => Promise<Rows>,
  ): Promise<Rows> => {
    const rows = await work(chunk);
    memory.giveBack(chunk.bytes.buffer);
    return rows;
  };
  return {
    memory,
    events: (chunk) => checked(chunk, checks.events),
    records: (chunk, keys) => checked(chunk, (of) => checks.records(of, keys)),
    segment: (chunk) => checked(chunk, checks.segment),
    proofs: (chunk, range) => checked(chunk, (of) => checks.proofs(of, range)),
  };
}
