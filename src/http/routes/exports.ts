// `POST /v1/exports`, `POST /v1/verify`: a tenant's evidence as one archive, and the check of such an archive; both as they stream.
import type { IncomingMessage } from "node:http";
import { pipeline } from "node:stream/promises";
import Type from "typebox";
import { ExportIncompleteError, RequestError } from "../../core/errors.ts";
import { parser } from "../../core/request.ts";
import { ExportRequestSchema } from "../../core/schema/queries.ts";
import { ExportRangeError, prepareExport, type ExportSource } from "../../evidence/export/export.ts";
import { tarGz } from "../../evidence/export/files.ts";
import { verifyExport } from "../../evidence/verify/node.ts";
import { readJson } from "../call/body.ts";
import { HttpError } from "../call/problem.ts";
import { json, route, type Exchange, type Reply, type Route } from "../call/route.ts";
import { actorOf, tenantOf } from "../../core/caller.ts";

export interface ExportParts {
  readonly source: ExportSource;
  /** Files that exports bring along, by kind. */
  readonly artifacts: Readonly<Record<string, readonly string[]>>;
  readonly evidenceProfileId: string;
  readonly bodyBytesMax: number;
}

/** Exports and verifications at a time: each keeps a core busy that decisions need. */
const AT_ONCE_MAX = 2;
/** Of an archive that is sent in to be verified, packed and unpacked. */
const ARCHIVE_BYTES_MAX = 8 * 1024 ** 3;
/** A large archive may take its time, as long as it goes on arriving. */
const IDLE_MS_MAX = 30_000;
const UNPACKED_BYTES_MAX = 64 * 1024 ** 3;
const ARCHIVE_TYPE = /^application\/(?:gzip|x-gzip|x-tar|tar\+gzip|octet-stream)\s*(?:;|$)/i;

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
  const busy = new Turns(AT_ONCE_MAX);
  return [
    route({
      method: "POST",
      path: "/v1/exports",
      tag: "Evidence",
      summary: "Export a tenant's evidence",
      description:
        "One `.tar.gz` with events, records, proofs, artifacts and keys, verifiable offline (`railgate verify`). The export itself is recorded.",
      body: "ExportRequest",
      shapes: { ExportRequest: ExportRequestSchema },
      answers: {
        200: { description: "The archive", content: { "application/gzip": { type: "string", format: "binary" } } },
      },
      problems: [
        "tenant_forbidden",
        "stream_unknown",
        "export_incomplete",
        "exports_exhausted",
        "evidence_unavailable",
      ],
      handle: (exchange) => busy.take(() => exportAs(parts, exchange)),
    }),
    route({
      method: "POST",
      path: "/v1/verify",
      tag: "Evidence",
      summary: "Verify an export",
      description:
        "The body is a `.tar.gz` or `.tar`. It is checked as it streams by and kept nowhere. 200 whether it verifies or not.",
      shapes: { VerifyReport: VerifyReportSchema },
      answers: { 200: { description: "The report", content: { "application/json": "VerifyReport" } } },
      problems: ["content_type_unsupported", "request_too_large", "exports_exhausted"],
      handle: (exchange) => busy.take(() => verifyBody(exchange)),
    }),
  ];
}

class Turns {
  readonly #max: number;
  #taken = 0;

  constructor(max: number) {
    this.#max = max;
  }

  async take<T>(work: () => Promise<T>): Promise<T> {
    if (this.#taken >= this.#max)
      throw new HttpError("exports_exhausted", "Ask again when the others are done.", { "Retry-After": "5" });
    this.#taken++;
    try {
      return await work();
    } finally {
      this.#taken--;
    }
  }
}

async function exportAs(
  { source, artifacts, evidenceProfileId, bodyBytesMax }: ExportParts,
  exchange: Exchange,
): Promise<undefined> {
  const { req, res, caller, requestId } = exchange;
  const body = parseBody(await readJson(req, res, bodyBytesMax));
  const request = {
    tenantId: tenantOf(caller, body.tenant_id),
    evidenceProfileId: body.evidence_profile_id ?? evidenceProfileId,
    actor: actorOf(caller),
    artifacts,
    chainId: body.chain_id,
    fromSequence: body.from_sequence,
    toSequence: body.to_sequence,
  };
  using prepared = await prepareExport(source, request).catch((error: unknown) => {
    throw problemOf(error);
  });
  exchange.notes = { export_id: prepared.exportId, events: prepared.events };
  res.writeHead(200, {
    "Content-Type": "application/gzip",
    "Content-Disposition": `attachment; filename="${prepared.exportId}.tar.gz"`,
    "X-Request-Id": requestId,
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
  });
  // A client that goes away, or a file that changed meanwhile, ends it without the end of the archive, so it does not verify.
  await pipeline(tarGz(prepared.files), res);
  return undefined;
}

function problemOf(error: unknown): unknown {
  if (error instanceof ExportIncompleteError) return new HttpError("export_incomplete", error.message);
  if (error instanceof ExportRangeError) return new HttpError("stream_unknown", error.message);
  return error;
}

async function verifyBody({ req }: Exchange): Promise<Reply> {
  if (!ARCHIVE_TYPE.test(req.headers["content-type"] ?? "")) {
    throw new HttpError("content_type_unsupported", "Send the archive as application/gzip or application/x-tar.", {
      Accept: "application/gzip, application/x-tar",
    });
  }
  return json(await verifyExport(bounded(req), { limits: { bytesMax: UNPACKED_BYTES_MAX } }));
}

async function* bounded(req: IncomingMessage): AsyncGenerator<Uint8Array> {
  let length = 0;
  req.setTimeout(IDLE_MS_MAX, () => req.destroy());
  for await (const part of req as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > ARCHIVE_BYTES_MAX)
      throw new RequestError(413, [{ pointer: "", message: `larger than ${ARCHIVE_BYTES_MAX} bytes` }]);
    yield part;
  }
}
