// The default store: one SQLite database in WAL mode, synchronous=FULL, so that a commit is on the disk when it returns.
import { join } from "node:path";
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { digestText, hexOfDigest } from "../../core/digest.ts";
import { EMPTY_STREAM, type Head } from "../../core/event.ts";
import { ENTRY_BYTES_MAX, type TreeTail } from "../../core/tiles.ts";
import { LOG_SCHEMA, LogWriter, SqliteLogReader } from "./log.ts";
import type {
  Append,
  EventQuery,
  KeyRow,
  LogReader,
  StateWrite,
  StoredCheckpoint,
  StoreReader,
  StoreWriter,
  StoredEvent,
} from "../store.ts";

/** Raised when tables change in a way that older code cannot read. */
const SCHEMA_VERSION = 1;

/** WAL pages between checkpoints: larger means fewer pauses, a longer recovery and a larger `-wal` file. */
const WAL_AUTOCHECKPOINT_PAGES = 4000;
const BUSY_TIMEOUT_MS = 5000;
/** Streams whose end is kept in memory (at most some 12 KB each); the end of any other is read when it is appended to. */
const STREAMS_KEPT_MAX = 2048;

const SCHEMA = `
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE keys (kid TEXT PRIMARY KEY, role TEXT NOT NULL, jwk TEXT NOT NULL, created_at_ms INTEGER NOT NULL, retired_at_ms INTEGER) WITHOUT ROWID;
CREATE TABLE streams (stream INTEGER PRIMARY KEY, chain_id TEXT NOT NULL UNIQUE, size INTEGER NOT NULL, head_hash TEXT);
CREATE TABLE events (
  position INTEGER PRIMARY KEY,
  stream INTEGER NOT NULL REFERENCES streams,
  sequence INTEGER NOT NULL,
  id TEXT NOT NULL,
  event_type TEXT NOT NULL,
  outcome TEXT NOT NULL,
  tenant_id TEXT NOT NULL,
  workload_id TEXT,
  correlation_id TEXT NOT NULL,
  occurred_at_ms INTEGER NOT NULL,
  artifact_digest BLOB NOT NULL,
  record TEXT NOT NULL
);
CREATE UNIQUE INDEX events_by_place ON events (stream, sequence);
CREATE UNIQUE INDEX events_by_id ON events (id);
CREATE INDEX events_by_workload ON events (workload_id, position) WHERE workload_id IS NOT NULL;
CREATE INDEX events_by_correlation ON events (correlation_id);
-- An event's own artifact, beside it and not inside, so that it can be erased while the record stands.
CREATE TABLE artifacts (position INTEGER PRIMARY KEY REFERENCES events, bytes TEXT NOT NULL);
-- Artifacts that many events share: policy bundles, authority material.
CREATE TABLE blobs (digest BLOB PRIMARY KEY, bytes BLOB NOT NULL);
CREATE TABLE states (kind TEXT NOT NULL, tenant_id TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, due_ms INTEGER, PRIMARY KEY (kind, tenant_id, key)) WITHOUT ROWID;
CREATE INDEX states_by_due ON states (kind, due_ms) WHERE due_ms IS NOT NULL;
${LOG_SCHEMA}`;

/** Where a data directory keeps its database. */
export const storeFile = (dataDir: string): string => join(dataDir, "railgate.db");

/** Opens or creates the database for writing. Only the holder of the data directory's lock may. */
export function openSqliteWriter(path: string): StoreWriter {
  return new SqliteWriter(path);
}

/** Opens the database for reading; the writer may be another thread or process. */
export function openSqliteReader(path: string): StoreReader {
  return new SqliteReader(path);
}

class SqliteWriter implements StoreWriter {
  readonly #db: DatabaseSync;
  readonly #insertEvent: StatementSync;
  readonly #insertArtifact: StatementSync;
  readonly #putState: StatementSync;
  readonly #deleteState: StatementSync;
  readonly #putBlob: StatementSync;
  readonly #setHead: StatementSync;
  readonly #log: LogWriter;
  /** chain_id → its number and its end as committed, least recently used first; forgotten on failure. */
  readonly #streams = new Map<string, { stream: number; tail: TreeTail }>();

