// Listings of events in PostgreSQL: by the index that tells most, and never further through the history than a page is worth.
import type { EventPage, EventQuery, StoredEvent } from "../store.ts";

/** Events that a page looks at and does not show, at most; a filter that is rarer is followed from page to page. */
const LOOKED_AT_MAX = 1000;

/** Columns with an index of their own; those that tell most first. */
const INDEXED = ["workload_id", "correlation_id", "event_type", "outcome"] as const;

interface Bounds {
  readonly from?: number;
  readonly to?: number;
  /** The last position. */
  readonly last?: number;
}

/** What must be asked first: the groups of positions between which everything lies. */
export function spansQuery({ since_ms, until_ms }: EventQuery): { sql: string; ms: number; bound: "from" | "to" }[] {
  return [
    ...(since_ms === undefined
      ? []
      : [{ sql: "SELECT min(span) AS span FROM spans WHERE max_ms >= $1", ms: since_ms, bound: "from" as const }]),
    ...(until_ms === undefined
      ? []
      : [{ sql: "SELECT max(span) AS span FROM spans WHERE min_ms < $1", ms: until_ms, bound: "to" as const }]),
  ];
}

/** Equal by an index, and what else is asked is judged row by row, where it cannot mislead the choice of an index. */
export function pageQuery(query: EventQuery, { from, to, last }: Bounds): { sql: string; values: unknown[] } {
  const values: unknown[] = [];
  const value = (each: unknown): string => `$${values.push(each)}`;
  const by = query.chain_id === undefined ? INDEXED.find((column) => query[column] !== undefined) : undefined;
  const equal: string[] = [];
  const rest: string[] = [];
  if (query.chain_id !== undefined)
    equal.push(`stream = (SELECT stream FROM streams WHERE chain_id = ${value(query.chain_id)})`);
  if (by !== undefined) equal.push(`${by} = ${value(query[by])}`);
  if (query.tenant_id !== undefined) equal.push(`tenant_id = ${value(query.tenant_id)}`);
  for (const column of INDEXED)
    if (column !== by && query[column] !== undefined) rest.push(`${column} = ${value(query[column])}`);
  if (query.since_ms !== undefined) rest.push(`occurred_at_ms >= ${value(query.since_ms)}`);
  if (query.until_ms !== undefined) rest.push(`occurred_at_ms < ${value(query.until_ms)}`);
  if (query.after !== undefined) equal.push(`position ${query.order === "asc" ? ">" : "<"} ${value(query.after)}`);
  if (from !== undefined) equal.push(`position >= ${value(from)}`);
  if (to !== undefined) equal.push(`position < ${value(to)}`);
  if (last !== undefined) equal.push(`position <= ${value(last)}`);
  const shown = rest.length === 0 ? "record" : `CASE WHEN ${rest.join(" AND ")} THEN record END`;
  const where = equal.length === 0 ? "" : ` WHERE ${equal.join(" AND ")}`;
  // A stream is in order of sequence, which is the order of its positions.
  const order = query.chain_id === undefined ? "position" : "sequence";
  const limit = query.limit + 1 + (rest.length === 0 ? 0 : LOOKED_AT_MAX);
  return {
    sql: `SELECT position, ${shown} AS record FROM events${where} ORDER BY ${order} ${query.order} LIMIT ${value(limit)}`,
    values,
  };
}

export function pageOf(rows: readonly { position: number; record: string | null }[], limit: number): EventPage {
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
