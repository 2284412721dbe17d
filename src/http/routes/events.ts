// `/v1/events`: the evidence, to list, to look up and to follow.
import Type from "typebox";
import { EvidenceUnavailableError } from "../../core/errors.ts";
import { eventTextOf } from "../../core/event.ts";
import { closed, nullable } from "../../core/schema/base.ts";
import { EVENT_TYPES, EvidenceEventSchema, Receipt } from "../../core/schema/event.ts";
import type { Inclusion, TransparencyLog } from "../../evidence/log/log.ts";
import type { EventQuery, StoreReader } from "../../store/store.ts";
import type { Followers } from "./follow.ts";
import { HttpError } from "../call/problem.ts";
import { choice, cursor, identifier, invalid, time, whole, type Query } from "../call/query.ts";
import { route, type Exchange, type Reply, type Route } from "../call/route.ts";
import { InclusionSchema } from "./streams.ts";
import { maySee, tenantAsked } from "../../core/caller.ts";

const LIMIT = { byDefault: 100, max: 1000 };

const EventAnswer = closed({ event: EvidenceEventSchema, record: Receipt, inclusion: nullable(InclusionSchema) });
const EventList = closed({ items: Type.Array(EvidenceEventSchema), next: nullable(Type.String()) });

const FILTERS = {
  tenant_id: identifier("Only this tenant's."),
  event_type: choice(EVENT_TYPES, "Only of this type."),
  outcome: choice(["accepted", "refused", "failed"], "Only with this outcome."),
  workload_id: identifier("Only about this workload."),
  correlation_id: identifier("Only those joined by this id."),
  since: time("Only from this time on."),
  until: time("Only before this time."),
};

/** Direction and position: a listing cannot be continued the other way round. */
const PLACE = /^(asc|desc)-(\d{1,15})$/;
const readPlace = (text: string) => {
  const parts = PLACE.exec(text);
  return parts === null ? undefined : { order: parts[1] as EventQuery["order"], position: Number(parts[2]) };
};

const QUERY = {
  ...FILTERS,
  order: choice(["desc", "asc"], "Newest first (desc) or oldest first (asc).", "desc"),
  limit: whole(1, LIMIT.max, "Most items in one answer.", LIMIT.byDefault),
  cursor: cursor(readPlace),
};

const SCOPE = { tenant_id: identifier("Whose event it is.") };

type EventsQuery = Query<typeof QUERY>;

export function eventRoutes(store: StoreReader, log: TransparencyLog, followers: Followers): Route[] {
  return [
    route({
      method: "GET",
      path: "/v1/events",
      tag: "Events",
      summary: "List or follow events",
      description:
        "Newest first, or oldest first with `order=asc`. A page may have fewer items than `limit`, or none, and still a `next`: none looks at more than some thousand events. With `Accept: text/event-stream` it follows live instead: each event is one message, whose id a client sends back as `Last-Event-ID` to go on from there; `since` begins in the past. `order`, `limit` and `cursor` mean nothing then.",
      query: QUERY,
      shapes: { EventList },
      answers: {
        200: {
          description: "Events",
          content: { "application/json": "EventList", "text/event-stream": { type: "string" } },
        },
      },
      problems: ["tenant_forbidden", "streams_exhausted"],
      handle: (exchange) => (wantsStream(exchange) ? follow(store, followers, exchange) : list(store, exchange)),
    }),
    route({
      method: "GET",
      path: "/v1/events/:id",
      tag: "Events",
      summary: "Look up an event",
      description:
        "The event, the record (the compact JWS over its exact bytes), and what proves the record's place in its stream's log; `inclusion` is null while no checkpoint can be made.",
      query: SCOPE,
      params: { id: "The event's id." },
      shapes: { EventAnswer },
      answers: {
        200: {
          description: "The event, its record, and its place in the log",
          content: { "application/json": "EventAnswer" },
        },
      },
      problems: ["event_unknown"],
      handle: (exchange) => lookUp(store, log, exchange),
    }),
    route({
      method: "GET",
      path: "/v1/events/:id/artifact",
      tag: "Events",
      summary: "What an event was about, byte for byte",
      description:
        "The stored bytes that the event's `evidence_pointer` names: for a decision its input and the policy's exact output, for an activated policy its bundle.",
      query: SCOPE,
      params: { id: "The event's id." },
      answers: {
        200: {
          description: "The exact bytes",
          content: { "application/json": {}, "application/gzip": { type: "string", format: "binary" } },
        },
        304: { description: "The client has them (`If-None-Match`)" },
      },
      problems: ["event_unknown", "artifact_unknown"],
      handle: (exchange) => artifact(store, exchange),
    }),
  ];
}

