// `Railgate` over a node in this process, for one caller: parsed, scoped to a tenant, decided by the gate.
import { actorOf, hostCaller, tenantOf, type Caller } from "../core/caller.ts";
import { NotFoundError, RequestError } from "../core/errors.ts";
import { throughJson } from "../core/json.ts";
import type { AuditedObject, AuditedPage, AuditRun } from "../core/schema/audits.ts";
import type { ReviewAnswer } from "../core/kubernetes/answer.ts";
import { parseAdmissionRequest, parser } from "../core/request.ts";
import { DEFAULTS } from "../core/schema/defaults.ts";
import { ChallengeBodySchema, type ChallengeQuery, type IssuedChallenge } from "../core/schema/challenge.ts";
import type { Decision, DryRun } from "../core/schema/decision.ts";
import { ExportRequestSchema, type EventScope, type ExportQuery } from "../core/schema/queries.ts";
import { ArtifactDigest, type ProvenanceAnswer, type ProvenanceList } from "../core/schema/provenance.ts";
import type { AdmissionRequest } from "../core/schema/request.ts";
import { timeMs } from "../core/time.ts";
import { ExportRangeError, prepareExport, type PreparedExport } from "../evidence/export/export.ts";
import { tarGz } from "../evidence/export/files.ts";
import { makeIds } from "../evidence/ledger/ids.ts";
import { verifyApart } from "../evidence/verify/apart.ts";
import type { VerifyReport } from "../evidence/verify/report.ts";
import { admission, type AdmissionOutcome } from "../gate/commands/admission.ts";
import type { Evidenced } from "../gate/gate.ts";
import type { RailgateNode } from "../node/open.ts";
import { Evaluations, type DataPath } from "./evaluations.ts";
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
import type { BatchEvaluation, BatchOptions, EvaluateOptions, Evaluation, Export, Railgate } from "./railgate.ts";
import { auditCluster, ClusterAudit } from "./cluster-audit.ts";
import { review, type ReviewOptions } from "./reviews.ts";
import { workloadView } from "./workload-view.ts";
import { LocalOperations, type LocalSettings } from "./operations.ts";

const parseExport = parser(ExportRequestSchema);
const parseArtifactDigest = parser(ArtifactDigest);
const parseChallenge = parser(ChallengeBodySchema);

/** The `.tar.gz` of an export's files. */
export const archiveOf = ({ files }: PreparedExport): AsyncIterable<Uint8Array> => tarGz(files);

export class LocalRailgate extends LocalOperations implements Railgate {
  readonly #node: RailgateNode;
  readonly #settings: LocalSettings;
  readonly #handles: HandleParts;
  /** For doors that ask as OPA is asked. */
  readonly evaluations: Evaluations;
  /** A door has few callers, and asks for each again and again. */
  readonly #others = new WeakMap<Caller, LocalRailgate>();

  /** @param caller for whom it acts; default: the host itself. */
  constructor(node: RailgateNode, settings: LocalSettings = {}, caller: Caller = hostCaller("library")) {
    super(node, settings, caller);
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
