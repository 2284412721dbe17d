// `railgate`: the engine as a library, for hosts that decide in their own process, connected or not.
import { hostCaller } from "../core/caller.ts";
import { RailgateError } from "../core/errors.ts";
import { DEFAULTS } from "../core/schema/defaults.ts";
import { tooOld } from "../core/node-version.ts";
import type { NodeOptions } from "../node/open.ts";
import type { LocalRailgate } from "./local.ts";
import type { LocalSettings } from "./operations.ts";

export {
  ArtifactAlteredError,
  BackupError,
  BackupUnsoundError,
  BundleError,
  ChallengesExhaustedError,
  CheckpointsMissingError,
  ConfigError,
  DataDirError,
  EvaluationFailedError,
  EvidenceUnavailableError,
  ExportIncompleteError,
  KeyError,
  KeyReusedError,
  LogRolledBackError,
  NodeNeededError,
  NotFoundError,
  OperatorNeededError,
  PolicyRefusedError,
  ProvenanceRefusedError,
  RailgateError,
  RecordsRefusedError,
  RefusedError,
  RequestError,
  RevisionError,
  StoreLockedError,
  TenantForbiddenError,
} from "../core/errors.ts";
export { hostCaller, operatorCaller, tenantCaller, type Caller } from "../core/caller.ts";
export type { ChallengeQuery, IssuedChallenge } from "../core/schema/challenge.ts";
export type { Decision } from "../core/schema/decision.ts";
export type { EvidenceEvent } from "../core/schema/event.ts";
export type { ElevationPolicy, Mesh, MeshAnswer, MeshPlacement, PlacementAnswer, Rail } from "../core/schema/mesh.ts";
export type {
  Erasure,
  EventScope,
  EventsQuery,
  ExportQuery,
  FollowQuery,
  ListQuery,
  Rotation,
} from "../core/schema/queries.ts";
export type { AdmissionRequest, AttestationRequest } from "../core/schema/request.ts";
export type {
  AdmissionAnswer,
  Transition,
  WorkloadAnswer,
  WorkloadSummary,
  WorkloadView,
} from "../core/schema/workload.ts";
export type { PublicKeys } from "../evidence/keys/jwks.ts";
export type { VerifyReport } from "../evidence/verify/report.ts";
export type { NodeObserver, NodeOptions } from "../node/open.ts";
export type { Backup } from "../node/backup/make.ts";
export type { LocalRailgate } from "./local.ts";
export type { LocalSettings } from "./operations.ts";
export type * from "./railgate.ts";

/**
 * Opens a node in this process: bundle, keys and store have embedded defaults.
 * @param actor what the host is called in the events of what it does itself.
 * @throws ConfigError an option that is none, such as a node id that is no identifier.
 * @throws RailgateError this Node.js is too old; the message says which is needed.
 * @throws StoreLockedError another process holds the data directory.
 * @throws DataDirError the data directory cannot be made or written.
 * @throws KeyError the private key is missing or another.
 * @throws LogRolledBackError the database is behind the checkpoints that were signed, or another one.
 * @throws CheckpointsMissingError nobody can tell whether it is: see `afterRestore`.
 * @throws EvidenceUnavailableError the database cannot be written.
 */
export async function openRailgate(
  options: Partial<NodeOptions> & LocalSettings = {},
  actor = "library",
): Promise<LocalRailgate> {
  const problem = tooOld(process.versions.node);
  if (problem !== undefined) throw new RailgateError(problem);
  // Only now, since an older one lacks what these import.
  const { RailgateNode, LocalRailgate, checkOptions } = await import("./opening.ts");
  checkOptions(options);
  const node = await RailgateNode.open({ dataDir: DEFAULTS.dataDir, ...options });
  return new LocalRailgate(node, options, hostCaller(actor));
}
