// What a node can be asked: one interface, kept by the library in this process and by `railgate/client` over HTTP.
//
// Each call rejects with an error of `core/errors.ts`, the same ones whichever keeps it:
// - RequestError: it cannot be read; nothing was decided.
// - RefusedError: the law refuses a command; `code`, `title`, `solution`, `pointer`, and the proof: `event`, `receipt`.
// - EvidenceUnavailableError: EVI-01; nothing was admitted or changed.
// - NotFoundError, TenantForbiddenError, RevisionError, KeyReusedError: as their names say.
import type { ChallengeQuery, IssuedChallenge } from "../core/schema/challenge.ts";
import type { ReviewAnswer } from "../core/kubernetes/answer.ts";
import type { AuditedObject, AuditedPage, AuditRun } from "../core/schema/audits.ts";
import type { DryRun } from "../core/schema/decision.ts";
import type { EvidenceEvent } from "../core/schema/event.ts";
import type { ElevationPolicy, Mesh, MeshAnswer, PlacementAnswer, Rail } from "../core/schema/mesh.ts";
import type {
  EventScope,
  Erasure,
  EventsQuery,
  ExportQuery,
  FollowQuery,
  ListQuery,
  Rotation,
} from "../core/schema/queries.ts";
import type { Isolation, NodeStatus } from "../core/schema/node.ts";
import type { PolicyItem, ShadowFigures, TrialReport } from "../core/schema/policies.ts";
import type { ProvenanceAnswer, ProvenanceList } from "../core/schema/provenance.ts";
import type { SummaryItem } from "../core/schema/summaries.ts";
import type { AttestationRequest } from "../core/schema/request.ts";
import type {
  AdmissionAnswer,
  Transition,
  WorkloadAnswer,
  WorkloadSummary,
  WorkloadView,
} from "../core/schema/workload.ts";
import type { EvaluationFailedError, RequestError } from "../core/errors.ts";
import type { PublicKeys } from "../evidence/keys/jwks.ts";
import type { VerifyReport } from "../evidence/verify/report.ts";

/** What ties a call to the caller's own records. */
export interface TraceOptions {
  /** An identifier of the caller's, or a W3C trace id, that ends up in the event. */
  readonly traceId?: string | undefined;
}

export interface CommandOptions extends TraceOptions {
  /** The same command under the same key is carried out once, and answered alike for a day; another one is KeyReusedError. */
  readonly idempotencyKey?: string | undefined;
}

export interface MeshOptions extends CommandOptions {
  /** Decide only if the mesh is at this revision (0: not defined yet), else RevisionError. */
  readonly revision?: number | undefined;
}

export interface EvaluateOptions extends TraceOptions {
  /** Whose evidence it is; default: the caller's own, or `default`. */
  readonly tenantId?: string | undefined;
}

export interface BatchOptions extends EvaluateOptions {
  /** Merged into each input that is an object; the input's own comes first. */
  readonly commonInput?: unknown;
}

/** What a policy says of an input. `result` is absent where it is undefined; whole numbers beyond 2^53−1 in it are BigInts. */
export interface Evaluation {
  /** The id of the event that proves it. */
  readonly decision_id: string;
  readonly result?: unknown;
}

export interface BatchEvaluation {
  /** In the `details` of each event. */
  readonly batch_decision_id: string;
  readonly responses: { readonly [key: string]: Evaluation | EvaluationFailedError };
}

/** How an act is proved. */
export interface Proof {
  readonly event: EvidenceEvent;
  /** The record: a compact JWS. */
  readonly receipt: string;
}

/** A part of a listing; `next`, given back as `cursor`, goes on behind it. */
export interface Page<T> {
  readonly items: readonly T[];
  readonly next: string | null;
}

/** An event with its record, and what proves the record's place in its stream's log. */
export interface EventLookup {
  readonly event: EvidenceEvent;
  /** The compact JWS over the event's exact bytes. */
  readonly record: string;
  /** null while no checkpoint can be made. */
  readonly inclusion: InclusionProof | null;
}

