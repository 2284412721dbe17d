// What commands have in common over HTTP: whose they are, how a retry is told, and how what came of them is answered.
import { tenantOf, type Caller } from "../../core/caller.ts";
import { KeyReusedError, RefusedError, RequestError, RevisionError, type RequestFault } from "../../core/errors.ts";
import { digestOf } from "../../core/event.ts";
import { canonicalJson } from "../../core/json.ts";
import type { EvidenceEvent } from "../../core/schema/event.ts";
import type { Retry, Trace } from "../../library/doors.ts";
import type { LocalOptions } from "../../library/handles.ts";
import { readJson } from "./body.ts";
import { etagOf } from "./conditions.ts";
import { HttpError } from "./problem.ts";
import type { ProblemCode } from "./problems.ts";
import { identifier, isIdentifier, type Parameters } from "./query.ts";
import type { Exchange, Reply } from "./route.ts";

/** The query of every command. */
export const COMMAND_QUERY = {
  tenant_id: identifier(
    "Whose it is: `default` where neither query nor body names one, the caller's own where callers log in.",
  ),
  trace_id: identifier(
    "Ends up in the event's `details`, beside the header's `traceparent`, whose trace it is where none is given; the body's comes first.",
  ),
} satisfies Parameters;

export const COMMAND_HEADERS = {
  "Idempotency-Key":
    "1 to 255 printable characters. The same request under the same key is carried out once, and answered alike for a day; another request under it is a 422.",
};

export const COMMAND_PROBLEMS: readonly ProblemCode[] = [
  "tenant_forbidden",
  "idempotency_key_reused",
  "evidence_unavailable",
];

/** Whose a command is, and what it says. */
export interface Asked<B> {
  readonly tenantId: string;
  readonly trace: Trace;
  readonly body: B;
}

type CommandBody = { readonly tenant_id?: string; readonly trace_id?: string };
type CommandExchange = Exchange<typeof COMMAND_QUERY>;

/**
 * Reads a command's path, body and tenant.
 * @throws RequestError 4xx for what cannot be read. @throws HttpError 403 `tenant_forbidden`
 */
export async function readCommand<B extends CommandBody>(
  exchange: CommandExchange,
  parse: (body: unknown) => B,
  bodyBytesMax: number,
): Promise<Asked<B>> {
  checkPath(exchange.params);
  const body = parse(await readJson(exchange, bodyBytesMax));
  return { ...askedBy(exchange, body), body };
}

/** As `readCommand`, where there is no body. */
export function readBare(exchange: CommandExchange): Asked<null> {
  checkPath(exchange.params);
  return { ...askedBy(exchange, {}), body: null };
}

/** Parts of a path that name something are identifiers. @throws RequestError 422 */
export function checkPath(params: Exchange["params"]): void {
  const faults: RequestFault[] = Object.entries(params)
    .filter(([, text]) => !isIdentifier(text))
    .map(([name]) => ({ pointer: `/path/${name}`, message: "must be 1 to 253 letters, digits and -._:/@" }));
  if (faults.length > 0) throw new RequestError(422, faults);
}

type NamesTenant = { readonly tenant_id?: string | undefined };

/** Whose a request is, by its body and its query, which must not contradict. @throws RequestError 422; TenantForbiddenError */
export function tenantIn(caller: Caller, body: NamesTenant, query: NamesTenant): string {
  if (body.tenant_id !== undefined && query.tenant_id !== undefined && body.tenant_id !== query.tenant_id) {
    throw new RequestError(422, [{ pointer: "/tenant_id", message: "is not the tenant that the query names" }]);
  }
  return tenantOf(caller, body.tenant_id ?? query.tenant_id);
}

function askedBy({ caller, query, trace }: CommandExchange, body: CommandBody): { tenantId: string; trace: Trace } {
  const traceId = body.trace_id ?? query.trace_id ?? trace.traceId;
  return {
    tenantId: tenantIn(caller, body, query),
    trace: { ...trace, ...(traceId !== undefined && { traceId }) },
  };
}

/** Printable, as in a header's text. */
const KEY = /^[!-~](?:[ -~]{0,253}[!-~])?$/;

/** `Idempotency-Key`, bare or in the quotes of a structured field. @throws RequestError 422 */
function idempotencyKey({ headers }: Exchange["req"]): string | undefined {
  const given = headers["idempotency-key"];
  if (given === undefined) return undefined;
  const key = typeof given === "string" ? given.replace(/^"(.*)"$/, "$1") : "";
  if (!KEY.test(key))
    throw new RequestError(422, [
      { pointer: "/headers/idempotency-key", message: "must be 1 to 255 printable characters of ASCII" },
    ]);
  return key;
}

/**
 * That the command may come again, where it has a key.
 * @throws RequestError 422 for what is no key.
 */
function retryOf({ req, params, query }: CommandExchange, body: unknown): Retry | undefined {
  const key = idempotencyKey(req);
  if (key === undefined) return undefined;
  const path = req.url!.split("?", 1)[0]!;
  const asked = { method: req.method, path, params: { ...params }, query: { ...query }, body };
  return { key, digest: digestOf(canonicalJson(asked)) };
}

/**
 * Carries out a command: at once, or, under an idempotency key, unless it was carried out before.
 * @param act asks the library, with what the call is.
 * @throws HttpError 412 `revision_conflict`, 422 `idempotency_key_reused`
 * @throws RefusedError the law refuses it.
 * @throws EvidenceUnavailableError EVI-01; nothing changed.
 */
export async function carryOut<A>(
  exchange: CommandExchange,
  { body, trace }: Pick<Asked<unknown>, "body" | "trace">,
  act: (options: LocalOptions) => Promise<A>,
): Promise<A> {
  const retry = retryOf(exchange, body);
  try {
    return await act({ call: { trace, retry } });
  } catch (error) {
    if (error instanceof RefusedError) exchange.notes = notesOf(error);
    if (error instanceof RevisionError)
      throw new HttpError(
        "revision_conflict",
        error.message,
        error.revision === 0 ? {} : { ETag: etagOf(error.revision) },
      );
    if (error instanceof KeyReusedError) throw new HttpError("idempotency_key_reused", error.message);
    throw error;
  }
}

/** What the call's line in the log says of a command. */
export function notesOf({ event }: { readonly event: EvidenceEvent }): object {
  return { decision_id: event.id, tenant_id: event.tenant_id, outcome: event.outcome };
}

/** @param members of the answer, as JSON text without braces. @param revision where it has an entity tag. */
export function provenReply(
  status: 200 | 201,
  members: string,
  { eventText, receipt }: { readonly eventText: string; readonly receipt: string },
  revision?: number,
): Reply {
  return {
    status,
    body: `{${members},"event":${eventText},"receipt":"${receipt}"}`,
    ...(revision !== undefined && { headers: { ETag: etagOf(revision) } }),
  };
}
