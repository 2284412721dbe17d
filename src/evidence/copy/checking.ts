// What a copy has threads do: records of the source are verified from their stored bytes, with their artifacts, and both sides are compared.
import { digestOfPointer } from "../../core/digest.ts";
import { digestOf } from "../../core/event.ts";
import type { EvidenceEvent } from "../../core/schema/event.ts";
import type { Append, CopySource } from "../../store/store.ts";
import { appendOf } from "../append.ts";
import { readKeys, readRecord, type Keys } from "../fsck/record.ts";

/** A record of the source. */
export interface ReadRecord {
  /** Whose it says it is; undefined where it cannot be read. */
  readonly event?: Pick<EvidenceEvent, "tenant_id" | "chain_id" | "sequence" | "prev_hash" | "event_hash">;
  /** Why it is not what was signed, but for its place. */
  readonly problem?: string;
  /** What the target is given, but for the record, where there is no problem. */
  readonly append?: Omit<Append, "record">;
}

export interface CopiedRange {
  readonly chain_id: string;
  readonly from: number;
  readonly to: number;
}

export interface ComparedRange {
  /** The first that is not alike. */
  readonly unlike?: number;
  /** Whose own artifact only the copy still has. */
  readonly erased: readonly number[];
}

/** Over readers of its own. */
export class Checking {
  readonly #source: CopySource;
  readonly #copied: CopySource;
  #keys: Keys | undefined;

  constructor(source: CopySource, copied: CopySource) {
    this.#source = source;
    this.#copied = copied;
  }

  async read(records: readonly string[]): Promise<ReadRecord[]> {
    const known = this.#keys;
    this.#keys ??= await readKeys(this.#source);
    let read = records.map((record) => readRecord(record, this.#keys!));
    // The source's node may have turned to another key since.
    if (known !== undefined && read.some(({ problem }) => problem !== undefined)) {
      this.#keys = await readKeys(this.#source);
      read = records.map((record) => readRecord(record, this.#keys!));
    }
    const artifacts = await this.#artifacts(read.flatMap(({ event }) => event ?? []));
    return read.map(({ event, problem }, i) => {
      if (event === undefined) return { problem: problem! };
      const { tenant_id, chain_id, sequence, prev_hash, event_hash } = event;
      const place = { tenant_id, chain_id, sequence, prev_hash, event_hash };
      if (problem !== undefined) return { event: place, problem };
      const bytes = artifacts.get(event);
      if (bytes !== undefined && digestOf(bytes) !== digestOfPointer(event.evidence_pointer))
        return { event: place, problem: "its artifact is not the one it points to" };
      const artifact =
        bytes === undefined ? null : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString();
      const { record: _, ...append } = appendOf(event, records[i]!, artifact);
      return { event: place, append };
    });
  }

  /** Of each event its own; none where it lies with another event, is shared, or was erased. */
  async #artifacts(events: readonly EvidenceEvent[]): Promise<Map<EvidenceEvent, Uint8Array>> {
    const found = new Map<EvidenceEvent, Uint8Array>();
    for (const [chain, group] of Map.groupBy(events, ({ chain_id }) => chain_id)) {
      const held = await this.#source.log.artifacts(chain, group[0]!.sequence, group.at(-1)!.sequence + 1);
      for (const event of group) {
        const bytes = held.get(event.sequence);
        if (bytes !== undefined) found.set(event, bytes);
      }
    }
    return found;
  }

  async compare({ chain_id, from, to }: CopiedRange): Promise<ComparedRange> {
    const [source, copied] = [this.#source.log, this.#copied.log];
    const [left, right] = [await source.records(chain_id, from, to), await copied.records(chain_id, from, to)];
    const other = left.findIndex((record, i) => record !== right[i]);
    if (other >= 0 || right.length !== left.length) return { unlike: from + Math.max(other, 0), erased: [] };
    const [theirs, ours] = [await source.artifacts(chain_id, from, to), await copied.artifacts(chain_id, from, to)];
    const missing = [...theirs].find(([sequence, bytes]) => !isHeld(ours.get(sequence), bytes));
    if (missing) return { unlike: missing[0], erased: [] };
    return { erased: [...ours.keys()].filter((sequence) => !theirs.has(sequence)) };
  }
}

const isHeld = (held: Uint8Array | undefined, bytes: Uint8Array): boolean =>
  held !== undefined && Buffer.compare(held, bytes) === 0;
