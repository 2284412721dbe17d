// What goes wrong, as it is answered: RFC 9457 problem details, each with a stable `code`.
import {
  BundleError,
  EvidenceUnavailableError,
  NotFoundError,
  PolicyRefusedError,
  ProvenanceRefusedError,
  RailgateError,
  RecordsRefusedError,
  RefusedError,
  RequestError,
  type RequestFault,
} from "../../core/errors.ts";
import type { Problem } from "../../core/schema/problem.ts";
import { PROBLEMS, type ProblemCode } from "./problems.ts";
import type { Reply } from "./route.ts";
import { OpaError } from "./opa-error.ts";

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
  if (error instanceof RecordsRefusedError) return recordsRefused(error, instance);
  if (error instanceof BundleError)
    return { problem: { ...problem("policy_invalid", error.message, instance), reason: error.reason }, headers: {} };
  if (error instanceof ProvenanceRefusedError)
    return { problem: { ...problem("provenance_invalid", error.message, instance), step: error.step }, headers: {} };
  if (error instanceof PolicyRefusedError)
    return { problem: { ...problem("policy_refused", error.message, instance), report: error.report }, headers: {} };
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
  const foreseen = [
    HttpError,
    OpaError,
    BundleError,
    PolicyRefusedError,
    ProvenanceRefusedError,
    RequestError,
    RefusedError,
    RecordsRefusedError,
    EvidenceUnavailableError,
  ];
  return !hasProblem(error) && !foreseen.some((kind) => error instanceof kind);
}

/** Errors whose own code and message are the problem's. */
const hasProblem = (error: unknown): error is RailgateError =>
  error instanceof NotFoundError || (error instanceof RailgateError && TOLD.has(error.code as ProblemCode));

const TOLD: ReadonlySet<ProblemCode> = new Set([
  "artifact_altered",
  "challenges_exhausted",
  "export_incomplete",
  "key_unavailable",
  "node_needed",
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

/** Says where to go on, so that whoever sends need not guess. */
function recordsRefused(
  { code, message, nextSequence, pointer }: RecordsRefusedError,
  instance: string,
): ProblemAnswer {
  const faults = pointer === "" ? [] : [{ pointer, message }];
  const told = problem(code as ProblemCode, message, instance, faults);
  const headers = code === "records_busy" ? { "Retry-After": RETRY_S } : {};
  return { problem: { ...told, next_sequence: nextSequence }, headers };
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
