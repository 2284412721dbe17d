// Every error that Railgate throws on purpose, each with a stable `code` that clients and tests may rely on.
import type { EvidenceEvent } from "./schema/event.ts";
import type { TrialReport } from "./schema/policies.ts";

/** What all of them have in common. `code` is part of the interface; `message` is for people and may change. */
export class RailgateError extends Error {
  static code: string = "railgate_error";
  code: string = RailgateError.code;

  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = this.constructor.name;
    this.code = (this.constructor as typeof RailgateError).code;
  }
}

/** One fault in a request: where (RFC 6901, relative to the request; "" is the whole of it) and what. */
export type RequestFault = { pointer: string; message: string };

const REQUEST_CODES = {
  400: "request_malformed",
  413: "request_too_large",
  415: "content_type_unsupported",
  422: "request_invalid",
} as const;

export type RequestStatus = keyof typeof REQUEST_CODES;

/** A request that can't be read. It is answered at the door, decided by nobody, and leaves no evidence. */
export class RequestError extends RailgateError {
  static override code: string = "request_invalid";
  /** HTTP status; `code` follows from it. */
  readonly status: RequestStatus;
  readonly errors: readonly RequestFault[];

  constructor(status: RequestStatus, errors: readonly RequestFault[], options?: { cause?: unknown }) {
    super(summary(errors), options);
    this.status = status;
    this.errors = errors;
    this.code = REQUEST_CODES[status];
  }
}

function summary(errors: readonly RequestFault[]): string {
  const [first] = errors;
  if (first === undefined) return "the request can't be read";
  const place = first.pointer === "" ? "" : `${first.pointer}: `;
  return `${place}${first.message}${errors.length > 1 ? ` (and ${errors.length - 1} more)` : ""}`;
}

/** EVI-01: evidence could not be recorded, so whoever asked is admitted nothing. */
export class EvidenceUnavailableError extends RailgateError {
  static override code: string = "evidence_unavailable";
  /** `no`: it is certain that nothing is on record, nor ever will be. `unknown`: the event may be, under `eventId`. */
  readonly recorded: "no" | "unknown";
  readonly eventId: string | undefined;

  constructor(message: string, options: { cause?: unknown; maybeRecorded?: string | undefined } = {}) {
    super(message, options);
    this.recorded = options.maybeRecorded === undefined ? "no" : "unknown";
    this.eventId = options.maybeRecorded;
  }
}

/** A command that the law refused. The refusal is evidenced: `receipt` proves it. */
export class RefusedError extends RailgateError {
  static override code: string = "refused";
  /** HTTP status of the problem: 404, 409 or 422. */
  readonly status: number;
  /** What the code means, in a line. */
  readonly title: string;
  /** What would cure it. */
  readonly solution: string;
  /** Where in the command the fault lies, RFC 6901; "" is the whole of it. */
  readonly pointer: string;
  /** Each fault, where the command has several: those of a topology. */
  readonly errors: readonly RequestFault[];
  readonly event: EvidenceEvent;
  /** The signed record, a compact JWS. */
  readonly receipt: string;

  constructor(
    message: string,
    refused: {
      code: string;
      status: number;
      title: string;
      solution: string;
      pointer: string;
      errors?: readonly RequestFault[] | undefined;
      event: EvidenceEvent;
      receipt: string;
    },
  ) {
    super(message);
    this.code = refused.code;
    this.status = refused.status;
    this.title = refused.title;
    this.solution = refused.solution;
    this.pointer = refused.pointer;
    this.errors = refused.errors ?? [];
    this.event = refused.event;
    this.receipt = refused.receipt;
  }
}

/** Something of a tenant that is not the caller's was named. */
export class TenantForbiddenError extends RailgateError {
  static override code: string = "tenant_forbidden";
}

/** What of a policy could not be evaluated, as OPA tells it. */
export interface EvaluationFault {
  /** `eval_conflict_error`, `eval_cancel_error`, `eval_internal_error`. */
  readonly code: string;
  readonly message: string;
  readonly location?: { readonly file: string; readonly row: number; readonly col: number };
}

/** An evaluation that came to no result. That it did not is evidence: the event `decisionId`. */
export class EvaluationFailedError extends RailgateError {
  static override code: string = "evaluation_failed";
  readonly decisionId: string;
  readonly faults: readonly EvaluationFault[];

  constructor(decisionId: string, faults: readonly EvaluationFault[]) {
    super(faults[0]?.message ?? "error(s) occurred while evaluating query");
    this.decisionId = decisionId;
    this.faults = faults;
  }
}

/** An operator's act, asked for by one who is none. */
export class OperatorNeededError extends RailgateError {
  static override code: string = "operator_needed";
}

/** Records were sent by one who is no node. */
export class NodeNeededError extends RailgateError {
  static override code: string = "node_needed";
}

/** What another node sent is not taken. */
export class RecordsRefusedError extends RailgateError {
  static override code: string = "record_invalid";
  /** The sequence that is expected next in that stream, as it is held here. */
  readonly nextSequence: number;
  /** Into what was sent, RFC 6901. */
  readonly pointer: string;

  constructor(code: RecordsRefusal, message: string, nextSequence: number, pointer = "") {
    super(message);
    this.code = code;
    this.nextSequence = nextSequence;
    this.pointer = pointer;
  }
}

export type RecordsRefusal =
  | "record_invalid"
  | "record_gap"
  | "node_untrusted"
  | "node_forbidden"
  | "node_quarantined"
  | "node_equivocation"
  | "records_busy";

