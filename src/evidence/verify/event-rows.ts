// Checks of single events, a chunk of lines at a time: form, hash, and what is kept of each.
import { canonicalWithout, textWithout } from "./canonical.ts";
import type { LineChunk } from "./chunks.ts";
import { DIGEST_BYTES, digestBytes, digestOfPointer, hexBytes, isDigest } from "../../core/digest.ts";
import { namedSettings } from "../../core/snapshots.ts";
import { type Subtrees, StreamingRoot } from "./merkle.ts";
import { type Primitives, sha256OfText } from "./primitives.ts";
import { BASELINE_FIELDS, CHAIN_FIELDS } from "./profiles.ts";
import { Faults, type LineFact, linesOf, MALFORMED_MAX, type RowFault } from "./rows.ts";
import { sameDigest } from "./tables.ts";

/** An event that says something about how others are to be verified. */
export interface NotableEvent {
  readonly index: number;
  readonly id: string;
  readonly event_type: string;
  readonly occurred_at: string;
  readonly details: Readonly<Record<string, unknown>>;
}

/** What is kept of the lines of events.jsonl: 32 bytes each a line, and what few lines say. */
export interface EventRows {
  readonly count: number;
  readonly eventHashes: Uint8Array;
  /** Zeros where `prev_hash` is null. */
  readonly prevHashes: Uint8Array;
  readonly lineDigests: Uint8Array;
  readonly rowDigests: Uint8Array;
  readonly pointers: Uint8Array;
  readonly sequences: Float64Array;
  /** Milliseconds since the epoch. */
  readonly times: Float64Array;
  readonly snapshots: readonly {
    readonly digest: string;
    readonly index: number;
    readonly member: SnapshotMember;
  }[];
  readonly chains: readonly { readonly chain_id: unknown; readonly tenant_id: unknown; readonly index: number }[];
  readonly notable: readonly NotableEvent[];
  /** The first line that lacks what only some profiles demand; `prev_hash` in the first event is told apart. */
  readonly unchained: LineFact | undefined;
  readonly bareStart: boolean;
  /** The first line whose pointer is made of no digest. */
  readonly unaddressed: LineFact | undefined;
  readonly refusals: number;
  /** The first refusal that does not say why. */
  readonly unreasoned: LineFact | undefined;
  /** Evidence profiles that the events name. */
  readonly profiles: readonly string[];
  /** Of the tree over the event hashes: the subtrees that these rows are. */
  readonly subtrees: Subtrees;
  /** Pointers as they are written, a line each, and hashes likewise: other methods hash these texts. */
  readonly pointerText: Uint8Array;
  readonly hashText: Uint8Array;
  /** Whether so many lines are no events that it is not worth reading on; they are not counted. */
  readonly stopped: boolean;
  readonly faults: readonly RowFault[];
}

const LINE_BYTES_MAX = 1024 * 1024;
const NOTABLE = new Set(["key.rotate", "chain.anchor"]);
/** Members of notable events that say something here, and how long such a text may be. */
const TOLD = ["new_kid", "action", "artifact_digest", "basis", "from_sequence", "to_sequence"];
const TOLD_LENGTH_MAX = 4096;
const PROFILES_MAX = 16;
const DIGEST_START = "sha256:".length;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

type Event = Readonly<Record<string, unknown>>;
/** What of an event names material that decided. */
type SnapshotMember = "policy" | "authority" | "settings";

/** What is gathered over a chunk of events. */
class EventChunk {
  readonly #primitives: Primitives;
  readonly #first: number;
  readonly faults = new Faults();
  readonly snapshots = new Map<string, { digest: string; index: number; member: SnapshotMember }>();
  readonly chains: { chain_id: unknown; tenant_id: unknown; index: number }[] = [];
  readonly notable: NotableEvent[] = [];
  readonly profiles = new Set<string>();
  readonly columns;
  readonly #root: StreamingRoot;
  readonly #last = new Map<SnapshotMember, string>();
  readonly #pointers: string[] = [];
  readonly #hashes: string[] = [];
  malformed = 0;
  refusals = 0;
  bareStart = false;
  unchained: LineFact | undefined;
  unaddressed: LineFact | undefined;
  unreasoned: LineFact | undefined;

