// The order of listings: one stream by its sequence, several by when events occurred, then chain and sequence (spec replicas). Why so: docs/decisions/0390.
import type {
  EventListing,
  EventPage,
  EventQuery,
  ListingPlace,
  ListingQuery,
  MaybePromise,
  StoredEvent,
} from "./store.ts";

/** Events that a page looks at and does not show, at most; a filter that is rarer is followed from page to page. */
export const LOOKED_AT_MAX = 1000;
/** So many more than are asked for are read in order of position: commits that overtook each other have mixed no more, mostly. */
const BESIDE = 128;

/** Columns with an index of their own; those that tell most first. */
export const INDEXED = ["workload_id", "correlation_id", "event_type", "outcome"] as const;
export type Indexed = (typeof INDEXED)[number];

/** `record` null: one that was looked at and is not among those asked for. */
type Row = { readonly position: number; readonly record: string | null };
export type PlacedRow = Row & ListingPlace;

/** In order of time, behind a place. */
export interface TimedQuery extends Omit<ListingQuery, "after"> {
  readonly after?: ListingPlace | undefined;
}

/** What a store answers of its events. */
export interface ListingSource {
  page(query: EventQuery): MaybePromise<EventPage>;
  /** Whether there are several streams, of this tenant or in all, and an index of their times. */
  hasSeveral(tenantId: string | undefined): MaybePromise<boolean>;
  /** In order of position, by a filter's own index, `most` at most, and only where `timesOf` may be met; undefined: by no index. */
  near(query: TimedQuery, most: number): MaybePromise<readonly PlacedRow[] | undefined>;
  /** Of all events beyond a position: the latest time below it (desc), the earliest above it (asc). */
  beyond(position: number, order: EventQuery["order"]): MaybePromise<number | undefined>;
  /** In the order of the listing. */
  timed(query: TimedQuery): MaybePromise<Iterable<PlacedRow>>;
}

/** See `StoreReader.list`. A page costs what it shows, and a thousand or two that it looks at. */
export async function list(source: ListingSource, { after, ...asked }: ListingQuery): Promise<EventListing> {
  if (typeof after === "number" || (after === undefined && !(await source.hasSeveral(asked.tenant_id))))
    return source.page({ ...asked, after });
  const query: TimedQuery = { ...asked, after };
  const near = await nearPage(source, query);
  if (near) return near;
  const { events, last } = pageOf(await source.timed(query), query.limit);
  return { events, next: last ? placeOf(last) : null };
}

/**
 * By a filter's own index, which is in order of position: that is nearly the order of time, so all that was read and lies
 * before whatever may be unread is in place.
 * @returns undefined where there is none, or it tells nothing: events that came long after they occurred lie in between.
 */
async function nearPage(source: ListingSource, query: TimedQuery): Promise<EventListing | undefined> {
  const { order, limit, after, since_ms, until_ms } = query;
  const filters = INDEXED.filter((column) => query[column] !== undefined).length;
  if (filters === 0) return undefined;
  // Those before the cursor are as many as a group of positions, mostly.
  const isJudged = filters > 1 || [after, since_ms, until_ms].some((each) => each !== undefined);
  const most = limit + 1 + BESIDE + (isJudged ? LOOKED_AT_MAX : 0);
  const rows = await source.near(query, most);
  if (rows === undefined) return undefined;
  const unread = rows.length < most ? undefined : await source.beyond(rows.at(-1)!.position, order);
  const sign = order === "asc" ? 1 : -1;
  const inPlace = rows
    .filter((row) => unread === undefined || sign * (unread - row.ms) > 0)
    .filter((row) => after === undefined || sign * compare(row, after) > 0)
    .sort((a, b) => sign * compare(a, b));
  if (inPlace.length === 0 && unread !== undefined) return undefined;
  const { events, last = unread === undefined ? undefined : inPlace.at(-1) } = pageOf(inPlace, limit);
  return { events, next: last ? placeOf(last) : null };
}

/** The times between which everything lies that is still to be listed. */
export function timesOf({ since_ms, until_ms, order, after }: TimedQuery): Pick<EventQuery, "since_ms" | "until_ms"> {
  if (after === undefined) return { since_ms, until_ms };
  return order === "asc"
    ? { since_ms: Math.max(since_ms ?? 0, after.ms), until_ms }
    : { since_ms, until_ms: Math.min(until_ms ?? Infinity, after.ms + 1) };
}

/** As much of these rows as makes a page. @returns `last`: the row behind which it goes on; undefined at the end. */
export function pageOf<R extends Row>(
  rows: Iterable<R>,
  limit: number,
): { readonly events: StoredEvent[]; readonly last?: R } {
  const events: StoredEvent[] = [];
  let passedOver = 0;
  let last: R | undefined;
  for (const row of rows) {
    const { position, record } = row;
    if (last && ((events.length === limit && record !== null) || passedOver === LOOKED_AT_MAX)) return { events, last };
    last = row;
    if (record === null) passedOver++;
    else events.push({ position, record });
  }
  return { events };
}

const placeOf = ({ ms, chain_id, sequence }: ListingPlace): ListingPlace => ({ ms, chain_id, sequence });

function compare(a: ListingPlace, b: ListingPlace): number {
  if (a.chain_id === b.chain_id || a.ms !== b.ms) return a.ms - b.ms || a.sequence - b.sequence;
  return a.chain_id < b.chain_id ? -1 : 1;
}
