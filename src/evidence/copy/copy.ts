// A store copied into another, until both hold the same: its source may be written meanwhile, and a copy that was interrupted goes on (spec replicas §9).
import { CopyDiffersError } from "../../core/errors.ts";
import { compareRecords } from "./compare.ts";
import { copyRecords, type Sides } from "./records.ts";
import { copyRows } from "./rows.ts";

export interface CopyProgress {
  readonly phase: "copied" | "compared";
  readonly events: number;
  /** As many as the source has. */
  readonly of: number;
}

/** Rounds in which nothing was recorded, and state changed all the same. */
const ROUNDS_MAX = 20;

/**
 * @returns how many events both have, once they were found alike at one moment.
 * @throws AlteredRecordError a record of the source is not what was signed: which. @throws CopyDiffersError
 * @throws TargetNotEmptyError the target holds what the source never had.
 */
export async function copyAll(sides: Sides, progress: (progress: CopyProgress) => void): Promise<number> {
  for (let quiet = 0; quiet < ROUNDS_MAX; ) {
    const before = await newest(sides);
    const of = await eventsIn(sides);
    let events = of - (await missing(sides));
    await sides.target.filling?.();
    await copyRecords(sides, (written) => progress({ phase: "copied", events: (events += written), of }));
    await sides.target.filled?.();
    await copyRows(sides);
    let compared = 0;
    const difference = await compareRecords(sides, (read) =>
      progress({ phase: "compared", events: (compared += read), of }),
    );
    const rows = await copyRows(sides);
    if ((await newest(sides)) !== before) continue;
    if (difference)
      throw new CopyDiffersError(`event ${difference.sequence} of ${difference.chain_id} is not alike on both sides`);
    if (rows === 0) return eventsIn(sides);
    quiet++;
  }
  throw new CopyDiffersError("state goes on changing while nothing is recorded; copy it once its node is stopped");
}

const newest = async ({ source }: Sides): Promise<number> =>
  (await source.events({ order: "desc", limit: 1 }))[0]?.position ?? 0;

async function eventsIn({ source }: Sides): Promise<number> {
  return (await source.log.streams()).reduce((sum, { size }) => sum + size, 0);
}

async function missing({ source, copied }: Sides): Promise<number> {
  const held = new Map((await copied.log.streams()).map(({ chain_id, size }) => [chain_id, size]));
  return (await source.log.streams()).reduce((sum, { chain_id, size }) => sum + size - (held.get(chain_id) ?? 0), 0);
}
