// Checks of who signed: records, manifest and chain segment, by keys that were valid for their places, and whose keys they are.
import { counted } from "../../../core/counted.ts";
import { canonicalText } from "../canonical.ts";
import { EXCESS_MAX } from "../context.ts";
import { followHandOvers } from "../hand-overs.ts";
import type { ExportKey } from "../keys.ts";
import { FILE as MANIFEST } from "../manifest.ts";
import { inOnePiece, type SignedBytes, WHOLE_BYTES_MAX, wholeOf } from "../primitives.ts";
import { FILE } from "../records.ts";
import { fromBase64url } from "../base64url.ts";
import type { NotableEvent } from "../event-rows.ts";
import { linesIn } from "../chunks.ts";
import { checkRecords as checkLines } from "../record-rows.ts";
import { FILE as SEGMENT } from "../segment.ts";
import { firstOf, type JudgedExport, signersOf } from "./judged.ts";

const encoder = new TextEncoder();
const KEYS = "keys.json";
const NO_KEYS = "there is no keys.json";
const SIGNATURE_BYTES = 64;

export function checkKeys({ findings, facts, pins }: JudgedExport): void {
  const { keys } = facts;
  if (keys === undefined) return findings.unchecked("keys", NO_KEYS);
  if (!keys.some(({ role }) => role === "event")) findings.fault("keys", "there is no event key", { file: KEYS });
  findings.done(
    "keys",
    pins === undefined ? "they are what they are called; whose they are is another question (signer)" : undefined,
  );
}

/** Who signed is known only by keys that were had by another way than the export; anybody can make one that agrees with itself. */
export function checkSigner({ findings, facts, pins, own, trustsEmbedded }: JudgedExport): void {
  const signers = signersOf(facts);
  if (signers.length === 0 || facts.keys === undefined)
    return findings.unchecked("signer", "nobody signed it in a way that can be checked");
  if (pins !== undefined) {
    for (const kid of signers)
      if (!pins.has(kid)) findings.fault("signer", `${kid} signed, and is none of the pinned keys`, { file: KEYS });
    return findings.done("signer", "all that signed are keys that you pinned");
  }
  if (own !== undefined && signers.every((kid) => own.has(kid)))
    return findings.done("signer", "all that signed are keys of the node that verified it");
  if (trustsEmbedded)
    return findings.done("signer", "NOT PROVEN: the keys came with the export, and you said that you trust them");
  findings.unchecked(
    "signer",
    "UNKNOWN WHO SIGNED: the keys came with the export, and whoever made it chose them; pin the producer's keys (--jwks)",
  );
}

export function checkRecords(judged: JudgedExport): void {
  const { findings, facts, eventsAndRecords, isOthers } = judged;
  const { records, keys } = facts;
  if (!facts.digests.has(FILE)) {
    for (const check of ["records", "record_signatures", "key_ranges"] as const)
      findings.unchecked(check, "there is no records.jws, so nobody vouches for the events");
    return;
  }
  const withoutKeys = (check: "record_signatures" | "key_ranges"): void =>
    isOthers ? findings.unchecked(check, NO_KEYS) : findings.fault(check, NO_KEYS, { file: KEYS });
  if (keys === undefined) for (const check of ["record_signatures", "key_ranges"] as const) withoutKeys(check);
  if (records === undefined) {
    if (isOthers) findings.unchecked("records", "they came as a stream, which could not be read again");
    return;
  }
  const [events, listed] = eventsAndRecords.lengths;
  if (events !== listed && !records.stopped)
    findings.fault("records", `there are ${counted(events, "event")} and ${counted(listed, "record")}`, {
      file: FILE,
      index: Math.min(events, listed),
    });
  findings.done("records");
  if (keys === undefined) return;
  findings.done("record_signatures");
  checkRanges(judged, keys);
  checkTakeovers(judged, keys);
  findings.done("key_ranges");
}

function checkRanges({ findings, facts, pins, own }: JudgedExport, keys: readonly ExportKey[]): void {
  const { kids, keyNumbers } = facts.records!;
  const times = facts.events?.times;
  const timeOf = (index: number): number => times?.at(index) ?? NaN;
  const byNumber = kids.map((kid) => ({
    key: keys.find((key) => key.role === "event" && key.kid === kid),
    endedAtMs: (pins ?? own)?.get(kid)?.endedAtMs,
  }));
  for (let index = 0; index < keyNumbers.length; index++) {
    const { key, endedAtMs } = byNumber[keyNumbers.at(index)] ?? {};
    if (key === undefined) continue;
    const fault = (message: string): void =>
      findings.fault("key_ranges", `it is signed by ${key.kid}${message}`, { file: FILE, index });
    const sequence = firstOf(facts) + index;
    if (sequence < key.from || (key.to !== null && sequence > key.to))
      fault(`, which was valid from ${key.from} to ${key.to ?? "now"}`);
    if (key.compromisedAtMs !== undefined && !(timeOf(index) < key.compromisedAtMs))
      fault(" after that key was known to others");
    if (endedAtMs !== undefined && !(timeOf(index) <= endedAtMs)) fault(" after that key's end, by the pinned keys");
  }
}

