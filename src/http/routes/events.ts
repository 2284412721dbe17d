// `/v1/events`: the evidence, to list, to look up and to follow.
import Type from "typebox";
import { hexOfDigest } from "../../core/digest.ts";
import { eventTextOf } from "../../core/event.ts";
import { closed, nullable } from "../../core/schema/base.ts";
import { EVENT_TYPES } from "../../core/event-types.ts";
import { EvidenceEventSchema, ReceiptSchema } from "../../core/schema/event.ts";
import { SummariesSchema } from "../../core/schema/summaries.ts";
import type { LocalRailgate } from "../../library/local.ts";
import type { Followers } from "./follow.ts";
import { choice, cursor, identifier, inQuery, invalid, time, whole } from "../call/query.ts";
import { json, route, type Exchange, type Reply, type Route } from "../call/route.ts";
import { InclusionSchema } from "./streams.ts";
import { tenantAsked } from "../../core/caller.ts";

const LIMIT = { byDefault: 100, max: 1000 };

const EventAnswer = closed({ event: EvidenceEventSchema, record: ReceiptSchema, inclusion: nullable(InclusionSchema) });
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

const QUERY = {
  ...FILTERS,
  order: choice(["desc", "asc"], "Newest first (desc) or oldest first (asc).", "desc"),
  limit: whole(1, LIMIT.max, "Most items in one answer.", LIMIT.byDefault),
  cursor: cursor((text) => text),
};

const SCOPE = { tenant_id: identifier("Whose event it is.") };

export function eventRoutes(railgate: LocalRailgate, followers: Followers): Route[] {
  return [
    route({
      method: "GET",
      path: "/v1/events",
      tag: "Events",
      summary: "List or follow events",
      description:
        "Newest first, or oldest first with `order=asc`; over several streams in order of `occurred_at`, then chain and sequence. A page may have fewer items than `limit`, or none, and still a `next`: none looks at many more than two thousand events. With `Accept: text/event-stream` it follows live instead: each event is one message, whose id a client sends back as `Last-Event-ID` to go on from there; `since` begins in the past. `order`, `limit` and `cursor` mean nothing then.",
      query: QUERY,
      shapes: { EventList },
      answers: {
        200: {
          description: "Events",
          content: { "application/json": "EventList", "text/event-stream": { type: "string" } },
        },
      },
      problems: ["tenant_forbidden", "event_unknown", "streams_exhausted"],
      handle: (exchange) => (wantsStream(exchange) ? follow(railgate, followers, exchange) : list(railgate, exchange)),
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
      problems: ["tenant_forbidden", "event_unknown"],
      handle: (exchange) => lookUp(railgate, exchange),
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
      problems: ["tenant_forbidden", "event_unknown", "artifact_unknown"],
      handle: (exchange) => artifact(railgate, exchange),
    }),
    route({
      method: "GET",
      path: "/v1/events/:id/summaries",
      tag: "Events",
      summary: "An admission as statements for other tools",
      description:
        "For each artifact of an admission a SLSA Verification Summary (VSA) and an in-toto Simple Verification Result (SVR), in DSSE envelopes that the node's event key signed; none where nothing was admitted.",
      query: SCOPE,
      params: { id: "The event's id." },
      shapes: { Summaries: SummariesSchema },
      answers: { 200: { description: "The statements", content: { "application/json": "Summaries" } } },
      problems: ["tenant_forbidden", "event_unknown", "artifact_unknown"],
      handle: async ({ caller, params, query }) => {
        const scope = { tenant_id: tenantAsked(caller, query.tenant_id) };
        return json({ items: await railgate.as(caller).summaries(params["id"]!, scope) });
      },
    }),
  ];
}

async function list(railgate: LocalRailgate, { caller, query }: Exchange<typeof QUERY>): Promise<Reply> {
  const { records, next } = await inQuery(railgate.as(caller).events(query));
  return { status: 200, body: `{"items":[${records.map(eventTextOf).join(",")}],"next":${JSON.stringify(next)}}` };
}

async function follow(
  railgate: LocalRailgate,
  followers: Followers,
  { req, peer, caller, query }: Exchange<typeof QUERY>,
): Promise<Reply> {
  const { order, limit, cursor, ...filters } = query;
  const idle = Object.entries({ order, limit, cursor }).find(([, value]) => value !== undefined);
  if (idle) throw invalid(idle[0], "means nothing where events are followed live");
  const after = req.headers["last-event-id"]?.toString();
  const tenantId = tenantAsked(caller, query.tenant_id) ?? null;
  return {
    status: 200,
    type: "text/event-stream",
    headers: { "X-Accel-Buffering": "no" },
    body: await followers.follow(railgate.as(caller), { ...filters, after }, tenantId, peer),
  };
}

function wantsStream({ req }: Exchange<typeof QUERY>): boolean {
  return /(?:^|[\s,])text\/event-stream(?:$|[\s,;])/i.test(req.headers.accept ?? "");
}

async function lookUp(railgate: LocalRailgate, { caller, params, query }: Exchange<typeof SCOPE>): Promise<Reply> {
  const { record, inclusion } = await railgate.as(caller).event(params["id"]!, query);
  const text = `"event":${eventTextOf(record)},"record":"${record}","inclusion":${JSON.stringify(inclusion)}`;
  return { status: 200, body: `{${text}}` };
}

const GZIP_MAGIC = 0x1f;

async function artifact(railgate: LocalRailgate, exchange: Exchange<typeof SCOPE>): Promise<Reply> {
  const { caller, params, query } = exchange;
  const { digest, bytes } = await railgate.as(caller).artifact(params["id"]!, query);
  const hash = Buffer.from(hexOfDigest(digest), "hex").toString("base64");
  // RFC 9530: whoever fetches it can check it without reading the event.
  const headers = { ETag: `"${digest}"`, "Repr-Digest": `sha-256=:${hash}:`, "Cache-Control": "private, no-cache" };
  const known = exchange.req.headers["if-none-match"]
    ?.split(",")
    .some((tag) => tag.trim().replace(/^W\//, "") === headers.ETag);
  const type = bytes[0] === GZIP_MAGIC ? "application/gzip" : "application/json";
  return known ? { status: 304, body: "", type, headers } : { status: 200, body: bytes, type, headers };
}
