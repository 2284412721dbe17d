// The events of a store, taken over one by one: each verified from its stored bytes before anything of it is written (spec replicas §9).
import { EMPTY_STREAM, eventTextOf, type Head } from "../../core/event.ts";
import { AlteredRecordError, TargetNotEmptyError } from "../../core/errors.ts";
import type { EvidenceEvent } from "../../core/schema/event.ts";
import type { CopySource, CopyTarget } from "../../store/store.ts";
import { placeProblem } from "../fsck/record.ts";
import type { ReadRecord } from "./checking.ts";
import type { CopyThreads } from "./threads.ts";

const PAGE = 256;

export interface Sides {
  readonly source: CopySource;
  readonly target: CopyTarget;
  /** What the target holds. */
  readonly copied: CopySource;
  /** Each of them reads both sides. */
  readonly threads: CopyThreads;
}

/**
 * Takes over what the target lacks: first in the order of commit, then whatever stands at the end of a stream without having come so.
 * @param progress is told how many events were written.
 * @throws AlteredRecordError @throws TargetNotEmptyError it holds what the source never had.
 */
export async function copyRecords(sides: Sides, progress: (events: number) => void): Promise<void> {
  const taking = new Taking(sides);
  for await (const page of verified(sides, inOrderOfCommit(sides))) progress(await taking.take(page));
  for (const { chain_id, size } of await sides.source.log.streams())
    for await (const page of verified(sides, ofStream(sides, chain_id, await taking.sizeOf(chain_id), size)))
      progress(await taking.take(page));
}

interface Page {
  readonly records: readonly string[];
  readonly read: readonly ReadRecord[];
}

function verified({ threads }: Sides, pages: AsyncIterable<readonly string[]>): AsyncGenerator<Page> {
  return threads.inOrder(pages, async (records) => ({ records, read: await threads.read(records) }));
}

async function* inOrderOfCommit(sides: Sides): AsyncGenerator<readonly string[]> {
  for (let after = await lastTaken(sides); ; ) {
    const page = await sides.source.events({ order: "asc", limit: PAGE, after });
    if (page.length === 0) return;
    yield page.map(({ record }) => record);
    after = page.at(-1)!.position;
  }
}

async function* ofStream(
  { source }: Sides,
  chainId: string,
  from: number,
  size: number,
): AsyncGenerator<readonly string[]> {
  for (let at = from; at < size; at += PAGE) yield await source.log.records(chainId, at, Math.min(size, at + PAGE));
}

/** Where in the source the target's last event stands; undefined where it has none. @throws TargetNotEmptyError */
async function lastTaken({ source, copied }: Sides): Promise<number | undefined> {
  const [last] = await copied.events({ order: "desc", limit: 1 });
  if (!last) return undefined;
  const { id } = JSON.parse(eventTextOf(last.record)) as EvidenceEvent;
  const found = await source.event(id);
  if (found?.record !== last.record)
    throw new TargetNotEmptyError(`the target ends with the event ${id}, which the source does not have so`);
  return found.position;
}

class Taking {
  readonly #sides: Sides;
  /** Where each stream ends in the target. */
  readonly #ends = new Map<string, Head>();

  constructor(sides: Sides) {
    this.#sides = sides;
  }

  async sizeOf(chainId: string): Promise<number> {
    return (await this.#end(chainId)).size;
  }

  /** Those that the target has already are passed over. @returns how many were written. @throws AlteredRecordError */
  async take({ records, read }: Page): Promise<number> {
    const appends = [];
    for (const [i, { event, problem, append }] of read.entries()) {
      if (!event) throw new AlteredRecordError(`a record of the source cannot be read: ${problem}`);
      const end = await this.#end(event.chain_id);
      if (event.sequence < end.size) continue;
      const wrong = problem ?? placeProblem(event, end);
      if (wrong !== undefined) throw new AlteredRecordError(`event ${event.sequence} of ${event.chain_id}: ${wrong}`);
      this.#ends.set(event.chain_id, { size: event.sequence + 1, hash: event.event_hash });
      appends.push({ ...append!, record: records[i]! });
    }
    if (appends.length > 0) await this.#sides.target.append(appends);
    return appends.length;
  }

  async #end(chainId: string): Promise<Head> {
    const known = this.#ends.get(chainId);
    if (known) return known;
    const { log } = this.#sides.copied;
    const size = (await log.stream(chainId))?.size ?? 0;
    const [last] = size === 0 ? [] : await log.records(chainId, size - 1, size);
    const end =
      last === undefined ? EMPTY_STREAM : { size, hash: (JSON.parse(eventTextOf(last)) as EvidenceEvent).event_hash };
    this.#ends.set(chainId, end);
    return end;
  }
}
