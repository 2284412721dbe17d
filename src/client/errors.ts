// What a server's problem is to the caller: the same error that the library throws for it.
import {
  BundleError,
  ChallengesExhaustedError,
  EvaluationFailedError,
  type EvaluationFault,
  EvidenceUnavailableError,
  ExportIncompleteError,
  KeyReusedError,
  NotFoundError,
  OperatorNeededError,
  PolicyRefusedError,
  ProvenanceRefusedError,
  RailgateError,
  RefusedError,
  RequestError,
  RevisionError,
  TenantForbiddenError,
  type NotFoundCode,
  type RequestStatus,
} from "../core/errors.ts";
import type { Problem } from "../core/schema/problem.ts";

/** The server cannot be reached, or broke off, or took too long. Whether a command was carried out is not known. */
export class ConnectionError extends RailgateError {
  static override code: string = "connection_failed";
  /** In a word or two. */
  readonly reason: string;

  constructor(origin: string, reason: string, options?: { cause?: unknown }) {
    super(`the server at ${origin} can't be asked (${reason})`, options);
    this.reason = reason;
  }
}

/** The server answered what has no error of its own: `code` and `status` are the answer's. */
export class AnswerError extends RailgateError {
  static override code: string = "answer_unexpected";
  readonly status: number;

  constructor(code: string, status: number, message: string) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

/** A problem as it may come: from another version, or from a proxy between. */
export type ProblemRead = Partial<Problem> & {
  readonly recorded?: unknown;
  readonly event_id?: unknown;
  readonly reason?: unknown;
  readonly step?: unknown;
  readonly report?: unknown;
};

/** OPA's error, of an evaluation that came to no result. */
export type EvaluationRead = {
  readonly code?: string;
  readonly message?: string;
  readonly decision_id?: string;
  readonly errors?: unknown;
};

export function evaluationFailed({ decision_id = "", message = "", errors }: EvaluationRead): EvaluationFailedError {
  const faults = Array.isArray(errors) ? (errors as EvaluationFault[]) : [{ code: "eval_internal_error", message }];
  return new EvaluationFailedError(decision_id, faults);
}

/** What OPA's data API answers where it fails: `{code, message, errors}` with codes of its own; undefined for any other problem. */
function opaErrorOf(status: number, error: EvaluationRead): RailgateError | undefined {
  const { code, message } = error;
  if (message === undefined) return undefined;
  if (code === "internal_error" && error.decision_id !== undefined) return evaluationFailed(error);
  if (code === "invalid_operation" && status === 501) return new NotFoundError("entrypoint_unknown", message);
  if (code === "invalid_parameter") return new RequestError(400, [{ pointer: "", message }]);
  return code === "unauthorized" && status === 403 ? new TenantForbiddenError(message) : undefined;
}

const NOT_FOUND: ReadonlySet<string> = new Set<NotFoundCode>([
  "artifact_unknown",
  "audit_unknown",
  "entrypoint_unknown",
  "event_unknown",
  "mesh_unknown",
  "policy_unknown",
  "provenance_unknown",
  "stream_unknown",
  "tile_unknown",
  "workload_unknown",
]);
const REQUEST_STATUSES: ReadonlySet<number> = new Set<RequestStatus>([400, 413, 415, 422]);

/** @param revision of the mesh now, as the answer's entity tag has it. */
export function errorOf(status: number, problem: ProblemRead, revision = 0): RailgateError {
  const opa = opaErrorOf(status, problem as EvaluationRead);
  if (opa !== undefined) return opa;
  const { code = AnswerError.code, title = "", detail, solution = "", pointer = "", event, receipt, errors } = problem;
  const said = detail ?? (problem as EvaluationRead).message;
  const message = said ?? (title === "" ? `the server answered ${status}` : title);
  if (event && receipt !== undefined)
    return new RefusedError(message, { code, status, title, solution, pointer, errors, event, receipt });
  if (code === EvidenceUnavailableError.code) {
    const { recorded, event_id } = problem;
    const maybe = typeof event_id === "string" ? event_id : "";
    return new EvidenceUnavailableError(message, recorded === "no" ? {} : { maybeRecorded: maybe });
  }
  if (code === RevisionError.code) return new RevisionError(message, revision);
  if (code === BundleError.code) return new BundleError(String(problem.reason ?? ""), message);
  if (code === ProvenanceRefusedError.code) return new ProvenanceRefusedError(String(problem.step ?? ""), message);
  if (code === PolicyRefusedError.code)
    return new PolicyRefusedError(message, (problem.report ?? null) as PolicyRefusedError["report"]);
  if (code === ExportIncompleteError.code) return new ExportIncompleteError([message]);
  for (const Kind of [ChallengesExhaustedError, KeyReusedError, OperatorNeededError, TenantForbiddenError])
    if (code === Kind.code) return new Kind(message);
  if (NOT_FOUND.has(code)) return new NotFoundError(code as NotFoundCode, message);
  if (REQUEST_STATUSES.has(status) && errors) return new RequestError(status as RequestStatus, errors);
  return new AnswerError(code, status, message);
}
