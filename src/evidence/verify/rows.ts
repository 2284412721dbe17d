// Checks of single records, a chunk of lines at a time, so that they can be done in parallel: form, hashes, signatures.
import { canonicalWithout, textWithout } from "./canonical.ts";
import { countLines, type LineChunk } from "./chunks.ts";
import { DIGEST_BYTES, digestBytes, digestOfPointer, hexBytes, isDigest } from "../../core/digest.ts";
import { namedSettings } from "../../core/snapshots.ts";
import type { Primitives } from "./primitives.ts";
import { BASELINE_FIELDS, CHAIN_FIELDS } from "./profiles.ts";
import type { CheckName } from "./report.ts";

/** The first fault of its kind in a chunk; `index` counts lines of the file from 0. */
export interface RowFault {
  readonly check: CheckName;
  readonly index: number;
  readonly message: string;
  readonly count: number;
}

/** An event that says something about how others are to be verified. */
export interface NotableEvent {
  readonly index: number;
  readonly id: string;
  readonly event_type: string;
  readonly occurred_at: string;
  readonly details: Readonly<Record<string, unknown>>;
}

/** What a line is the first to lack. */
export interface LineFact {
  readonly index: number;
  readonly message: string;
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
  /** Pointers as they are written, a line each, and hashes likewise: other methods hash these texts. */
  readonly pointerText: Uint8Array;
  readonly hashText: Uint8Array;
  /** Whether so many lines are no events that it is not worth reading on; they are not counted. */
  readonly stopped: boolean;
  readonly faults: readonly RowFault[];
}

/** What is kept of the lines of records.jws. */
export interface RecordRows {
  readonly count: number;
  /** SHA-256 of each payload. */
  readonly payloadDigests: Uint8Array;
  /** RFC 6962 leaf hashes of the records' ASCII bytes. */
  readonly leafHashes: Uint8Array;
  /** For each record the number of its key in `kids`; −1 where it names none. */
  readonly keyNumbers: Int32Array;
  readonly kids: readonly string[];
  readonly faults: readonly RowFault[];
  readonly stopped: boolean;
}

/** Public event keys by kid: 32 bytes each. */
export type EventKeys = ReadonlyMap<string, Uint8Array>;

const NEWLINE = 0x0a;
const LINE_BYTES_MAX = 1024 * 1024;
const SIGNATURE_BYTES = 64;
const NOTABLE = new Set(["key.rotate", "chain.anchor"]);
/** Members of notable events that say something here, and how long such a text may be. */
const TOLD = ["new_kid", "action", "artifact_digest", "basis", "from_sequence", "to_sequence"];
const TOLD_LENGTH_MAX = 4096;
/** Lines of a chunk that may be of no use at all; behind more of them there is nothing to be found. */
const MALFORMED_MAX = 100;
const PROFILES_MAX = 16;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

class Faults {
  readonly #first = new Map<CheckName, { index: number; message: string; count: number }>();

  add(check: CheckName, index: number, message: string): void {
    const known = this.#first.get(check);
    if (known === undefined) this.#first.set(check, { index, message, count: 1 });
    else known.count++;
  }

  count(check: CheckName): number {
    return this.#first.get(check)?.count ?? 0;
  }

