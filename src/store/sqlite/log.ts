// The Merkle log in SQLite: tiles grow in the transaction of the events that they are over, so neither is ever ahead of the other.
import { COMPANION_TYPES } from "../../core/event-types.ts";
import { HASH_BYTES } from "../../core/merkle.ts";
import { recordLeaf, TREE_HASHER } from "../../core/sha256.ts";
import { TILE_WIDTH, TreeTail } from "../../core/tiles.ts";
import type { LogReader, StoredCheckpoint, StreamRow } from "../store.ts";
import type { KeptStatements } from "./statements.ts";

/**
 * Full tiles of level 0, and above it the partial ones as well. The partial tile of level 0 is not stored: its hashes are
 * those of at most 255 records, which are.
 */
export const LOG_SCHEMA = `
CREATE TABLE tiles (stream INTEGER NOT NULL REFERENCES streams, level INTEGER NOT NULL, n INTEGER NOT NULL, hashes BLOB NOT NULL, PRIMARY KEY (stream, level, n)) WITHOUT ROWID;
CREATE TABLE checkpoints (stream INTEGER PRIMARY KEY REFERENCES streams, size INTEGER NOT NULL, note TEXT NOT NULL);
`;

const TILE = "SELECT hashes FROM tiles WHERE stream = ? AND level = ? AND n = ?";
const PUT_TILE = "INSERT OR REPLACE INTO tiles (stream, level, n, hashes) VALUES (?, ?, ?, ?)";
const PUT_CHECKPOINT = "INSERT OR REPLACE INTO checkpoints (stream, size, note) VALUES (?, ?, ?)";
const RECORDS = "SELECT record FROM events WHERE stream = ? AND sequence >= ? AND sequence < ? ORDER BY sequence";

/** The ends of streams that are appended to, as they will be when the running transaction commits. */
export class LogWriter {
  readonly #sql: KeptStatements;

  constructor(sql: KeptStatements) {
    this.#sql = sql;
  }

