// What goes wrong, as it is answered: RFC 9457 problem details, each with a stable `code`.
import {
  EvidenceUnavailableError,
  NotFoundError,
  RailgateError,
  RefusedError,
  RequestError,
  type RequestFault,
} from "../../core/errors.ts";
import type { Problem } from "../../core/schema/problem.ts";
import type { Reply } from "./route.ts";

/** Every code that this door answers by itself, with its HTTP status. Clients may rely on both; titles may change. */
export const PROBLEMS = {
  request_malformed: { status: 400, title: "The request cannot be read" },
  unauthenticated: { status: 401, title: "Who is calling is not proven" },
  host_forbidden: { status: 403, title: "The Host header names another server" },
  origin_forbidden: { status: 403, title: "The request comes from another site" },
  tenant_forbidden: { status: 403, title: "That is another tenant's" },
  operator_needed: { status: 403, title: "That is an operator's to do" },
  not_found: { status: 404, title: "There is nothing at this path" },
  workload_unknown: { status: 404, title: "No such workload" },
  mesh_unknown: { status: 404, title: "No such mesh" },
  event_unknown: { status: 404, title: "No such event" },
  artifact_unknown: { status: 404, title: "The artifact is not here" },
  stream_unknown: { status: 404, title: "No such stream" },
  tile_unknown: { status: 404, title: "No such tile" },
  method_not_allowed: { status: 405, title: "This path does not take that method" },
  request_timeout: { status: 408, title: "The request took too long to arrive" },
  export_incomplete: { status: 409, title: "The export would lack what its profile demands" },
  key_unavailable: { status: 409, title: "The key cannot be had" },
  revision_conflict: { status: 412, title: "The mesh has moved on" },
  request_too_large: { status: 413, title: "The request is too large or too deep" },
  content_type_unsupported: { status: 415, title: "The request is not JSON" },
  request_invalid: { status: 422, title: "The request is not of the expected shape" },
  idempotency_key_reused: { status: 422, title: "The key was used for another request" },
  headers_too_large: { status: 431, title: "The request's headers are too large" },
  bodies_exhausted: { status: 503, title: "Too much is being sent at once" },
  evidence_unavailable: { status: 503, title: "Evidence could not be recorded" },
  not_ready: { status: 503, title: "This node would admit nothing now" },
  verification_timeout: { status: 503, title: "The archive takes too long to verify" },
  artifact_altered: { status: 503, title: "The artifact is not the one that was recorded" },
  exports_exhausted: { status: 503, title: "Too many exports are read or verified at once" },
  streams_exhausted: { status: 503, title: "Too many clients follow the events" },
  internal: { status: 503, title: "Something unexpected went wrong" },
} as const satisfies { readonly [code: string]: { readonly status: number; readonly title: string } };

export type ProblemCode = keyof typeof PROBLEMS;
type Headers = Readonly<Record<string, string>>;

export const PROBLEM_TYPE = "application/problem+json";
const NOT_RECORDED =
  "The decision could not be made durable, so nothing was admitted, and nothing is on record. Ask again.";
const MAYBE_RECORDED =
  "Whether the decision was made durable is not known, so nothing was admitted. Look for its event before you ask again.";
/** After a failure that may be over soon. */
const RETRY_S = "1";

/** A request that the door itself turns away. */
export class HttpError extends RailgateError {
  readonly status: number;
  readonly headers: Headers;

  constructor(code: ProblemCode, detail: string, headers: Headers = {}) {
    super(detail);
    this.code = code;
    this.status = PROBLEMS[code].status;
    this.headers = headers;
  }
}

/** The client went away before its request was here; nobody is left to answer. */
export class ClientGoneError extends RailgateError {
  static override code: string = "client_gone";
}

/** A problem, and the headers that belong to it. */
export interface ProblemAnswer {
  readonly problem: Problem;
  readonly headers: Headers;
}

/** Whatever was thrown, as a problem. What was not thrown on purpose keeps its message to itself: never a 500, never an admission. */
export function problemOf(error: unknown, requestId: string): ProblemAnswer {
  const instance = `urn:railgate:request:${requestId}`;
  if (error instanceof RefusedError) return { problem: refusal(error, instance), headers: {} };
  if (error instanceof HttpError)
    return { problem: problem(error.code as ProblemCode, error.message, instance), headers: error.headers };
  if (hasProblem(error)) return { problem: problem(error.code as ProblemCode, error.message, instance), headers: {} };
  if (error instanceof RequestError) {
    return { problem: problem(error.code as ProblemCode, error.message, instance, error.errors), headers: {} };
  }
  const retry = { "Retry-After": RETRY_S };
  if (error instanceof EvidenceUnavailableError) {
    const { recorded, eventId: event_id } = error;
    const detail = recorded === "no" ? NOT_RECORDED : MAYBE_RECORDED;
    return {
      problem: {
        ...problem("evidence_unavailable", detail, instance),
        recorded,
        ...(event_id !== undefined && { event_id }),
      },
      headers: retry,
    };
  }
  return {
    problem: problem(
      "internal",
      "Nothing was admitted. The node's log has the cause under this request's id.",
      instance,
    ),
    headers: retry,
  };
}

/** A failure as most routes tell it. */
export function presentProblem(error: unknown, requestId: string): Reply {
  const { problem, headers } = problemOf(error, requestId);
  return { status: problem.status, body: JSON.stringify(problem), type: PROBLEM_TYPE, headers };
}

/** What never became a request. */
export function presentUnparsed(code: ProblemCode): Reply & { readonly body: string } {
  const { status, title } = PROBLEMS[code];
  return { status, body: JSON.stringify({ type: typeOf(code), title, status, code }), type: PROBLEM_TYPE };
}

/** The stable code of a failure, as problems and the log have it. */
export const codeOf = (error: unknown): string =>
  isUnexpected(error) ? ("internal" satisfies ProblemCode) : (error as RailgateError).code;

/** Whether nobody threw this on purpose, so that the log needs all there is to know of it. */
export function isUnexpected(error: unknown): boolean {
  const foreseen = [HttpError, RequestError, RefusedError, EvidenceUnavailableError];
  return !hasProblem(error) && !foreseen.some((kind) => error instanceof kind);
}

/** Errors whose own code and message are the problem's. */
const hasProblem = (error: unknown): error is RailgateError =>
  error instanceof NotFoundError || (error instanceof RailgateError && TOLD.has(error.code as ProblemCode));

const TOLD: ReadonlySet<ProblemCode> = new Set([
  "artifact_altered",
  "export_incomplete",
  "key_unavailable",
  "operator_needed",
  "tenant_forbidden",
  "verification_timeout",
]);

function problem(code: ProblemCode, detail: string, instance: string, errors: readonly RequestFault[] = []): Problem {
  const { status, title } = PROBLEMS[code];
  return {
    type: typeOf(code),
    title,
    status,
    code,
    detail,
    instance,
    ...(errors.length > 0 && { errors: [...errors] }),
  };
}

/** The law's own refusal of a command; its evidence proves it. */
function refusal(
  { code, status, title, message, solution, pointer, errors, event, receipt }: RefusedError,
  instance: string,
): Problem {
  const meshEvent = event.details?.["mesh_event"] as string | null | undefined;
  const proof = { ...(meshEvent !== undefined && { mesh_event: meshEvent }), event, receipt };
  const faults = errors.length > 0 && { errors: [...errors] };
  return { type: typeOf(code), title, status, code, detail: message, instance, pointer, ...faults, solution, ...proof };
}

const typeOf = (code: string): string => `urn:railgate:problem:${code}`;