const eventKeysInOrder = (keys: readonly ExportKey[]): ExportKey[] =>
  keys.filter(({ role }) => role === "event").sort((a, b) => a.from - b.from);

/** A key takes over only where its predecessor said so, in the last event that it signed (spec evidence §5). */
function checkTakeovers({ findings, facts }: JudgedExport, keys: readonly ExportKey[]): void {
  const first = firstOf(facts);
  const { count = 0, notable = [] } = facts.events ?? {};
  const ordered = eventKeysInOrder(keys);
  for (const [at, key] of ordered.entries()) {
    const before = ordered[at - 1];
    if (before === undefined || key.from <= first || key.from >= first + count) continue;
    const index = key.from - 1 - first;
    const rotation = notable.find((event) => event.index === index && event.event_type === "key.rotate");
    if (rotation?.details["new_kid"] !== key.kid || before.to !== key.from - 1)
      findings.fault("key_ranges", `${key.kid} takes over, and the event before it does not say so`, {
        file: FILE,
        index: index + 1,
      });
  }
}

/** Of a stream that is written no more, other keys may vouch: those that its last key handed over to. @returns those. */
export async function checkHandOvers({ findings, facts, members, primitives }: JudgedExport): Promise<HandedOver> {
  const last = eventKeysInOrder(facts.keys ?? []).at(-1);
  const [chain, prefix] = [String(members.get("chain_id")), `${String(members.get("tenant_id"))}/`];
  const mayHandOver = last?.to === null && last.compromisedAtMs === undefined && chain.startsWith(prefix);
  const from = mayHandOver ? { ...last, nodeId: chain.slice(prefix.length) } : undefined;
  const { keys, sound } = await followHandOvers(facts.handOvers ?? [], from, primitives);
  if (!sound) findings.fault("keys", "hand_overs holds a statement that hands nothing over", { file: KEYS });
  return keys;
}

type HandedOver = ReadonlyMap<string, Uint8Array>;

/** A key that may sign a manifest, and by what right, where it is none of the stream's own. */
interface Vouching {
  readonly publicKey: Uint8Array;
  readonly isRetired?: boolean;
  readonly right?: string;
}

function vouching({ facts, pins, own }: JudgedExport, handedOver: HandedOver, kid: unknown): Vouching | undefined {
  if (facts.keys === undefined || typeof kid !== "string") return undefined;
  const key = facts.keys.find((listed) => listed.kid === kid);
  if (key?.role === "log") return undefined;
  if (key?.role === "event")
    return { publicKey: key.publicKey, isRetired: key.to !== null || key.compromisedAtMs !== undefined };
  const handed = handedOver.get(kid);
  if (handed !== undefined) return { publicKey: handed, right: "to which the stream's last key handed over" };
  const known = (pins ?? own)?.get(kid)?.publicKey;
  if (known) return { publicKey: known, right: "which you know, and nothing in the export ties to the stream" };
  return key && { publicKey: key.publicKey, right: "which came with the export, and nothing in it ties to the stream" };
}

export async function checkManifestSignatures(judged: JudgedExport, handedOver: HandedOver): Promise<void> {
  const { findings, facts } = judged;
  if (facts.manifest === undefined) return;
  const { signatures, signed } = facts.manifest;
  if (signatures === undefined) return findings.unchecked("manifest_signature", "the manifest is not signed");
  if (facts.keys === undefined) return findings.unchecked("manifest_signature", NO_KEYS);
  const rights: string[] = [];
  for (const { key_id, signature } of signatures) {
    const key = vouching(judged, handedOver, key_id);
    const fault = (message: string): void => findings.fault("manifest_signature", message, { file: MANIFEST });
    if (key === undefined)
      fault(`it is signed by ${key_id}, which is no event key of keys.json, and no hand-over ties it to one`);
    else if (key.isRetired || endedBefore(judged, key_id)) fault(`it is signed by ${key_id}, which is retired`);
    else if (!(await verifies(judged, key.publicKey, signed, signature))) fault("its signature does not verify");
    else if (key.right !== undefined) rights.push(`it is signed by ${key_id}, ${key.right}`);
  }
  findings.done("manifest_signature", rights.length === 0 ? undefined : rights.join("; "));
}

