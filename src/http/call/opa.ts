// OPA's way over HTTP, under `/v0/data`, `/v1/data` and their like: bodies in JSON or YAML whatever they are called, compressed or not, its parameters, its answers and its errors.
import { promisify } from "node:util";
import { gunzip, gzip } from "node:zlib";
import {
  EvaluationFailedError,
  EvidenceUnavailableError,
  NotFoundError,
  RequestError,
  TenantForbiddenError,
  type EvaluationFault,
} from "../../core/errors.ts";
import { parseStrict, throughJson } from "../../core/json.ts";
import { readBytes } from "./body.ts";
import { HttpError, problemOf } from "./problem.ts";
import { OpaError, type OpaCode } from "./opa-error.ts";
import { isIdentifier } from "./query.ts";
import type { Exchange, Reply } from "./route.ts";

const unpack = promisify(gunzip);
const pack = promisify(gzip);

/** What compiled policy cannot do. */
export const notCompiled = (message: string): OpaError => new OpaError(501, "invalid_operation", message);
const invalid = (message: string): OpaError => new OpaError(400, "invalid_parameter", message);

const EVALUATING = "error(s) occurred while evaluating query";
const INTERNAL = "nothing was decided; the node's log has the cause under this request's id";

/** OPA's error of an evaluation that came to no result. */
export const failureBody = ({ decisionId, faults }: EvaluationFailedError): object => ({
  code: "internal_error" satisfies OpaCode,
  message: EVALUATING,
  errors: faults satisfies readonly EvaluationFault[],
  decision_id: decisionId,
});

/** Whatever went wrong, as OPA tells it: `{code, message, errors}`, indented as OPA does. */
export function presentOpa(error: unknown, requestId: string): Reply {
  const { status, body, headers = {} } = opaErrorOf(error, requestId);
  return { status, body: `${JSON.stringify(body, null, 2)}\n`, headers: { ...VARY, ...headers } };
}

type OpaAnswer = {
  readonly status: number;
  readonly body: object;
  readonly headers?: Readonly<Record<string, string>>;
};

function opaErrorOf(error: unknown, requestId: string): OpaAnswer {
  const of = (status: number, code: OpaCode, message: string): OpaAnswer => ({ status, body: { code, message } });
  if (error instanceof OpaError) return of(error.status, error.code, error.message);
  if (error instanceof EvaluationFailedError) return { status: 500, body: failureBody(error) };
  if (error instanceof RequestError) return of(400, "invalid_parameter", error.message);
  if (error instanceof TenantForbiddenError) return of(403, "unauthorized", error.message);
  if (error instanceof NotFoundError && error.code === "entrypoint_unknown")
    return of(501, "invalid_operation", error.message);
  const { problem, headers } = problemOf(error, requestId);
  if (error instanceof EvidenceUnavailableError) {
    const { recorded, event_id, detail } = problem as { recorded?: string; event_id?: string; detail?: string };
    const body = { code: "evidence_unavailable" satisfies OpaCode, message: detail, recorded, event_id };
    return { status: 503, body, headers };
  }
  if (!(error instanceof HttpError)) return of(500, "internal_error", INTERNAL);
  const code = error.status === 401 || error.status === 403 ? "unauthorized" : "internal_error";
  return { ...of(error.status, error.status === 408 ? "invalid_parameter" : code, error.message), headers };
}

/** The query of an OPA call: unknown parameters are nothing to it. */
export class OpaQuery {
  readonly #given: URLSearchParams;

  constructor({ req: { url = "" } }: Pick<Exchange, "req">) {
    const start = url.indexOf("?");
    this.#given = new URLSearchParams(start === -1 ? "" : url.slice(start + 1));
  }

  /** True where it stands there bare, or is `true` once (OPA v1/server `getBoolParam`). */
  flag(name: string): boolean {
    const all = this.#given.getAll(name);
    return (all.length === 1 && all[0] === "") || all.some((text) => text.toLowerCase() === "true");
  }

  all(name: string): string[] {
    return this.#given.getAll(name);
  }

  /** Railgate's own parameters. @throws OpaError 400 */
  identifier(name: "tenant_id" | "trace_id"): string | undefined {
    const text = this.#given.get(name) ?? undefined;
    if (text !== undefined && !isIdentifier(text)) throw invalid(`${name} must be 1 to 253 letters, digits and -._:/@`);
    return text;
  }
}

/**
 * The body, parsed; undefined where it is empty. Its content type is not looked at, but for YAML's (OPA v1/server).
 * @throws OpaError 400; HttpError, ClientGoneError: see `readBytes`.
 */
