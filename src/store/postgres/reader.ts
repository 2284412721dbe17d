// Reads of a store in PostgreSQL, of whatever node: they see what is committed, and nothing else.
import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import { digestText, hexOfDigest } from "../../core/digest.ts";
import { EvidenceUnavailableError } from "../../core/errors.ts";
import { EMPTY_STREAM, type Head } from "../../core/event.ts";
import { artifactOfEvent } from "../artifact.ts";
import { list, pageOf, timesOf, type ListingSource, type PlacedRow } from "../listing.ts";
import type {
  EventListing,
  EventPage,
  EventQuery,
  KeyRow,
  ListingQuery,
  StateKind,
  StatePlace,
  StoredArtifact,
  StoredEvent,
  StoredState,
  StoreReader,
  TenantSize,
} from "../store.ts";
import type { DatabaseAt } from "./address.ts";
import {
  ANSWER_MS_MAX,
  isUnasked,
  LONG_ANSWER_MS_MAX,
  prepared,
  readingPool,
  tryReading,
  type Row,
} from "./connect.ts";
import { CLOSE_STALE, SETTLED } from "./draws.ts";
import { StateLookups } from "./lookups.ts";
import { OWN_ARTIFACT, PostgresLogReader } from "./log.ts";
import { checkReadable, SPAN_POSITIONS, versionOf } from "./schema.ts";
import { BEYOND, nearQuery, pageQuery, spansQuery, timedQuery, type Bounds } from "./search.ts";

/** What SQLite keeps in the same form. */
const FORMAT = 2;
/** Behind every key that begins so. */
const LAST_CHARACTER = "\u{10ffff}";
/** How often a database that could not be asked is tried again. */
const TRIED_MS = 1000;
/** A page that may take longer than what is asked for one decision. */
const LONG_PAGE = 1000;

export class PostgresReader implements StoreReader {
  readonly format = FORMAT;
  readonly shared = true;
  readonly log: PostgresLogReader;
  readonly #pool: pg.Pool;
  readonly #at: DatabaseAt;
  readonly #scope: string;
  readonly #lookups = new StateLookups((sql, values = []) => this.#asked(prepared(sql, values)));
  #problem: string | undefined;
  #trying = false;

  private constructor(pool: pg.Pool, at: DatabaseAt) {
    this.#pool = pool;
    this.#at = at;
    this.#scope = at.scope;
    this.log = new PostgresLogReader((sql, values) => this.#rows(sql, values));
  }

  /** @throws EvidenceUnavailableError it cannot be reached. @throws ServerRefusedError it is a newer version's. */
  static async open(at: DatabaseAt): Promise<PostgresReader> {
    const pool = readingPool(at);
    try {
      checkReadable(await versionOf(pool as unknown as pg.Client));
    } catch (error) {
      await pool.end();
      throw error;
    }
    return new PostgresReader(pool, at);
  }

  get problem(): string | undefined {
    return this.#problem;
  }

  get connections() {
    const { totalCount, idleCount, waitingCount } = this.#pool;
    return { inUse: totalCount - idleCount, idle: idleCount, waiting: waitingCount };
  }

  async heads(): Promise<Map<string, Head>> {
    const rows = await this.#rows("SELECT chain_id, size, head_hash FROM streams");
    return new Map(
      rows.map((row) => [
        row["chain_id"] as string,
        row["size"] === 0 ? EMPTY_STREAM : { size: row["size"] as number, hash: row["head_hash"] as string },
      ]),
    );
  }

  async settled(): Promise<number> {
    for (let closed = false; ; closed = true) {
      const { last, stale } = (await this.#rows(SETTLED))[0] as { last: number; stale: boolean };
      if (!stale || closed) return last;
      // Of a node that was paused, or is gone. Whoever may not write here waits for others to do it.
      await this.#pool.query(CLOSE_STALE).catch(() => {});
    }
  }

  async page(query: EventQuery): Promise<EventPage> {
    const isHeld = query.order === "asc" && query.chain_id === undefined && !query.ahead;
    const last = isHeld ? await this.settled() : undefined;
    const within = await this.#bounds(query);
    if (within === null) return { events: [], next: null };
    const { sql, values } = pageQuery(query, { ...within, ...(last !== undefined && { last }) });
    const rows = await this.#rows(sql, values, query.limit > LONG_PAGE ? LONG_ANSWER_MS_MAX : ANSWER_MS_MAX);
    const { events, last: end } = pageOf(rows as unknown as PlacedRow[], query.limit);
    return { events, next: end?.position ?? null };
  }

  list(query: ListingQuery): Promise<EventListing> {
    return list(this.#listing, query);
  }

  async events(query: EventQuery): Promise<StoredEvent[]> {
    const found: StoredEvent[] = [];
    for (let after = query.after; found.length < query.limit; ) {
      const { events, next } = await this.page({ ...query, limit: query.limit - found.length, after });
      found.push(...events);
      if (next === null) break;
      after = next;
    }
    return found;
  }

  async known(ids: readonly string[]): Promise<string[]> {
    const rows = await this.#rows("SELECT id FROM events WHERE id = ANY($1)", [ids]);
    return rows.map(({ id }) => id as string);
  }

  async event(id: string) {
    const asked = prepared("SELECT position, record, tenant_id, artifact_digest FROM events WHERE id = $1", [id]);
    const [row] = await this.#asked(asked);
    if (!row) return undefined;
    return {
      ...(row as unknown as StoredEvent & { tenant_id: string }),
      artifact_digest: digestText(row["artifact_digest"] as Uint8Array),
    };
  }

  async artifact(digest: string): Promise<Uint8Array | undefined> {
    const [row] = await this.#rows("SELECT bytes FROM blobs WHERE digest = $1", [bytesOf(digest)]);
    return row?.["bytes"] as Uint8Array | undefined;
  }

  async artifactOf(eventId: string): Promise<StoredArtifact | undefined> {
    const [row] = await this.#rows(`SELECT e.record, a.bytes FROM events AS e LEFT ${OWN_ARTIFACT} WHERE e.id = $1`, [
      eventId,
    ]);
    if (!row) return undefined;
    const { record, bytes } = row as unknown as { record: string; bytes: Uint8Array | null };
    return artifactOfEvent(eventId, record, bytes, (digest) => this.artifact(digest));
  }

  async state(kind: StateKind, tenantId: string, key: string): Promise<string | undefined> {
    return (await this.read(kind, tenantId, key))?.value;
  }

  async read(kind: StateKind, tenantId: string, key: string): Promise<StoredState | undefined> {
    return this.#lookups.read(kind, tenantId, key);
  }

  async states(kind: StateKind, tenantId: string | undefined, limit: number, after?: StatePlace) {
    const clauses = ["kind = $1", "value IS NOT NULL"];
    const given: unknown[] = [kind];
    const value = (each: unknown): string => `$${given.push(each)}`;
    if (tenantId !== undefined) clauses.push(`tenant_id = ${value(tenantId)}`);
    if (after !== undefined && after.tenant_id === tenantId) clauses.push(`key > ${value(after.key)}`);
    else if (after !== undefined) clauses.push(`(tenant_id, key) > (${value(after.tenant_id)}, ${value(after.key)})`);
    const rows = await this.#rows(
      `SELECT tenant_id, key, value FROM states WHERE ${clauses.join(" AND ")} ORDER BY tenant_id, key LIMIT ${value(limit)}`,
      given,
    );
    return rows as unknown as { tenant_id: string; key: string; value: string }[];
  }