/** A key that has ended since still vouches for what it signed while it was current; no manifest is older than its events. */
function endedBefore({ pins, own, members, facts }: JudgedExport, kid: string): boolean {
  const endedAtMs = (pins ?? own)?.get(kid)?.endedAtMs;
  const last = facts.events?.times;
  const times = [
    Date.parse(String(members.get("created_at"))),
    ...(last === undefined || last.length === 0 ? [] : [last.at(last.length - 1)]),
  ];
  return endedAtMs !== undefined && !times.every((time) => time <= endedAtMs);
}

export async function checkSegmentSignature(judged: JudgedExport, handedOver: HandedOver): Promise<void> {
  const { findings, facts, isOthers } = judged;
  if (facts.manifest === undefined) return;
  const { signatures } = facts.manifest;
  const { events: _, signature, ...rest } = Object.fromEntries(facts.segment?.members ?? []);
  const { key_id, signature: text } = (signature ?? {}) as { key_id?: unknown; signature?: unknown };
  if (signature === undefined && signatures === undefined)
    return findings.unchecked("segment_signature", "the chain segment is not signed");
  if (facts.keys === undefined && isOthers) return findings.unchecked("segment_signature", NO_KEYS);
  const signed = canonicalText(rest);
  const key = vouching(judged, handedOver, key_id);
  const good =
    signed !== undefined &&
    key_id === signatures?.[0]?.key_id &&
    key !== undefined &&
    (await verifies(judged, key.publicKey, inOnePiece(encoder.encode(signed)), text));
  if (!good)
    findings.fault(
      "segment_signature",
      "the chain segment's signature does not verify with the key that signed the manifest",
      { file: SEGMENT },
    );
  findings.done("segment_signature");
}

/** Keys that came after the range, and so may have signed the manifest, follow from those of the range by rotations on record. */
export async function checkRotations(judged: JudgedExport): Promise<void> {
  const { findings, facts } = judged;
  const { keys, manifest, events } = facts;
  if (keys === undefined || manifest === undefined || events === undefined || events.count === 0) return;
  const first = firstOf(facts);
  const rotations = await readRecords(judged, manifest.rotations, "key.rotate");
  const ordered = eventKeysInOrder(keys);
  for (const [at, key] of ordered.entries()) {
    if (key.from < first + events.count) continue;
    const before = ordered[at - 1];
    const names = ({ details }: NotableEvent): boolean => details["new_kid"] === key.kid;
    const said =
      before?.to === key.from - 1 &&
      (rotations.some((event) => names(event) && event.kid === before.kid && event.sequence === key.from - 1) ||
        // The range may end with the rotation; that its record is signed by the key before is checked with all others.
        events.notable.some(
          (event) => event.event_type === "key.rotate" && names(event) && first + event.index === key.from - 1,
        ));
    if (!said)
      findings.fault("keys", `${key.kid} came after the range, and no rotation on record says so`, { file: KEYS });
  }
}

async function verifies(
  { primitives }: JudgedExport,
  publicKey: Uint8Array,
  message: SignedBytes | undefined,
  signature: unknown,
): Promise<boolean> {
  const bytes = typeof signature === "string" ? fromBase64url(signature) : undefined;
  if (message === undefined || bytes?.length !== SIGNATURE_BYTES) return false;
  if (message.length > WHOLE_BYTES_MAX && primitives.verifyEd25519Pieces !== undefined)
    return primitives.verifyEd25519Pieces(publicKey, message.pieces(), bytes);
  return primitives.verifyEd25519(publicKey, wholeOf(message.pieces(), message.length), bytes);
}

export type RecordedEvent = NotableEvent & { readonly sequence: number; readonly kid: string };

/** Events of records that stand outside the range. Those that prove nothing are left out, and after many of them so is the rest. */
export async function readRecords(
  judged: JudgedExport,
  records: readonly string[],
  type: string,
): Promise<RecordedEvent[]> {
  const found: RecordedEvent[] = [];
  for (const [at, record] of records.entries()) {
    const event = await readRecord(judged, record, type);
    if (event !== undefined) found.push(event);
    if (at + 1 - found.length > EXCESS_MAX) break;
  }
  return found;
}

/** The event of a record, if its signature verifies and it is of this stream and type. */
async function readRecord(
  { facts, members, primitives }: JudgedExport,
  record: string,
  type: string,
): Promise<RecordedEvent | undefined> {
  const keys = (facts.keys ?? []).filter(({ role }) => role === "event");
  const eventKeys = new Map(keys.map(({ kid, publicKey }) => [kid, publicKey]));
  const { faults, kids } = await checkLines(linesIn(encoder.encode(record)), eventKeys, primitives);
  if (faults.length > 0 || kids.length !== 1) return undefined;
  const event = JSON.parse(new TextDecoder().decode(fromBase64url(record.split(".")[1]!))) as RecordedEvent & {
    chain_id?: unknown;
  };
  if (event.chain_id !== members.get("chain_id") || event.event_type !== type) return undefined;
  return { ...event, kid: kids[0]! };
}