export async function readDocumentBody(exchange: Exchange, bytesMax: number): Promise<unknown> {
  const { req, peer } = exchange;
  const sent = await readBytes(exchange, bytesMax).catch((error: unknown) => {
    throw error instanceof RequestError ? tooLarge(bytesMax) : error;
  });
  const packed = (req.headers["content-encoding"] ?? "").includes("gzip");
  const bytes = packed ? await unpacked(sent, bytesMax) : sent;
  if (bytes.length === 0) return undefined;
  await peer.turn(bytes.length);
  const isYaml = (req.headers["content-type"] ?? "").includes("yaml");
  return readDocument(() => (isYaml ? parseYaml(bytes, bytesMax) : parseStrict(bytes, { bytesMax })));
}

/** @param what it stands in. @throws OpaError 400 */
export async function readDocument(read: () => unknown, what = "body"): Promise<unknown> {
  try {
    return await read();
  } catch (error) {
    throw invalid(`${what} contains malformed input document: ${(error as Error).message}`);
  }
}

const tooLarge = (bytesMax: number): OpaError => invalid(`request body too large: exceeds limit of ${bytesMax} bytes`);

async function unpacked(bytes: Uint8Array, bytesMax: number): Promise<Uint8Array> {
  try {
    return await unpack(bytes, { maxOutputLength: bytesMax });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") throw tooLarge(bytesMax);
    throw invalid(`could not decompress the body: ${(error as Error).message}`);
  }
}

/** YAML 1.2, and then as strictly as JSON; a whole number beyond 2^53−1 would be rounded. */
async function parseYaml(bytes: Uint8Array, bytesMax: number): Promise<unknown> {
  const { parse } = await import("yaml");
  const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  const value: unknown = parse(text, {
    merge: true,
    version: "1.2",
    schema: "core",
    maxAliasCount: 100,
    intAsBigInt: true,
  });
  const json = JSON.stringify(value, (_, each: unknown) => (typeof each === "bigint" ? Number(each) : each));
  if (json !== undefined && json.length > bytesMax) throw new RangeError(`larger than ${bytesMax} bytes as JSON`);
  return throughJson(value === undefined ? null : JSON.parse(json ?? "null"));
}

/** Where a path goes: the parts of it behind the route's own, each percent-decoded by itself, so that `%2F` stays within one. */
export function dataPath({ params }: Pick<Exchange, "params">): string[] {
  const given = (params["path"] ?? []) as unknown as string | readonly string[];
  return (typeof given === "string" ? given.split("/") : [...given]).filter((part) => part !== "");
}

/** `data.app.authz`, as messages of OPA name a document. */
export const nameOf = (path: readonly string[]): string =>
  ["data", ...path]
    .map((part, at) => (at === 0 || /^[A-Za-z_]\w*$/.test(part) ? `.${part}` : `[${JSON.stringify(part)}]`))
    .join("")
    .slice(1);

const VARY = { Vary: "Accept-Encoding" };
/** OPA's `server.encoding.gzip.min_length`. */
const PACKED_FROM_BYTES = 1024;

/** A good answer, as OPA writes it: with a newline, indented or compressed where the caller asked for it. */
export async function answer(exchange: Exchange, query: OpaQuery, text: string, status = 200): Promise<Reply> {
  const body = `${query.flag("pretty") ? indented(text) : text}\n`;
  const { "accept-encoding": accepted = "" } = exchange.req.headers;
  const takesGzip = /(?:^|,)\s*(?:gzip|\*)\s*(?:;\s*q=(?!0(?:\.0*)?\s*(?:,|$))[\d.]+\s*)?(?:,|$)/i.test(
    String(accepted),
  );
  if (!takesGzip || body.length < PACKED_FROM_BYTES) return { status, body, headers: VARY };
  return { status, body: await pack(body), headers: { ...VARY, "Content-Encoding": "gzip" } };
}

/** JSON text, indented by two spaces, its numbers as they are. */
function indented(text: string): string {
  let [out, depth] = ["", 0];
  const line = (): string => `\n${"  ".repeat(depth)}`;
  for (const [token] of text.matchAll(/"(?:[^"\\]+|\\.)*"|[^\s"[\]{}:,]+|[[\]{}:,]/g)) {
    const isEmpty = out.endsWith("{") || out.endsWith("[");
    if (token === "}" || token === "]") {
      depth--;
      out += isEmpty ? token : line() + token;
      continue;
    }
    if (isEmpty) out += line();
    out += token;
    if (token === "{" || token === "[") depth++;
    else if (token === ",") out += line();
    else if (token === ":") out += " ";
  }
  return out;
}
