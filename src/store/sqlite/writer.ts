// The single writer of a SQLite store: WAL mode, synchronous=FULL, so that a commit is on the disk when it returns.
import { pathToFileURL } from "node:url";
import { DatabaseSync } from "node:sqlite";
import { ENTRY_BYTES_MAX, type TreeTail } from "../../core/tiles.ts";
import {
  DisplacedError,
  UnsettledError,
  type Append,
  type CopiedRows,
  type KeyRow,
  type StateBounds,
  type StateKind,
  type StateRead,
  type StateWrite,
  type StoredCheckpoint,
  type CopyTarget,
} from "../store.ts";
import { hexOfDigest } from "../../core/digest.ts";
import { DatabaseFiles, mustLieAt } from "./files.ts";
import { LogWriter, SqliteLogReader } from "./log.ts";
import { BUSY_TIMEOUT_MS, migrate, SPAN_POSITIONS } from "./schema.ts";
import { statements, type KeptStatements } from "./statements.ts";

/** WAL pages between checkpoints: larger means fewer pauses, a longer recovery and a larger `-wal` file. */
const WAL_AUTOCHECKPOINT_PAGES = 4000;
/** Streams whose end is kept in memory (at most some 12 KB each); the end of any other is read when it is appended to. */
const STREAMS_KEPT_MAX = 2048;

export class SqliteWriter implements CopyTarget {
  readonly shared = false;
  readonly #db: DatabaseSync;
  readonly #sql: KeptStatements;
  readonly #rows: KeptStatements;
  readonly #log: LogWriter;
  readonly #files: DatabaseFiles;
  /** chain_id → its number and its end as committed, least recently used first; forgotten on failure. */
  readonly #streams = new Map<string, { stream: number; tail: TreeTail }>();

  /** @param place where it must be, as `fileAt` gave it; a database is not made then. @throws DisplacedError it is another one. */
  constructor(path: string, place?: string) {
    if (place !== undefined) mustLieAt(path, place);
    const db = new DatabaseSync(place === undefined ? path : existing(path), { timeout: BUSY_TIMEOUT_MS });
    try {
      // Larger pages hold a whole record or artifact, so fewer of them overflow. What is erased must not be left over in a page,
      // and pages are split as they fill, so free space is overwritten always and not only when something is erased.
      db.exec(`PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF; PRAGMA secure_delete = ON;
               PRAGMA wal_autocheckpoint = ${WAL_AUTOCHECKPOINT_PAGES};`);
      migrate(db);
      const sql = statements(db);
      this.#sql = sql;
      this.#rows = statements(db, true);
      this.#log = new LogWriter(sql);
      this.#files = new DatabaseFiles(path, place);
    } catch (error) {
      db.close();
      throw error;
    }
    this.#db = db;
  }

  async versions(places: readonly Omit<StateRead, "version">[]): Promise<number[]> {
    // The lock that each read takes costs as much as the read.
    this.#db.exec("BEGIN");
    try {
      const version = this.#rows(VERSION);
      return places.map(({ kind, tenant_id, key }) => {
        const row = version.get(kind, tenant_id, key) as unknown as [version: number] | undefined;
        return row?.[0] ?? 0;
      });
    } finally {
      this.#db.exec("COMMIT");
    }
  }

  async release(): Promise<void> {}

  async checkPlace(): Promise<void> {
    this.#checkFiles();
  }

