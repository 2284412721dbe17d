// What another node sends is hostile until it is checked: form, place, hashes, chain and signature of each record, before any of it is taken.
import { verify, type KeyObject } from "node:crypto";
import { digestOfPointer } from "../../core/digest.ts";
import { digestOf, eventTextOf, isDecided } from "../../core/event.ts";
import type { RecordsRefusal } from "../../core/errors.ts";
import { lazily } from "../../core/outcome.ts";
import { EvidenceEventSchema, type EvidenceEvent } from "../../core/schema/event.ts";
import type { Replication } from "../../core/schema/replication.ts";
import { ENTRY_BYTES_MAX } from "../../core/tiles.ts";
import { timeMs } from "../../core/time.ts";
import type { Append, Blob, KeyRow, StoreReader } from "../../store/store.ts";
import { canonicalWithout } from "../verify/canonical.ts";
import { signerOf } from "../verify/rows.ts";
import type { KeyRing } from "./key-ring.ts";

const EVENT_TYPE = "railgate-event+jws";
const SIGNATURE_CHARS = 86;
/** Signatures that are under way at once, so that others get a turn at the threads that check them. */
const VERIFYING_MAX = 4;

export interface Batch {
  readonly chainId: string;
  readonly body: Replication;
  readonly ring: KeyRing;
  readonly store: StoreReader;
  /** Whether the records of a node that nobody has heard of are believed. */
  readonly firstUse: boolean;
  /** @returns why whoever sends may not send this node's records; undefined where they may. */
  readonly forbidden: (nodeId: string) => string | undefined;
}

/** Refused as a whole; `pointer` is into the body. */
export interface Refused {
  readonly kind: "refused";
  readonly code: RecordsRefusal;
  readonly pointer: string;
  readonly message: string;
}

/** Two records of one place, both signed by the node whose stream it is. */
export interface Equivocation {
  readonly kind: "equivocation";
  readonly nodeId: string;
  readonly sequence: number;
  /** As held here, and as sent. */
  readonly first: string;
  readonly second: string;
}

export interface Taken {
  readonly kind: "taken";
  readonly appends: Append[];
  readonly keys: readonly KeyRow[];
  readonly nextSequence: number;
}

/** A record as it was read; nothing of it is verified but its form. */
interface Read {
  readonly record: string;
  readonly kid: string;
  readonly event: EvidenceEvent;
  /** What the signature is over. */
  readonly signed: string;
  readonly signature: Uint8Array;
}

class Refusal extends Error {
  readonly refused: Refused;

  constructor(code: Refused["code"], message: string, pointer = "") {
    super(message);
    this.refused = { kind: "refused", code, pointer, message };
  }
}

const eventShape = lazily(EvidenceEventSchema);

/** All of a batch, or nothing. */
export async function checkBatch(batch: Batch): Promise<Taken | Equivocation | Refused> {
  try {
    return await check(batch);
  } catch (error) {
    if (error instanceof Refusal) return error.refused;
    throw error;
  }
}

async function check(batch: Batch): Promise<Taken | Equivocation> {
  const { chainId, body, store } = batch;
  const { from_sequence: from, records } = body;
  const size = (await store.log.stream(chainId))?.size ?? 0;
  if (body.artifacts !== undefined && body.artifacts.length !== records.length)
    throw new Refusal("record_invalid", "is not as long as records", "/artifacts");
  const read = records.map((record, i) => readRecord(record, `/records/${i}`));
  const nodeId = read.length > 0 ? placesOf(read, chainId, from) : undefined;
  if (nodeId !== undefined) {
    const why = batch.forbidden(nodeId);
    if (why !== undefined) throw new Refusal("node_forbidden", why);
    if ((await store.state("peer", "default", nodeId)) !== undefined)
      throw new Refusal("node_quarantined", `${nodeId} has signed two histories; nothing more of it is taken`);
  }
  if (from > size) throw new Refusal("record_gap", `records ${size} to ${from - 1} are missing before these`);
  const held = await store.log.records(chainId, from, Math.min(size, from + read.length));
  const other = held.findIndex((record, i) => record !== read[i]!.record);
  if (other !== -1) return twice(batch, nodeId!, held[other]!, read[other]!, other);
  const fresh = read.slice(held.length);
  if (fresh.length === 0) return { kind: "taken", appends: [], keys: [], nextSequence: size };
  return continued(batch, nodeId!, fresh, held.length, size);
}

/** That each is where it says, one behind the other. @returns whose they are. */
function placesOf(read: readonly Read[], chainId: string, from: number): string {
  const { tenant_id } = read[0]!.event;
  for (const [i, { event }] of read.entries()) {
    const wrong = (message: string) => new Refusal("record_invalid", message, `/records/${i}`);
    if (event.chain_id !== chainId || event.tenant_id !== tenant_id) throw wrong("belongs to another stream");
    if (event.sequence !== from + i) throw wrong(`is number ${event.sequence} where ${from + i} should be`);
  }
  if (!chainId.startsWith(`${tenant_id}/`) || chainId.length === tenant_id.length + 1)
    throw new Refusal("record_invalid", `is ${tenant_id}'s and lies in ${chainId}`, "/records/0");
  return chainId.slice(tenant_id.length + 1);
}

