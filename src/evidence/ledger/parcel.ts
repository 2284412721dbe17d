// Records of another node on their way between threads: column by column, their bytes in memory that threads share, so that none is copied.
import type { Append, Blob, KeyRow } from "../../store/store.ts";

/** Columns of text, one value an event. */
type Texts = {
  readonly [Name in
    | "id"
    | "event_type"
    | "outcome"
    | "correlation_id"
    | "event_hash"
    | "artifact_digest"]: readonly string[];
};

/** Events of one stream, one behind the other, that commit together. */
export interface Parcel extends Texts {
  readonly chain_id: string;
  readonly tenant_id: string;
  /** Of the first. */
  readonly sequence: number;
  readonly workload_id: readonly (string | null)[];
  readonly occurred_at_ms: readonly number[];
  /** Records (ASCII) and artifacts (UTF-8), an event's one behind the other. */
  readonly bytes: Uint8Array;
  /** How many bytes each has of them; -1: it has no artifact of its own. */
  readonly recordBytes: readonly number[];
  readonly artifactBytes: readonly number[];
  /** What commits with the first. */
  readonly blobs: readonly Blob[];
  readonly keys: readonly KeyRow[];
  /** See {@link Append.erases}, by the event's place among these. */
  readonly erases: ReadonlyMap<number, readonly number[]>;
}

/** Events in one commit, so that decisions that wait meanwhile do not wait long. */
const EVENTS_MAX = 512;

/** @param appends of one stream, in order; they change no state. */
export function parcelsOf(appends: readonly Append[]): Parcel[] {
  const parcels: Parcel[] = [];
  for (let at = 0; at < appends.length; at += EVENTS_MAX) parcels.push(parcelOf(appends.slice(at, at + EVENTS_MAX)));
  return parcels;
}

function parcelOf(appends: readonly Append[]): Parcel {
  const [{ chain_id, tenant_id, sequence, blobs, keys = [] }] = appends as readonly [Append, ...Append[]];
  const column = <Name extends keyof Append>(name: Name): Append[Name][] => appends.map((append) => append[name]);
  const recordBytes = appends.map(({ record }) => record.length);
  const artifactBytes = appends.map(({ artifact }) => (artifact === null ? -1 : Buffer.byteLength(artifact)));
  const length = [...recordBytes, ...artifactBytes].reduce((sum, bytes) => sum + Math.max(0, bytes), 0);
  const bytes = Buffer.from(new SharedArrayBuffer(length));
  let end = 0;
  for (const { record, artifact } of appends) {
    end += bytes.write(record, end, "latin1");
    if (artifact !== null) end += bytes.write(artifact, end, "utf8");
  }
  return {
    chain_id,
    tenant_id,
    sequence,
    id: column("id"),
    event_type: column("event_type"),
    outcome: column("outcome"),
    correlation_id: column("correlation_id"),
    event_hash: column("event_hash"),
    artifact_digest: column("artifact_digest"),
    workload_id: column("workload_id"),
    occurred_at_ms: column("occurred_at_ms"),
    bytes,
    recordBytes,
    artifactBytes,
    blobs,
    keys,
    erases: new Map(appends.flatMap(({ erases }, i) => (erases ? [[i, erases] as const] : []))),
  };
}

/** The records alone. */
export function recordsIn({ bytes, recordBytes, artifactBytes }: Parcel): string[] {
  const all = bufferOf(bytes);
  let start = 0;
  return recordBytes.map((length, i) => {
    const record = all.toString("latin1", start, start + length);
    start += length + Math.max(0, artifactBytes[i]!);
    return record;
  });
}

export function appendsIn(parcel: Parcel): Append[] {
  const { chain_id, tenant_id, sequence, blobs, keys, erases } = parcel;
  const all = bufferOf(parcel.bytes);
  let end = 0;
  return recordsIn(parcel).map((record, i) => {
    const start = (end += record.length);
    const length = parcel.artifactBytes[i]!;
    if (length > 0) end += length;
    return {
      chain_id,
      sequence: sequence + i,
      id: parcel.id[i]!,
      event_type: parcel.event_type[i]!,
      outcome: parcel.outcome[i]!,
      tenant_id,
      workload_id: parcel.workload_id[i]!,
      correlation_id: parcel.correlation_id[i]!,
      occurred_at_ms: parcel.occurred_at_ms[i]!,
      event_hash: parcel.event_hash[i]!,
      artifact_digest: parcel.artifact_digest[i]!,
      record,
      artifact: length < 0 ? null : all.toString("utf8", start, end),
      blobs: i === 0 ? blobs : [],
      states: [],
      keys: i === 0 ? keys : undefined,
      erases: erases.get(i),
    };
  });
}

const bufferOf = ({ buffer, byteOffset, byteLength }: Uint8Array): Buffer =>
  Buffer.from(buffer, byteOffset, byteLength);