  constructor(primitives: Primitives, first: number, count: number) {
    this.#primitives = primitives;
    this.#root = new StreamingRoot(primitives.sha256, [], first);
    this.#first = first;
    const column = () => new Uint8Array(count * DIGEST_BYTES);
    this.columns = {
      eventHashes: column(),
      prevHashes: column(),
      lineDigests: column(),
      rowDigests: column(),
      pointers: column(),
      sequences: new Float64Array(count).fill(NaN),
      times: new Float64Array(count).fill(NaN),
    };
  }

  read(line: Uint8Array, row: number): void {
    const index = this.#first + row;
    this.columns.lineDigests.set(this.#primitives.sha256(line), row * DIGEST_BYTES);
    const event = this.#parse(line, index);
    this.#texts(event);
    // What has neither name nor hash is no event, whatever else it is.
    if (event === undefined || (event["id"] === undefined && event["event_hash"] === undefined)) this.malformed++;
    if (event !== undefined) {
      this.#members(event, index);
      this.#keep(event, row);
      this.#note(event, index);
    }
    this.#root.add(this.columns.eventHashes.subarray(row * DIGEST_BYTES, (row + 1) * DIGEST_BYTES));
  }

  get subtrees(): Subtrees {
    return this.#root.subtrees;
  }

  /** What other methods than ours hash of an event. */
  #texts(event: Event | undefined): void {
    this.#pointers.push(`${String(event?.["evidence_pointer"])}\n`);
    this.#hashes.push(`${String(event?.["event_hash"])}\n`);
  }

  get texts(): { pointerText: Uint8Array; hashText: Uint8Array } {
    return { pointerText: encoder.encode(this.#pointers.join("")), hashText: encoder.encode(this.#hashes.join("")) };
  }

  #parse(line: Uint8Array, index: number): Event | undefined {
    const problem = (message: string) => void this.faults.add("events", index, message);
    if (line.length > LINE_BYTES_MAX) return problem(`the line is longer than ${LINE_BYTES_MAX} bytes`);
    let event: unknown;
    let text: string;
    try {
      text = utf8.decode(line);
      event = JSON.parse(text);
    } catch {
      return problem("the line is not JSON in UTF-8");
    }
    if (typeof event !== "object" || event === null || Array.isArray(event))
      return problem("the line is no JSON object");
    const plain = textWithout(text, event as Event, "event_hash");
    if (plain === undefined) problem("the event's bytes are not canonical JSON (RFC 8785)");
    const without = plain ?? canonicalWithout(event as Event, "event_hash")?.without;
    if (without !== undefined) this.#hash(event as Event, without, index);
    return event as Event;
  }

  #hash(event: Event, without: string, index: number): void {
    const stated = digestBytes(event["event_hash"]);
    if (stated === undefined) return;
    const computed = sha256OfText(this.#primitives, without);
    if (!sameDigest(stated, computed))
      this.faults.add("event_hashes", index, "event_hash is not the hash of the event");
  }

  #members(event: Event, index: number): void {
    const missing = BASELINE_FIELDS.find((name) => typeof event[name] !== "string" || event[name] === "");
    if (missing !== undefined) this.faults.add("events", index, `the event has no ${missing}`);
    if (index === 0) this.bareStart = !Object.hasOwn(event, "prev_hash");
    const unchained = CHAIN_FIELDS.find(
      (name) => !Object.hasOwn(event, name) && !(index === 0 && name === "prev_hash"),
    );
    if (unchained !== undefined) this.unchained ??= { index, message: `the event has no ${unchained}` };
    const pointer = event["evidence_pointer"];
    if (typeof pointer === "string" && digestOfPointer(pointer) === undefined)
      this.unaddressed ??= { index, message: "evidence_pointer is no eosc://evidence/sha256:<hex>" };
    if (this.profiles.size < PROFILES_MAX) this.profiles.add(String(event["evidence_profile_id"]).slice(0, 100));
    if (event["outcome"] !== "refused") return;
    this.refusals++;
    if (event["refusal_reason_code"] === undefined)
      this.faults.add("events", index, "a refused event has no refusal_reason_code");
    if (typeof event["refusal_reason"] !== "string" || event["refusal_reason"] === "")
      this.unreasoned ??= { index, message: "a refused event has no refusal_reason" };
  }