export interface InclusionProof {
  readonly index: number;
  readonly size: number;
  /** Base64, from the leaf up. */
  readonly hashes: readonly string[];
  /** A signed note over `size` records. */
  readonly checkpoint: string;
}

/** Exact bytes, by the digest that the event's `evidence_pointer` names. */
export interface Artifact {
  readonly digest: string;
  readonly bytes: Uint8Array;
}

export interface StreamSummary {
  readonly chain_id: string;
  readonly size: number;
  /** The key that its checkpoints verify with (c2sp.org/signed-note). */
  readonly vkey: string;
}

/** A key that signs or signed, by its public half. */
export interface KeySummary {
  readonly kid: string;
  readonly role: "event" | "log" | "witness";
  /** null where it is not told. */
  readonly created_at: string | null;
  readonly retired_at: string | null;
  readonly jwk: { readonly [member: string]: unknown };
}

/** An export that is recorded and ready to be read, once; `await using` lets go of it. */
export interface Export extends AsyncDisposable {
  readonly exportId: string;
  /** The `.tar.gz`. */
  readonly archive: AsyncIterable<Uint8Array>;
}

export interface RotatedKey {
  readonly old_kid: string;
  readonly new_kid: string;
  /** In how many streams it is on record. */
  readonly streams: number;
}

export interface ActivateOptions {
  /** A root authority's override: a compact JWS of type `railgate-override+jws`. */
  readonly force?: string | undefined;
}

export interface ActedPolicy extends Proof {
  readonly policy: PolicyItem;
}

export interface ActivatedPolicy extends ActedPolicy {
  readonly report: TrialReport;
}

/** `problem`: why nothing would be admitted now; null when ready. */
export interface Status {
  readonly ready: boolean;
  readonly problem: string | null;
}

/** One tenant's mesh (spec law §5). A command resolves when what it changed is durable. */
export interface MeshHandle {
  readonly meshId: string;
  /** Undefined: the caller's own, or `default`. */
  readonly tenantId: string | undefined;
  /** Defines the mesh, or reloads its topology. */
  define(topology: { readonly rails: readonly Rail[] }, options?: MeshOptions): Promise<MeshAnswer>;
  /** Places a workload on its first rail. @param policy stays with it, whatever moves. */
  place(workloadId: string, railId: string, policy: ElevationPolicy, options?: MeshOptions): Promise<PlacementAnswer>;
  /** Moves a workload to a stricter rail. */
  elevate(workloadId: string, targetRailId: string, options?: MeshOptions): Promise<PlacementAnswer>;
  /** Takes a workload off its rail. @returns the placement as it was. */
  remove(workloadId: string, options?: MeshOptions): Promise<PlacementAnswer>;
  /** The mesh, as far as it is durable; null where it was never defined. */
  show(): Promise<Mesh | null>;
}

/** One tenant's workload after its admission (spec law §4). */
export interface WorkloadHandle {
  readonly workloadId: string;
  /** Undefined: the caller's own, or `default`. */
  readonly tenantId: string | undefined;
  transition(transition: Transition, options?: CommandOptions): Promise<WorkloadAnswer>;
  create(options?: CommandOptions): Promise<WorkloadAnswer>;
  start(options?: CommandOptions): Promise<WorkloadAnswer>;
  stop(options?: CommandOptions): Promise<WorkloadAnswer>;
  /** Also takes it off the rails it is on, in the same commit. */
  destroy(options?: CommandOptions): Promise<WorkloadAnswer>;
  /** Attests it again: a token that the host verifies, or a verifier's report. A nonce in a token must be a challenge, in a report the trace id. */
  attest(attestation: AttestationRequest, options?: CommandOptions): Promise<WorkloadAnswer>;
  /** State, admission, obligations and the last events; null where it was never admitted. */
  show(): Promise<WorkloadView | null>;
}

