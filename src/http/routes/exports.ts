// `POST /v1/exports`, `POST /v1/verify`: a tenant's evidence as one archive, and the check of such an archive; both as they stream.
import Type from "typebox";
import { parser } from "../../core/request.ts";
import { ExportRequestSchema } from "../../core/schema/queries.ts";
import { archiveOf, type LocalRailgate } from "../../library/local.ts";
import { readJson, readParts } from "../call/body.ts";
import { COMMAND_QUERY, tenantIn } from "../call/commands.ts";
import { HttpError } from "../call/problem.ts";
import { json, route, type Exchange, type Reply, type Route } from "../call/route.ts";
import type { TurnLimits, Turns } from "../call/turns.ts";
import { provenTenant } from "../../core/caller.ts";

export interface ExportParts {
  readonly railgate: LocalRailgate;
  readonly bodyBytesMax: number;
  readonly turns: Turns;
}

/** Exports and verifications at a time: each keeps a core busy that decisions need. */
export const EXPORT_TURNS: TurnLimits = { max: 4, tenantMax: 2 };
/** Of an archive that is sent in to be verified, packed. */
const ARCHIVE_BYTES_MAX = 8 * 1024 ** 3;
const ARCHIVE_TYPE = /^application\/(?:gzip|x-gzip|x-tar|tar\+gzip|octet-stream)\s*(?:;|$)/i;

const BINARY = { type: "string", format: "binary" };
const QUERY = { tenant_id: COMMAND_QUERY.tenant_id };
const parseBody = parser(ExportRequestSchema);

const VerifyReportSchema = Type.Object({
  ok: Type.Boolean({ description: "whether every check passed" }),
  checks: Type.Array(
    Type.Object({
      name: Type.String(),
      status: Type.String({ enum: ["passed", "failed", "not_checked"] }),
      detail: Type.String(),
    }),
  ),
  first_bad: Type.Unknown({ description: "`{file, line, sequence}` of the first record at fault, or null" }),
});

export function exportRoutes(parts: ExportParts): Route[] {
  return [
    route({
      method: "POST",
      path: "/v1/exports",
      tag: "Evidence",
      summary: "Export a tenant's evidence",
      description:
        "One `.tar.gz` with events, records, proofs, artifacts and keys, verifiable offline (`railgate verify`). The export itself is recorded.",
      query: QUERY,
      body: "ExportRequest",
      shapes: { ExportRequest: ExportRequestSchema },
      answers: {
        200: { description: "The archive", content: { "application/gzip": BINARY } },
      },
      problems: [
        "tenant_forbidden",
        "stream_unknown",
        "export_incomplete",
        "exports_exhausted",
        "evidence_unavailable",
      ],
      handle: (exchange) => exportAs(parts, exchange),
    }),
    route({
      method: "POST",
      path: "/v1/verify",
      tag: "Evidence",
      summary: "Verify an export",
      description:
        "The body is a `.tar.gz` or `.tar`. It is checked as it streams by, by the node's own keys where they signed it, and kept nowhere. 200 whether it verifies or not.",
      body: { "application/gzip": BINARY, "application/x-tar": BINARY },
      shapes: { VerifyReport: VerifyReportSchema },
      answers: { 200: { description: "The report", content: { "application/json": "VerifyReport" } } },
      problems: [
        "content_type_unsupported",
        "request_timeout",
        "request_too_large",
        "verification_timeout",
        "exports_exhausted",
      ],
      handle: (exchange) => verifyBody(parts, exchange),
    }),
  ];
}

async function exportAs(
  { railgate, bodyBytesMax, turns }: ExportParts,
  exchange: Exchange<typeof QUERY>,
): Promise<Reply> {
  const { peer, caller, query } = exchange;
  const body = parseBody(await readJson(exchange, bodyBytesMax));
  const tenantId = tenantIn(caller, body, query);
  using held = new DisposableStack();
  held.use(turns.take(tenantId, peer));
  const prepared = held.use(await railgate.as(caller).prepareExport({ ...body, tenant_id: tenantId }));
  exchange.notes = { export_id: prepared.exportId, events: prepared.events };
  const untilSent = held.move();
  return {
    status: 200,
    type: "application/gzip",
    headers: { "Content-Disposition": `attachment; filename="${prepared.exportId}.tar.gz"` },
    // A client that goes away, or a file that changed meanwhile, ends it without the end of the archive, so it does not verify.
    body: { parts: () => archiveOf(prepared), over: () => untilSent.dispose() },
  };
}

async function verifyBody({ railgate, turns }: ExportParts, exchange: Exchange): Promise<Reply> {
  const { req, peer, caller } = exchange;
  if (!ARCHIVE_TYPE.test(req.headers["content-type"] ?? "")) {
    throw new HttpError("content_type_unsupported", "Send the archive as application/gzip or application/x-tar.", {
      Accept: "application/gzip, application/x-tar",
    });
  }
  using _ = turns.take(provenTenant(caller), peer);
  const archive = new Arriving(readParts(exchange, ARCHIVE_BYTES_MAX));
  try {
    return json(await railgate.as(caller).verify(archive));
  } finally {
    archive.rethrow();
  }
}

/** An archive on its way; what kept it from arriving is no fault of the archive's. */
class Arriving implements AsyncIterable<Uint8Array> {
  readonly #parts: AsyncIterable<Uint8Array>;
  #failure: { readonly error: unknown } | undefined;

  constructor(parts: AsyncIterable<Uint8Array>) {
    this.#parts = parts;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    try {
      yield* this.#parts;
    } catch (error) {
      this.#failure = { error };
      throw error;
    }
  }

  rethrow(): void {
    if (this.#failure) throw this.#failure.error;
  }
}
