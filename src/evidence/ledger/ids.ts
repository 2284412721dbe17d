// Ids of events and correlations: UUIDs, version 7 (RFC 9562), which sort by the time they were made.
import { randomFillSync } from "node:crypto";
import { v7 as uuidv7 } from "uuid";

const ENTROPY_IDS = 256;
const ENTROPY_PER_ID = 16;

/** A source of ids. Entropy is drawn for many at a time: a system call for each would cost more than the rest of it. */
export function makeIds(): () => string {
  const pool = new Uint8Array(ENTROPY_IDS * ENTROPY_PER_ID);
  let used = pool.length;
  const random = (): Uint8Array => {
    if (used === pool.length) {
      randomFillSync(pool);
      used = 0;
    }
    return pool.subarray(used, (used += ENTROPY_PER_ID));
  };
  return () => uuidv7({ random: random() });
}
