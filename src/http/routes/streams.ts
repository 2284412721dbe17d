// `/v1/streams`: each stream as a transparency log, in the form that existing tools read (https://c2sp.org/tlog-tiles).
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import Type from "typebox";
import { closed, Count } from "../../core/schema/base.ts";
import { narrowed } from "../../core/caller.ts";
import type { LocalRailgate } from "../../library/local.ts";
import { identifier, inQuery, invalid, whole, type Query } from "../call/query.ts";
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
const SCOPE = { tenant_id: identifier("Whose stream it is.") };
const PROOF_QUERY = {
  ...SCOPE,
  index: whole(0, SIZE_MAX, "With `size`: the record whose inclusion is asked for."),
  size: whole(1, SIZE_MAX, "The size of the tree that it is included in."),
  from: whole(0, SIZE_MAX, "With `to`: the smaller of two sizes whose consistency is asked for."),
  to: whole(0, SIZE_MAX, "The larger one."),
};

const CHAIN = { chain_id: "The stream's `chain_id`, percent-encoded: `acme%2Fnode-1`." };
/** What a tile holds never changes; but where callers are told apart, no cache between may hand it to another. */
const IMMUTABLE = "max-age=31536000, immutable";
const FRESH = "no-cache";

export function streamRoutes(railgate: LocalRailgate): Route[] {
  return [
    route({
      method: "GET",
      path: "/v1/streams",
      tag: "Log",
      summary: "List streams",
      description: "The streams that the caller may read, with the keys that their checkpoints verify with.",
      query: SCOPE,
      shapes: { StreamList },
      answers: { 200: { description: "Streams by `chain_id`", content: { "application/json": "StreamList" } } },
      problems: ["tenant_forbidden"],
      handle: async (exchange) => json({ items: await asked(railgate, exchange).streams() }),
    }),
    route({
      method: "GET",
      path: "/v1/streams/:chain_id/checkpoint",
      tag: "Log",
      summary: "The latest checkpoint of a stream",
      description:
        "A signed note: origin, size, and Merkle root over the records (c2sp.org/tlog-checkpoint). At most a second behind.",
      query: SCOPE,
      params: CHAIN,
      answers: { 200: { description: "The checkpoint", content: { "text/plain; charset=utf-8": { type: "string" } } } },
      problems: ["tenant_forbidden", "stream_unknown", "evidence_unavailable"],
      handle: async (exchange) => {
        const note = await asked(railgate, exchange).checkpoint(exchange.params["chain_id"]!);
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
      query: SCOPE,
      params: { ...CHAIN, tile: "Level and place: `0/x001/067`, `entries/000.p/12`." },
      answers: {
        200: {
          description: "Hashes, 32 bytes each; or entries, each behind its length",
          content: { "application/octet-stream": { type: "string", format: "binary" } },
        },
      },
      problems: ["tenant_forbidden", "stream_unknown", "tile_unknown"],
      handle: (exchange) => tile(railgate, exchange),
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
      problems: ["tenant_forbidden", "stream_unknown"],
      handle: (exchange) => proof(railgate, exchange),
    }),
  ];
}

type Asking = Pick<Exchange, "caller" | "params" | "req"> & { readonly query: Query<typeof SCOPE> };

/** For the tenant that the query names, if it names one. */
const asked = (railgate: LocalRailgate, { caller, query }: Asking): LocalRailgate =>
  railgate.as(narrowed(caller, query.tenant_id));

async function tile(railgate: LocalRailgate, exchange: Asking): Promise<Reply> {
  const { caller, params } = exchange;
  // express hands a wildcard over in parts.
  const name = [params["tile"]].flat().join("/");
  const bytes = await asked(railgate, exchange).tile(params["chain_id"]!, name);
  const cached = { "Cache-Control": `${caller.kind === "host" ? "public" : "private"}, ${IMMUTABLE}` };
  const reply = { status: 200, type: "application/octet-stream" };
  if (!name.startsWith("entries/")) return { ...reply, body: bytes, headers: cached };
  const headers = { ...cached, Vary: "Accept-Encoding" };
  if (!acceptsGzip(exchange)) return { ...reply, body: bytes, headers };
  return { ...reply, body: await compress(bytes), headers: { ...headers, "Content-Encoding": "gzip" } };
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

async function proof(railgate: LocalRailgate, exchange: Exchange<typeof PROOF_QUERY>): Promise<Reply> {
  const { index, size, from, to }: Query<typeof PROOF_QUERY> = exchange.query;
  const inclusion = index !== undefined || size !== undefined;
  if (inclusion === (from !== undefined || to !== undefined))
    throw invalid(inclusion ? "from" : "index", "give either index and size, or from and to");
  const chainId = exchange.params["chain_id"]!;
  const reader = asked(railgate, exchange);
  if (inclusion) {
    if (index === undefined || size === undefined) throw invalid(index === undefined ? "index" : "size", "is missing");
    return json({ hashes: await inQuery(reader.inclusionProof(chainId, index, size)) });
  }
  if (from === undefined || to === undefined) throw invalid(from === undefined ? "from" : "to", "is missing");
  return json({ hashes: await inQuery(reader.consistencyProof(chainId, from, to)) });
}