/** The host asked whether something had happened, and nobody could tell: there is nothing to record, and it asks again. */
export class UndecidedError extends RailgateError {
  static override code: string = "undecided";
}

/** The stored artifact is not what its event points to: somebody has changed the store. It is not shown. */
export class ArtifactAlteredError extends RailgateError {
  static override code: string = "artifact_altered";
}

/** What is named is not here, or not the caller's to see. */
export class NotFoundError extends RailgateError {
  static override code: string = "not_found";

  constructor(code: NotFoundCode, message: string) {
    super(message);
    this.code = code;
  }
}

export type NotFoundCode =
  | "artifact_unknown"
  | "audit_unknown"
  | "entrypoint_unknown"
  | "event_unknown"
  | "mesh_unknown"
  | "policy_unknown"
  | "provenance_unknown"
  | "stream_unknown"
  | "tile_unknown"
  | "workload_unknown";

/** The caller decided on a mesh that has moved on since; nothing was decided, and nothing is on record. */
export class RevisionError extends RailgateError {
  static override code: string = "revision_conflict";
  /** The mesh's revision now; 0: it was never defined. */
  readonly revision: number;

  constructor(message: string, revision: number) {
    super(message);
    this.revision = revision;
  }
}

/** The idempotency key came before, with another request; nothing was decided. */
export class KeyReusedError extends RailgateError {
  static override code: string = "idempotency_key_reused";
}

/** As many challenges are open as there may be; none was issued. */
export class ChallengesExhaustedError extends RailgateError {
  static override code: string = "challenges_exhausted";
}

/** The export lacks what its profile demands, or what its events point to. */
export class ExportIncompleteError extends RailgateError {
  static override code: string = "export_incomplete";
  readonly missing: readonly string[];

  constructor(missing: readonly string[]) {
    const shown = missing.slice(0, 5).join("; ");
    super(`the export would be incomplete: ${shown}${missing.length > 5 ? ` (and ${missing.length - 5} more)` : ""}`);
    this.missing = missing;
  }
}

/** A backup could not be made, or could not be written where it was to go. Nothing is left of it. */
export class BackupError extends RailgateError {
  static override code: string = "backup_failed";
}

/** The evidence in it does not verify. */
export class BackupUnsoundError extends RailgateError {
  static override code: string = "backup_unsound";
}

/** A setting that is unknown, mistyped or contradicts another. */
export class ConfigError extends RailgateError {
  static override code: string = "config_invalid";
  /** The setting at fault, as it is written: `railgate.listen`, `RAILGATE_LISTEN`, `--listen`. */
  readonly setting: string;

  constructor(setting: string, message: string, options?: { cause?: unknown }) {
    super(`${setting}: ${message}`, options);
    this.setting = setting;
  }
}

/** A policy bundle that can't be trusted or can't be used. */
export class BundleError extends RailgateError {
  static override code: string = "policy_invalid";
  /** A stable word for what is wrong with it, e.g. `signature`, `digest`, `abi`. */
  readonly reason: string;

  constructor(reason: string, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.reason = reason;
  }
}

/** A Sigstore bundle does not hold; nothing that it says was used, and it is not kept. */
export class ProvenanceRefusedError extends RailgateError {
  static override code: string = "provenance_invalid";
  /** Which step failed, e.g. `signature`; see spec trust §2. */
  readonly step: string;

  constructor(step: string, message: string) {
    super(message);
    this.step = step;
  }
}

/** The data directory cannot be made, or not be written. */
export class DataDirError extends RailgateError {
  static override code: string = "data_dir_unusable";

  constructor(dataDir: string, cause: unknown) {
    super(`railgate.data_dir: the data directory ${dataDir} cannot be used: ${(cause as Error).message}`, { cause });
  }
}

/** The private key that the database names is not there; signing with another would break the stream's key history. */
export class KeyError extends RailgateError {
  static override code: string = "key_unavailable";
}

/** The database is not what this node has signed checkpoints of; signing on would fork the log. Nothing is admitted. */
export class LogRolledBackError extends RailgateError {
  static override code: string = "log_rolled_back";
}

/** The database has signed checkpoints, and the file outside it that holds them as well is not there: it may be a copy. */
export class CheckpointsMissingError extends RailgateError {
  static override code: string = "checkpoints_missing";
}

/** The store is no place for a node: a copy that is not finished, or one whose node has gone over to another. */
export class StoreMovedError extends RailgateError {
  static override code: string = "store_moved";
}

/** A record or artifact is not what was signed: nothing behind it is copied. */
export class AlteredRecordError extends RailgateError {
  static override code: string = "record_altered";
}

/** Both sides of a copy were read again and are not alike, though nothing was written to the source meanwhile. */
export class CopyDiffersError extends RailgateError {
  static override code: string = "copy_differs";
}

/** The target of a copy holds something else. */
export class TargetNotEmptyError extends RailgateError {
  static override code: string = "target_not_empty";
}

/** A policy that can be trusted does not decide: it is older, or its trial speaks against it. A root authority may say otherwise. */
export class PolicyRefusedError extends RailgateError {
  static override code: string = "policy_refused";
  /** Null where it was not tried. */
  readonly report: TrialReport | null;

  constructor(message: string, report: TrialReport | null) {
    super(message);
    this.report = report;
  }
}

/** Another process holds the data directory: a stream has one writer. */
export class StoreLockedError extends RailgateError {
  static override code: string = "data_dir_locked";
}
