// `Railgate` over a node in this process, for one caller: parsed, scoped to a tenant, decided by the gate.
import type { MessagePort } from "node:worker_threads";
import { actorOf, hostCaller, nodeSending, operatorActing, tenantOf, type Caller } from "../core/caller.ts";
import { NotFoundError, RequestError } from "../core/errors.ts";
import { throughJson } from "../core/json.ts";
import type { AuditedObject, AuditedPage, AuditRun } from "../core/schema/audits.ts";
import type { ReviewAnswer } from "../core/kubernetes/answer.ts";
import { parseAdmissionRequest, parser } from "../core/request.ts";
import { DEFAULTS } from "../core/schema/defaults.ts";
import { ChallengeBodySchema, type ChallengeQuery, type IssuedChallenge } from "../core/schema/challenge.ts";
import type { Decision, DryRun } from "../core/schema/decision.ts";
import {
  ErasureSchema,
  ExportRequestSchema,
  RotationSchema,
  type Erasure,
  type ExportQuery,
  type Rotation,
} from "../core/schema/queries.ts";
import type { PolicyItem, ShadowFigures } from "../core/schema/policies.ts";
import type { EventScope } from "../core/schema/queries.ts";
import { ArtifactDigest, type ProvenanceAnswer, type ProvenanceList } from "../core/schema/provenance.ts";
import type { AdmissionRequest } from "../core/schema/request.ts";
import { timeMs } from "../core/time.ts";
import { ExportRangeError, prepareExport, type PreparedExport } from "../evidence/export/export.ts";
import { tarGz } from "../evidence/export/files.ts";
import { IsolationSchema, type Isolation, type NodeStatus } from "../core/schema/node.ts";
import type { ReplicationAnswer } from "../core/schema/replication.ts";
import type { Offer } from "../evidence/upstream/intake.ts";
import type { Witness } from "../evidence/log/witness.ts";
import { makeIds } from "../evidence/ledger/ids.ts";
import { verifyApart } from "../evidence/verify/apart.ts";
import type { VerifyReport } from "../evidence/verify/report.ts";
import { admission, type AdmissionOutcome } from "../gate/commands/admission.ts";
import type { Evidenced } from "../gate/gate.ts";
import { backUpApart } from "../node/backup/apart.ts";
import type { Backup } from "../node/backup/make.ts";
import type { RailgateNode } from "../node/open.ts";
import type { ReportFigures } from "../node/reporting.ts";
import type { SeatHandle } from "../node/threads/seats.ts";
import { storeBytes } from "../store/open.ts";
import type { BundleStatus } from "../policies/status.ts";
import type { TrustConfig } from "../trust/trust.ts";
import { SHIPPED, Evaluations, type DataPath } from "./evaluations.ts";
import {
  LocalMesh,
  LocalWorkload,
  proven,
  callOf,
  type HandleParts,
  type LocalOptions,
  type WithProof,
} from "./handles.ts";
import type { SummaryItem } from "../core/schema/summaries.ts";
import { summariesOf, type SummarySource } from "./summaries.ts";
import { checkNames } from "./names.ts";
import { LocalReader } from "./reader.ts";
import type {
  ActedPolicy,
  ActivatedPolicy,
  ActivateOptions,
  BatchEvaluation,
  BatchOptions,
  EvaluateOptions,
  Evaluation,
  Export,
  Railgate,
  RotatedKey,
  Status,
} from "./railgate.ts";
import { auditCluster, ClusterAudit } from "./cluster-audit.ts";
import { review, type NamespaceSource, type ReviewOptions } from "./reviews.ts";
import { workloadView } from "./workload-view.ts";

export interface LocalSettings {
  /** Milliseconds since the epoch. */
  readonly now?: (() => number) | undefined;
  /** What an export must hold where it says nothing. */
  readonly evidenceProfileId?: string | undefined;
  /** Files that exports bring along, by kind. */
  readonly artifacts?: { readonly [kind: string]: readonly string[] } | undefined;
  /** What a cluster's namespaces are known from, beside their reviews. */
  readonly namespaces?: NamespaceSource | undefined;
}

