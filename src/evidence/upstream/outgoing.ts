// What is sent upstream of a stream: records in order with what belongs to them, a batch that costs little memory at a time.
import { constants, zstdCompressSync } from "node:zlib";
import { digestOfPointer, EMPTY_SNAPSHOT } from "../../core/digest.ts";
import { eventTextOf } from "../../core/event.ts";
import type { EvidenceEvent } from "../../core/schema/event.ts";
import type { Replication } from "../../core/schema/replication.ts";
import { publicJwk } from "../keys/jwks.ts";
import { settingsOfEvent } from "../../core/snapshots.ts";
import type { KeyRow, StoreReader } from "../../store/store.ts";

const RECORDS_MAX = 512;
const READ_AT_ONCE = 64;
/** Records and artifacts together; a single record may have more. */
const BYTES_MAX = 4 * 1024 * 1024;
/** Shared artifacts beyond this cannot be sent: the other side takes no such body. */
const BLOB_BYTES_MAX = 20 * 1024 * 1024;
/** Shared artifacts that were sent, by digest. To send one again costs its bytes, and is otherwise of no consequence. */
const SENT_MAX = 10_000;

export interface Outgoing {
  readonly chainId: string;
  readonly from: number;
  readonly count: number;
  readonly body: Replication;
  /** Of shared artifacts that go with it. */
  readonly digests: readonly string[];
}

/** Shared artifacts that the other side has, as far as is known. */
export class SentBlobs {
  readonly #sent = new Set<string>();

  has(digest: string): boolean {
    return this.#sent.has(digest);
  }

  add(digests: readonly string[]): void {
    for (const digest of digests) {
      if (this.#sent.size >= SENT_MAX) this.#sent.clear();
      this.#sent.add(digest);
    }
  }

  /** They did not arrive after all. */
  delete(digests: readonly string[]): void {
    for (const digest of digests) this.#sent.delete(digest);
  }

  clear(): void {
    this.#sent.clear();
  }
}

/** For what is shown only to be compared. */
export const ALL_SENT: Pick<SentBlobs, "has"> = { has: () => true };

/** The records of a stream from a place on, as many as one request may have; none where there are none. */
export async function outgoing(
  store: StoreReader,
  { chain_id: chainId, tenant_id }: { readonly chain_id: string; readonly tenant_id: string },
  from: number,
  sent: Pick<SentBlobs, "has">,
  recordsMax = RECORDS_MAX,
): Promise<Outgoing> {
  const records: string[] = [];
  const artifacts: (string | null)[] = [];
  const blobs = new Map<string, string>();
  let bytes = 0;
  for await (const { record, artifact } of held(store, chainId, from, from + recordsMax)) {
    const event = JSON.parse(eventTextOf(record)) as EvidenceEvent;
    const pointed = artifact === undefined && !isCompanion(event);
    bytes += record.length + (artifact?.length ?? 0) + (await addBlobs(store, event, pointed, blobs, sent));
    if (records.length > 0 && bytes > BYTES_MAX) break;
    records.push(record);
    artifacts.push(artifact === undefined ? null : Buffer.from(artifact).toString("utf8"));
  }
  const keys = await store.keys();
  const nodeId = chainId.slice(tenant_id.length + 1);
  const body: Replication = {
    from_sequence: from,
    records,
    jwks: { keys: keysOf(keys, nodeId) },
    artifacts,
    ...(blobs.size > 0 && { blobs: Object.fromEntries(blobs) }),
    ...(from === 0 && { hand_overs: handOversIn(keys) }),
  };
  return { chainId, from, count: records.length, body, digests: [...blobs.keys()] };
}

/** As many as one request may have, each with the artifact that lies with it; a few at a time, as some are large. */
async function* held(store: StoreReader, chainId: string, from: number, end: number) {
  for (let at = from; at < end; at += READ_AT_ONCE) {
    const to = Math.min(at + READ_AT_ONCE, end);
    const records = await store.log.records(chainId, at, to);
    const artifacts = await store.log.artifacts(chainId, at, at + records.length);
    for (const [i, record] of records.entries()) yield { record, artifact: artifacts.get(at + i) };
    if (at + records.length < to) return;
  }
}

/** An artifact that lies with the event that this one accompanies goes with that one. */
const isCompanion = ({ details, event_type }: EvidenceEvent): boolean =>
  event_type !== "workload.admit" && event_type !== "workload.refuse" && details?.["admission_event_id"] !== undefined;

/** What the record names and others name as well. @returns how many bytes it adds. */
async function addBlobs(
  store: StoreReader,
  event: EvidenceEvent,
  pointed: boolean,
  blobs: Map<string, string>,
  sent: Pick<SentBlobs, "has">,
): Promise<number> {
  const { policy_snapshot_id, authority_snapshot_id, evidence_pointer } = event;
  const settings = settingsOfEvent(event) ?? EMPTY_SNAPSHOT;
  const named = [
    policy_snapshot_id,
    authority_snapshot_id,
    settings,
    ...(pointed ? [digestOfPointer(evidence_pointer)!] : []),
  ];
  let added = 0;
  for (const digest of named) {
    if (digest === EMPTY_SNAPSHOT || sent.has(digest) || blobs.has(digest)) continue;
    const bytes = await store.artifact(digest);
    if (bytes === undefined || bytes.length > BLOB_BYTES_MAX) continue;
    blobs.set(digest, Buffer.from(bytes).toString("base64"));
    added += bytes.length;
  }
  return added;
}

/** A node's public event keys; of its own streams, all that it ever had. */
const keysOf = (rows: readonly KeyRow[], nodeId: string) => {
  const peers = rows.filter((row) => row.role === "peer" && row.node_id === nodeId);
  return (peers.length > 0 ? peers : rows.filter(({ role }) => role === "event")).map(({ jwk }) => ({
    ...publicJwk(jwk),
  }));
};

/** By which each key named the next, in the order in which they were made. */
const handOversIn = (rows: readonly KeyRow[]): string[] =>
  rows.flatMap(({ hand_over }) => (hand_over === undefined ? [] : [hand_over]));

/** Packed for the way: zstd takes a fraction of the time of gzip. */
export function packed(body: Replication): { readonly bytes: Uint8Array; readonly encoding: "zstd" } {
  const params = { [constants.ZSTD_c_compressionLevel]: LEVEL };
  return { bytes: zstdCompressSync(Buffer.from(JSON.stringify(body)), { params }), encoding: "zstd" };
}

const LEVEL = 1;
