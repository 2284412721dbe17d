// What another node sends is hostile until it is checked: form, place, hashes, chain and signature of each record, before any of it is taken.
import { verify, type KeyObject } from "node:crypto";
import { digestOf, eventTextOf, isDecided } from "../../core/event.ts";
import type { EvidenceEvent } from "../../core/schema/event.ts";
import type { Replication } from "../../core/schema/replication.ts";
import type { Append, Blob, KeyRow, StoreReader } from "../../store/store.ts";
import { appendOf } from "../append.ts";
import { parcelsOf, type Parcel } from "../ledger/parcel.ts";
import type { KeyRing } from "./key-ring.ts";
import { readRecord, BatchRefusal, signedBytes, type SentRecord, type Refused } from "./record.ts";

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
  readonly parcels: readonly Parcel[];
  /** Records that are new. */
  readonly accepted: number;
  readonly nextSequence: number;
}

/** A batch of which all is known that does not depend on what else is taken meanwhile. */
export interface ReadBatch {
  readonly read: readonly SentRecord[];
  /** Whose records they are; undefined where there are none. */
  readonly nodeId: string | undefined;
  /** Those whose signature is verified, by the key of the node's that they name. */
  readonly proven: ReadonlySet<SentRecord>;
}

/**
 * The larger part of the work, which batches of one node may be in at the same time: form, places, whose they are, and the
 * signatures by keys that are known by now.
 */
export function readBatch(batch: Batch): Promise<ReadBatch | Refused> {
  return orRefused(() => readAll(batch));
}

/** All of a batch, or nothing. Nothing else of its node is taken meanwhile. */
export function checkBatch(batch: Batch, read: ReadBatch): Promise<Taken | Equivocation | Refused> {
  return orRefused(() => check(batch, read));
}

async function orRefused<T>(work: () => Promise<T>): Promise<T | Refused> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof BatchRefusal) return error.refused;
    throw error;
  }
}

async function readAll(batch: Batch): Promise<ReadBatch> {
  const { chainId, body, store, ring } = batch;
  const { from_sequence: from, records, artifacts } = body;
  if (artifacts !== undefined && artifacts.length !== records.length)
    throw new BatchRefusal("record_invalid", "is not as long as records", "/artifacts");
  const read = records.map((record, i) => readRecord(record, `/records/${i}`));
  if (read.length === 0) return { read, nodeId: undefined, proven: new Set() };
  const nodeId = placesOf(read, chainId, from);
  const why = batch.forbidden(nodeId);
  if (why !== undefined) throw new BatchRefusal("node_forbidden", why);
  await mayBeTaken(store, nodeId);
  const size = (await store.log.stream(chainId))?.size ?? 0;
  const proven = new Set<SentRecord>();
  for (const each of read.slice(Math.max(0, size - from))) {
    const key = ring.key(nodeId, each.kid);
    if (!key || !isSigned(each, key)) break;
    proven.add(each);
  }
  return { read, nodeId, proven };
}

async function mayBeTaken(store: StoreReader, nodeId: string): Promise<void> {
  if ((await store.state("peer", "default", nodeId)) === undefined) return;
  throw new BatchRefusal("node_quarantined", `${nodeId} has signed two histories; nothing more of it is taken`);
}

async function check(batch: Batch, { read, nodeId, proven }: ReadBatch): Promise<Taken | Equivocation> {
  const { chainId, body, store } = batch;
  const { from_sequence: from } = body;
  const size = (await store.log.stream(chainId))?.size ?? 0;
  if (nodeId !== undefined) await mayBeTaken(store, nodeId);
  if (from > size) throw new BatchRefusal("record_gap", `records ${size} to ${from - 1} are missing before these`);
  const held = await store.log.records(chainId, from, Math.min(size, from + read.length));
  const other = held.findIndex((record, i) => record !== read[i]!.record);
  if (other !== -1) return twice(batch, nodeId!, held[other]!, read[other]!, other);
  const fresh = read.slice(held.length);
  if (fresh.length === 0) return { kind: "taken", parcels: [], accepted: 0, nextSequence: size };
  return continued(batch, nodeId!, { fresh, proven, offset: held.length, size });
}

/** That each is where it says, one behind the other. @returns whose they are. */
function placesOf(read: readonly SentRecord[], chainId: string, from: number): string {
  const { tenant_id } = read[0]!.event;
  for (const [i, { event }] of read.entries()) {
    const wrong = (message: string) => new BatchRefusal("record_invalid", message, `/records/${i}`);
    if (event.chain_id !== chainId || event.tenant_id !== tenant_id) throw wrong("belongs to another stream");
    if (event.sequence !== from + i) throw wrong(`is number ${event.sequence} where ${from + i} should be`);
  }
  if (!chainId.startsWith(`${tenant_id}/`) || chainId.length === tenant_id.length + 1)
    throw new BatchRefusal("record_invalid", `is ${tenant_id}'s and lies in ${chainId}`, "/records/0");
  return chainId.slice(tenant_id.length + 1);
}

/** Another record than the one held here, in its place or behind another one: proof against the node, if it signed it. */
function twice({ ring }: Batch, nodeId: string, first: string, second: SentRecord, at: number): Equivocation {
  const key = ring.key(nodeId, second.kid);
  if (!key || !isSigned(second, key))
    throw new BatchRefusal(
      "record_invalid",
      "is of another history than the one held here, by a key that is not known as the node's",
      `/records/${at}`,
    );
  return { kind: "equivocation", nodeId, sequence: second.event.sequence, first, second: second.record };
}