  #keep(event: Event, row: number): void {
    const { columns } = this;
    const { id, sequence, prev_hash, event_hash, evidence_pointer } = event;
    columns.sequences[row] = Number.isSafeInteger(sequence) ? (sequence as number) : NaN;
    columns.times[row] = Date.parse(String(event["occurred_at"]));
    const [at, pointer] = [row * DIGEST_BYTES, digestOfPointer(evidence_pointer)];
    if (isDigest(event_hash)) hexBytes(event_hash, columns.eventHashes, at, DIGEST_START);
    if (isDigest(prev_hash)) hexBytes(prev_hash, columns.prevHashes, at, DIGEST_START);
    if (pointer !== undefined) hexBytes(pointer, columns.pointers, at, DIGEST_START);
    columns.rowDigests.set(rowDigest(this.#primitives, id, sequence, prev_hash, event_hash), row * DIGEST_BYTES);
  }

  #note(event: Event, index: number): void {
    const settings = namedSettings(event["details"]);
    this.#noteSnapshot("policy", String(event["policy_snapshot_id"]), index);
    this.#noteSnapshot("authority", String(event["authority_snapshot_id"]), index);
    if (settings !== undefined) this.#noteSnapshot("settings", String(settings), index);
    const { chain_id, tenant_id } = event;
    const last = this.chains.at(-1);
    if (last === undefined || last.chain_id !== chain_id || last.tenant_id !== tenant_id)
      this.chains.push({ chain_id, tenant_id, index });
    if (!NOTABLE.has(String(event["event_type"])) || typeof event["details"] !== "object") return;
    const { id, event_type, occurred_at } = event as Record<string, string>;
    this.notable.push({
      index,
      id: id!,
      event_type: event_type!,
      occurred_at: occurred_at!,
      details: told(event["details"] as NotableEvent["details"]),
    });
  }

  /** Neighbours mostly name the same. */
  #noteSnapshot(member: SnapshotMember, digest: string, index: number): void {
    if (this.#last.get(member) === digest) return;
    this.#last.set(member, digest);
    const name = `${member} ${digest}`;
    if (!this.snapshots.has(name)) this.snapshots.set(name, { digest, index, member });
  }
}

function told(details: NotableEvent["details"] | null): NotableEvent["details"] {
  const members = TOLD.map((name) => [name, details?.[name]] as const);
  return Object.fromEntries(
    members.filter(
      ([, value]) => (typeof value === "string" && value.length <= TOLD_LENGTH_MAX) || Number.isSafeInteger(value),
    ),
  );
}

/** One digest over what a chain segment says of an event, to compare it with the event itself. */
export function rowDigest(
  primitives: Primitives,
  id: unknown,
  sequence: unknown,
  prevHash: unknown,
  eventHash: unknown,
): Uint8Array {
  return sha256OfText(primitives, JSON.stringify([id ?? null, sequence ?? null, prevHash ?? null, eventHash ?? null]));
}

/** Lines of events.jsonl: one canonical event each, whose hash is right. */
export function checkEvents(chunk: LineChunk, primitives: Primitives): EventRows {
  const gathered = new EventChunk(primitives, chunk.first, chunk.lines);
  let count = 0;
  for (const line of linesOf(chunk.bytes)) {
    gathered.read(line, count++);
    if (gathered.malformed > MALFORMED_MAX) break;
  }
  const { columns, snapshots, profiles, faults, chains, notable, unchained, bareStart } = gathered;
  const { unaddressed, refusals, unreasoned, malformed } = gathered;
  return {
    count,
    ...columns,
    snapshots: [...snapshots.values()],
    chains,
    notable,
    unchained,
    bareStart,
    unaddressed,
    refusals,
    unreasoned,
    profiles: [...profiles],
    subtrees: gathered.subtrees,
    ...gathered.texts,
    faults: faults.list,
    stopped: malformed > MALFORMED_MAX,
  };
}
