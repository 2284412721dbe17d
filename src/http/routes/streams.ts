// `/v1/streams`: each stream as a transparency log, in the form that existing tools read (https://c2sp.org/tlog-tiles).
import { maySee } from "../../core/caller.ts";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import Type from "typebox";
import { closed, Count } from "../../core/schema/base.ts";
import { parseTilePath } from "../../core/tiles.ts";
import type { TransparencyLog } from "../../evidence/log/log.ts";
import type { StreamRow } from "../../store/store.ts";
import { HttpError } from "../call/problem.ts";
import { invalid, whole, type Query } from "../call/query.ts";
import { json, route, type Exchange, type Reply, type Route } from "../call/route.ts";

const compress = promisify(gzip);

const Hashes = Type.Array(Type.String({ description: "base64" }));

/** Where an event is in its stream's log, provably. */
export const InclusionSchema = closed({
  index: Count,
  size: Count,
  hashes: Hashes,
  checkpoint: Type.String({ description: "a signed note (c2sp.org/tlog-checkpoint) over `size` records" }),
});

const StreamList = closed({
  items: Type.Array(
    closed({
      chain_id: Type.String({ description: "<tenant_id>/<node_id>" }),
      size: Type.Integer({ minimum: 1, description: "committed events" }),
      vkey: Type.String({ description: "the key that its checkpoints verify with (c2sp.org/signed-note)" }),
    }),
  ),
});
const ProofAnswer = closed({ hashes: Hashes });

const SIZE_MAX = 999_999_999_999_999;
const PROOF_QUERY = {
  index: whole(0, SIZE_MAX, "With `size`: the record whose inclusion is asked for."),
  size: whole(1, SIZE_MAX, "The size of the tree that it is included in."),
  from: whole(0, SIZE_MAX, "With `to`: the smaller of two sizes whose consistency is asked for."),
  to: whole(0, SIZE_MAX, "The larger one."),
};

const CHAIN = { chain_id: "The stream's `chain_id`, percent-encoded: `acme%2Fnode-1`." };
/** What a tile holds never changes; but where callers are told apart, no cache between may hand it to another. */
const IMMUTABLE = "max-age=31536000, immutable";
const FRESH = "no-cache";

export function streamRoutes(log: TransparencyLog): Route[] {
  return [
    route({
      method: "GET",
      path: "/v1/streams",
      tag: "Log",
      summary: "List streams",
      description: "The streams that the caller may read, with the keys that their checkpoints verify with.",
      query: {},
      shapes: { StreamList },
      answers: { 200: { description: "Streams by `chain_id`", content: { "application/json": "StreamList" } } },
      handle: ({ caller }) => {
        const mine = log.streams().filter(({ tenant_id }) => maySee(caller, tenant_id));
        return json({ items: mine.map(({ chain_id, size }) => ({ chain_id, size, vkey: log.vkey(chain_id) })) });
      },
    }),
    route({
      method: "GET",
      path: "/v1/streams/:chain_id/checkpoint",
      tag: "Log",
      summary: "The latest checkpoint of a stream",
      description:
        "A signed note: origin, size, and Merkle root over the records (c2sp.org/tlog-checkpoint). At most a second behind.",
      query: {},
      params: CHAIN,
      answers: { 200: { description: "The checkpoint", content: { "text/plain; charset=utf-8": { type: "string" } } } },
      problems: ["stream_unknown", "evidence_unavailable"],
      handle: async (exchange) => {
        const { note } = await log.checkpoint(find(log, exchange).chain_id);
        return { status: 200, body: note, type: "text/plain; charset=utf-8", headers: { "Cache-Control": FRESH } };
      },
    }),
    route({
      method: "GET",
      path: "/v1/streams/:chain_id/tile/*tile",
      tag: "Log",
      summary: "A tile of hashes, or a bundle of records",
      description:
        "`tile/<L>/<N>[.p/<W>]` and `tile/entries/<N>[.p/<W>]` as c2sp.org/tlog-tiles has them. An entry is a record's ASCII bytes.",
      query: {},
      params: { ...CHAIN, tile: "Level and place: `0/x001/067`, `entries/000.p/12`." },
      answers: {
        200: {
          description: "Hashes, 32 bytes each; or entries, each behind its length",
          content: { "application/octet-stream": { type: "string", format: "binary" } },
        },
      },
      problems: ["stream_unknown", "tile_unknown"],
      handle: (exchange) => tile(log, exchange),
    }),
    route({
      method: "GET",
      path: "/v1/streams/:chain_id/proof",
      tag: "Log",
      summary: "Prove inclusion or consistency",
      description:
        "With `index` and `size`, that a record is in the tree of that size; with `from` and `to`, that one tree begins with the other (RFC 6962 §2.1).",
      query: PROOF_QUERY,
      params: CHAIN,
      shapes: { ProofAnswer },
      answers: { 200: { description: "The proof's hashes", content: { "application/json": "ProofAnswer" } } },
      problems: ["stream_unknown"],
      handle: (exchange) => proof(log, exchange),
    }),
  ];
}

