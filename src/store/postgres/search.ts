// Listings of events in PostgreSQL: by the index that tells most, and never further through the history than a page is worth.
import { INDEXED, LOOKED_AT_MAX, timesOf, type TimedQuery } from "../listing.ts";
import type { EventQuery } from "../store.ts";
import { SPAN_POSITIONS } from "./schema.ts";

const CHAIN = "(SELECT chain_id FROM streams WHERE streams.stream = events.stream)";
/** What tells a row's place in a listing. */
const PLACE = `, occurred_at_ms AS ms, ${CHAIN} AS chain_id, sequence`;

/** A statement and its values. */
interface Asked {
  readonly sql: string;
  readonly values: unknown[];
}

export interface Bounds {
  from?: number;
  to?: number;
  /** The last position. */
  last?: number;
}

/** What must be asked first: the groups of positions between which everything lies. */
export function spansQuery({
  since_ms,
  until_ms,
}: Pick<EventQuery, "since_ms" | "until_ms">): { sql: string; ms: number; bound: "from" | "to" }[] {
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
export function pageQuery(query: EventQuery, bounds: Bounds): Asked {
  return positioned(query, bounds, "", (isJudged) => query.limit + 1 + (isJudged ? LOOKED_AT_MAX : 0));
}

/** By a filter's own index, in order of position. */
export function nearQuery(query: TimedQuery, bounds: Bounds, most: number): Asked {
  return positioned({ ...query, ...timesOf(query), after: undefined }, bounds, PLACE, () => most);
}

function positioned(
  query: EventQuery,
  { from, to, last }: Bounds,
  more: string,
  most: (isJudged: boolean) => number,
): Asked {
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
  const limit = most(rest.length > 0);
  return {
    sql: `SELECT position, ${shown} AS record${more} FROM events${where} ORDER BY ${order} ${query.order} LIMIT ${value(limit)}`,
    values,
  };
}

/** In order of time, by the index of a tenant's or of all times: what chain and sequence decide is sorted among those of one millisecond. */
export function timedQuery(query: TimedQuery): Asked {
  const { tenant_id, order, limit, after } = query;
  const { since_ms, until_ms } = timesOf(query);
  const values: unknown[] = [];
  const value = (each: unknown): string => `$${values.push(each)}`;
  const where: string[] = [];
  const rest = INDEXED.filter((column) => query[column] !== undefined).map(
    (column) => `${column} = ${value(query[column])}`,
  );
  if (tenant_id !== undefined) where.push(`tenant_id = ${value(tenant_id)}`);
  if (since_ms !== undefined) where.push(`occurred_at_ms >= ${value(since_ms)}`);
  if (until_ms !== undefined) where.push(`occurred_at_ms < ${value(until_ms)}`);
  if (after) {
    const behind = order === "asc" ? ">" : "<";
    const ms = value(after.ms);
    const place = `(${value(after.chain_id)}, ${value(after.sequence)}::bigint)`;
    where.push(
      `(occurred_at_ms ${behind} ${ms}::bigint OR (occurred_at_ms = ${ms}::bigint AND (${CHAIN}, sequence) ${behind} ${place}))`,
    );
  }
  const shown = rest.length === 0 ? "record" : `CASE WHEN ${rest.join(" AND ")} THEN record END`;
  const most = limit + 1 + (rest.length === 0 ? 0 : LOOKED_AT_MAX);
  return {
    sql: `SELECT position, ${shown} AS record${PLACE} FROM events${where.length === 0 ? "" : ` WHERE ${where.join(" AND ")}`}
      ORDER BY occurred_at_ms ${order}, chain_id ${order}, sequence ${order} LIMIT ${value(most)}`,
    values,
  };
}

/** $1 a position. The sum keeps an index of times from being walked for it. */
export const BEYOND = {
  asc: `SELECT least((SELECT min(min_ms) FROM spans WHERE span > $1::bigint / ${SPAN_POSITIONS}),
    (SELECT min(occurred_at_ms + 0) FROM events WHERE position > $1::bigint AND position < ($1::bigint / ${SPAN_POSITIONS} + 1) * ${SPAN_POSITIONS})) AS ms`,
  desc: `SELECT greatest((SELECT max(max_ms) FROM spans WHERE span < $1::bigint / ${SPAN_POSITIONS}),
    (SELECT max(occurred_at_ms + 0) FROM events WHERE position < $1::bigint AND position >= ($1::bigint / ${SPAN_POSITIONS}) * ${SPAN_POSITIONS})) AS ms`,
};
