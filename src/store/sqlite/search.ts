// Searches of events: by the index that tells most, tenant by tenant, and never further through the history than a page is worth.
import type { DatabaseSync, SQLInputValue } from "node:sqlite";
import {
  INDEXED,
  pageOf,
  timesOf,
  type Indexed,
  type ListingSource,
  type PlacedRow,
  type TimedQuery,
} from "../listing.ts";
import type { EventPage, EventQuery } from "../store.ts";
import { isByTime, SPAN_POSITIONS } from "./schema.ts";

/** Where nobody names a tenant: so many tenants' indices are read side by side. */
const TENANTS_MAX = 64;

type Condition = readonly [sql: string, value: SQLInputValue];
/** `record` null: one that was looked at and is not among those asked for. */
type Row = Pick<PlacedRow, "position" | "record">;

const CHAIN = "(SELECT chain_id FROM streams WHERE streams.stream = events.stream)";
/** What tells a row's place in a listing. */
const PLACE = `, occurred_at_ms AS ms, ${CHAIN} AS chain_id, sequence`;

/** Where to look: equal to these by an index, and then whatever else is asked of what is found there. */
interface Way {
  readonly equal: readonly Condition[];
  readonly rest: readonly Condition[];
}

export class EventSearch implements ListingSource {
  readonly #db: DatabaseSync;
  /** Of the database's format. */
  readonly #version: number;
  #byTime = false;

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
    const { events, last } = pageOf(rows, query.limit);
    return { events, next: last?.position ?? null };
  }

  /** A chain id is the tenant's and the node's (spec evidence), with a slash between. */
  hasSeveral(tenantId: string | undefined): boolean {
    this.#byTime ||= isByTime(this.#db);
    if (!this.#byTime) return false;
    const two = (where: string, ...values: string[]) =>
      this.#db.prepare(`SELECT 1 FROM streams${where} LIMIT 2`).all(...values).length === 2;
    if (tenantId === undefined) return two("");
    return two(" WHERE chain_id > ? AND chain_id < ?", `${tenantId}/`, `${tenantId}0`);
  }

  near(query: TimedQuery, most: number): PlacedRow[] | undefined {
    const asked: EventQuery = { ...query, ...timesOf(query), after: undefined };
    const ways = this.#ways(asked, query.tenant_id);
    if (ways.some(({ equal }) => equal.length === 0)) return undefined;
    const bounds = this.#bounds(asked);
    if (bounds === null) return [];
    const sources = ways.map((way) => this.#rows<PlacedRow>(way, bounds, query.order, PLACE));
    const rows: PlacedRow[] = [];
    for (const row of inOrder(sources, query.order)) if (rows.push(row) === most) break;
    return rows;
  }

  beyond(position: number, order: EventQuery["order"]): number | undefined {
    const span = Math.floor(position / SPAN_POSITIONS);
    const one = (sql: string, ...values: number[]) => this.#db.prepare(sql).get(...values)!["ms"] as number | null;
    // The sign keeps an index of times from being walked for it.
    const [groups, rest] =
      order === "asc"
        ? [
            one("SELECT min(min_ms) AS ms FROM spans WHERE span > ?", span),
            one(
              "SELECT min(+occurred_at_ms) AS ms FROM events WHERE position > ? AND position < ?",
              position,
              (span + 1) * SPAN_POSITIONS,
            ),
          ]
        : [
            one("SELECT max(max_ms) AS ms FROM spans WHERE span < ?", span),
            one(
              "SELECT max(+occurred_at_ms) AS ms FROM events WHERE position < ? AND position >= ?",
              position,
              span * SPAN_POSITIONS,
            ),
          ];
    const found = [groups, rest].filter((ms) => ms !== null);
    if (found.length === 0) return undefined;
    return order === "asc" ? Math.min(...found) : Math.max(...found);
  }

  timed(query: TimedQuery): Iterable<PlacedRow> {
    const { tenant_id, order, after } = query;
    const { since_ms, until_ms } = timesOf(query);
    const [first, behind] = order === "asc" ? ["occurred_at_ms >", ">"] : ["occurred_at_ms <", "<"];
    const where: Condition[] = [
      ...(tenant_id === undefined ? [] : [["tenant_id = ?", tenant_id] as const]),
      ...(since_ms === undefined ? [] : [["occurred_at_ms >= ?", since_ms] as const]),
      ...(until_ms === undefined ? [] : [["occurred_at_ms < ?", until_ms] as const]),
    ];
    const clauses = where.map(([sql]) => sql);
    const values = where.map(([, value]) => value);
    if (after) {
      clauses.push(`(${first} ? OR (occurred_at_ms = ? AND (${CHAIN}, sequence) ${behind} (?, ?)))`);
      values.push(after.ms, after.ms, after.chain_id, after.sequence);
    }
    const rest = restOf({ ...query, since_ms: undefined, until_ms: undefined, after: undefined }, undefined);
    const by = tenant_id === undefined ? "events_by_time" : "events_by_tenant_time";
    const sql = `SELECT position, ${shownIf(rest)} AS record${PLACE} FROM events INDEXED BY ${by}
      ${clauses.length === 0 ? "" : `WHERE ${clauses.join(" AND ")}`}
      ORDER BY occurred_at_ms ${order}, chain_id ${order}, sequence ${order}`;
    const given = [...rest.map(([, value]) => value), ...values];
    return this.#db.prepare(sql).iterate(...given) as unknown as Iterable<PlacedRow>;
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

  #rows<R extends Row>(way: Way, bounds: readonly Condition[], order: EventQuery["order"], more = ""): Iterator<R> {
    const { sql, values } = sqlOf(way, bounds, order, more);
    return this.#db.prepare(sql).iterate(...values) as unknown as Iterator<R>;
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
  more: string,
): { sql: string; values: SQLInputValue[] } {
  const where = [...equal, ...bounds];
  const clause = where.length === 0 ? "" : ` WHERE ${where.map(([sql]) => sql).join(" AND ")}`;
  return {
    sql: `SELECT position, ${shownIf(rest)} AS record${more} FROM events${clause} ORDER BY position ${order}`,
    values: [...rest, ...where].map(([, value]) => value),
  };
}

const shownIf = (rest: readonly Condition[]): string =>
  rest.length === 0 ? "record" : `iif(${rest.map(([sql]) => sql).join(" AND ")}, record, NULL)`;

/** Rows of several sources, each in order of position, as one. */
function* inOrder<R extends Row>(
  sources: readonly Iterator<R>[],
  order: EventQuery["order"],
): Generator<R, void, undefined> {
  if (sources.length === 1) return yield* { [Symbol.iterator]: () => sources[0]! };
  const heads = sources.map((source) => source.next());
  try {
    for (;;) {
      let first = -1;
      for (const [i, { done, value }] of heads.entries()) {
        if (done) continue;
        if (first === -1 || (order === "asc") === value.position < (heads[first]!.value as R).position) first = i;
      }
      if (first === -1) return;
      yield heads[first]!.value as R;
      heads[first] = sources[first]!.next();
    }
  } finally {
    for (const source of sources) source.return?.();
  }
}
