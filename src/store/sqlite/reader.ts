// Reads of a SQLite store: they see what is committed, and nothing else. Each costs what it finds, however long the history.
import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import { EMPTY_STREAM, type Head } from "../../core/event.ts";
import { artifactOfEvent } from "../artifact.ts";
import { list } from "../listing.ts";
import type {
  EventListing,
  EventPage,
  EventQuery,
  KeyRow,
  ListingQuery,
  LogReader,
  StateKey,
  StateKind,
  StatePlace,
  StateRow,
  StoredArtifact,
  StoredEvent,
  StoredState,
  CopySource,
  TenantSize,
} from "../store.ts";
import { digestText, hexOfDigest } from "../../core/digest.ts";
import { OWN_ARTIFACT, SqliteLogReader } from "./log.ts";
import { mustLieAt } from "./files.ts";
import { BUSY_TIMEOUT_MS, checkReadable, SPAN_POSITIONS, versionOf } from "./schema.ts";
import { EventSearch } from "./search.ts";
import { statements, type KeptStatements } from "./statements.ts";

const STATE = "SELECT version, value FROM states WHERE kind = ? AND tenant_id = ? AND key = ?";
/** Of format 1, which has no versions. */
const STATE_1 = "SELECT 1, value FROM states WHERE kind = ? AND tenant_id = ? AND key = ?";

export class SqliteReader implements CopySource {
  readonly format: number;
  readonly shared = false;
  readonly log: LogReader;
  readonly #db: DatabaseSync;
  readonly #sql: KeptStatements;
  readonly #rows: KeptStatements;
  readonly #search: EventSearch;

  /** @param place where it must be, as `fileAt` gave it; undefined: whichever is there. @throws DisplacedError it is another one. */
  constructor(path: string, place?: string) {
    if (place !== undefined) mustLieAt(path, place);
    this.#db = new DatabaseSync(path, { readOnly: true, timeout: BUSY_TIMEOUT_MS });
    try {
      const version = versionOf(this.#db);
      this.format = version;
      checkReadable(version);
      this.#sql = statements(this.#db);
      this.#rows = statements(this.#db, true);
      this.log = new SqliteLogReader(this.#sql);
      this.#search = new EventSearch(this.#db, version);
    } catch (error) {
      this.#db.close();
      throw error;
    }
  }

  async heads(): Promise<Map<string, Head>> {
    const rows = this.#sql("SELECT chain_id, size, head_hash FROM streams").all() as {
      chain_id: string;
      size: number;
      head_hash: string | null;
    }[];
    return new Map(
      rows.map((row) => [row.chain_id, row.size === 0 ? EMPTY_STREAM : { size: row.size, hash: row.head_hash }]),
    );
  }

  async settled(): Promise<number> {
    return (this.#sql("SELECT max(position) AS last FROM events").get()!["last"] as number | null) ?? 0;
  }

  async page(query: EventQuery): Promise<EventPage> {
    return this.#search.page(query);
  }

  list(query: ListingQuery): Promise<EventListing> {
    return list(this.#search, query);
  }

  async events(query: EventQuery): Promise<StoredEvent[]> {
    const found: StoredEvent[] = [];
    for (let after = query.after; found.length < query.limit; ) {
      const { events, next } = this.#search.page({ ...query, limit: query.limit - found.length, after });
      found.push(...events);
      if (next === null) break;
      after = next;
    }
    return found;
  }

  async known(ids: readonly string[]): Promise<string[]> {
    const rows = this.#sql("SELECT id FROM events WHERE id IN (SELECT value FROM json_each(?))").all(
      JSON.stringify(ids),
    );
    return rows.map(({ id }) => id as string);
  }

  async event(id: string): Promise<(StoredEvent & { tenant_id: string; artifact_digest: string }) | undefined> {
    const row = this.#sql("SELECT position, record, tenant_id, artifact_digest FROM events WHERE id = ?").get(id);
    if (!row) return undefined;
    return {
      ...(row as unknown as StoredEvent & { tenant_id: string }),
      artifact_digest: digestText(row["artifact_digest"] as Uint8Array),
    };
  }

  async artifact(digest: string): Promise<Uint8Array | undefined> {
    return this.#sql("SELECT bytes FROM blobs WHERE digest = ?").get(Buffer.from(hexOfDigest(digest), "hex"))?.[
      "bytes"
    ] as Uint8Array | undefined;
  }

  async artifactOf(eventId: string): Promise<StoredArtifact | undefined> {
    const row = this.#sql(
      `SELECT record, CAST(bytes AS BLOB) AS bytes FROM events AS e LEFT ${OWN_ARTIFACT} WHERE e.id = ?`,
    ).get(eventId);
    if (!row) return undefined;
    const { record, bytes } = row as unknown as { record: string; bytes: Uint8Array | null };
    return artifactOfEvent(eventId, record, bytes, (digest) => this.artifact(digest));
  }

