// Listings of events: by the index that tells most, tenant by tenant, and never further through the history than a page is worth.
import type { DatabaseSync, SQLInputValue } from "node:sqlite";
import type { EventPage, EventQuery, StoredEvent } from "../store.ts";
import { SPAN_POSITIONS } from "./schema.ts";

/** Events that a page looks at and does not show, at most; a filter that is rarer is followed from page to page. */
const LOOKED_AT_MAX = 1000;
/** Where nobody names a tenant: so many tenants' indices are read side by side. */
const TENANTS_MAX = 64;

/** Columns with an index of their own, beside the tenant; those that tell most first. */
const INDEXED = ["workload_id", "correlation_id", "event_type", "outcome"] as const;
type Indexed = (typeof INDEXED)[number];

type Condition = readonly [sql: string, value: SQLInputValue];
/** `record` null: one that was looked at and is not among those asked for. */
type Row = { position: number; record: string | null };

/** Where to look: equal to these by an index, and then whatever else is asked of what is found there. */
interface Way {
  readonly equal: readonly Condition[];
  readonly rest: readonly Condition[];
}

export class EventSearch {
  readonly #db: DatabaseSync;
  /** Of the database's format. */
  readonly #version: number;

  constructor(db: DatabaseSync, version: number) {
    this.#db = db;
    this.#version = version;
  }

  page(query: EventQuery): EventPage {
    const tenant = this.#tenant(query);
    const bounds = this.#bounds(query);
    if (tenant === null || bounds === null) return { events: [], next: null };
    const ways = this.#ways(query, tenant);
    const rows = inOrder(
      ways.map((way) => this.#rows(way, bounds, query.order)),
      query.order,
    );
    return pageOf(rows, query.limit);
  }

  /** The SQL of a listing, for tests: how it would be carried out. */
  explain(query: EventQuery): string[] {
    const bounds = this.#bounds(query) ?? [];
    return this.#ways(query, this.#tenant(query) ?? undefined).flatMap((way) => {
      const { sql, values } = sqlOf(way, bounds, query.order);
      return this.#db
        .prepare(`EXPLAIN QUERY PLAN ${sql}`)
        .all(...values)
        .map((row) => row["detail"] as string);
    });
  }

  /** A stream is one tenant's. null: there is nothing of both. */
  #tenant({ tenant_id, chain_id }: EventQuery): string | undefined | null {
    if (chain_id === undefined) return tenant_id;
    const row = this.#db
      .prepare(
        "SELECT tenant_id FROM events WHERE stream = (SELECT stream FROM streams WHERE chain_id = ?) AND sequence = 0",
      )
      .get(chain_id);
    const owner = row?.["tenant_id"] as string | undefined;
    return owner === undefined || (tenant_id !== undefined && tenant_id !== owner) ? null : owner;
  }

  /** Positions between which everything lies that is asked for; null: nowhere. */
  #bounds({ since_ms, until_ms, order, after }: EventQuery): Condition[] | null {
    const bounds: Condition[] = [];
    if (after !== undefined) bounds.push([order === "asc" ? "position > ?" : "position < ?", after]);
    if (this.#version === 1) return bounds;
    const spanOf = (sql: string, ms: number) => this.#db.prepare(sql).get(ms)!["span"] as number | null;
    if (since_ms !== undefined) {
      const first = spanOf("SELECT min(span) AS span FROM spans WHERE max_ms >= ?", since_ms);
      if (first === null) return null;
      bounds.push(["position >= ?", first * SPAN_POSITIONS]);
    }
    if (until_ms !== undefined) {
      const last = spanOf("SELECT max(span) AS span FROM spans WHERE min_ms < ?", until_ms);
      if (last === null) return null;
      bounds.push(["position < ?", (last + 1) * SPAN_POSITIONS]);
    }
    return bounds;
  }

  #ways(query: EventQuery, tenant: string | undefined): Way[] {
    const by = INDEXED.find((column) => query[column] !== undefined);
    const rest = restOf(query, by);
    const equal: Condition[] = by === undefined ? [] : [[`${by} = ?`, query[by]!]];
    const ofTenant = (id: string): Way => ({ equal: [...equal, ["tenant_id = ?", id]], rest });
    if (tenant !== undefined) return [ofTenant(tenant)];
    if (by === undefined) return [{ equal, rest }];
    const tenants = this.#tenantsWith(by, query[by]!);
    return tenants === null ? [{ equal: [], rest: [...rest, ...equal] }] : tenants.map(ofTenant);
  }

  /** Who has such events: one search for each, however many events there are. null: too many to be worth it. */
  #tenantsWith(by: Indexed, value: string): string[] | null {
    if (this.#version === 1) return null;
    const next = this.#db.prepare(`SELECT min(tenant_id) AS tenant_id FROM events WHERE ${by} = ? AND tenant_id > ?`);
    const found: string[] = [];
    for (let last = ""; ; last = found.at(-1)!) {
      const tenant = next.get(value, last)!["tenant_id"] as string | null;
      if (tenant === null) return found;
      if (found.push(tenant) > TENANTS_MAX) return null;
    }
  }

  #rows(way: Way, bounds: readonly Condition[], order: EventQuery["order"]): Iterator<Row> {
    const { sql, values } = sqlOf(way, bounds, order);
    return this.#db.prepare(sql).iterate(...values) as unknown as Iterator<Row>;
  }
}