  async within(kind: StateKind, tenantId: string, prefix: string) {
    const asked = prepared(
      `SELECT key, value, version FROM states
       WHERE kind = $1 AND tenant_id = $2 AND key >= $3 AND key < $4 AND value IS NOT NULL ORDER BY key`,
      [kind, tenantId, prefix, prefix + LAST_CHARACTER],
    );
    return (await this.#asked(asked)) as unknown as ({ key: string } & StoredState)[];
  }

  async referring(kind: StateKind, tenantId: string, ref: string, limit?: number) {
    const asked = prepared(
      "SELECT key, value, version, rank FROM states WHERE kind = $1 AND tenant_id = $2 AND ref = $3 ORDER BY rank, key LIMIT $4",
      [kind, tenantId, ref, limit ?? null],
    );
    return (await this.#asked(asked)) as unknown as ({ key: string; rank: number } & StoredState)[];
  }

  async contested(types: readonly string[], after: number, positions: number) {
    const last = await this.settled();
    const next = Math.min(last, after + positions);
    const places = await this.#rows(
      `SELECT DISTINCT e.tenant_id, e.workload_id AS key FROM events AS e
       WHERE e.position > $1 AND e.position <= $2 AND e.workload_id IS NOT NULL AND e.event_type = ANY ($3)
         AND EXISTS (SELECT 1 FROM events AS o WHERE o.workload_id = e.workload_id AND o.tenant_id = e.tenant_id
           AND o.stream <> e.stream AND o.event_type = ANY ($3))`,
      [after, next, types],
      LONG_ANSWER_MS_MAX,
    );
    return {
      places: places as unknown as { tenant_id: string; key: string }[],
      next: Math.max(after, next),
      more: next < last,
    };
  }

  async due(kind: StateKind, nowMs: number, limit: number) {
    const rows = await this.#rows(
      "SELECT tenant_id, key FROM states WHERE kind = $1 AND due_ms <= $2 ORDER BY due_ms LIMIT $3",
      [kind, nowMs, limit],
    );
    return rows as unknown as { tenant_id: string; key: string }[];
  }

  async keys(): Promise<KeyRow[]> {
    const rows = await this.#rows(
      `SELECT k.kid, k.role, k.jwk, k.created_at_ms, k.retired_at_ms, CASE WHEN k.scope <> $1 THEN coalesce(m.value, '') END AS of_node
       FROM keys AS k LEFT JOIN meta AS m ON m.scope = k.scope AND m.name = 'node_id' ORDER BY k.created_at_ms, k.role, k.kid`,
      [this.#scope],
    );
    return rows.map(({ jwk: text, of_node, ...row }) => {
      const { hand_over, node_id = of_node ?? undefined, ...jwk } = JSON.parse(text as string) as Row;
      return { ...row, jwk, ...(hand_over !== undefined && { hand_over }), ...(node_id !== undefined && { node_id }) };
    }) as unknown as KeyRow[];
  }