export interface NodeFigures {
  readonly nodeId: string;
  /** undefined: none is active. */
  readonly policyDigest: string | undefined;
  /** Decisions linked and not yet durable. */
  readonly waiting: number;
  /** Processor time of the thread that commits. */
  readonly committingS: number;
  /** By how much the clock is behind what it said before. */
  readonly clockBehindS: number;
  readonly partition: { readonly state: string; readonly reasons: readonly string[] };
  /** How reports to services go; undefined: nothing is reported. */
  readonly reports: ReportFigures | undefined;
  /** Of a database that other nodes share; undefined where there is none. */
  readonly sharing: SharingFigures | undefined;
}

/** Counted since the start. */
export interface SharingFigures {
  readonly connections: { readonly inUse: number; readonly idle: number; readonly waiting: number };
  readonly leaseEpoch: number;
  /** Until the lease ends; below 0: since it has. */
  readonly leaseS: number;
  /** Transactions that were begun anew, by the database's code. */
  readonly retries: Readonly<Record<string, number>>;
  /** Commits whose end nobody saw, by what came of looking them up. */
  readonly unseen: Readonly<Record<string, number>>;
  /** Decisions that were made again, since what they were made on had moved. */
  readonly moved: number;
}

const parseExport = parser(ExportRequestSchema);
const parseArtifactDigest = parser(ArtifactDigest);
const parseRotation = parser(RotationSchema);
const parseIsolation = parser(IsolationSchema);
const parseChallenge = parser(ChallengeBodySchema);
const parseErasure = parser(ErasureSchema);

/** The `.tar.gz` of an export's files. */
export const archiveOf = ({ files }: PreparedExport): AsyncIterable<Uint8Array> => tarGz(files);

export class LocalRailgate extends LocalReader implements Railgate {
  readonly #node: RailgateNode;
  readonly #settings: LocalSettings;
  readonly #handles: HandleParts;
  /** For doors that ask as OPA is asked. */
  readonly evaluations: Evaluations;
  /** A door has few callers, and asks for each again and again. */
  readonly #others = new WeakMap<Caller, LocalRailgate>();

