// `POST /v1/streams/{chain_id}/records`: other nodes send what they have recorded (spec evidence §7).
import { RequestError } from "../../core/errors.ts";
import { ReplicationAnswerSchema, ReplicationSchema } from "../../core/schema/replication.ts";
import { ENCODINGS, type Encoding } from "../../library/doors.ts";
import type { LocalRailgate } from "../../library/local.ts";
import { checkJsonType, readBytes } from "../call/body.ts";
import { HttpError } from "../call/problem.ts";
import { json, route, type Exchange, type Route } from "../call/route.ts";
import { Turns } from "../call/turns.ts";

/** Packed and unpacked. A forwarder sends far less at a time; a large policy bundle needs the room. */
const BODY_BYTES_MAX = 32 * 1024 * 1024;
const CHAIN_CHARS_MAX = 507;
const TURNS = { max: 16, tenantMax: 16 };

export function replicationRoutes(railgate: LocalRailgate): Route[] {
  const turns = new Turns(TURNS, { code: "records_busy", retryS: 1 });
  return [
    route({
      method: "POST",
      path: "/v1/streams/:chain_id/records",
      tag: "Log",
      summary: "Take records of another node",
      description:
        "In order, from the sequence that is expected next. Signature, hash, chain and position of each are checked; the same record again changes nothing. The body may be packed (`Content-Encoding: gzip` or `zstd`).",
      query: {},
      params: { chain_id: "The stream's `chain_id`, percent-encoded: `acme%2Fedge-1`." },
      body: "Replication",
      shapes: { Replication: ReplicationSchema, ReplicationAnswer: ReplicationAnswerSchema },
      answers: { 200: { description: "Taken, and durable", content: { "application/json": "ReplicationAnswer" } } },
      problems: [
        "node_needed",
        "node_forbidden",
        "node_untrusted",
        "record_gap",
        "node_equivocation",
        "node_quarantined",
        "record_invalid",
        "records_busy",
        "evidence_unavailable",
      ],
      handle: async (exchange) => {
        const encoding = encodingOf(exchange);
        using _ = turns.take(null, exchange.peer);
        const chainId = exchange.params["chain_id"]!;
        if (chainId.length > CHAIN_CHARS_MAX)
          throw new RequestError(422, [{ pointer: "/chain_id", message: "is longer than any stream's" }]);
        const bytes = await readBytes(exchange, BODY_BYTES_MAX);
        return json(
          await railgate.as(exchange.caller).replicate(chainId, { bytes, encoding, bytesMax: BODY_BYTES_MAX }),
        );
      },
    }),
  ];
}

function encodingOf({ req }: Pick<Exchange, "req">): Encoding {
  checkJsonType(req);
  const given = req.headers["content-encoding"]?.toLowerCase() ?? "identity";
  const encoding = ENCODINGS.find((known) => known === given);
  if (encoding === undefined)
    throw new HttpError("content_type_unsupported", "Send the body as it is, or packed by gzip or zstd.", {
      "Accept-Encoding": ENCODINGS.join(", "),
    });
  return encoding;
}