const isSigned = (read: SentRecord, key: KeyObject): boolean => verify(null, signedBytes(read), key, read.signature);

/** Records behind those held here. */
interface Fresh {
  readonly fresh: readonly SentRecord[];
  readonly proven: ReadonlySet<SentRecord>;
  /** Of the first, in the body. */
  readonly offset: number;
  /** Of what is held of the stream. */
  readonly size: number;
}

async function continued(batch: Batch, nodeId: string, added: Fresh): Promise<Taken | Equivocation> {
  const { ring, store, chainId } = batch;
  const { fresh, offset, size } = added;
  const [lastRecord] = size > 0 ? await store.log.records(chainId, size - 1, size) : [];
  const last = lastRecord === undefined ? undefined : readRecord(lastRecord, "");
  if (last === undefined) await introduced(batch, nodeId, fresh[0]!, offset);
  // Whichever of the node's keys signed it: where two histories part, each may have gone on with a key of its own.
  else if (fresh[0]!.event.prev_hash !== last.event.event_hash)
    return { ...twice(batch, nodeId, last.record, fresh[0]!, offset), sequence: size - 1 };
  allSigned(added, keysOf(ring, nodeId, last, fresh, offset));
  chained(fresh, last?.event.event_hash ?? null, offset);
  await unheardOf(store, fresh, offset);
  const parcels = parcelsOf(await appendsOf(batch, fresh, offset));
  return { kind: "taken", parcels, accepted: fresh.length, nextSequence: size + fresh.length };
}

/** With the first goes what others share with it. */
async function appendsOf(
  { body, ring, store }: Batch,
  fresh: readonly SentRecord[],
  offset: number,
): Promise<Append[]> {
  const shared: { blobs: readonly Blob[]; keys: readonly KeyRow[] } = { blobs: blobsOf(body), keys: ring.found };
  const appends = fresh.map((read, i) => appendTo(read, body.artifacts?.[offset + i] ?? null, offset + i));
  appends[0] = { ...appends[0]!, ...shared };
  for (const [i, { event }] of fresh.entries())
    if (event.event_type === "chain.anchor") appends[i] = { ...appends[i]!, ...(await erasedBy(event, store, fresh)) };
  return appends;
}

async function introduced({ body, ring, firstUse }: Batch, nodeId: string, { kid }: SentRecord, offset: number) {
  const introduction = { nodeId, kid, jwks: body.jwks?.keys ?? [], handOvers: body.hand_overs ?? [], firstUse };
  if (await ring.introduce(introduction)) return;
  throw new BatchRefusal(
    "node_untrusted",
    `is signed by ${kid}, which is none of ${nodeId}'s known keys`,
    `/records/${offset}`,
  );
}

/** The key of each: the one before, until a rotation that it has signed names another. */
function keysOf(
  ring: KeyRing,
  nodeId: string,
  last: SentRecord | undefined,
  fresh: readonly SentRecord[],
  offset: number,
): KeyObject[] {
  let before = last;
  return fresh.map((read, i) => {
    const wrong = (message: string) => new BatchRefusal("record_invalid", message, `/records/${offset + i}`);
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

const successor = ({ event, kid }: SentRecord): string =>
  event.event_type === "key.rotate" ? String(event.details?.["new_kid"]) : kid;

/** Verifies what is not verified yet. */
function allSigned({ fresh, proven, offset }: Fresh, keys: readonly KeyObject[]): void {
  const wrong = fresh.findIndex((read, i) => !proven.has(read) && !isSigned(read, keys[i]!));
  if (wrong !== -1)
    throw new BatchRefusal("record_invalid", "has a signature that does not verify", `/records/${offset + wrong}`);
}

function chained(fresh: readonly SentRecord[], head: string | null, offset: number): void {
  let before = head;
  for (const [i, { event }] of fresh.entries()) {
    if (event.prev_hash !== before)
      throw new BatchRefusal("record_invalid", "does not continue the record before it", `/records/${offset + i}`);
    before = event.event_hash;
  }
}

/** An id names one event, whoever recorded it. */
async function unheardOf(store: StoreReader, fresh: readonly SentRecord[], offset: number): Promise<void> {
  const ids = new Set(await store.known(fresh.map(({ event }) => event.id)));
  for (const [i, { event }] of fresh.entries()) {
    if (ids.has(event.id))
      throw new BatchRefusal("record_invalid", `has the id of another event, ${event.id}`, `/records/${offset + i}`);
    ids.add(event.id);
  }
}

function blobsOf({ blobs = {} }: Replication): Blob[] {
  return Object.entries(blobs).map(([digest, base64]) => {
    const bytes = Buffer.from(base64, "base64");
    if (digestOf(bytes) !== digest)
      throw new BatchRefusal("record_invalid", "is not what its digest says", `/blobs/${digest}`);
    return { digest, bytes };
  });
}

function appendTo({ record, event }: SentRecord, artifact: string | null, at: number): Append {
  const append = appendOf(event, record, artifact);
  if (artifact !== null && digestOf(artifact) !== append.artifact_digest)
    throw new BatchRefusal("record_invalid", "is not what its record points to", `/artifacts/${at}`);
  return append;
}

/** What the node has erased, on record, is erased here as well: one artifact, or those whose time has ended. */
async function erasedBy(
  event: EvidenceEvent,
  store: StoreReader,
  fresh: readonly SentRecord[],
): Promise<Pick<Append, "erases">> {
  const { details = {}, sequence } = event;
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