  async state(kind: StateKind, tenantId: string, key: string): Promise<string | undefined> {
    return this.read(kind, tenantId, key)?.value;
  }

  read(kind: StateKind, tenantId: string, key: string): StoredState | undefined {
    const row = this.#rows(this.format === 1 ? STATE_1 : STATE).get(kind, tenantId, key) as unknown as
      | [version: number, value: string]
      | undefined;
    return row && { version: row[0], value: row[1] };
  }

  async states(kind: StateKind, tenantId: string | undefined, limit: number, after?: StatePlace) {
    // Written for what is asked, so that it is a search of the primary key and never a scan of what lies before.
    const clauses = ["kind = ?"];
    const given: SQLInputValue[] = [kind];
    if (tenantId !== undefined) clauses.push("tenant_id = ?"), given.push(tenantId);
    if (after !== undefined && after.tenant_id === tenantId) clauses.push("key > ?"), given.push(after.key);
    else if (after !== undefined) clauses.push("(tenant_id, key) > (?, ?)"), given.push(after.tenant_id, after.key);
    const rows = this.#sql(
      `SELECT tenant_id, key, value FROM states WHERE ${clauses.join(" AND ")} ORDER BY tenant_id, key LIMIT ?`,
    ).all(...given, limit);
    return rows as unknown as { tenant_id: string; key: string; value: string }[];
  }

  within(kind: StateKind, tenantId: string, prefix: string) {
    const rows = this.#sql(
      "SELECT key, value, version FROM states WHERE kind = ? AND tenant_id = ? AND key >= ? AND key < ? ORDER BY key",
    ).all(kind, tenantId, prefix, `${prefix}\u{10ffff}`);
    return rows as unknown as ({ key: string } & StoredState)[];
  }

  referring(kind: StateKind, tenantId: string, ref: string, limit = -1) {
    const rows = this.#sql(
      "SELECT key, value, version, rank FROM states WHERE kind = ? AND tenant_id = ? AND ref = ? ORDER BY rank, key LIMIT ?",
    ).all(kind, tenantId, ref, limit);
    return rows as unknown as ({ key: string; rank: number } & StoredState)[];
  }

  async contested(types: readonly string[], after: number, positions: number) {
    const last = await this.settled();
    const next = Math.min(last, after + positions);
    const among = types.map(() => "?").join(", ");
    const places = this.#sql(
      `SELECT DISTINCT e.tenant_id, e.workload_id AS key FROM events AS e
         WHERE e.position > ? AND e.position <= ? AND e.workload_id IS NOT NULL AND e.event_type IN (${among})
           AND EXISTS (SELECT 1 FROM events AS o WHERE o.workload_id = e.workload_id AND o.tenant_id = e.tenant_id
             AND o.stream <> e.stream AND o.event_type IN (${among}))`,
    ).all(after, next, ...types, ...types);
    return {
      places: places as unknown as { tenant_id: string; key: string }[],
      next: Math.max(after, next),
      more: next < last,
    };
  }

  async due(kind: StateKind, nowMs: number, limit: number) {
    const rows = this.#sql(
      "SELECT tenant_id, key FROM states WHERE kind = ? AND due_ms <= ? ORDER BY due_ms LIMIT ?",
    ).all(kind, nowMs, limit);
    return rows as unknown as { tenant_id: string; key: string }[];
  }

  async keys(): Promise<KeyRow[]> {
    const rows = this.#sql(
      "SELECT kid, role, jwk, created_at_ms, retired_at_ms FROM keys ORDER BY created_at_ms, role, kid",
    ).all();
    return rows.map((row) => {
      const { hand_over, node_id, ...jwk } = JSON.parse(row["jwk"] as string) as Record<string, unknown>;
      return { ...row, jwk, ...(hand_over !== undefined && { hand_over }), ...(node_id !== undefined && { node_id }) };
    }) as unknown as KeyRow[];
  }

  async artifactsBefore(occurredBeforeMs: number, after: number, limit: number): Promise<StoredEvent[]> {
    // Positions are in order of time but for clocks that were set back; beyond the last group that reaches back so far there is none.
    return this.#sql(
      `SELECT a.position, e.record FROM artifacts AS a JOIN events AS e USING (position)
         WHERE a.position > ? AND a.position < (SELECT coalesce(max(span) + 1, 0) * ${SPAN_POSITIONS} FROM spans WHERE min_ms < ?) AND e.occurred_at_ms < ?
         ORDER BY a.position LIMIT ?`,
    ).all(after, occurredBeforeMs, occurredBeforeMs, limit) as unknown as StoredEvent[];
  }

  async sizes(): Promise<TenantSize[]> {
    return this.#sql(
      `SELECT tenant_id, count(*) AS events, sum(octet_length(record)) AS record_bytes, coalesce(sum(octet_length(bytes)), 0) AS artifact_bytes
         FROM events LEFT JOIN artifacts USING (position) GROUP BY tenant_id
         ORDER BY sum(octet_length(record)) + coalesce(sum(octet_length(bytes)), 0) DESC, tenant_id`,
    ).all() as unknown as TenantSize[];
  }

  async meta(name: string): Promise<string | undefined> {
    return this.#sql("SELECT value FROM meta WHERE name = ?").get(name)?.["value"] as string | undefined;
  }

  async metaRows(): Promise<Readonly<Record<string, string>>> {
    const rows = this.#sql("SELECT name, value FROM meta ORDER BY name").all();
    return Object.fromEntries(rows.map(({ name, value }) => [name as string, value as string]));
  }

  async stateRows(limit: number, after?: StateKey): Promise<StateRow[]> {
    const { kind, tenant_id, key } = after ?? { kind: "", tenant_id: "", key: "" };
    const beside = this.format === 1 ? "1 AS version, NULL AS ref, NULL AS rank" : "version, ref, rank";
    return this.#sql(
      `SELECT kind, tenant_id, key, value, due_ms, ${beside} FROM states WHERE (kind, tenant_id, key) > (?, ?, ?) ORDER BY kind, tenant_id, key LIMIT ?`,
    ).all(kind, tenant_id, key, limit) as unknown as StateRow[];
  }

  async inUse(): Promise<boolean> {
    return false;
  }

  async blobDigests(limit: number, after?: string): Promise<string[]> {
    const behind = after === undefined ? new Uint8Array() : Buffer.from(hexOfDigest(after), "hex");
    const rows = this.#sql("SELECT digest FROM blobs WHERE digest > ? ORDER BY digest LIMIT ?").all(behind, limit);
    return rows.map(({ digest }) => digestText(digest as Uint8Array));
  }

  async metaOfAll(name: string): Promise<string[]> {
    const value = await this.meta(name);
    return value === undefined ? [] : [value];
  }

  async close(): Promise<void> {
    this.#db.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
