// What an export takes from records of its range, a page at a time: lines of its files, hashes, and what few events differ in.
import { DIGEST_BYTES, digestOfPointer, hexBytes, hexOfDigest } from "../../core/digest.ts";
import { digestOf } from "../../core/event.ts";
import type { EvidenceEvent } from "../../core/schema/event.ts";
import { recordLeaf, TREE_HASHER } from "../../core/sha256.ts";
import { settingsOfEvent } from "../../core/snapshots.ts";

/** Records that follow one another, each with the artifact that lies with it. */
export interface RangePage {
  readonly records: readonly string[];
  /** Sequence of the first. */
  readonly from: number;
  /** That the segment's rows name, as JSON. */
  readonly profile: string;
  /** One after the other, in memory that nobody else holds. */
  readonly artifacts: Uint8Array<ArrayBuffer>;
  /** How long each record's is; undefined where there is none. */
  readonly lengths: readonly (number | undefined)[];
  /** Where the lines are written if there is room; nobody else holds it. */
  readonly room: ArrayBuffer;
}

/** Whether an event's artifact lies with it, and is the one that it points to. */
export const ABSENT = 0;
export const SOUND = 1;
export const DAMAGED = 2;

/** What decided, and what it was decided by: digests. */
export interface Snapshots {
  readonly policy: string;
  readonly authority: string;
  readonly settings: string | null;
}

export interface RangeRows {
  /** Lines of events.jsonl and of records.jws, in the room that came with the page. */
  readonly events: Uint8Array<ArrayBuffer>;
  readonly records: Uint8Array<ArrayBuffer>;
  /** Rows of chain-segment.json, with commas between. */
  readonly segment: Uint8Array<ArrayBuffer>;
  /** RFC 6962 leaf hashes of the records. */
  readonly leaves: Uint8Array<ArrayBuffer>;
  /** Leaves of the tree over event hashes. */
  readonly hashLeaves: Uint8Array<ArrayBuffer>;
  /** Digests that the events point to. */
  readonly pointers: Uint8Array<ArrayBuffer>;
  /** Of each row ABSENT, SOUND or DAMAGED. */
  readonly artifacts: Uint8Array<ArrayBuffer>;
  /** What decided, where a row names something else than the one before it. */
  readonly snapshots: readonly { readonly row: number; readonly of: Snapshots }[];
  /** Of the last event. */
  readonly occurredAt: string;
  /** Some event was refused and does not say why in words. */
  readonly hasBareRefusal: boolean;
}

/** What the lines of events and records take at most. */
export const linesBytes = (records: readonly string[]): number =>
  records.reduce((bytes, { length }) => bytes + 2 * (length + 1), 0);

export function readRange(page: RangePage): RangeRows {
  const { records, artifacts, lengths, from } = page;
  let artifactAt = 0;
  const lines = new Lines(page);
  const column = () => new Uint8Array(records.length * DIGEST_BYTES);
  const [leaves, hashLeaves, pointers] = [column(), column(), column()];
  const states = new Uint8Array(records.length);
  const snapshots: RangeRows["snapshots"][number][] = [];
  const eventHash = new Uint8Array(DIGEST_BYTES);
  let [occurredAt, hasBareRefusal] = ["", false];
  for (const [row, record] of records.entries()) {
    const event = JSON.parse(lines.put(record)) as EvidenceEvent;
    lines.putRow(event, from + row);
    leaves.set(recordLeaf(record), row * DIGEST_BYTES);
    hexBytes(hexOfDigest(event.event_hash), eventHash);
    hashLeaves.set(TREE_HASHER.leaf(eventHash), row * DIGEST_BYTES);
    const digest = digestOfPointer(event.evidence_pointer)!;
    hexBytes(hexOfDigest(digest), pointers, row * DIGEST_BYTES);
    const length = lengths[row];
    if (length !== undefined)
      states[row] = digestOf(artifacts.subarray(artifactAt, (artifactAt += length))) === digest ? SOUND : DAMAGED;
    const of = snapshotsOf(event);
    if (!isSame(of, snapshots.at(-1)?.of)) snapshots.push({ row, of });
    occurredAt = event.occurred_at;
    hasBareRefusal ||= event.outcome === "refused" && event.refusal_reason === undefined;
  }
  return { ...lines.written(), leaves, hashLeaves, pointers, artifacts: states, snapshots, occurredAt, hasBareRefusal };
}

const snapshotsOf = (event: EvidenceEvent): Snapshots => ({
  policy: event.policy_snapshot_id,
  authority: event.authority_snapshot_id,
  settings: settingsOfEvent(event),
});

const isSame = (a: Snapshots, b: Snapshots | undefined): boolean =>
  a.policy === b?.policy && a.authority === b.authority && a.settings === b.settings;

/** The lines of a page's records: those of events lie in front of the records'. */
class Lines {
  readonly #memory: Buffer<ArrayBuffer>;
  readonly #profile: string;
  readonly #rows: string[] = [];
  readonly #recordsAt: number;
  #events = 0;
  #records: number;

  constructor({ records, profile, room }: RangePage) {
    const length = linesBytes(records);
    this.#memory = Buffer.from(room.byteLength >= length ? room : new ArrayBuffer(length));
    this.#profile = profile;
    this.#records = this.#recordsAt = length / 2;
  }

  /** @returns the event's text. */
  put(record: string): string {
    const memory = this.#memory;
    const payload = record.slice(record.indexOf(".") + 1, record.lastIndexOf("."));
    const from = this.#events;
    this.#events += memory.write(payload, from, "base64url");
    const text = memory.toString("utf8", from, this.#events);
    memory[this.#events++] = NEWLINE;
    this.#records += memory.write(record, this.#records, "latin1");
    memory[this.#records++] = NEWLINE;
    return text;
  }

  /** Canonical as it stands: its members are in order, and the event's texts are canonical already. */
  putRow({ event_hash, evidence_pointer, id, prev_hash }: EvidenceEvent, sequence: number): void {
    this.#rows.push(
      `{"event_hash":${JSON.stringify(event_hash)},"event_ref":${JSON.stringify(evidence_pointer)},"evidence_profile_id":${this.#profile},"id":${JSON.stringify(id)},"prev_hash":${JSON.stringify(prev_hash)},"sequence":${sequence}}`,
    );
  }

  written(): Pick<RangeRows, "events" | "records" | "segment"> {
    const part = (from: number, to: number) => new Uint8Array(this.#memory.buffer, from, to - from);
    return {
      events: part(0, this.#events),
      records: part(this.#recordsAt, this.#records),
      segment: encoder.encode(this.#rows.join(",")),
    };
  }
}

const NEWLINE = 0x0a;
const encoder = new TextEncoder();
