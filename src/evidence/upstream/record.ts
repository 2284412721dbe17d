// One record as another node sends it: its form, whoever signed it. Nothing of it is believed yet.
import { digestOf } from "../../core/event.ts";
import type { RecordsRefusal } from "../../core/errors.ts";
import { lazily } from "../../core/outcome.ts";
import { EvidenceEventSchema, type EvidenceEvent } from "../../core/schema/event.ts";
import { ENTRY_BYTES_MAX } from "../../core/tiles.ts";
import { textWithout } from "../verify/canonical.ts";
import { signerOf } from "../verify/record-rows.ts";

const EVENT_TYPE = "railgate-event+jws";
const SIGNATURE_CHARS = 86;

/** Refused as a whole; `pointer` is into the body. */
export interface Refused {
  readonly kind: "refused";
  readonly code: RecordsRefusal;
  readonly pointer: string;
  readonly message: string;
}

export class BatchRefusal extends Error {
  readonly refused: Refused;

  constructor(code: Refused["code"], message: string, pointer = "") {
    super(message);
    this.refused = { kind: "refused", code, pointer, message };
  }
}

/** A record as it was read; nothing of it is verified but its form. */
export interface SentRecord {
  readonly record: string;
  readonly kid: string;
  /** Without `details` that nobody here looks into. */
  readonly event: EvidenceEvent;
  /** What the signature is over: so many characters of the record. */
  readonly signedChars: number;
  readonly signature: Uint8Array;
}

const eventShape = lazily(EvidenceEventSchema);
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
/** The header of the last record, which is mostly that of the next, and whom it names. */
let last: { readonly header: string; readonly kid: string | undefined } = { header: "", kid: undefined };

/** Compact JWS, canonical event, and that the event's hash is its own. @param pointer to it, in the body. @throws BatchRefusal */
export function readRecord(record: string, pointer: string): SentRecord {
  const wrong = (message: string) => new BatchRefusal("record_invalid", message, pointer);
  if (record.length > ENTRY_BYTES_MAX) throw wrong("is larger than a record may be");
  const [header = "", payload = "", signature = "", ...more] = record.split(".");
  if (header !== last.header) last = { header, kid: signerOf(header, EVENT_TYPE) };
  const { kid } = last;
  const signatureBytes = Buffer.from(signature, "base64url");
  // Written in the one way that there is, so that nobody can make another record of it.
  if (
    more.length > 0 ||
    kid === undefined ||
    signature.length !== SIGNATURE_CHARS ||
    signatureBytes.toString("base64url") !== signature
  )
    throw wrong("is no record: a compact JWS with the header of an event");
  const event = readEvent(payload);
  if (typeof event === "string") throw wrong(event);
  return { record, kid, event, signedChars: header.length + 1 + payload.length, signature: signatureBytes };
}

/** What the signature is over. */
export const signedBytes = ({ record, signedChars }: SentRecord): Uint8Array =>
  Buffer.from(record.slice(0, signedChars), "latin1");

/** @returns in words, what is wrong with it. */
function readEvent(payload: string): EvidenceEvent | string {
  const bytes = Buffer.from(payload, "base64url");
  if (bytes.toString("base64url") !== payload) return "has a payload that is not base64url";
  let text: string;
  let event: unknown;
  try {
    text = utf8.decode(bytes);
    event = JSON.parse(text);
  } catch {
    return "has a payload that is not JSON";
  }
  if (!eventShape().Check(event)) return "is no event";
  const read = event as EvidenceEvent;
  const without = textWithout(text, read, "event_hash");
  if (without === undefined) return "is not in canonical form";
  if (digestOf(without) !== read.event_hash) return "has an event_hash that is not its hash";
  return isTime(read.occurred_at) ? keptOf(read) : "has a time that is none";
}

/** Of a text that has the form which the schema asks for: written again, a day that does not exist is another. */
function isTime(text: string): boolean {
  const ms = Date.parse(text);
  return !Number.isNaN(ms) && new Date(ms).toISOString() === text;
}

/** What is looked into until the batch is settled: many small values less to be kept, and moved as long as they are. */
function keptOf(event: EvidenceEvent): EvidenceEvent {
  const { event_type, details } = event;
  if (details === undefined || FOLLOWED.includes(event_type)) return event;
  return { ...event, details: { workload_id: details["workload_id"] } };
}

/** Events that change which key signs, or what is kept. */
const FOLLOWED: readonly string[] = ["key.rotate", "chain.anchor"];