  async settle(eventIds: readonly string[]): Promise<number | undefined> {
    const position = this.#sql("SELECT position FROM events WHERE id = ?");
    const found = eventIds.flatMap((id) => (position.get(id)?.["position"] as number | undefined) ?? []);
    // What can be seen may not have been synced; written into the database itself, it is.
    if (found.length > 0 && this.#sql("PRAGMA wal_checkpoint(TRUNCATE)").get()!["busy"] !== 0)
      throw new Error("the database is being read, and what was written to it cannot be made sure of");
    this.#files.cutLog(this.#db);
    return found.at(-1);
  }

  async append(batch: readonly Append[]): Promise<number> {
    let first = 0;
    const erases = batch.some((event) => event.erases);
    const heads = new Map<number, { size: number; hash: string }>();
    const spans = new Map<number, readonly [min: number, max: number]>();
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
          this.#sql(INSERT_EVENT).run(
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
        if (event.artifact !== null) this.#sql(INSERT_ARTIFACT).run(position, event.artifact);
        for (const blob of event.blobs) this.#sql(PUT_BLOB).run(digestBytes(blob.digest), blob.bytes);
        for (const state of event.states) this.#writeState(state);
        for (const key of event.keys ?? []) this.#putKey(key);
        for (const sequence of event.erases ?? []) this.#erase(stream.stream, sequence);
        this.#log.append(stream.stream, stream.tail, event.record);
        heads.set(stream.stream, { size: event.sequence + 1, hash: event.event_hash });
        widen(spans, position, event.occurred_at_ms);
      }
      for (const [span, [min, max]] of spans) this.#sql(PUT_SPAN).run(span, min, max);
      for (const [stream, head] of heads) this.#sql(SET_HEAD).run(head.size, head.hash, stream);
    });
    this.#trimStreams();
    if (erases) this.#foldLog();
    return first;
  }

  /** Old pages live on in the log of writes until it is folded into the database. What committed stands, even if this fails; a later checkpoint folds it. */
  #foldLog(): void {
    try {
      this.#db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
      this.#files.written();
    } catch {
      // Said above; what has become of the files is found out before the next write.
    }
  }

  #erase(stream: number, sequence: number): void {
    this.#sql(
      "DELETE FROM artifacts WHERE position = (SELECT position FROM events WHERE stream = ? AND sequence = ?)",
    ).run(stream, sequence);
  }

  async tree(chainId: string): Promise<{ size: number; root: Uint8Array }> {
    const { size, root } = this.#stream(chainId).tail;
    return { size, root };
  }

  async putCheckpoints(checkpoints: readonly (StoredCheckpoint & { readonly chain_id: string })[]): Promise<void> {
    this.#transaction(() => {
      for (const checkpoint of checkpoints)
        this.#log.putCheckpoint(this.#stream(checkpoint.chain_id).stream, checkpoint);
    });
    this.#trimStreams();
  }

  async uncheckpointed(): Promise<string[]> {
    return new SqliteLogReader(this.#sql).uncheckpointed();
  }

  async putRows(rows: CopiedRows): Promise<void> {
    const { states = [], gone = [], keys = [], meta = {}, blobs = [], checkpoints = [], erased = [] } = rows;
    this.#transaction(() => {
      const putState = this.#sql(
        "INSERT OR REPLACE INTO states (kind, tenant_id, key, version, value, due_ms, ref, rank) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
      );
      for (const { kind, tenant_id, key, version, value, due_ms, ref, rank } of states)
        putState.run(kind, tenant_id, key, version, value, due_ms, ref, rank);
      for (const { kind, tenant_id, key } of gone) this.#sql(DELETE_STATE).run(kind, tenant_id, key, null, null);
      for (const key of keys) this.#putKey(key);
      this.#putMeta(meta);
      for (const { digest, bytes } of blobs) this.#sql(PUT_BLOB).run(digestBytes(digest), bytes);
      for (const checkpoint of checkpoints)
        this.#log.putCheckpoint(this.#stream(checkpoint.chain_id).stream, checkpoint);
      for (const { chain_id, sequence } of erased) this.#erase(this.#stream(chain_id).stream, sequence);
    });
    if (erased.length > 0) this.#foldLog();
  }

  async putBounded(write: StateWrite, nowMs: number, most: StateBounds): Promise<boolean> {
    const { kind, tenant_id, ref = null } = write;
    let put = false;
    this.#transaction(() => {
      this.#deleteDue(kind, nowMs);
      const count = (where: string, ...of: string[]): number =>
        this.#sql(`SELECT count(*) AS n FROM states WHERE kind = ? AND tenant_id = ? AND ${where}`).get(
          kind,
          tenant_id,
          ...of,
        )!["n"] as number;
      put = (ref === null || count("ref = ?", ref) < most.ofRef) && count("ref IS NOT NULL") < most.ofTenant;
      if (put) this.#writeState(write);
    });
    return put;
  }

  async deleteDue(kind: StateKind, nowMs: number): Promise<void> {
    this.#transaction(() => this.#deleteDue(kind, nowMs));
  }

  #deleteDue(kind: StateKind, nowMs: number): void {
    this.#sql("DELETE FROM states WHERE kind = ? AND due_ms <= ?").run(kind, nowMs);
  }

  async putKey(key: KeyRow): Promise<void> {
    this.#transaction(() => this.#putKey(key));
  }

  #putKey(key: KeyRow): void {
    this.#sql("INSERT OR REPLACE INTO keys (kid, role, jwk, created_at_ms, retired_at_ms) VALUES (?, ?, ?, ?, ?)").run(
      key.kid,
      key.role,
      JSON.stringify({ ...key.jwk, hand_over: key.hand_over, node_id: key.node_id }),
      key.created_at_ms,
      key.retired_at_ms,
    );
  }

  async putMeta(name: string, value: string): Promise<void> {
    await this.putAll([], { [name]: value });
  }

  async putAll(keys: readonly KeyRow[], meta: { readonly [name: string]: string }): Promise<void> {
    this.#transaction(() => {
      for (const key of keys) this.#putKey(key);
      this.#putMeta(meta);
    });
  }

  #putMeta(meta: Readonly<Record<string, string>>): void {
    const put = this.#sql("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)");
    for (const [name, value] of Object.entries(meta)) put.run(name, value);
  }

  async close(): Promise<void> {
    this.#db.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** @throws DisplacedError, UnsettledError see StoreWriter.append. */
  #transaction(work: () => void): void {
    this.#checkFiles();
    this.#db.exec("BEGIN IMMEDIATE");
    let committing = false;
    try {
      work();
      committing = true;
      this.#db.exec("COMMIT");
      this.#files.written();
    } catch (error) {
      this.#streams.clear();
      // SQLite rolls back by itself on some errors (a full disk); a second rollback then has nothing to undo.
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      this.#saveLog(error);
      throw committing ? new UnsettledError((error as Error).message, { cause: error }) : error;
    }
  }

  #checkFiles(): void {
    try {
      this.#files.check();
    } catch (error) {
      this.#saveLog(error);
      throw error;
    }
  }

  /** The last chance to keep what only a log of writes has that was taken away. */
  #saveLog(error: unknown): void {
    if (error instanceof DisplacedError && error.lasting) this.#foldLog();
  }

  #stream(chainId: string): { stream: number; tail: TreeTail } {
    let known = this.#streams.get(chainId);
    if (!known) {
      this.#sql("INSERT OR IGNORE INTO streams (chain_id, size) VALUES (?, 0)").run(chainId);
      const { stream, size } = this.#sql("SELECT stream, size FROM streams WHERE chain_id = ?").get(chainId) as {
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

  /** Two that were decided on the same state cannot both change it: the second finds another version than it was decided on. */
  #writeState({ kind, tenant_id, key, value, version, due_ms, ref, rank }: StateWrite): void {
    if (value === null) return void this.#sql(DELETE_STATE).run(kind, tenant_id, key, due_ms ?? null, due_ms ?? null);
    const put = this.#sql(version === undefined ? PUT_STATE : PUT_NEXT_STATE);
    const { changes } = put.run(kind, tenant_id, key, version ?? 1, value, due_ms ?? null, ref ?? null, rank ?? null);
    if (changes === 0) throw new Error(`${kind} ${key} of ${tenant_id} has moved on since it was decided on`);
  }
}