  constructor(path: string) {
    const db = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS });
    try {
      // Larger pages hold a whole record or artifact, so fewer of them overflow. What is erased must not be left over in a page,
      // and pages are split as they fill, so free space is overwritten always and not only when something is erased.
      db.exec(`PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF; PRAGMA secure_delete = ON;
               PRAGMA wal_autocheckpoint = ${WAL_AUTOCHECKPOINT_PAGES};`);
      migrate(db);
      this.#insertEvent = db.prepare(
        `INSERT INTO events (stream, sequence, id, event_type, outcome, tenant_id, workload_id, correlation_id, occurred_at_ms, artifact_digest, record)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      );
      this.#insertArtifact = db.prepare("INSERT INTO artifacts (position, bytes) VALUES (?, ?)");
      this.#putState = db.prepare(
        `INSERT INTO states (kind, tenant_id, key, value, due_ms) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (kind, tenant_id, key) DO UPDATE SET value = excluded.value, due_ms = excluded.due_ms`,
      );
      this.#deleteState = db.prepare("DELETE FROM states WHERE kind = ? AND tenant_id = ? AND key = ?");
      this.#putBlob = db.prepare("INSERT OR IGNORE INTO blobs (digest, bytes) VALUES (?, ?)");
      this.#setHead = db.prepare("UPDATE streams SET size = ?, head_hash = ? WHERE stream = ?");
      this.#log = new LogWriter(db);
    } catch (error) {
      db.close();
      throw error;
    }
    this.#db = db;
  }

  append(batch: readonly Append[]): number {
    let first = 0;
    const erases = batch.some((event) => event.erases);
    const heads = new Map<number, { size: number; hash: string }>();
    this.#transaction(() => {
      for (const event of batch) {
        const stream = this.#stream(event.chain_id);
        if (event.sequence !== stream.tail.size) {
          throw new Error(
            `stream ${event.chain_id} ends at ${stream.tail.size}, and event ${event.sequence} cannot follow`,
          );
        }
        if (event.record.length > ENTRY_BYTES_MAX)
          throw new Error(`a record of ${event.record.length} bytes has no place in a log`);
        const position = Number(
          this.#insertEvent.run(
            stream.stream,
            event.sequence,
            event.id,
            event.event_type,
            event.outcome,
            event.tenant_id,
            event.workload_id,
            event.correlation_id,
            event.occurred_at_ms,
            digestBytes(event.artifact_digest),
            event.record,
          ).lastInsertRowid,
        );
        first ||= position;
        if (event.artifact !== null) this.#insertArtifact.run(position, event.artifact);
        for (const blob of event.blobs) this.#putBlob.run(digestBytes(blob.digest), blob.bytes);
        for (const state of event.states) this.#writeState(state);
        for (const key of event.keys ?? []) this.putKey(key);
        for (const sequence of event.erases ?? []) this.#erase(stream.stream, sequence);
        this.#log.append(stream.stream, stream.tail, event.record);
        heads.set(stream.stream, { size: event.sequence + 1, hash: event.event_hash });
      }
      for (const [stream, head] of heads) this.#setHead.run(head.size, head.hash, stream);
    });
    this.#trimStreams();
    if (erases) this.#foldLog();
    return first;
  }

  /** Old pages live on in the log of writes until it is folded into the database. What committed stands, even if this fails; a later checkpoint folds it. */
  #foldLog(): void {
    try {
      this.#db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    } catch {
      // Said above.
    }
  }

  #erase(stream: number, sequence: number): void {
    this.#db
      .prepare("DELETE FROM artifacts WHERE position = (SELECT position FROM events WHERE stream = ? AND sequence = ?)")
      .run(stream, sequence);
  }

  tree(chainId: string): { size: number; root: Uint8Array } {
    const { size, root } = this.#stream(chainId).tail;
    return { size, root };
  }

  putCheckpoints(checkpoints: readonly (StoredCheckpoint & { readonly chain_id: string })[]): void {
    this.#transaction(() => {
      for (const checkpoint of checkpoints)
        this.#log.putCheckpoint(this.#stream(checkpoint.chain_id).stream, checkpoint);
    });
    this.#trimStreams();
  }

  uncheckpointed(): string[] {
    return new SqliteLogReader(this.#db).uncheckpointed();
  }

  putKey(key: KeyRow): void {
    this.#db
      .prepare("INSERT OR REPLACE INTO keys (kid, role, jwk, created_at_ms, retired_at_ms) VALUES (?, ?, ?, ?, ?)")
      .run(key.kid, key.role, JSON.stringify(key.jwk), key.created_at_ms, key.retired_at_ms);
  }

  putMeta(name: string, value: string): void {
    this.#db.prepare("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)").run(name, value);
  }

  close(): void {
    this.#db.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #transaction(work: () => void): void {
    this.#db.exec("BEGIN IMMEDIATE");
    try {
      work();
      this.#db.exec("COMMIT");
    } catch (error) {
      this.#streams.clear();
      // SQLite rolls back by itself on some errors (a full disk); a second rollback then has nothing to undo.
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw error;
    }
  }

  #stream(chainId: string): { stream: number; tail: TreeTail } {
    let known = this.#streams.get(chainId);
    if (!known) {
      this.#db.prepare("INSERT OR IGNORE INTO streams (chain_id, size) VALUES (?, 0)").run(chainId);
      const { stream, size } = this.#db.prepare("SELECT stream, size FROM streams WHERE chain_id = ?").get(chainId) as {
        stream: number;
        size: number;
      };
      known = { stream, tail: this.#log.readTail(stream, size) };
    } else this.#streams.delete(chainId);
    this.#streams.set(chainId, known);
    return known;
  }

  #trimStreams(): void {
    for (const chainId of this.#streams.keys()) {
      if (this.#streams.size <= STREAMS_KEPT_MAX) return;
      this.#streams.delete(chainId);
    }
  }

  #writeState({ kind, tenant_id, key, value, due_ms }: StateWrite): void {
    if (value === null) this.#deleteState.run(kind, tenant_id, key);
    else this.#putState.run(kind, tenant_id, key, value, due_ms ?? null);
  }
}

class SqliteReader implements StoreReader {
  readonly log: LogReader;
  readonly #db: DatabaseSync;
  readonly #state: StatementSync;

  constructor(path: string) {
    this.#db = new DatabaseSync(path, { readOnly: true, timeout: BUSY_TIMEOUT_MS });
    try {
      checkVersion(this.#db);
      this.log = new SqliteLogReader(this.#db);
      this.#state = this.#db.prepare("SELECT value FROM states WHERE kind = ? AND tenant_id = ? AND key = ?");
    } catch (error) {
      this.#db.close();
      throw error;
    }
  }

  heads(): Map<string, Head> {
    const rows = this.#db.prepare("SELECT chain_id, size, head_hash FROM streams").all() as {
      chain_id: string;
      size: number;
      head_hash: string | null;
    }[];
    return new Map(
      rows.map((row) => [row.chain_id, row.size === 0 ? EMPTY_STREAM : { size: row.size, hash: row.head_hash }]),
    );
  }

  events(query: EventQuery): StoredEvent[] {
    const filters: [string, SQLInputValue | undefined][] = [
      ["tenant_id = ?", query.tenant_id],
      ["stream = (SELECT stream FROM streams WHERE chain_id = ?)", query.chain_id],
      ["event_type = ?", query.event_type],
      ["outcome = ?", query.outcome],
      ["workload_id = ?", query.workload_id],
      ["correlation_id = ?", query.correlation_id],
      ["occurred_at_ms >= ?", query.since_ms],
      ["occurred_at_ms < ?", query.until_ms],
      [query.order === "asc" ? "position > ?" : "position < ?", query.after],
    ];
    const used = filters.filter((filter): filter is [string, SQLInputValue] => filter[1] !== undefined);
    const where = used.length > 0 ? `WHERE ${used.map(([clause]) => clause).join(" AND ")}` : "";
    const rows = this.#db
      .prepare(`SELECT position, record FROM events ${where} ORDER BY position ${query.order} LIMIT ?`)
      .all(...used.map(([, value]) => value), query.limit);
    return rows as unknown as StoredEvent[];
  }

  event(id: string): (StoredEvent & { tenant_id: string; artifact_digest: string }) | undefined {
    const row = this.#db
      .prepare("SELECT position, record, tenant_id, artifact_digest FROM events WHERE id = ?")
      .get(id);
    if (!row) return undefined;
    return {
      ...(row as unknown as StoredEvent & { tenant_id: string }),
      artifact_digest: digestText(row["artifact_digest"] as Uint8Array),
    };
  }

  artifact(digest: string, eventId?: string): Uint8Array | undefined {
    if (eventId !== undefined) {
      const own = this.#db
        .prepare(
          "SELECT CAST(bytes AS BLOB) AS bytes FROM artifacts WHERE position = (SELECT position FROM events WHERE id = ?)",
        )
        .get(eventId);
      if (own) return own["bytes"] as Uint8Array;
    }
    return this.#db.prepare("SELECT bytes FROM blobs WHERE digest = ?").get(digestBytes(digest))?.["bytes"] as
      | Uint8Array
      | undefined;
  }

  state(kind: StateWrite["kind"], tenantId: string, key: string): string | undefined {
    return this.#state.get(kind, tenantId, key)?.["value"] as string | undefined;
  }

  states(
    kind: StateWrite["kind"],
    tenantId: string | undefined,
    limit: number,
    after?: { tenant_id: string; key: string },
  ) {
    // Written for what is asked, so that it is a search of the primary key and never a scan of what lies before.
    const clauses = ["kind = ?"];
    const given: SQLInputValue[] = [kind];
    if (tenantId !== undefined) clauses.push("tenant_id = ?"), given.push(tenantId);
    if (after !== undefined && after.tenant_id === tenantId) clauses.push("key > ?"), given.push(after.key);
    else if (after !== undefined) clauses.push("(tenant_id, key) > (?, ?)"), given.push(after.tenant_id, after.key);
    const rows = this.#db
      .prepare(
        `SELECT tenant_id, key, value FROM states WHERE ${clauses.join(" AND ")} ORDER BY tenant_id, key LIMIT ?`,
      )
      .all(...given, limit);
    return rows as unknown as { tenant_id: string; key: string; value: string }[];
  }

  due(kind: StateWrite["kind"], nowMs: number, limit: number) {
    const rows = this.#db
      .prepare("SELECT tenant_id, key FROM states WHERE kind = ? AND due_ms <= ? ORDER BY due_ms LIMIT ?")
      .all(kind, nowMs, limit);
    return rows as unknown as { tenant_id: string; key: string }[];
  }

  keys(): KeyRow[] {
    const rows = this.#db
      .prepare("SELECT kid, role, jwk, created_at_ms, retired_at_ms FROM keys ORDER BY created_at_ms, role, kid")
      .all();
    return rows.map((row) => ({ ...row, jwk: JSON.parse(row["jwk"] as string) })) as unknown as KeyRow[];
  }

  meta(name: string): string | undefined {
    return this.#db.prepare("SELECT value FROM meta WHERE name = ?").get(name)?.["value"] as string | undefined;
  }

  close(): void {
    this.#db.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function migrate(db: DatabaseSync): void {
  if (versionOf(db) === 0) {
    db.exec("BEGIN IMMEDIATE");
    db.exec(SCHEMA);
    db.exec(`PRAGMA user_version = ${SCHEMA_VERSION}`);
    db.exec("COMMIT");
  }
  checkVersion(db);
}

function checkVersion(db: DatabaseSync): void {
  const version = versionOf(db);
  if (version !== SCHEMA_VERSION) {
    throw new Error(
      `the database is of format ${version}, and this version of Railgate reads format ${SCHEMA_VERSION}`,
    );
  }
}

function versionOf(db: DatabaseSync): number {
  return db.prepare("PRAGMA user_version").get()!["user_version"] as number;
}

const digestBytes = (digest: string): Uint8Array => Buffer.from(hexOfDigest(digest), "hex");