  /** @param caller for whom it acts; default: the host itself. */
  constructor(node: RailgateNode, settings: LocalSettings = {}, caller: Caller = hostCaller("library")) {
    const now = settings.now ?? Date.now;
    super(
      {
        store: node.store,
        log: node.log,
        now,
        subscribe: (listener) => node.subscribe(listener),
      },
      caller,
    );
    this.#node = node;
    this.#settings = settings;
    this.evaluations = new Evaluations(node, caller);
    this.#handles = {
      gate: node.gate,
      caller,
      showMesh: (meshId, tenantId) => this.showMesh(meshId, tenantId),
      showWorkload: (workloadId, tenantId) => this.showWorkload(workloadId, tenantId),
      viewWorkload: (workload, { event, position }) =>
        workloadView(node.store, workload, timeMs(event.occurred_at)!, position),
    };
  }

  /** The same node, for another caller. */
  as(caller: Caller): LocalRailgate {
    let other = this.#others.get(caller);
    if (other === undefined) this.#others.set(caller, (other = new LocalRailgate(this.#node, this.#settings, caller)));
    return other;
  }

  async admit(request: unknown, options: LocalOptions = {}): Promise<WithProof<{ decision: Decision }>> {
    const [done] = await this.decide([parseAdmissionRequest(throughJson(request))], options);
    return proven(done!.outcome, done!);
  }

  async admitAll(
    requests: readonly unknown[],
    options: LocalOptions = {},
  ): Promise<(WithProof<{ decision: Decision }> | RequestError)[]> {
    const read = requests.map(readAdmission);
    const good = read.filter((each): each is AdmissionRequest => !(each instanceof RequestError));
    const answers = (await this.decide(good, options)).map((done) => proven(done.outcome, done)).values();
    return read.map((each) => (each instanceof RequestError ? each : answers.next().value!));
  }

  /** As `admitAll`, for a door: of what it has read as strictly already, what came of it, for it to write. */
  decide(requests: readonly AdmissionRequest[], options: LocalOptions = {}): Promise<Evidenced<AdmissionOutcome>[]> {
    const commands = requests.map((request) => admission(request, this.caller));
    return this.#node.gate.run(commands, callOf(this.caller, options, { requests }));
  }

  async dryRun(request: unknown): Promise<DryRun> {
    return this.dryRunParsed(parseAdmissionRequest(throughJson(request)));
  }

  /** As `dryRun`, for what was read as strictly already. */
  dryRunParsed(request: AdmissionRequest): Promise<DryRun> {
    return this.#node.gate.dryRun(request, this.caller);
  }

  review(body: unknown, options: ReviewOptions = {}): Promise<ReviewAnswer> {
    const { gate, store } = this.#node;
    const { now = Date.now, namespaces } = this.#settings;
    return review({ gate, store, caller: this.caller, namespaces, now }, body, options);
  }

  evaluate(path: DataPath, input?: unknown, options?: EvaluateOptions): Promise<Evaluation> {
    return this.evaluations.one(path, input, options);
  }

  evaluateAll(
    path: DataPath,
    inputs: { readonly [key: string]: unknown },
    options?: BatchOptions,
  ): Promise<BatchEvaluation> {
    return this.evaluations.many(path, inputs, options);
  }

  /** Judges what already runs in a cluster, on record as one run. Operators only. */
  audit(
    namespaces: AsyncIterable<readonly unknown[]>,
    pages: AsyncIterable<AuditedPage>,
    found?: (object: AuditedObject) => void,
  ): Promise<AuditRun> {
    const { now = Date.now } = this.#settings;
    const parts = { node: this.#node, caller: this.caller, now, newId: makeIds() };
    return auditCluster(parts, namespaces, pages, found);
  }

  /** The same, handed over part by part by whoever lists the cluster. Operators only. */
  beginAudit(namespaces: AsyncIterable<readonly unknown[]>): Promise<ClusterAudit> {
    const { now = Date.now } = this.#settings;
    return ClusterAudit.begin({ node: this.#node, caller: this.caller, now, newId: makeIds() }, namespaces);
  }

  override mesh(meshId: string, tenantId?: string): LocalMesh {
    return new LocalMesh(this.#handles, meshId, tenantId);
  }

  override workload(workloadId: string, tenantId?: string): LocalWorkload {
    return new LocalWorkload(this.#handles, workloadId, tenantId);
  }

  async challenge({ workloadId, tenantId }: ChallengeQuery): Promise<IssuedChallenge> {
    const asked = parseChallenge(throughJson({ workload_id: workloadId, tenant_id: tenantId }));
    return this.#node.challenge(tenantOf(this.caller, asked.tenant_id), asked.workload_id);
  }

  async export(query: ExportQuery): Promise<Export> {
    const prepared = await this.prepareExport(query);
    return {
      exportId: prepared.exportId,
      archive: archiveOf(prepared),
      [Symbol.asyncDispose]: async () => prepared[Symbol.dispose](),
    };
  }

  /** As `export`, as files. */
  async prepareExport(query: ExportQuery): Promise<PreparedExport> {
    const body = parseExport(throughJson(query));
    const { evidenceProfileId = DEFAULTS.evidenceProfile, artifacts } = this.#settings;
    return prepareExport(this.#node, {
      tenantId: tenantOf(this.caller, body.tenant_id),
      evidenceProfileId: body.evidence_profile_id ?? evidenceProfileId,
      actor: actorOf(this.caller),
      artifacts,
      chainId: body.chain_id,
      fromSequence: body.from_sequence,
      toSequence: body.to_sequence,
    }).catch((error: unknown) => {
      throw error instanceof ExportRangeError ? new NotFoundError("stream_unknown", error.message) : error;
    });
  }

  async verify(archive: Uint8Array | AsyncIterable<Uint8Array>): Promise<VerifyReport> {
    return verifyApart(archive, { ownKeys: await this.#node.jwks() });
  }

  async rotateKey(rotation: Rotation = {}): Promise<RotatedKey> {
    const { compromised_since, to } = parseRotation(throughJson(rotation));
    const actor = operatorActing(this.caller);
    const since = compromised_since === undefined ? undefined : new Date(timeMs(compromised_since)!).toISOString();
    return this.#node.rotateKey({ actor, to, compromisedSince: since });
  }

  async erase(eventId: string, erasure: Erasure): Promise<WithProof<object>> {
    const { basis, ...scope } = parseErasure(throughJson(erasure));
    const actor = operatorActing(this.caller);
    const { event } = await this.event(eventId, scope);
    const { eventText, record } = await this.#node.eraseArtifact(eventId, event.tenant_id, basis, actor);
    return proven({}, { eventText, receipt: record });
  }

  /**
   * Writes database and keys into one file, consistent and verified, while it goes on deciding. Operators only.
   * @param out a file that is not there yet. It will hold private keys.
   * @throws BackupError, BackupUnsoundError nothing is left of it.
   */
  async backup(out: string): Promise<Backup> {
    operatorActing(this.caller);
    const { dataDir, nodeId } = this.#node;
    return backUpApart({ dataDir, nodeId, out, nowMs: (this.#settings.now ?? Date.now)() });
  }

  /**
   * Takes records of another node, for a door: what it has sent is read and checked on another thread.
   * @throws RecordsRefusedError, RequestError, NodeNeededError, EvidenceUnavailableError
   */
  async replicate(chainId: string, sent: Pick<Offer, "bytes" | "encoding" | "bytesMax">): Promise<ReplicationAnswer> {
    const sender = nodeSending(this.caller);
    return this.#node.intake.take({ ...sent, chainId, sender, firstUse: this.caller.kind === "host" });
  }

  override async nodeStatus(): Promise<NodeStatus> {
    operatorActing(this.caller);
    const { nodeId: node_id, partition } = this.#node;
    const forwarding = await this.#node.forwarding();
    const { state, since, reasons } = partition.status;
    const upstream = forwarding ? { ...forwarding, refused: [...forwarding.refused] } : null;
    return { node_id, partition: { state, since, reasons: [...reasons] }, upstream };
  }

  async isolate(isolation: Isolation = {}): Promise<NodeStatus> {
    const { reason = "none given" } = parseIsolation(throughJson(isolation));
    await this.#node.isolate(reason, operatorActing(this.caller));
    return this.nodeStatus();
  }

  async rejoin(): Promise<NodeStatus> {
    await this.#node.rejoin(operatorActing(this.caller));
    return this.nodeStatus();
  }

  async summaries(eventId: string, scope: EventScope = {}): Promise<SummaryItem[]> {
    const [{ event, record }, { bytes }] = [await this.event(eventId, scope), await this.artifact(eventId, scope)];
    if (event.event_type !== "workload.admit") return [];
    const artifact = JSON.parse(Buffer.from(bytes).toString("utf8")) as SummarySource["artifact"];
    return summariesOf({ event, record, artifact }, (encoded) => this.#node.signDsse(encoded));
  }

  async addProvenance(
    bundle: unknown,
    { tenantId }: { readonly tenantId?: string | undefined } = {},
  ): Promise<ProvenanceAnswer> {
    const given = throughJson(bundle);
    if (typeof given !== "object" || given === null || Array.isArray(given))
      throw new RequestError(422, [{ pointer: "", message: "must be a Sigstore bundle, a JSON object" }]);
    checkNames({ tenant_id: tenantId });
    const by = { tenantId: tenantOf(this.caller, tenantId), actor: actorOf(this.caller) };
    return this.#node.submitBundle(given, by);
  }

  async provenance(digest: string): Promise<ProvenanceList> {
    const items = await this.#node.bundlesKept(parseArtifactDigest(digest));
    if (items.length === 0) throw new NotFoundError("provenance_unknown", `no bundle is kept for ${digest}`);
    return { digest, items };
  }

  async policies(): Promise<PolicyItem[]> {
    operatorActing(this.caller);
    return this.#node.registry.list();
  }

  /** `created`, which no JSON shows: it was not there before. */
  async submitPolicy(bundle: Uint8Array): Promise<PolicyItem & { readonly created: boolean }> {
    const { policy, created } = await this.#node.registry.submit(bundle, operatorActing(this.caller));
    return Object.defineProperty({ ...policy }, "created", { value: created }) as PolicyItem & { created: boolean };
  }

  async activatePolicy(
    digest: string,
    { force }: ActivateOptions = {},
  ): Promise<WithProof<Pick<ActivatedPolicy, "policy" | "report">>> {
    const { policy, receipt, report } = await this.#node.registry.activate(digest, operatorActing(this.caller), force);
    return proven({ policy, report }, { eventText: receipt.eventText, receipt: receipt.record });
  }

  async shadowPolicy(
    digest: string,
    { stop }: { readonly stop?: boolean | undefined } = {},
  ): Promise<WithProof<Pick<ActedPolicy, "policy">>> {
    const { policy, receipt } = await this.#node.registry.shadow(digest, operatorActing(this.caller), stop);
    return proven({ policy }, { eventText: receipt.eventText, receipt: receipt.record });
  }

  async deprecatePolicy(digest: string): Promise<WithProof<Pick<ActedPolicy, "policy">>> {
    const { policy, receipt } = await this.#node.registry.deprecate(digest, operatorActing(this.caller));
    return proven({ policy }, { eventText: receipt.eventText, receipt: receipt.record });
  }

  async policyDifferences(digest: string): Promise<ShadowFigures> {
    operatorActing(this.caller);
    return this.#node.registry.differences(digest);
  }

  /** The bundle that decides under a name, as it came; the one that comes with Railgate, or a host's own, is `railgate`. */
  bundle(name: string): { readonly digest: string; readonly bytes: Uint8Array } | undefined {
    actorOf(this.caller);
    return this.#node.policies.bundles().find((bundle) => (bundle.name ?? SHIPPED) === name)?.policy;
  }

  /**
   * Lets another thread of this process decide, too: see `openDeciding`.
   * @param port its other end goes there. @param of how many threads will.
   */
  attach(port: MessagePort, of: number): SeatHandle {
    return this.#node.attach(port, of);
  }

  /** For reading, where there are any. */
  get connections(): SharingFigures["connections"] | undefined {
    return this.#node.store.connections;
  }

  /** Calls back after each change of what decides. @returns a function that ends it. */
  onPolicyChange(listener: () => void): () => void {
    return this.#node.policies.onChange(listener);
  }

  /** How each bundle is doing: what decides, how old it is, and how asking its source goes. */
  bundleStatuses(): BundleStatus[] {
    return this.#node.bundleStatuses();
  }

  async status(): Promise<Status> {
    const { problem } = this;
    return { ready: problem === undefined, problem: problem ?? null };
  }

  /** Why nothing would be admitted now; undefined when ready. */
  get problem(): string | undefined {
    return this.#node.problem;
  }

  /** What operators are told of the node, as it is now. */
  get figures(): NodeFigures {
    const { nodeId, policy, waiting, clockBehindMs, partition } = this.#node;
    const { state, reasons } = partition.status;
    return {
      nodeId,
      policyDigest: policy?.digest,
      waiting,
      committingS: this.#node.committingMs / 1000,
      clockBehindS: clockBehindMs / 1000,
      partition: { state, reasons: reasons.map(({ reason }) => reason) },
      reports: this.#node.reports,
      sharing: this.#sharing,
    };
  }

  get #sharing(): SharingFigures | undefined {
    const { sharing, store } = this.#node;
    if (!sharing || !store.connections) return undefined;
    const { epoch, leaseUntilMs, retries, outcomes, moved } = sharing;
    const leaseS = (leaseUntilMs - Date.now()) / 1000;
    return { connections: store.connections, leaseEpoch: epoch, leaseS, retries, unseen: outcomes, moved };
  }

  /** Records that have not arrived upstream yet; undefined where there is none. */
  async backlog(): Promise<number | undefined> {
    return (await this.#node.forwarding())?.backlog;
  }

  /** What the database takes on the disk, in bytes. */
  async storeBytes(): Promise<number> {
    return (await this.#node.store.bytes?.()) ?? storeBytes(this.#node.dataDir);
  }

  /** What OPA would call the states of its plugins, of those that report. */
  get plugins(): RailgateNode["plugins"] {
    return this.#node.plugins;
  }

  /** Of the logs that the options name. */
  get witness(): Witness | undefined {
    return this.#node.witness;
  }

  /** See RailgateNode. */
  renewTrust(config: TrustConfig): Promise<void> {
    return this.#node.renewTrust(config);
  }

  /** See RailgateNode. */
  offerBundle(name: string): Promise<void> {
    return this.#node.offerBundle(name);
  }

  /** Where its evidence, keys and state are. */
  get dataDir(): string {
    return this.#node.dataDir;
  }

  /** Does this before the node lets go of anything: whoever asks it for others stops. */
  beforeClose(work: () => Promise<void>): void {
    this.#node.beforeClose(work);
  }

  /** Tells whoever finds the data directory locked where this node can be asked. */
  listening(at: { readonly url?: string | undefined; readonly socket?: string | undefined }): void {
    this.#node.listening(at);
  }

  /** Waits for what was decided to become durable, then lets go of the data directory. */
  override async close(): Promise<void> {
    await this.#node.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** What cannot be read is handed back: it fails alone. */
function readAdmission(request: unknown): AdmissionRequest | RequestError {
  try {
    return parseAdmissionRequest(throughJson(request));
  } catch (error) {
    if (error instanceof RequestError) return error;
    throw error;
  }
}