const digestBytes = (digest: string): Uint8Array => Buffer.from(hexOfDigest(digest), "hex");

const INSERT_EVENT = `INSERT INTO events (stream, sequence, id, event_type, outcome, tenant_id, workload_id, correlation_id, occurred_at_ms, artifact_digest, record)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`;
const INSERT_ARTIFACT = "INSERT INTO artifacts (position, bytes) VALUES (?, ?)";
const PUT_ANY_STATE = `INSERT INTO states (kind, tenant_id, key, version, value, due_ms, ref, rank) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
  ON CONFLICT (kind, tenant_id, key) DO UPDATE SET value = excluded.value, due_ms = excluded.due_ms, ref = excluded.ref, rank = excluded.rank`;
const PUT_STATE = `${PUT_ANY_STATE}, version = states.version + 1`;
const PUT_NEXT_STATE = `${PUT_ANY_STATE}, version = excluded.version WHERE states.version = excluded.version - 1`;
const DELETE_STATE = "DELETE FROM states WHERE kind = ? AND tenant_id = ? AND key = ? AND (? IS NULL OR due_ms <= ?)";
const VERSION = "SELECT version FROM states WHERE kind = ? AND tenant_id = ? AND key = ?";
const PUT_SPAN = `INSERT INTO spans (span, min_ms, max_ms) VALUES (?, ?, ?)
  ON CONFLICT (span) DO UPDATE SET min_ms = min(min_ms, excluded.min_ms), max_ms = max(max_ms, excluded.max_ms)`;
const PUT_BLOB = "INSERT OR IGNORE INTO blobs (digest, bytes) VALUES (?, ?)";
const SET_HEAD = "UPDATE streams SET size = ?, head_hash = ? WHERE stream = ?";

/** The group of positions that this one is in reaches to its time. */
function widen(spans: Map<number, readonly [min: number, max: number]>, position: number, ms: number): void {
  const span = Math.floor(position / SPAN_POSITIONS);
  const [min, max] = spans.get(span) ?? [ms, ms];
  spans.set(span, [Math.min(min, ms), Math.max(max, ms)]);
}

/** SQLite would make a database where there is none. */
function existing(path: string): URL {
  const url = pathToFileURL(path);
  url.searchParams.set("mode", "rw");
  return url;
}
