// Ids of events and correlations: UUIDs, version 7 (RFC 9562 §5.7), which sort by the time they were made.
import { randomFillSync } from "node:crypto";

const ENTROPY_IDS = 256;
const ID_BYTES = 16;
const TIME_BYTES = 6;
const VERSION_7 = 0x70;
const VARIANT = 0x80;

/** A source of ids. Entropy is drawn for many at a time: a system call for each would cost more than the rest of it. */
export function makeIds(): () => string {
  const pool = Buffer.alloc(ENTROPY_IDS * ID_BYTES);
  let used = pool.length;
  return () => {
    if (used === pool.length) {
      randomFillSync(pool);
      used = 0;
    }
    const id = pool.subarray(used, (used += ID_BYTES));
    id.writeUIntBE(Date.now(), 0, TIME_BYTES);
    id[6] = VERSION_7 | (id[6]! & 0x0f);
    id[8] = VARIANT | (id[8]! & 0x3f);
    const hex = id.toString("hex");
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
  };
}