  async artifactsBefore(occurredBeforeMs: number, after: number, limit: number): Promise<StoredEvent[]> {
    const rows = await this.#rows(
      `SELECT a.position, e.record FROM artifacts AS a JOIN events AS e USING (position)
       WHERE a.position > $1 AND a.position < (SELECT coalesce(max(span) + 1, 0) * ${SPAN_POSITIONS} FROM spans WHERE min_ms < $2) AND e.occurred_at_ms < $2
       ORDER BY a.position LIMIT $3`,
      [after, occurredBeforeMs, limit],
    );
    return rows as unknown as StoredEvent[];
  }

  async sizes(): Promise<TenantSize[]> {
    const rows = await this.#rows(
      `SELECT tenant_id, count(*) AS events, sum(length(record))::bigint AS record_bytes, coalesce(sum(length(bytes)), 0)::bigint AS artifact_bytes
       FROM events LEFT JOIN artifacts USING (position) GROUP BY tenant_id
       ORDER BY sum(length(record)) + coalesce(sum(length(bytes)), 0) DESC, tenant_id`,
      [],
      LONG_ANSWER_MS_MAX,
    );
    return rows as unknown as TenantSize[];
  }

  async meta(name: string): Promise<string | undefined> {
    const [row] = await this.#rows("SELECT value FROM meta WHERE scope = $1 AND name = $2", [this.#scope, name]);
    return row?.["value"] as string | undefined;
  }

  async bytes(): Promise<number> {
    return (await this.#rows("SELECT pg_database_size(current_database()) AS bytes"))[0]!["bytes"] as number;
  }

  async metaOfAll(name: string): Promise<string[]> {
    const rows = await this.#rows("SELECT value FROM meta WHERE name = $1 ORDER BY scope = $2, scope", [
      name,
      this.#scope,
    ]);
    return rows.map((row) => row["value"] as string);
  }

  async close(): Promise<void> {
    await this.#pool.end();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Positions between which everything lies that is asked for by its time; null: nowhere. */
  async #bounds(times: Pick<EventQuery, "since_ms" | "until_ms">): Promise<Bounds | null> {
    const bounds: Bounds = {};
    for (const { sql, ms, bound } of spansQuery(times)) {
      const span = (await this.#rows(sql, [ms]))[0]!["span"] as number | null;
      if (span === null) return null;
      bounds[bound] = (bound === "from" ? span : span + 1) * SPAN_POSITIONS;
    }
    return bounds;
  }

  readonly #listing: ListingSource = {
    page: (query) => this.page(query),
    hasSeveral: async (tenantId) => {
      const where = tenantId === undefined ? "" : " AND tenant_id = $1";
      const given = tenantId === undefined ? [] : [tenantId];
      return (await this.#rows(`SELECT 1 FROM streams WHERE size > 0${where} LIMIT 2`, given)).length === 2;
    },
    near: async (query, most) => {
      const bounds = await this.#bounds(timesOf(query));
      if (bounds === null) return [];
      const { sql, values } = nearQuery(query, bounds, most);
      return (await this.#rows(sql, values)) as unknown as PlacedRow[];
    },
    beyond: async (position, order) =>
      ((await this.#rows(BEYOND[order], [position]))[0]!["ms"] as number | null) ?? undefined,
    timed: async (query) => {
      const { sql, values } = timedQuery(query);
      return (await this.#rows(sql, values)) as unknown as PlacedRow[];
    },
  };

  #rows(sql: string, values: readonly unknown[] = [], answerMsMax = ANSWER_MS_MAX): Promise<Row[]> {
    return this.#asked({ text: sql, values: values as unknown[] }, answerMsMax);
  }

  /** @throws EvidenceUnavailableError the database cannot be read now. */
  async #asked(asked: pg.QueryConfig, answerMsMax = ANSWER_MS_MAX): Promise<Row[]> {
    try {
      return (await this.#pool.query({ ...asked, query_timeout: answerMsMax } as pg.QueryConfig)).rows as Row[];
    } catch (error) {
      if (isUnasked(error)) void this.#try(error as Error);
      throw new EvidenceUnavailableError(`the database cannot be read: ${(error as Error).message}`, { cause: error });
    }
  }

  /** One connection may still answer where no other can be made: what counts is whether another can. */
  async #try({ message }: Error): Promise<void> {
    if (this.#trying) return;
    this.#trying = true;
    // Whoever was told that nothing can be read finds the node not ready.
    this.#problem = message;
    while (!this.#pool.ending) {
      this.#problem = await tryReading(this.#at).then(
        () => undefined,
        (error: Error) => error.message,
      );
      if (this.#problem === undefined) break;
      await sleep(TRIED_MS, undefined, { ref: false });
    }
    this.#trying = false;
  }
}

const bytesOf = (digest: string): Uint8Array => Buffer.from(hexOfDigest(digest), "hex");