  get list(): RowFault[] {
    return [...this.#first].map(([check, fault]) => ({ check, ...fault }));
  }
}

function* linesOf({ bytes }: LineChunk): Generator<Uint8Array, void> {
  for (let start = 0; start < bytes.length; ) {
    const end = bytes.indexOf(NEWLINE, start);
    yield bytes.subarray(start, end === -1 ? bytes.length : end);
    start = end === -1 ? bytes.length : end + 1;
  }
}

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
    if (event === undefined) return;
    this.#members(event, index);
    this.#keep(event, row);
    this.#note(event, index);
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
    const computed = this.#primitives.sha256(encoder.encode(without));
    if (!sameBytes(stated, computed)) this.faults.add("event_hashes", index, "event_hash is not the hash of the event");
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
    if (isDigest(event_hash)) hexBytes(event_hash, columns.eventHashes, row * DIGEST_BYTES, 7);
    if (isDigest(prev_hash)) hexBytes(prev_hash, columns.prevHashes, row * DIGEST_BYTES, 7);
    const artifact = digestBytes(digestOfPointer(evidence_pointer));
    if (artifact !== undefined) columns.pointers.set(artifact, row * DIGEST_BYTES);
    columns.rowDigests.set(rowDigest(this.#primitives, id, sequence, prev_hash, event_hash), row * DIGEST_BYTES);
  }

  #note(event: Event, index: number): void {
    const settings = namedSettings(event["details"]);
    const named = settings === undefined ? [] : [["settings", settings] as const];
    for (const [member, digest] of [
      ["policy", event["policy_snapshot_id"]],
      ["authority", event["authority_snapshot_id"]],
      ...named,
    ] as const) {
      const text = String(digest);
      if (!this.snapshots.has(`${member} ${text}`))
        this.snapshots.set(`${member} ${text}`, { digest: text, index, member });
    }
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
  return primitives.sha256(
    encoder.encode(JSON.stringify([id ?? null, sequence ?? null, prevHash ?? null, eventHash ?? null])),
  );
}

/** Lines of events.jsonl: one canonical event each, whose hash is right. */
export function checkEvents(chunk: LineChunk, primitives: Primitives): EventRows {
  const gathered = new EventChunk(primitives, chunk.first, countLines(chunk.bytes));
  let count = 0;
  for (const line of linesOf(chunk)) {
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
    ...gathered.texts,
    faults: faults.list,
    stopped: malformed > MALFORMED_MAX,
  };
}

interface ReadRecord {
  readonly kid: string;
  readonly payload: Uint8Array;
  readonly signed: Uint8Array;
  readonly signature: Uint8Array;
}

/** Lines of records.jws: compact JWS, by known keys where any are to be had. Payloads are compared with the events elsewhere, by their digests. */
export async function checkRecords(
  chunk: LineChunk,
  keys: EventKeys | undefined,
  primitives: Primitives,
): Promise<RecordRows> {
  const lines = countLines(chunk.bytes);
  const faults = new Faults();
  const headers = new Map<string, string | undefined>();
  const payloadDigests = new Uint8Array(lines * DIGEST_BYTES);
  const leafHashes = new Uint8Array(lines * DIGEST_BYTES);
  const keyNumbers = new Int32Array(lines).fill(-1);
  const kids: string[] = [];
  const pending: (boolean | Promise<boolean>)[] = [];
  for (const line of linesOf(chunk)) {
    const row = pending.length;
    leafHashes.set(leafHash(primitives, line), row * DIGEST_BYTES);
    const record = readRecord(line, headers);
    if (typeof record === "string") {
      faults.add("records", chunk.first + row, record);
      pending.push(true);
      if (faults.count("records") > MALFORMED_MAX) break;
      continue;
    }
    payloadDigests.set(primitives.sha256(record.payload), row * DIGEST_BYTES);
    keyNumbers[row] = numberOf(kids, record.kid);
    const key = keys?.get(record.kid);
    pending.push(
      keys === undefined || (key !== undefined && primitives.verifyEd25519(key, record.signed, record.signature)),
    );
  }
  for (const [row, verified] of pending.entries()) {
    if (await verified) continue;
    const kid = kids[keyNumbers[row]!]!;
    faults.add(
      "record_signatures",
      chunk.first + row,
      keys?.has(kid) ? "the signature does not verify" : `it is signed by ${kid}, which is no event key of keys.json`,
    );
  }
  const stopped = faults.count("records") > MALFORMED_MAX;
  return { count: pending.length, payloadDigests, leafHashes, keyNumbers, kids, faults: faults.list, stopped };
}

function numberOf(kids: string[], kid: string): number {
  const known = kids.indexOf(kid);
  return known === -1 ? kids.push(kid) - 1 : known;
}

/** RFC 6962 §2.1. */
function leafHash(primitives: Primitives, line: Uint8Array): Uint8Array {
  const leaf = new Uint8Array(line.length + 1);
  leaf.set(line, 1);
  return primitives.sha256(leaf);
}

/** @returns what is wrong with its form, as text. */
function readRecord(line: Uint8Array, headers: Map<string, string | undefined>): ReadRecord | string {
  if (line.length > 2 * LINE_BYTES_MAX) return `the line is longer than ${2 * LINE_BYTES_MAX} bytes`;
  const dot = line.indexOf(0x2e);
  const second = line.lastIndexOf(0x2e);
  if (dot === -1 || dot === second || line.subarray(dot + 1, second).includes(0x2e)) return "it is no compact JWS";
  const header = ascii(line.subarray(0, dot));
  if (!headers.has(header)) headers.set(header, signerOf(header, RECORD_TYPE));
  const kid = headers.get(header);
  if (kid === undefined) return 'its header is not {"alg":"EdDSA","kid":…,"typ":"railgate-event+jws"}';
  const payload = fromBase64url(ascii(line.subarray(dot + 1, second)));
  const signature = fromBase64url(ascii(line.subarray(second + 1)));
  if (payload === undefined || signature === undefined) return "it is not base64url as it must be written";
  if (signature.length !== SIGNATURE_BYTES) return "its signature is no Ed25519 signature";
  return { kid, payload, signed: line.subarray(0, second), signature };
}

const RECORD_TYPE = "railgate-event+jws";

/** The kid of a header of the one form that records have (spec evidence §2); an algorithm of another name is never tried. */
export function signerOf(header: string, type: string): string | undefined {
  const bytes = fromBase64url(header);
  if (bytes === undefined) return undefined;
  try {
    const { alg, kid, typ, ...rest } = JSON.parse(utf8.decode(bytes)) as Record<string, unknown>;
    if (alg !== "EdDSA" || typ !== type || typeof kid !== "string" || Object.keys(rest).length > 0) return undefined;
    return kid;
  } catch {
    return undefined;
  }
}

const ASCII = new TextDecoder("latin1");
const ascii = (bytes: Uint8Array): string => ASCII.decode(bytes);
const BASE64URL = /^[A-Za-z0-9_-]*$/;

/** The bytes of unpadded base64url; undefined unless it is written in the one way that encodes them (RFC 4648 §3.5). */
export function fromBase64url(text: string): Uint8Array | undefined {
  if (!BASE64URL.test(text) || text.length % 4 === 1) return undefined;
  const bytes = decode64(text);
  const spare = (text.length * 6) % 8;
  if (spare > 0 && (VALUES[text.charCodeAt(text.length - 1)]! & ((1 << spare) - 1)) !== 0) return undefined;
  return bytes;
}

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const VALUES = Uint8Array.from({ length: 128 }, (_, code) => Math.max(0, ALPHABET.indexOf(String.fromCharCode(code))));

/** ECMAScript 2026, where it is there already. */
const native = (Uint8Array as unknown as { fromBase64?: (text: string, options: object) => Uint8Array }).fromBase64;

/** Text of the base64url alphabet. */
function decode64(text: string): Uint8Array {
  if (native !== undefined) return native.call(Uint8Array, text, { alphabet: "base64url" });
  const bytes = new Uint8Array(Math.floor((text.length * 3) / 4));
  let [bits, held, to] = [0, 0, 0];
  for (let at = 0; at < text.length; at++) {
    bits = (bits << 6) | VALUES[text.charCodeAt(at)]!;
    held += 6;
    if (held < 8) continue;
    held -= 8;
    bytes[to++] = (bits >> held) & 0xff;
  }
  return bytes;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  for (let at = 0; at < DIGEST_BYTES; at++) if (a[at] !== b[at]) return false;
  return true;
}