/** What may be read of a node's evidence and state; nothing of it leaves an event. */
export interface RailgateReader {
  meshes(query?: ListQuery): Promise<Page<Mesh>>;
  mesh(meshId: string, tenantId?: string): Pick<MeshHandle, "show">;
  workloads(query?: ListQuery): Promise<Page<WorkloadSummary>>;
  workload(workloadId: string, tenantId?: string): Pick<WorkloadHandle, "show">;
  /** Newest first, unless the query says otherwise. */
  events(query?: EventsQuery): Promise<Page<EvidenceEvent>>;
  /** @throws NotFoundError `event_unknown` */
  event(eventId: string, scope?: EventScope): Promise<EventLookup>;
  /** @throws NotFoundError `event_unknown`, `artifact_unknown` */
  artifact(eventId: string, scope?: EventScope): Promise<Artifact>;
  /** What becomes durable, from now on or from where the query says; ends when `signal` says so. */
  follow(query?: FollowQuery, signal?: AbortSignal): AsyncIterable<EvidenceEvent>;
  streams(): Promise<StreamSummary[]>;
  /** The latest checkpoint of a stream: a signed note. @throws NotFoundError `stream_unknown` */
  checkpoint(chainId: string): Promise<string>;
  /** A tile of the log, or a bundle of entries, by its name: `0/x001/067`. @throws NotFoundError `stream_unknown`, `tile_unknown` */
  tile(chainId: string, name: string): Promise<Uint8Array>;
  /** That the record at `index` is in the tree of that size. @throws NotFoundError `stream_unknown` */
  inclusionProof(chainId: string, index: number, size: number): Promise<string[]>;
  /** That the tree of size `to` begins with that of size `from`. @throws NotFoundError `stream_unknown` */
  consistencyProof(chainId: string, from: number, to: number): Promise<string[]>;
  /** Public keys with which receipts verify. */
  jwks(): Promise<PublicKeys>;
  /** Whether the node is cut off, why, and how its records go upstream; where it does not run, as it was left. Operators only. */
  nodeStatus(): Promise<NodeStatus>;
  /** The same with roles and times; over HTTP, keys that sign events only. */
  keys(): Promise<KeySummary[]>;
  close(): Promise<void>;
}

