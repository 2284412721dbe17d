// The Merkle log in PostgreSQL: tiles lie beside the events that they are over, and grow with them in one transaction.
import { COMPANION_TYPES } from "../../core/event-types.ts";
import { HASH_BYTES } from "../../core/merkle.ts";
import { recordLeaf, TREE_HASHER } from "../../core/sha256.ts";
import { overTiles, TILE_WIDTH, TreeTail } from "../../core/tiles.ts";
import type { LogReader, StoredCheckpoint, StreamRow } from "../store.ts";
import type { RunQuery } from "./connect.ts";

const COMPANIONS = COMPANION_TYPES.map((type) => `'${type}'`).join(", ");

/** The artifact of an event `e`: its own, or, where it accompanies an admission, which stands close before it, that one's. */
export const OWN_ARTIFACT = `JOIN artifacts AS a ON a.position = (
  SELECT o.position FROM events AS o JOIN artifacts USING (position)
  WHERE o.stream = e.stream AND o.artifact_digest = e.artifact_digest AND o.sequence <= e.sequence
    AND o.sequence >= e.sequence - (CASE WHEN e.event_type IN (${COMPANIONS}) THEN ${COMPANION_TYPES.length} ELSE 0 END)
  ORDER BY o.sequence DESC LIMIT 1)`;

/** Streams that have grown since their last checkpoint. */
export const UNCHECKPOINTED =
  "SELECT s.chain_id FROM streams AS s LEFT JOIN checkpoints AS c USING (stream) WHERE s.size > coalesce(c.size, 0)";

/** Reads of committed streams. What it has read stays true, since streams only grow. */
export class PostgresLogReader implements LogReader {
  readonly #rows: RunQuery;

  constructor(rows: RunQuery) {
    this.#rows = rows;
  }

  async streams(): Promise<StreamRow[]> {
    const rows = await this.#rows("SELECT chain_id, size, tenant_id FROM streams WHERE size > 0 ORDER BY chain_id");
    return rows as unknown as StreamRow[];
  }

  async stream(chainId: string): Promise<StreamRow | undefined> {
    const [row] = await this.#rows("SELECT chain_id, size, tenant_id FROM streams WHERE chain_id = $1 AND size > 0", [
      chainId,
    ]);
    return row as unknown as StreamRow | undefined;
  }

  async tile(chainId: string, level: number, n: number): Promise<Uint8Array> {
    const [row] = await this.#rows("SELECT stream, size FROM streams WHERE chain_id = $1", [chainId]);
    return row ? readTile(this.#rows, row["stream"] as number, level, n, row["size"] as number) : new Uint8Array(0);
  }

  async records(chainId: string, from: number, to: number): Promise<string[]> {
    const rows = await this.#rows(
      `SELECT record FROM events WHERE stream = (SELECT stream FROM streams WHERE chain_id = $1) AND sequence >= $2 AND sequence < $3
       ORDER BY sequence`,
      [chainId, from, to],
    );
    return rows.map((row) => row["record"] as string);
  }

  async artifactAt(chainId: string, sequence: number): Promise<Uint8Array | undefined> {
    const [row] = await this.#rows(
      `SELECT a.bytes FROM events AS e ${OWN_ARTIFACT} WHERE e.stream = (SELECT stream FROM streams WHERE chain_id = $1) AND e.sequence = $2`,
      [chainId, sequence],
    );
    return row?.["bytes"] as Uint8Array | undefined;
  }

  async artifacts(chainId: string, from: number, to: number): Promise<ReadonlyMap<number, Uint8Array>> {
    const rows = await this.#rows(
      `SELECT sequence, bytes FROM events JOIN artifacts USING (position)
       WHERE stream = (SELECT stream FROM streams WHERE chain_id = $1) AND sequence >= $2 AND sequence < $3`,
      [chainId, from, to],
    );
    return new Map(rows.map(({ sequence, bytes }) => [sequence as number, bytes as Uint8Array]));
  }

  async artifactsOf(chainId: string, sequences: readonly number[]): Promise<ReadonlyMap<number, Uint8Array>> {
    const rows = await this.#rows(
      `SELECT sequence, bytes FROM events JOIN artifacts USING (position)
       WHERE stream = (SELECT stream FROM streams WHERE chain_id = $1) AND sequence = ANY($2)`,
      [chainId, sequences],
    );
    return new Map(rows.map(({ sequence, bytes }) => [sequence as number, bytes as Uint8Array]));
  }

  async checkpoint(chainId: string): Promise<StoredCheckpoint | undefined> {
    const [row] = await this.#rows(
      "SELECT c.size, c.note FROM checkpoints AS c JOIN streams AS s USING (stream) WHERE s.chain_id = $1",
      [chainId],
    );
    return row as unknown as StoredCheckpoint | undefined;
  }

  async uncheckpointed(): Promise<string[]> {
    return (await this.#rows(UNCHECKPOINTED)).map((row) => row["chain_id"] as string);
  }
}

/** The end of a stream of this size, from what is stored. */
export async function readTail(rows: RunQuery, stream: number, size: number): Promise<TreeTail> {
  if (size === 0) return TreeTail.empty(TREE_HASHER);
  return overTiles(
    (level, n) => readTile(rows, stream, level, n, size),
    (tile) => TreeTail.read(TREE_HASHER, tile, size),
  );
}

/** The partial tile of level 0 is not stored: its hashes are those of at most 255 records, which are. */
async function readTile(rows: RunQuery, stream: number, level: number, n: number, size: number): Promise<Uint8Array> {
  const [stored] = await rows("SELECT hashes FROM tiles WHERE stream = $1 AND level = $2 AND n = $3", [
    stream,
    level,
    n,
  ]);
  if (stored || level > 0) return (stored?.["hashes"] as Uint8Array | undefined) ?? new Uint8Array(0);
  const records = await rows(
    "SELECT record FROM events WHERE stream = $1 AND sequence >= $2 AND sequence < $3 ORDER BY sequence",
    [stream, n * TILE_WIDTH, Math.min(size, (n + 1) * TILE_WIDTH)],
  );
  const leaves = records.map((row) => recordLeaf(row["record"] as string));
  return Buffer.concat(leaves, leaves.length * HASH_BYTES);
}
