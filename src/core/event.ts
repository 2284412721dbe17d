// An event: the signed statement of one governed action, and its place in its stream (spec evidence §1, §3).
import { hash } from "node:crypto";
import { digestOfHex, HASH_PROFILE } from "./digest.ts";
import { canonicalJson } from "./json.ts";
import type { EvidenceEvent } from "./schema/event.ts";

/** What is said, before it has a place in a stream. Optional members are left out, never null. */
export type EventDraft = Omit<EvidenceEvent, "chain_id" | "sequence" | "prev_hash" | "event_hash" | "hash_profile_id">;

/** Where a stream ends: how many events it has, and the hash of the last. */
export interface Head {
  readonly size: number;
  readonly hash: string | null;
}

export const EMPTY_STREAM: Head = { size: 0, hash: null };

/** `"sha256:" + hex` of the bytes, or of the text's UTF-8. */
export function digestOf(data: string | Uint8Array): string {
  return digestOfHex(hash("sha256", data, "hex"));
}

/** The stream that a tenant has on a node (spec evidence §3). */
export function chainId(tenantId: string, nodeId: string): string {
  return `${tenantId}/${nodeId}`;
}

/**
 * An event of a stream before it has its place there: its canonical text, open where its hash, the hash before it and its
 * number will stand. Whoever links it has little left to do.
 */
export interface OpenEvent {
  readonly chain_id: string;
  /** Up to the event's own hash, from there to the one before it, from there to its number, and the rest. */
  readonly parts: readonly [string, string, string, string];
}

/** Optional members come in where they are; all that an event has beside its place, in the order of canonical JSON. */
const BEFORE_DETAILS = ["actor", "authority_snapshot_id", "chain_id", "correlation_id", "details"] as const;
const BEFORE_PLACE = [
  "event_type",
  "evidence_pointer",
  "evidence_profile_id",
  "hash_profile_id",
  "id",
  "monotonic_time_ns",
  "occurred_at",
  "outcome",
  "policy_snapshot_id",
] as const;
const BEFORE_NUMBER = ["refusal_reason", "refusal_reason_class", "refusal_reason_code", "refusal_subject"] as const;
const LAST = ["subject", "tenant_id"] as const;
const GROUPS = [BEFORE_DETAILS, BEFORE_PLACE, BEFORE_NUMBER, LAST] as const;
const NAMES: ReadonlySet<string> = new Set(GROUPS.flat());

/** @throws what canonicalJson throws: the draft has something that JSON cannot carry; TypeError for a member that no event has. */
export function openEvent(draft: EventDraft, chain_id: string): OpenEvent {
  const event = { ...draft, chain_id, hash_profile_id: HASH_PROFILE };
  for (const name in event) if (!NAMES.has(name)) throw new TypeError(`an event has no member ${name}`);
  const [before, to, between, end] = GROUPS.map((names) => membersIn(event, names)) as [string, string, string, string];
  return {
    chain_id,
    parts: [`{${before}`, `${to},"prev_hash":`, `,${between && `${between},`}"sequence":`, `,${end}}`],
  };
}

function membersIn(event: Partial<EvidenceEvent>, names: readonly (keyof EvidenceEvent)[]): string {
  let text = "";
  for (const name of names)
    if (event[name] !== undefined) text += `${text === "" ? "" : ","}"${name}":${canonicalJson(event[name])}`;
  return text;
}

const NULL = "null";

/**
 * Puts an event at the end of its stream.
 * @returns the event's canonical bytes as text (RFC 8785), and the stream's new head, whose hash is the
 *   `event_hash`: SHA-256 of the canonical event without that member.
 */
export function sealEvent(
  { parts: [before, to, between, end] }: Pick<OpenEvent, "parts">,
  head: Head,
): { text: string; head: Head } {
  const previous = head.hash === null ? NULL : `"${head.hash}"`;
  const after = `${to}${previous}${between}${head.size}${end}`;
  const eventHash = digestOf(`${before},${after}`);
  return { text: `${before},"event_hash":"${eventHash}",${after}`, head: { size: head.size + 1, hash: eventHash } };
}

/** Puts a draft at the end of its stream, see `sealEvent`. */
export function linkEvent(draft: EventDraft, chain_id: string, head: Head): { text: string; head: Head } {
  return sealEvent(openEvent(draft, chain_id), head);
}

const DECIDED = /^(?:workload\.|mesh\.|policy\.evaluate$)/;

/** Whether an event's artifact is the input of a decision and what came out, which retention may end. */
export const isDecided = (eventType: string): boolean => DECIDED.test(eventType);

/** The event in a record (compact JWS), read but not verified. */
export function eventTextOf(record: string): string {
  return Buffer.from(record.slice(record.indexOf(".") + 1, record.lastIndexOf(".")), "base64url").toString("utf8");
}

const ID_MEMBER = '"id":"';
const UUID_LENGTH = 36;

/**
 * The id in an event's canonical text, without parsing it: the event's own is the last member of that name, since those
 * behind it hold texts alone, and no text can hold its quotes unescaped.
 */
export function eventIdIn(eventText: string): string {
  const start = eventText.lastIndexOf(ID_MEMBER) + ID_MEMBER.length;
  return eventText.slice(start, start + UUID_LENGTH);
}