export interface Railgate extends RailgateReader, AsyncDisposable {
  /**
   * Decides an admission request (spec request), accepted or refused.
   * @param request any value; it is read as its JSON would be.
   * @returns when the decision is signed and durable.
   */
  admit(request: unknown, options?: CommandOptions): Promise<AdmissionAnswer>;
  /** As `admit`, for several, in order and in one commit. What cannot be read has its error in its place. */
  admitAll(requests: readonly unknown[], options?: CommandOptions): Promise<(AdmissionAnswer | RequestError)[]>;
  /** What would be decided now; nothing is recorded, so nothing is admitted. */
  dryRun(request: unknown): Promise<DryRun>;
  /**
   * Answers a Kubernetes AdmissionReview v1, of a pod, a pod template or a namespace. Never refuses by an error, in this process:
   * what cannot be read or decided is answered with `allowed: false`.
   */
  review(body: unknown): Promise<ReviewAnswer>;
  /**
   * What an entrypoint of any active policy says, as OPA's data API has it. Nothing is admitted or changed; that it was asked
   * is evidence (`policy.evaluate`).
   * @param path of `data`, e.g. `authz/allow`; what lies below an entrypoint is looked up in its value.
   * @param input undefined: none, which is not the same as null.
   * @throws NotFoundError `entrypoint_unknown`; EvaluationFailedError the policy came to no result, on record.
   */
  evaluate(path: string | readonly string[], input?: unknown, options?: EvaluateOptions): Promise<Evaluation>;
  /** As `evaluate`, for many inputs in one commit; what failed has its error in its place. */
  evaluateAll(
    path: string | readonly string[],
    inputs: { readonly [key: string]: unknown },
    options?: BatchOptions,
  ): Promise<BatchEvaluation>;
  /** A mesh, defined or not. @throws RequestError for what is no identifier. */
  mesh(meshId: string, tenantId?: string): MeshHandle;
  /** A workload, admitted or not. @throws RequestError for what is no identifier. */
  workload(workloadId: string, tenantId?: string): WorkloadHandle;
  /**
   * A nonce for one attestation of a workload, admitted or not: it binds the decision that it is named in, within five minutes.
   * @returns when it is durable. @throws ChallengesExhaustedError
   */
  challenge(query: ChallengeQuery): Promise<IssuedChallenge>;
  /** A tenant's evidence with all that verifies it. @throws ExportIncompleteError, NotFoundError `stream_unknown` */
  export(query: ExportQuery): Promise<Export>;
  /** Verifies an export's `.tar.gz` or `.tar`. */
  verify(archive: Uint8Array | AsyncIterable<Uint8Array>): Promise<VerifyReport>;
  /** Signs with a new event key from now on. Operators only. */
  rotateKey(rotation?: Rotation): Promise<RotatedKey>;
  /** Erases the artifact of an event for good, on record. Operators only. @throws NotFoundError `event_unknown`, `artifact_unknown` */
  erase(eventId: string, erasure: Erasure): Promise<Proof>;
  /** Says that the node is cut off, for a drill or a planned isolation: nothing is sent upstream. On record. Operators only. */
  isolate(isolation?: Isolation): Promise<NodeStatus>;
  /** Takes that back; the partition ends once all has arrived upstream. Operators only. */
  rejoin(): Promise<NodeStatus>;
  /** The policies that were submitted or decided, newest first. Operators only, as all of the following. */
  policies(): Promise<readonly PolicyItem[]>;
  /** Verifies a signed bundle and keeps it; it decides nothing yet. @throws BundleError */
  submitPolicy(bundle: Uint8Array): Promise<PolicyItem>;
  /**
   * Lets a policy decide from now on, unless it is older than the one that does or its trial speaks against it.
   * @throws PolicyRefusedError with the report. @throws NotFoundError `policy_unknown`
   */
  activatePolicy(digest: string, options?: ActivateOptions): Promise<ActivatedPolicy>;
  /** Lets a policy decide beside the active one, after each answer; only its differences are kept. */
  shadowPolicy(digest: string, options?: { readonly stop?: boolean | undefined }): Promise<ActedPolicy>;
  /** Keeps a policy from deciding again. */
  deprecatePolicy(digest: string): Promise<ActedPolicy>;
  /** What came of deciding beside the active policy. @throws NotFoundError `policy_unknown`: it does not. */
  policyDifferences(digest: string): Promise<ShadowFigures>;
  /**
   * Verifies a Sigstore bundle against what the node has pinned, and keeps it by the digests of its artifacts, on record.
   * @param bundle its JSON, parsed. @throws ProvenanceRefusedError with the step that failed.
   */
  addProvenance(bundle: unknown, options?: { readonly tenantId?: string | undefined }): Promise<ProvenanceAnswer>;
  /**
   * An admission as statements for other tools, signed by the node: a VSA and an SVR for each of its artifacts; none where nothing
   * was admitted. @throws NotFoundError `event_unknown`, `artifact_unknown`
   */
  summaries(eventId: string, scope?: EventScope): Promise<readonly SummaryItem[]>;
  /** Bundles that are kept for an artifact. @param digest `sha256:…` or `sha512:…` @throws NotFoundError `provenance_unknown` */
  provenance(digest: string): Promise<ProvenanceList>;
  /**
   * Judges what already runs in a cluster, on record as one run between two counts. Operators only.
   * @param namespaces all of the cluster's, by pages. @param found is told of each object.
   */
  audit(
    namespaces: AsyncIterable<readonly unknown[]>,
    pages: AsyncIterable<AuditedPage>,
    found?: (object: AuditedObject) => void,
  ): Promise<AuditRun>;
  status(): Promise<Status>;
}
