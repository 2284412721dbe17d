// `railgate/client`: a node that listens elsewhere, asked as if it were in this process.
import { RemoteRailgate } from "./remote.ts";
import type { ClientOptions } from "./wire.ts";

export {
  ChallengesExhaustedError,
  ConfigError,
  EvaluationFailedError,
  EvidenceUnavailableError,
  ExportIncompleteError,
  KeyReusedError,
  NodeNeededError,
  NotFoundError,
  OperatorNeededError,
  RailgateError,
  RecordsRefusedError,
  RefusedError,
  RequestError,
  RevisionError,
  TenantForbiddenError,
} from "../core/errors.ts";
export type { Decision } from "../core/schema/decision.ts";
export type { EvidenceEvent } from "../core/schema/event.ts";
export type { ElevationPolicy, Mesh, MeshAnswer, MeshPlacement, PlacementAnswer, Rail } from "../core/schema/mesh.ts";
export type * from "../core/schema/queries.ts";
export type { AdmissionRequest, AttestationRequest } from "../core/schema/request.ts";
export type {
  AdmissionAnswer,
  Transition,
  WorkloadAnswer,
  WorkloadSummary,
  WorkloadView,
} from "../core/schema/workload.ts";
export type { ChallengeQuery, IssuedChallenge } from "../core/schema/challenge.ts";
export type { PublicKeys } from "../evidence/keys/jwks.ts";
export type { VerifyReport } from "../evidence/verify/report.ts";
export type * from "../library/railgate.ts";
export { AnswerError, ConnectionError } from "./errors.ts";
export type { RemoteRailgate } from "./remote.ts";
export type { TlsOptions } from "./transport.ts";
export type { ClientOptions, Token } from "./wire.ts";

/**
 * A node over HTTP. Nothing is asked yet.
 * @throws ConfigError for options that contradict each other.
 */
export function connectRailgate(options: ClientOptions): RemoteRailgate {
  return new RemoteRailgate(options);
}
