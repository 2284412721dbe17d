// The events of a store, taken over one by one: each verified from its stored bytes before anything of it is written (spec replicas §9).
import { digestOf, EMPTY_STREAM, eventTextOf, type Head } from "../../core/event.ts";
import { digestOfPointer } from "../../core/digest.ts";
import { AlteredRecordError, TargetNotEmptyError } from "../../core/errors.ts";
import type { EvidenceEvent } from "../../core/schema/event.ts";
import type { CopySource, CopyTarget } from "../../store/store.ts";
import { appendOf } from "../append.ts";
import { placeProblem, readKeys, readRecord, type Keys } from "../fsck/record.ts";

const PAGE = 256;

export interface Sides {
  readonly source: CopySource;
  readonly target: CopyTarget;
  /** What the target holds. */
  readonly copied: CopySource;
}

/**
 * Takes over what the target lacks: first in the order of commit, then whatever stands at the end of a stream without having come so.
 * @param progress is told how many events were written.
 * @throws AlteredRecordError @throws TargetNotEmptyError it holds what the source never had.
 */
export async function copyRecords(sides: Sides, progress: (events: number) => void): Promise<void> {
  const { source } = sides;
  const taking = new Taking(sides, await readKeys(source));
  for (let after = await lastTaken(sides); ; ) {
    const page = await source.events({ order: "asc", limit: PAGE, after });
    if (page.length === 0) break;
    progress(await taking.take(page.map(({ record }) => record)));
    after = page.at(-1)!.position;
  }
  for (const { chain_id, size } of await source.log.streams())
    for (let at = await taking.sizeOf(chain_id); at < size; at = await taking.sizeOf(chain_id))
      progress(await taking.take(await source.log.records(chain_id, at, Math.min(size, at + PAGE))));
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
  readonly #keys: Keys;
  /** Where each stream ends in the target. */
  readonly #ends = new Map<string, Head>();

  constructor(sides: Sides, keys: Keys) {
    this.#sides = sides;
    this.#keys = keys;
  }

  async sizeOf(chainId: string): Promise<number> {
    return (await this.#end(chainId)).size;
  }

  /** Those that the target has already are passed over. @returns how many were written. @throws AlteredRecordError */
  async take(records: readonly string[]): Promise<number> {
    const read: (readonly [EvidenceEvent, string])[] = [];
    for (const record of records) {
      const event = await this.#checked(record);
      if (event) read.push([event, record]);
    }
    const artifacts = await this.#artifacts(read.map(([event]) => event));
    const appends = read.map(([event, record]) => appendOf(event, record, artifacts.get(event) ?? null));
    if (appends.length > 0) await this.#sides.target.append(appends);
    return appends.length;
  }

  async #checked(record: string): Promise<EvidenceEvent | undefined> {
    const { event, problem } = readRecord(record, this.#keys);
    if (!event) throw new AlteredRecordError(`a record of the source cannot be read: ${problem}`);
    const end = await this.#end(event.chain_id);
    if (event.sequence < end.size) return undefined;
    const wrong = problem ?? placeProblem(event, end);
    if (wrong !== undefined) throw altered(event, wrong);
    this.#ends.set(event.chain_id, { size: event.sequence + 1, hash: event.event_hash });
    return event;
  }

  /** Of each event its own; none where it lies with another event, is shared, or was erased. */
  async #artifacts(events: readonly EvidenceEvent[]): Promise<Map<EvidenceEvent, string>> {
    const found = new Map<EvidenceEvent, string>();
    for (const [chain, group] of Map.groupBy(events, ({ chain_id }) => chain_id)) {
      const held = await this.#sides.source.log.artifacts(chain, group[0]!.sequence, group.at(-1)!.sequence + 1);
      for (const event of group) {
        const bytes = held.get(event.sequence);
        if (bytes === undefined) continue;
        if (digestOf(bytes) !== digestOfPointer(event.evidence_pointer))
          throw altered(event, "its artifact is not the one it points to");
        found.set(event, Buffer.from(bytes).toString("utf8"));
      }
    }
    return found;
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

const altered = ({ chain_id, sequence }: EvidenceEvent, problem: string): AlteredRecordError =>
  new AlteredRecordError(`event ${sequence} of ${chain_id}: ${problem}`);