/** Another record than the one held here, in its place: proof against the node, if it signed it. */
function twice({ ring }: Batch, nodeId: string, first: string, second: Read, at: number): Equivocation {
  const key = ring.key(nodeId, second.kid);
  if (!key || !verify(null, Buffer.from(second.signed), key, second.signature))
    throw new Refusal("record_invalid", "is another than the one held here, and not signed by it", `/records/${at}`);
  return { kind: "equivocation", nodeId, sequence: second.event.sequence, first, second: second.record };
}

/** New records behind those held here. */
async function continued(
  batch: Batch,
  nodeId: string,
  fresh: readonly Read[],
  offset: number,
  size: number,
): Promise<Taken | Equivocation> {
  const { ring, store, chainId } = batch;
  const [lastRecord] = size > 0 ? await store.log.records(chainId, size - 1, size) : [];
  const last = lastRecord === undefined ? undefined : readRecord(lastRecord, "");
  if (last === undefined) await introduced(batch, nodeId, fresh[0]!, offset);
  const keys = keysOf(ring, nodeId, last, fresh, offset);
  await verifyAll(fresh, keys, offset);
  if (last !== undefined && fresh[0]!.event.prev_hash !== last.event.event_hash)
    return { kind: "equivocation", nodeId, sequence: size - 1, first: last.record, second: fresh[0]!.record };
  chained(fresh, last?.event.event_hash ?? null, offset);
  await known(store, fresh, offset);
  const blobs = blobsOf(batch.body);
  const appends: Append[] = [];
  for (const [i, read] of fresh.entries()) {
    const erased = await erasedBy(read.event, store, fresh);
    appends.push(appendOf(read, batch.body.artifacts?.[offset + i] ?? null, erased, offset + i));
  }
  appends[0] = { ...appends[0]!, blobs, keys: ring.found };
  return { kind: "taken", appends, keys: ring.found, nextSequence: size + fresh.length };
}

async function introduced({ body, ring, firstUse }: Batch, nodeId: string, { kid }: Read, offset: number) {
  const introduction = { nodeId, kid, jwks: body.jwks?.keys ?? [], handOvers: body.hand_overs ?? [], firstUse };
  if (await ring.introduce(introduction)) return;
  throw new Refusal(
    "node_untrusted",
    `is signed by ${kid}, which is none of ${nodeId}'s known keys`,
    `/records/${offset}`,
  );
}

/** The key of each: the one before, until a rotation that it has signed names another. */
function keysOf(
  ring: KeyRing,
  nodeId: string,
  last: Read | undefined,
  fresh: readonly Read[],
  offset: number,
): KeyObject[] {
  let before = last;
  return fresh.map((read, i) => {
    const wrong = (message: string) => new Refusal("record_invalid", message, `/records/${offset + i}`);
    const expected = before === undefined ? read.kid : successor(before);
    if (read.kid !== expected) throw wrong(`is signed by ${read.kid}, and ${expected} signs there`);
    const key = ring.key(nodeId, read.kid);
    if (!key) throw wrong(`is signed by ${read.kid}, which nobody has named`);
    const { event_type, details } = read.event;
    if (event_type === "key.rotate" && !ring.succeed(nodeId, successor(read), details?.["new_jwk"], read.kid))
      throw wrong("names a key that is none, or another node's");
    before = read;
    return key;
  });
}

const successor = ({ event, kid }: Read): string =>
  event.event_type === "key.rotate" ? String(event.details?.["new_kid"]) : kid;

/** On the thread pool, a few at a time. */
async function verifyAll(fresh: readonly Read[], keys: readonly KeyObject[], offset: number): Promise<void> {
  let [next, wrong] = [0, -1];
  const work = async (): Promise<void> => {
    while (next < fresh.length && wrong === -1) {
      const at = next++;
      const { signed, signature } = fresh[at]!;
      if (!(await verified(signed, keys[at]!, signature))) wrong = at;
    }
  };
  await Promise.all(Array.from({ length: VERIFYING_MAX }, work));
  if (wrong !== -1)
    throw new Refusal("record_invalid", "has a signature that does not verify", `/records/${offset + wrong}`);
}

const verified = (signed: string, key: KeyObject, signature: Uint8Array): Promise<boolean> =>
  new Promise((resolve) => verify(null, Buffer.from(signed), key, signature, (error, good) => resolve(!error && good)));

function chained(fresh: readonly Read[], head: string | null, offset: number): void {
  let before = head;
  for (const [i, { event }] of fresh.entries()) {
    if (event.prev_hash !== before)
      throw new Refusal("record_invalid", "does not continue the record before it", `/records/${offset + i}`);
    before = event.event_hash;
  }
}

