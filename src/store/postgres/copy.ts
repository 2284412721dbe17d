// A store in PostgreSQL as a copy reads and writes it: every row that there is, and rows as another store has them.
import { digestText, hexOfDigest } from "../../core/digest.ts";
import type { Append, CopiedRows, CopySource, CopyTarget, StateKey, StateRow } from "../store.ts";
import type { DatabaseAt } from "./address.ts";
import type pg from "pg";
import { connectForLoading, READING_MS_MAX, readingPool, type RunQuery, type Row } from "./connect.ts";
import { Loader } from "./load.ts";
import { PostgresReader } from "./reader.ts";
import { INDEX_MS_MAX, WITH_INDICES, WITHOUT_INDICES } from "./schema.ts";
import { insertKey } from "./statements.ts";
import { PostgresWriter } from "./writer.ts";

/** @throws EvidenceUnavailableError, ServerRefusedError see PostgresReader.open. */
export async function openPostgresSource(at: DatabaseAt): Promise<CopySource> {
  const reader = await PostgresReader.open(at);
  const pool = readingPool({ ...at, poolMax: 1 });
  const rows: RunQuery = async (sql, values = []) => (await pool.query(sql, values as unknown[])).rows as Row[];
  const closeReader = reader.close.bind(reader);
  const close = async (): Promise<void> => {
    await pool.end();
    await closeReader();
  };
  return Object.assign(reader, {
    async metaRows(): Promise<Readonly<Record<string, string>>> {
      const found = await rows("SELECT name, value FROM meta WHERE scope = $1 ORDER BY name", [at.scope]);
      return Object.fromEntries(found.map(({ name, value }) => [name as string, value as string]));
    },
    async stateRows(limit: number, after?: StateKey): Promise<StateRow[]> {
      const { kind, tenant_id, key } = after ?? { kind: "", tenant_id: "", key: "" };
      const found = await rows(
        `SELECT kind, tenant_id, key, version, value, due_ms, ref, rank FROM states
         WHERE value IS NOT NULL AND (kind COLLATE "C", tenant_id, key) > ($1, $2, $3) ORDER BY kind COLLATE "C", tenant_id, key LIMIT $4`,
        [kind, tenant_id, key, limit],
      );
      return found as unknown as StateRow[];
    },
    async blobDigests(limit: number, after?: string): Promise<string[]> {
      const behind = after === undefined ? Buffer.alloc(0) : Buffer.from(hexOfDigest(after), "hex");
      const found = await rows("SELECT digest FROM blobs WHERE digest > $1 ORDER BY digest LIMIT $2", [behind, limit]);
      return found.map(({ digest }) => digestText(digest as Uint8Array));
    },
    async inUse(): Promise<boolean> {
      return (await rows("SELECT node_id FROM nodes WHERE expires_at > clock_timestamp() LIMIT 1")).length > 0;
    },
    close,
    [Symbol.asyncDispose]: close,
  });
}

/** It holds no lease: nobody may write the target beside it. */
export async function openPostgresTarget(at: DatabaseAt): Promise<CopyTarget> {
  const writer = await PostgresWriter.open({ ...at, lease: undefined });
  const client = await connectForLoading(at);
  const loader = new Loader(client);
  const query: RunQuery = async (sql, values = []) => (await client.query(sql, values as unknown[])).rows as Row[];
  const closeWriter = writer.close.bind(writer);
  const close = async (): Promise<void> => {
    await client.end();
    await closeWriter();
  };
  const append = writer.append.bind(writer);
  const isPlain = ({ states, blobs, keys = [], erases = [] }: Append): boolean =>
    [states, blobs, keys, erases].every(({ length }) => length === 0);
  return Object.assign(writer, {
    append: (batch: readonly Append[]): Promise<number> => (batch.every(isPlain) ? loader : { append }).append(batch),
    async filling(): Promise<void> {
      if ((await query("SELECT 1 FROM events LIMIT 1")).length === 0) await query(WITHOUT_INDICES);
    },
    async filled(): Promise<void> {
      // However long it takes.
      await query("SET statement_timeout = 0");
      for (const text of WITH_INDICES) await client.query({ text, query_timeout: INDEX_MS_MAX } as pg.QueryConfig);
      // How they are used is decided by what is known of the rows; nobody has looked at these.
      await query("ANALYZE events");
      await query(`SET statement_timeout = ${READING_MS_MAX}`);
    },
    async putRows(rows: CopiedRows): Promise<void> {
      await query("BEGIN");
      try {
        await putRows(query, at.scope, rows);
        await query("COMMIT");
      } catch (error) {
        await query("ROLLBACK").catch(() => {});
        throw error;
      }
    },
    close,
    [Symbol.asyncDispose]: close,
  });
}

async function putRows(query: RunQuery, scope: string, rows: CopiedRows): Promise<void> {
  const { states = [], gone = [], keys = [], meta = {}, blobs = [], checkpoints = [], erased = [] } = rows;
  if (states.length > 0) await putStates(query, states);
  if (gone.length > 0)
    await query(
      "DELETE FROM states USING unnest($1::text[], $2::text[], $3::text[]) AS g (kind, tenant_id, key) WHERE (states.kind, states.tenant_id, states.key) = (g.kind, g.tenant_id, g.key)",
      [gone.map(({ kind }) => kind), gone.map(({ tenant_id }) => tenant_id), gone.map(({ key }) => key)],
    );
  for (const key of keys) await insertKey(query, scope, key);
  for (const [name, value] of Object.entries(meta))
    await query(
      "INSERT INTO meta (scope, name, value) VALUES ($1, $2, $3) ON CONFLICT (scope, name) DO UPDATE SET value = excluded.value",
      [scope, name, value],
    );
  for (const { digest, bytes } of blobs)
    await query("INSERT INTO blobs (digest, bytes) VALUES ($1, $2) ON CONFLICT DO NOTHING", [
      Buffer.from(hexOfDigest(digest), "hex"),
      Buffer.from(bytes),
    ]);
  for (const { chain_id, size, note } of checkpoints)
    await query(
      `INSERT INTO checkpoints (stream, size, note) SELECT stream, $2, $3 FROM streams WHERE chain_id = $1
       ON CONFLICT (stream) DO UPDATE SET size = excluded.size, note = excluded.note`,
      [chain_id, size, note],
    );
  for (const { chain_id, sequence } of erased)
    await query(
      "DELETE FROM artifacts WHERE position = (SELECT position FROM events WHERE stream = (SELECT stream FROM streams WHERE chain_id = $1) AND sequence = $2)",
      [chain_id, sequence],
    );
}

async function putStates(query: RunQuery, states: readonly StateRow[]): Promise<void> {
  const column = <M extends keyof StateRow>(member: M): StateRow[M][] => states.map((row) => row[member]);
  await query(
    `INSERT INTO states (kind, tenant_id, key, version, value, due_ms, ref, rank)
     SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::bigint[], $7::text[], $8::double precision[])
     ON CONFLICT (kind, tenant_id, key) DO UPDATE
     SET version = excluded.version, value = excluded.value, due_ms = excluded.due_ms, ref = excluded.ref, rank = excluded.rank`,
    [
      column("kind"),
      column("tenant_id"),
      column("key"),
      column("version"),
      column("value"),
      column("due_ms"),
      column("ref"),
      column("rank"),
    ],
  );
}