  /** The end of a stream of this size, from what is stored. */
  readTail(stream: number, size: number): TreeTail {
    if (size === 0) return TreeTail.empty(TREE_HASHER);
    return TreeTail.read(TREE_HASHER, (level, n) => readTile(this.#sql, stream, level, n, size), size);
  }

  /** Appends a record's leaf, and stores what became whole with it. */
  append(stream: number, tail: TreeTail, record: string): void {
    for (const growth of tail.append(recordLeaf(record))) {
      const { level, n } = growth;
      if ("tile" in growth) {
        this.#sql(PUT_TILE).run(stream, level, n, growth.tile);
        continue;
      }
      const before = this.#sql(TILE).get(stream, level, n)?.["hashes"] as Uint8Array | undefined;
      this.#sql(PUT_TILE).run(stream, level, n, before ? Buffer.concat([before, growth.hash]) : growth.hash);
    }
  }

  putCheckpoint(stream: number, { size, note }: StoredCheckpoint): void {
    this.#sql(PUT_CHECKPOINT).run(stream, size, note);
  }
}

const COMPANIONS = COMPANION_TYPES.map((type) => `'${type}'`).join(", ");

/** The artifact of an event `e`: its own, or, where it accompanies an admission, which stands close before it, that one's. */
export const OWN_ARTIFACT = `JOIN artifacts AS a ON a.position = (
  SELECT o.position FROM events AS o JOIN artifacts USING (position)
  WHERE o.stream = e.stream AND o.artifact_digest = e.artifact_digest AND o.sequence <= e.sequence
    AND o.sequence >= e.sequence - (CASE WHEN e.event_type IN (${COMPANIONS}) THEN ${COMPANION_TYPES.length} ELSE 0 END))`;

const STREAM =
  "SELECT s.stream, s.chain_id, s.size, e.tenant_id FROM streams s LEFT JOIN events e ON e.stream = s.stream AND e.sequence = 0 WHERE s.chain_id = ?";
const ARTIFACT = `SELECT CAST(bytes AS BLOB) AS bytes FROM events AS e ${OWN_ARTIFACT} WHERE e.stream = (SELECT stream FROM streams WHERE chain_id = ?) AND e.sequence = ?`;
/** All in one piece: memory for each alone takes longer to be had, and to be collected, than reading it. */
const SOME_ARTIFACTS = `SELECT CAST(group_concat(bytes, '') AS BLOB) AS bytes, json_group_array(sequence) AS sequences, json_group_array(octet_length(bytes)) AS lengths
  FROM events JOIN artifacts USING (position) WHERE stream = (SELECT stream FROM streams WHERE chain_id = ?)`;
const ARTIFACTS = `${SOME_ARTIFACTS} AND sequence >= ? AND sequence < ?`;
const ARTIFACTS_OF = `${SOME_ARTIFACTS} AND sequence IN (SELECT value FROM json_each(?))`;
/** So many are a piece. */
const ARTIFACTS_AT_ONCE = 64;

/** Reads of committed streams. What it has read stays true, since streams only grow. */
export class SqliteLogReader implements LogReader {
  readonly #sql: KeptStatements;

  constructor(sql: KeptStatements) {
    this.#sql = sql;
  }

  async streams(): Promise<StreamRow[]> {
    const rows = this.#sql(
      "SELECT s.chain_id, s.size, e.tenant_id FROM streams s JOIN events e ON e.stream = s.stream AND e.sequence = 0 ORDER BY s.chain_id",
    ).all();
    return rows as unknown as StreamRow[];
  }

  async stream(chainId: string): Promise<StreamRow | undefined> {
    const row = this.#sql(STREAM).get(chainId);
    return row && row["tenant_id"] !== null
      ? ({ chain_id: row["chain_id"], size: row["size"], tenant_id: row["tenant_id"] } as StreamRow)
      : undefined;
  }

  async tile(chainId: string, level: number, n: number): Promise<Uint8Array> {
    const row = this.#sql(STREAM).get(chainId) as unknown as { stream: number; size: number } | undefined;
    return row ? readTile(this.#sql, row.stream, level, n, row.size) : new Uint8Array(0);
  }

  async records(chainId: string, from: number, to: number): Promise<string[]> {
    const row = this.#sql(STREAM).get(chainId);
    return row ? readRecords(this.#sql, row["stream"] as number, from, to) : [];
  }

  async artifactAt(chainId: string, sequence: number): Promise<Uint8Array | undefined> {
    return this.#sql(ARTIFACT).get(chainId, sequence)?.["bytes"] as Uint8Array | undefined;
  }

  async artifacts(chainId: string, from: number, to: number): Promise<ReadonlyMap<number, Uint8Array>> {
    const found = new Map<number, Uint8Array>();
    for (let at = from; at < to; at += ARTIFACTS_AT_ONCE)
      takeArtifacts(this.#sql(ARTIFACTS).get(chainId, at, Math.min(to, at + ARTIFACTS_AT_ONCE)), found);
    return found;
  }

  async artifactsOf(chainId: string, sequences: readonly number[]): Promise<ReadonlyMap<number, Uint8Array>> {
    const found = new Map<number, Uint8Array>();
    for (let at = 0; at < sequences.length; at += ARTIFACTS_AT_ONCE) {
      const some = JSON.stringify(sequences.slice(at, at + ARTIFACTS_AT_ONCE));
      takeArtifacts(this.#sql(ARTIFACTS_OF).get(chainId, some), found);
    }
    return found;
  }

  async checkpoint(chainId: string): Promise<StoredCheckpoint | undefined> {
    const row = this.#sql(
      "SELECT size, note FROM checkpoints WHERE stream = (SELECT stream FROM streams WHERE chain_id = ?)",
    ).get(chainId);
    return row as unknown as StoredCheckpoint | undefined;
  }

  async uncheckpointed(): Promise<string[]> {
    return this.#sql(
      "SELECT chain_id FROM streams LEFT JOIN checkpoints USING (stream) WHERE streams.size > coalesce(checkpoints.size, 0)",
    )
      .all()
      .map((row) => row["chain_id"] as string);
  }
}

function takeArtifacts(row: unknown, found: Map<number, Uint8Array>): void {
  const { bytes, sequences, lengths } = row as { bytes: Uint8Array; sequences: string; lengths: string };
  const all = JSON.parse(lengths) as number[];
  let at = 0;
  for (const [i, sequence] of (JSON.parse(sequences) as number[]).entries())
    found.set(sequence, bytes.subarray(at, (at += all[i]!)));
}

function readTile(sql: KeptStatements, stream: number, level: number, n: number, size: number): Uint8Array {
  const stored = sql(TILE).get(stream, level, n)?.["hashes"] as Uint8Array | undefined;
  if (stored || level > 0) return stored ?? new Uint8Array(0);
  const leaves = readRecords(sql, stream, n * TILE_WIDTH, Math.min(size, (n + 1) * TILE_WIDTH)).map(recordLeaf);
  return Buffer.concat(leaves, leaves.length * HASH_BYTES);
}

function readRecords(sql: KeptStatements, stream: number, from: number, to: number): string[] {
  return sql(RECORDS)
    .all(stream, from, to)
    .map((row) => row["record"] as string);
}
