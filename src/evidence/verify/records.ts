// Reads records.jws: its lines are checked in chunks, and who signed which is kept in a number each.
import { ArchiveError } from "../../archive/tar.ts";
import { DIGEST_BYTES } from "../../core/digest.ts";
import { inOrder, lineChunks } from "./chunks.ts";
import { type ReadingContext, takeFaults } from "./context.ts";
import type { ExportKey } from "./keys.ts";
import type { RecordRows } from "./record-rows.ts";
import { DigestColumn, NumberColumn } from "./tables.ts";

export interface Records {
  readonly count: number;
  /** RFC 6962 leaf hashes. */
  readonly leaves: DigestColumn;
  /** Kids in order of first use, and for each record the number of its own; −1 where it names none. */
  readonly kids: readonly string[];
  readonly keyNumbers: NumberColumn;
  readonly stopped: boolean;
}

export const FILE = "records.jws";
const KIDS_MAX = 10_000;

/** @param keys without any, no signature can be checked; all else is. */
export async function readRecords(
  context: ReadingContext,
  body: AsyncIterable<Uint8Array>,
  keys: readonly ExportKey[] | undefined,
): Promise<Records> {
  const eventKeys =
    keys && new Map(keys.filter(({ role }) => role === "event").map(({ kid, publicKey }) => [kid, publicKey]));
  const leaves = new DigestColumn(context.scratch);
  const kids: string[] = [];
  const keyNumbers = new NumberColumn(context.scratch);
  let stopped = false;
  const take = (rows: RecordRows): void => {
    if (stopped) return;
    takeFaults(context.findings, rows.faults, FILE);
    const numbers = rows.kids.map((kid) =>
      kids.includes(kid) || kids.length > KIDS_MAX ? kids.indexOf(kid) : kids.push(kid) - 1,
    );
    keyNumbers.append(Float64Array.from(rows.keyNumbers.subarray(0, rows.count), (number) => numbers[number] ?? -1));
    leaves.append(rows.leafHashes.subarray(0, rows.count * DIGEST_BYTES));
    context.eventsAndRecords.put(1, rows.payloadDigests.subarray(0, rows.count * DIGEST_BYTES));
    stopped = rows.stopped;
    if (keyNumbers.length > context.limits.eventsMax)
      throw new ArchiveError(`it holds more than ${context.limits.eventsMax} records`);
  };
  await inOrder(
    lineChunks(body, () => stopped, context.checker.memory),
    (chunk) => context.checker.records(chunk, eventKeys),
    take,
  );
  return { count: keyNumbers.length, leaves, kids, keyNumbers, stopped };
}