/** A stream of another tenant is as unknown as one that never was. */
function find(log: TransparencyLog, { caller, params }: Pick<Exchange, "caller" | "params">): StreamRow {
  const stream = log.stream(params["chain_id"]!);
  if (!stream || !maySee(caller, stream.tenant_id))
    throw new HttpError("stream_unknown", "This node has no such stream.");
  return stream;
}

async function tile(log: TransparencyLog, exchange: Omit<Exchange, "query">): Promise<Reply> {
  const { chain_id } = find(log, exchange);
  // express hands a wildcard over in parts.
  const name = parseTilePath(`tile/${[exchange.params["tile"]].flat().join("/")}`);
  const bytes = name && log.tile(chain_id, name);
  if (!name || !bytes) throw new HttpError("tile_unknown", "The stream has no such tile, or not yet.");
  const cached = { "Cache-Control": `${exchange.caller.kind === "host" ? "public" : "private"}, ${IMMUTABLE}` };
  if (name.level !== "entries") return { status: 200, body: bytes, type: "application/octet-stream", headers: cached };
  const headers = { ...cached, Vary: "Accept-Encoding" };
  if (!acceptsGzip(exchange)) return { status: 200, body: bytes, type: "application/octet-stream", headers };
  return {
    status: 200,
    body: await compress(bytes),
    type: "application/octet-stream",
    headers: { ...headers, "Content-Encoding": "gzip" },
  };
}

/** RFC 9110 §12.5.3, for the one coding that we have. */
function acceptsGzip({ req }: Pick<Exchange, "req">): boolean {
  const codings = (req.headers["accept-encoding"] ?? "")
    .toString()
    .toLowerCase()
    .split(",")
    .map((coding) => coding.trim());
  return (
    codings.some((coding) => /^(?:gzip|x-gzip|\*)(?:\s*;\s*q=(?!0(?:\.0*)?$)[\d.]+)?$/.test(coding)) &&
    !codings.some((coding) => /^gzip\s*;\s*q=0(?:\.0*)?$/.test(coding))
  );
}

function proof(log: TransparencyLog, exchange: Exchange<typeof PROOF_QUERY>): Reply {
  const { chain_id, size: committed } = find(log, exchange);
  const { index, size, from, to }: Query<typeof PROOF_QUERY> = exchange.query;
  const inclusion = index !== undefined || size !== undefined;
  if (inclusion === (from !== undefined || to !== undefined))
    throw invalid(inclusion ? "from" : "index", "give either index and size, or from and to");
  if (inclusion) {
    if (index === undefined || size === undefined) throw invalid(index === undefined ? "index" : "size", "is missing");
    if (size > committed) throw invalid("size", `is more than the ${committed} events of the stream`);
    if (index >= size) throw invalid("index", "must be less than size");
    return json({ hashes: log.inclusionProof(chain_id, index, size) });
  }
  if (from === undefined || to === undefined) throw invalid(from === undefined ? "from" : "to", "is missing");
  if (to > committed) throw invalid("to", `is more than the ${committed} events of the stream`);
  if (from > to) throw invalid("from", "must not be more than to");
  return json({ hashes: log.consistencyProof(chain_id, from, to) });
}