/** An id names one event, whoever recorded it. */
async function known(store: StoreReader, fresh: readonly Read[], offset: number): Promise<void> {
  const ids = new Set<string>();
  for (const [i, { event }] of fresh.entries()) {
    if (ids.has(event.id) || (await store.event(event.id)) !== undefined)
      throw new Refusal("record_invalid", `has the id of another event, ${event.id}`, `/records/${offset + i}`);
    ids.add(event.id);
  }
}

function blobsOf({ blobs = {} }: Replication): Blob[] {
  return Object.entries(blobs).map(([digest, base64]) => {
    const bytes = Buffer.from(base64, "base64");
    if (digestOf(bytes) !== digest)
      throw new Refusal("record_invalid", "is not what its digest says", `/blobs/${digest}`);
    return { digest, bytes };
  });
}

function appendOf(
  { record, event }: Read,
  artifact: string | null,
  erased: Pick<Append, "erases">,
  at: number,
): Append {
  const { chain_id, sequence, id, event_type, outcome, tenant_id, correlation_id, event_hash, details } = event;
  const artifact_digest = digestOfPointer(event.evidence_pointer)!;
  if (artifact !== null && digestOf(artifact) !== artifact_digest)
    throw new Refusal("record_invalid", "is not what its record points to", `/artifacts/${at}`);
  const workload = details?.["workload_id"];
  return {
    chain_id,
    sequence,
    id,
    event_type,
    outcome,
    tenant_id,
    workload_id: typeof workload === "string" ? workload : null,
    correlation_id,
    occurred_at_ms: timeMs(event.occurred_at)!,
    event_hash,
    artifact_digest,
    record,
    artifact,
    blobs: [],
    states: [],
    ...erased,
  };
}

/** What the node has erased, on record, is erased here as well: one artifact, or those whose time has ended. */
async function erasedBy(
  event: EvidenceEvent,
  store: StoreReader,
  fresh: readonly Read[],
): Promise<Pick<Append, "erases">> {
  const { event_type, details = {}, sequence } = event;
  if (event_type !== "chain.anchor") return {};
  const { action, sequence: one, from_sequence: from, to_sequence: to } = details as Readonly<Record<string, unknown>>;
  if (action === "artifact_erased") return isBefore(one, sequence) ? { erases: [one] } : {};
  if (action !== "artifacts_expired" || !isBefore(from, sequence) || !isBefore(to, sequence)) return {};
  const held = fresh[0]!.event.sequence;
  const erases = fresh.flatMap((read) => expiredIn(read.event, event, from, to));
  for (let at = from; at <= to && at < held; at += EXPIRED_PAGE)
    for (const record of await store.log.records(event.chain_id, at, Math.min(at + EXPIRED_PAGE, to + 1, held)))
      erases.push(...expiredIn(JSON.parse(eventTextOf(record)) as EvidenceEvent, event, from, to));
  return { erases };
}

const EXPIRED_PAGE = 512;

const isBefore = (given: unknown, sequence: number): given is number =>
  Number.isSafeInteger(given) && (given as number) >= 0 && (given as number) < sequence;

/** By the words of the event that says so: decisions under a profile, before a time. */
function expiredIn(each: EvidenceEvent, { details }: EvidenceEvent, from: number, to: number): number[] {
  const { sequence, event_type, evidence_profile_id, occurred_at } = each;
  const among = sequence >= from && sequence <= to && isDecided(event_type);
  return among && evidence_profile_id === details?.["profile"] && occurred_at < String(details["before"])
    ? [sequence]
    : [];
}

/** The form of a record, whoever signed it: compact JWS, canonical event, and that the event's hash is its own. */
function readRecord(record: string, pointer: string): Read {
  const wrong = (message: string) => new Refusal("record_invalid", message, pointer);
  if (record.length > ENTRY_BYTES_MAX) throw wrong("is larger than a record may be");
  const [header = "", payload = "", signature = "", ...more] = record.split(".");
  const kid = signerOf(header, EVENT_TYPE);
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
  return { record, kid, event, signed: `${header}.${payload}`, signature: signatureBytes };
}

/** @returns in words, what is wrong with it. */
function readEvent(payload: string): EvidenceEvent | string {
  const bytes = Buffer.from(payload, "base64url");
  if (bytes.toString("base64url") !== payload) return "has a payload that is not base64url";
  const text = bytes.toString("utf8");
  let event: unknown;
  try {
    event = JSON.parse(text);
  } catch {
    return "has a payload that is not JSON";
  }
  if (!eventShape().Check(event)) return "is no event";
  const read = event as EvidenceEvent;
  const canonical = canonicalWithout(read, "event_hash");
  if (canonical?.whole !== text) return "is not in canonical form";
  if (digestOf(canonical.without) !== read.event_hash) return "has an event_hash that is not its hash";
  return timeMs(read.occurred_at) === undefined ? "has a time that is none" : read;
}