function restOf(query: EventQuery, by: Indexed | undefined): Condition[] {
  const rest: [string, SQLInputValue | undefined][] = [
    ["stream = (SELECT stream FROM streams WHERE chain_id = ?)", query.chain_id],
    ...INDEXED.filter((column) => column !== by).map((column): [string, string | undefined] => [
      `${column} = ?`,
      query[column],
    ]),
    ["occurred_at_ms >= ?", query.since_ms],
    ["occurred_at_ms < ?", query.until_ms],
  ];
  return rest.filter((each): each is [string, SQLInputValue] => each[1] !== undefined);
}

/** What only narrows is judged row by row, where it cannot mislead the choice of an index. */
function sqlOf(
  { equal, rest }: Way,
  bounds: readonly Condition[],
  order: EventQuery["order"],
): { sql: string; values: SQLInputValue[] } {
  const shown = rest.length === 0 ? "record" : `iif(${rest.map(([sql]) => sql).join(" AND ")}, record, NULL)`;
  const where = [...equal, ...bounds];
  const clause = where.length === 0 ? "" : ` WHERE ${where.map(([sql]) => sql).join(" AND ")}`;
  return {
    sql: `SELECT position, ${shown} AS record FROM events${clause} ORDER BY position ${order}`,
    values: [...rest, ...where].map(([, value]) => value),
  };
}

/** Rows of several sources, each in order of position, as one. */
function* inOrder(sources: readonly Iterator<Row>[], order: EventQuery["order"]): Generator<Row, void, undefined> {
  if (sources.length === 1) return yield* { [Symbol.iterator]: () => sources[0]! };
  const heads = sources.map((source) => source.next());
  try {
    for (;;) {
      let first = -1;
      for (const [i, { done, value }] of heads.entries()) {
        if (done) continue;
        if (first === -1 || (order === "asc") === value.position < (heads[first]!.value as Row).position) first = i;
      }
      if (first === -1) return;
      yield heads[first]!.value as Row;
      heads[first] = sources[first]!.next();
    }
  } finally {
    for (const source of sources) source.return?.();
  }
}

function pageOf(rows: Generator<Row, void, undefined>, limit: number): EventPage {
  const events: StoredEvent[] = [];
  let passedOver = 0;
  let last: number | null = null;
  for (const { position, record } of rows) {
    if ((events.length === limit && record !== null) || passedOver === LOOKED_AT_MAX) return { events, next: last };
    last = position;
    if (record === null) passedOver++;
    else events.push({ position, record });
  }
  return { events, next: null };
}