function list(store: StoreReader, { caller, query }: Exchange<typeof QUERY>): Reply {
  const { order = query.cursor?.order ?? "desc", limit = LIMIT.byDefault } = query;
  if (query.cursor && query.cursor.order !== order)
    throw invalid("cursor", `continues a listing with order=${query.cursor.order}`);
  const { events, next } = store.page({
    ...filtersOf(query),
    tenant_id: tenantAsked(caller, query.tenant_id),
    order,
    limit,
    after: query.cursor?.position,
  });
  const cursor = next === null ? "null" : `"${order}-${next}"`;
  return {
    status: 200,
    body: `{"items":[${events.map(({ record }) => eventTextOf(record)).join(",")}],"next":${cursor}}`,
  };
}

function follow(store: StoreReader, followers: Followers, { req, peer, caller, query }: Exchange<typeof QUERY>): Reply {
  const [idle] = (["order", "limit", "cursor"] as const).filter((name) => query[name] !== undefined);
  if (idle) throw invalid(idle, "means nothing where events are followed live");
  const filters = { ...filtersOf(query), tenant_id: tenantAsked(caller, query.tenant_id) };
  const answer = (after?: number): Reply => ({
    status: 200,
    type: "text/event-stream",
    headers: { "X-Accel-Buffering": "no" },
    body: followers.follow(filters.tenant_id ?? null, peer, filters, after),
  });
  const last = req.headers["last-event-id"];
  if (last === undefined) return answer(query.since === undefined ? undefined : 0);
  const event = typeof last === "string" ? store.event(last) : undefined;
  if (!event || (filters.tenant_id !== undefined && event.tenant_id !== filters.tenant_id)) {
    throw new HttpError("event_unknown", "There is no event with the Last-Event-ID, so there is no going on from it.");
  }
  return answer(event.position);
}

function filtersOf({ event_type, outcome, workload_id, correlation_id, since, until }: EventsQuery) {
  return { event_type, outcome, workload_id, correlation_id, since_ms: since, until_ms: until };
}

function wantsStream({ req }: Exchange<typeof QUERY>): boolean {
  return /(?:^|[\s,])text\/event-stream(?:$|[\s,;])/i.test(req.headers.accept ?? "");
}

async function lookUp(store: StoreReader, log: TransparencyLog, exchange: Exchange<typeof SCOPE>): Promise<Reply> {
  const { record } = find(store, exchange);
  const text = eventTextOf(record);
  const { chain_id, sequence } = JSON.parse(text) as { chain_id: string; sequence: number };
  return {
    status: 200,
    body: `{"event":${text},"record":"${record}","inclusion":${JSON.stringify(await inclusionOf(log, chain_id, sequence))}}`,
  };
}

/** The event itself is told even while its place cannot be proven. */
async function inclusionOf(log: TransparencyLog, chainId: string, sequence: number): Promise<Inclusion | null> {
  try {
    return await log.inclusion(chainId, sequence);
  } catch (error) {
    if (error instanceof EvidenceUnavailableError) return null;
    throw error;
  }
}

/** An event of another tenant is as unknown as one that never was. */
function find(store: StoreReader, { caller, params, query }: Exchange<typeof SCOPE>) {
  const tenant = tenantAsked(caller, query.tenant_id);
  const event = store.event(params["id"]!);
  if (!event || !maySee(caller, event.tenant_id) || (tenant !== undefined && tenant !== event.tenant_id)) {
    throw new HttpError("event_unknown", "This node has no such event.");
  }
  return event;
}

const GZIP_MAGIC = 0x1f;
const PREFIX = "sha256:";

function artifact(store: StoreReader, exchange: Exchange<typeof SCOPE>): Reply {
  const { artifact_digest: digest } = find(store, exchange);
  const bytes = store.artifactOf(exchange.params["id"]!)?.bytes;
  if (bytes === undefined)
    throw new HttpError(
      "artifact_unknown",
      `The artifact ${digest} was erased, or never kept; the event about it stands.`,
    );
  const hash = Buffer.from(digest.slice(PREFIX.length), "hex").toString("base64");
  // RFC 9530: whoever fetches it can check it without reading the event.
  const headers = { ETag: `"${digest}"`, "Repr-Digest": `sha-256=:${hash}:`, "Cache-Control": "private, no-cache" };
  const known = exchange.req.headers["if-none-match"]
    ?.split(",")
    .some((tag) => tag.trim().replace(/^W\//, "") === headers.ETag);
  const type = bytes[0] === GZIP_MAGIC ? "application/gzip" : "application/json";
  return known ? { status: 304, body: "", type, headers } : { status: 200, body: bytes, type, headers };
}
