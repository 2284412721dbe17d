// `Railgate` over HTTP: each call a request to the node that listens there.
import type { ChallengeQuery, IssuedChallenge } from "../core/schema/challenge.ts";
import { type EvaluationFailedError, RequestError } from "../core/errors.ts";
import { AUDIT_PART_MAX, type AuditedObject, type AuditedPage, type AuditRun } from "../core/schema/audits.ts";
import type { ReviewAnswer } from "../core/kubernetes/answer.ts";
import type { Decision, DryRun } from "../core/schema/decision.ts";
import type { EvidenceEvent } from "../core/schema/event.ts";
import type { ElevationPolicy, Mesh, MeshAnswer, PlacementAnswer, Rail } from "../core/schema/mesh.ts";
import type { Isolation, NodeStatus } from "../core/schema/node.ts";
import type { PolicyItem, ShadowFigures } from "../core/schema/policies.ts";
import type { Problem } from "../core/schema/problem.ts";
import type {
  Erasure,
  EventScope,
  EventsQuery,
  ExportQuery,
  FollowQuery,
  ListQuery,
  Rotation,
} from "../core/schema/queries.ts";
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
import type { PublicKeys } from "../evidence/keys/jwks.ts";
import type { VerifyReport } from "../evidence/verify/report.ts";
import { checkNames } from "../library/names.ts";
import type {
  ActedPolicy,
  ActivatedPolicy,
  ActivateOptions,
  Artifact,
  BatchEvaluation,
  BatchOptions,
  CommandOptions,
  EvaluateOptions,
  Evaluation,
  EventLookup,
  Export,
  KeySummary,
  MeshHandle,
  MeshOptions,
  Page,
  Proof,
  Railgate,
  RotatedKey,
  Status,
  StreamSummary,
  WorkloadHandle,
} from "../library/railgate.ts";
import { AnswerError, errorOf, evaluationFailed, type EvaluationRead } from "./errors.ts";
import { followed } from "./live.ts";
import { partsOf } from "./transport.ts";
import { Wire, type WireCall, type ClientOptions } from "./wire.ts";

const segment = encodeURIComponent;
const policyPath = (digest: string, what: string): string => `/v1/policies/${segment(digest)}/${what}`;

const NOT_READY: readonly string[] = ["not_ready", "log_rolled_back"];

export class RemoteRailgate implements Railgate {
  readonly #wire: Wire;

  /** @throws ConfigError */
  constructor(options: ClientOptions) {
    this.#wire = new Wire(options);
  }

  /** Where it asks. */
  get origin(): string {
    return this.#wire.origin;
  }

  admit(request: unknown, options: CommandOptions = {}): Promise<AdmissionAnswer> {
    const call: WireCall = { method: "POST", path: "/v1/admissions", json: request, member: "decision" };
    return this.#wire.json(command(call, undefined, options));
  }

  async admitAll(
    requests: readonly unknown[],
    options: CommandOptions = {},
  ): Promise<(AdmissionAnswer | RequestError)[]> {
    const call = {
      method: "POST",
      path: "/v1/admissions/batch",
      json: { items: requests.map((request) => request ?? null) },
      member: "items",
    } as const;
    // Without a key of the caller's it is not kept for a retry: it may be large.
    const sent =
      options.idempotencyKey === undefined
        ? { ...call, query: { trace_id: options.traceId } }
        : command(call, undefined, options);
    const { items } = await this.#wire.json<{ items: (AdmissionAnswer | Problem)[] }>(sent);
    return items.map((item) => ("receipt" in item && "decision" in item ? item : unreadable(item as Problem)));
  }

  async dryRun(request: unknown): Promise<DryRun> {
    const call: WireCall = {
      method: "POST",
      path: "/v1/admissions",
      query: { dry_run: true },
      json: request,
      member: "decision",
      retry: "always",
    };
    const { decision, problem } = await this.#wire.json<{ decision: Decision; problem?: string }>(call);
    return { ...decision, ...(problem !== undefined && { problem }) };
  }

  async review(body: unknown): Promise<ReviewAnswer> {
    return this.#wire.json({ method: "POST", path: "/v1/kubernetes/admission", json: body, member: "response" });
  }

  async evaluate(
    path: string | readonly string[],
    input?: unknown,
    { traceId, tenantId }: EvaluateOptions = {},
  ): Promise<Evaluation> {
    const query = { trace_id: traceId, tenant_id: tenantId };
    const call: WireCall = { method: "POST", path: `/v1/data/${dataPath(path)}`, query, member: "decision_id" };
    // OPA takes `{"input": null}` for no input; in the query null is one.
    if (input === null) return this.#wire.exact({ ...call, method: "GET", query: { ...query, input: "null" } });
    return this.#wire.exact({ ...call, json: input === undefined ? {} : { input }, retry: "always" });
  }

  async evaluateAll(
    path: string | readonly string[],
    inputs: { readonly [key: string]: unknown },
    { traceId, tenantId, commonInput }: BatchOptions = {},
  ): Promise<BatchEvaluation> {
    const { batch_decision_id, responses } = await this.#wire.exact<BatchRead>({
      method: "POST",
      path: `/v1/batch/data/${dataPath(path)}`,
      query: { trace_id: traceId, tenant_id: tenantId },
      json: { inputs, ...(commonInput !== undefined && { common_input: commonInput }) },
      member: "batch_decision_id",
      answeredBy: 500,
      retry: "always",
    });
    const read = Object.entries(responses).map(([key, response]) => [key, evaluationIn(response)] as const);
    return { batch_decision_id, responses: Object.fromEntries(read) };
  }

  mesh(meshId: string, tenantId?: string): MeshHandle {
    return new RemoteMesh(this.#wire, meshId, tenantId);
  }

  meshes(query: ListQuery = {}): Promise<Page<Mesh>> {
    return this.#get("/v1/meshes", query);
  }

  workload(workloadId: string, tenantId?: string): WorkloadHandle {
    return new RemoteWorkload(this.#wire, workloadId, tenantId);
  }

  workloads(query: ListQuery = {}): Promise<Page<WorkloadSummary>> {
    return this.#get("/v1/workloads", query);
  }

  events(query: EventsQuery = {}): Promise<Page<EvidenceEvent>> {
    return this.#get("/v1/events", query);
  }

  event(eventId: string, scope: EventScope = {}): Promise<EventLookup> {
    return this.#get(`/v1/events/${segment(eventId)}`, scope);
  }

  async artifact(eventId: string, scope: EventScope = {}): Promise<Artifact> {
    const path = `/v1/events/${segment(eventId)}/artifact`;
    const { bytes, headers } = await this.#wire.bytes({ method: "GET", path, query: scope });
    return { digest: (headers.get("etag") ?? "").replaceAll('"', ""), bytes };
  }

  follow(query: FollowQuery = {}, signal?: AbortSignal): AsyncIterable<EvidenceEvent> {
    return followed(this.#wire, query, signal);
  }

  async streams(): Promise<StreamSummary[]> {
    return (await this.#get<{ items: StreamSummary[] }>("/v1/streams")).items;
  }

  checkpoint(chainId: string): Promise<string> {
    return this.#wire.text({ method: "GET", path: `${stream(chainId)}/checkpoint` });
  }

  async tile(chainId: string, name: string): Promise<Uint8Array> {
    const path = `${stream(chainId)}/tile/${name.split("/").map(segment).join("/")}`;
    return (await this.#wire.bytes({ method: "GET", path })).bytes;
  }

  async inclusionProof(chainId: string, index: number, size: number): Promise<string[]> {
    return (await this.#get<{ hashes: string[] }>(`${stream(chainId)}/proof`, { index, size })).hashes;
  }

  async consistencyProof(chainId: string, from: number, to: number): Promise<string[]> {
    return (await this.#get<{ hashes: string[] }>(`${stream(chainId)}/proof`, { from, to })).hashes;
  }

  jwks(): Promise<PublicKeys> {
    return this.#get("/.well-known/jwks.json");
  }

  async keys(): Promise<KeySummary[]> {
    const { keys } = await this.jwks();
    return keys.map(({ retired_at = null, ...jwk }) => {
      return { kid: String(jwk["kid"]), role: "event", created_at: null, retired_at: retired_at as string | null, jwk };
    });
  }

  async export(query: ExportQuery): Promise<Export> {
    const response = await this.#wire.open({ method: "POST", path: "/v1/exports", json: query, patient: true });
    const name = /filename="([^"]+)\.tar\.gz"/.exec(response.headers.get("content-disposition") ?? "")?.[1];
    const archive = partsOf(response);
    return { exportId: name ?? "", archive, [Symbol.asyncDispose]: async () => void (await archive.return(undefined)) };
  }

  verify(archive: Uint8Array | AsyncIterable<Uint8Array>): Promise<VerifyReport> {
    return this.#wire.json({
      method: "POST",
      path: "/v1/verify",
      archive,
      member: "ok",
      retry: "always",
      patient: true,
    });
  }

  nodeStatus(): Promise<NodeStatus> {
    return this.#get("/v1/node");
  }

  isolate(isolation: Isolation = {}): Promise<NodeStatus> {
    return this.#wire.json({ method: "POST", path: "/v1/node/partition", json: isolation, member: "partition" });
  }

  rejoin(): Promise<NodeStatus> {
    return this.#wire.json({ method: "POST", path: "/v1/node/rejoin", json: {}, member: "partition" });
  }

  async policies(): Promise<readonly PolicyItem[]> {
    return (await this.#get<{ items: PolicyItem[] }>("/v1/policies")).items;
  }

  submitPolicy(bundle: Uint8Array): Promise<PolicyItem> {
    return this.#wire.json({
      method: "POST",
      path: "/v1/policies",
      archive: bundle,
      member: "digest",
      retry: "always",
    });
  }

  activatePolicy(digest: string, { force }: ActivateOptions = {}): Promise<ActivatedPolicy> {
    const json = force === undefined ? {} : { force: { authority: force } };
    return this.#wire.json({
      method: "POST",
      path: policyPath(digest, "activate"),
      json,
      member: "report",
      patient: true,
    });
  }

  shadowPolicy(digest: string, { stop }: { readonly stop?: boolean | undefined } = {}): Promise<ActedPolicy> {
    const json = stop === undefined ? {} : { stop };
    return this.#wire.json({ method: "POST", path: policyPath(digest, "shadow"), json, member: "policy" });
  }

  deprecatePolicy(digest: string): Promise<ActedPolicy> {
    return this.#wire.json({ method: "POST", path: policyPath(digest, "deprecate"), json: {}, member: "policy" });
  }

  policyDifferences(digest: string): Promise<ShadowFigures> {
    return this.#get(policyPath(digest, "differences"));
  }

  async summaries(eventId: string, scope: EventScope = {}): Promise<readonly SummaryItem[]> {
    return (await this.#get<{ items: SummaryItem[] }>(`/v1/events/${segment(eventId)}/summaries`, scope)).items;
  }

  addProvenance(
    bundle: unknown,
    { tenantId }: { readonly tenantId?: string | undefined } = {},
  ): Promise<ProvenanceAnswer> {
    const query = { tenant_id: tenantId };
    return this.#wire.json({ method: "POST", path: "/v1/provenance", query, json: bundle as object, retry: "always" });
  }

  provenance(digest: string): Promise<ProvenanceList> {
    return this.#get(`/v1/provenance/${segment(digest)}`);
  }

  async challenge({ workloadId, tenantId }: ChallengeQuery): Promise<IssuedChallenge> {
    checkNames({ workload_id: workloadId, tenant_id: tenantId });
    const json = { workload_id: workloadId, ...(tenantId !== undefined && { tenant_id: tenantId }) };
    return this.#wire.json({ method: "POST", path: "/v1/challenges", json });
  }

  rotateKey(rotation: Rotation = {}): Promise<RotatedKey> {
    return this.#wire.json({ method: "POST", path: "/v1/keys/rotate", json: rotation });
  }

  erase(eventId: string, { tenant_id, basis }: Erasure): Promise<Proof> {
    const path = `/v1/events/${segment(eventId)}/erasure`;
    return this.#wire.json({ method: "POST", path, query: { tenant_id }, json: { basis } });
  }

  async audit(
    namespaces: AsyncIterable<readonly unknown[]>,
    pages: AsyncIterable<AuditedPage>,
    found?: (object: AuditedObject) => void,
  ): Promise<AuditRun> {
    const all: unknown[] = [];
    for await (const items of namespaces) all.push(...items.map(withoutManagers));
    const path = "/v1/kubernetes/audits";
    const { run } = await this.#wire.json<{ run: string }>({ method: "POST", path, json: { namespaces: all } });
    for await (const { kind, items } of pages)
      for (let at = 0; at < items.length; at += AUDIT_PART_MAX) {
        const part = items.slice(at, at + AUDIT_PART_MAX).map(withoutManagers);
        for (const object of await this.#auditPart(`${path}/${run}`, kind, part)) found?.(object);
      }
    return this.#wire.json({ method: "POST", path: `${path}/${run}/end`, json: {} });
  }

  /** What is too large for one body goes in two. */
  async #auditPart(path: string, kind: string, items: readonly unknown[]): Promise<AuditedObject[]> {
    try {
      const { objects } = await this.#wire.json<{ objects: AuditedObject[] }>({
        method: "POST",
        path,
        json: { kind, items },
      });
      return objects;
    } catch (error) {
      if (!(error instanceof RequestError) || error.status !== 413 || items.length < 2) throw error;
      const half = items.length >>> 1;
      return [
        ...(await this.#auditPart(path, kind, items.slice(0, half))),
        ...(await this.#auditPart(path, kind, items.slice(half))),
      ];
    }
  }

  async status(): Promise<Status> {
    try {
      await this.#wire.json({ method: "GET", path: "/readyz", retry: "never" });
      return { ready: true, problem: null };
    } catch (error) {
      if (error instanceof AnswerError && NOT_READY.includes(error.code))
        return { ready: false, problem: error.message };
      throw error;
    }
  }

  /** Lets go of nothing: the node goes on. */
  async close(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}

  #get<T>(path: string, query: WireCall["query"] = {}): Promise<T> {
    return this.#wire.json({ method: "GET", path, query });
  }
}

/** Who manages which field is half of an object, and nothing is decided by it. */
function withoutManagers(object: unknown): unknown {
  const { metadata, ...rest } = (object ?? {}) as { metadata?: { managedFields?: unknown } };
  if (typeof object !== "object" || typeof metadata !== "object" || metadata === null) return object;
  const { managedFields: _, ...kept } = metadata;
  return { ...rest, metadata: kept };
}

/** One part of a batch's answer: an evaluation, or OPA's error in its place. */
type ResponseRead = Evaluation & EvaluationRead & { readonly http_status_code?: string };
type BatchRead = { readonly batch_decision_id: string; readonly responses: { readonly [key: string]: ResponseRead } };

const dataPath = (path: string | readonly string[]): string =>
  typeof path === "string" ? path.replace(/^\/+|\/+$/g, "") : path.map(segment).join("/");

function evaluationIn({ http_status_code: _, ...response }: ResponseRead): Evaluation | EvaluationFailedError {
  return response.code === undefined ? response : evaluationFailed(response);
}

const stream = (chainId: string): string => `/v1/streams/${segment(chainId)}`;

/** Sent again, under the same key, it is carried out once; without a key of the caller's it has its own. */
function command(call: WireCall, tenantId: string | undefined, { traceId, idempotencyKey }: CommandOptions): WireCall {
  checkNames({ trace_id: traceId });
  return {
    ...call,
    query: { tenant_id: tenantId, trace_id: traceId },
    headers: { ...call.headers, "idempotency-key": idempotencyKey ?? crypto.randomUUID() },
    retry: "always",
  };
}

function unreadable(problem: Problem): RequestError {
  const error = errorOf(problem.status, problem);
  if (error instanceof RequestError) return error;
  throw error;
}

class RemoteMesh implements MeshHandle {
  readonly meshId: string;
  readonly tenantId: string | undefined;
  readonly #wire: Wire;

  constructor(wire: Wire, meshId: string, tenantId: string | undefined) {
    checkNames({ mesh_id: meshId, tenant_id: tenantId });
    this.#wire = wire;
    this.meshId = meshId;
    this.tenantId = tenantId;
  }

  define(topology: { readonly rails: readonly Rail[] }, options?: MeshOptions): Promise<MeshAnswer> {
    return this.#command("PUT", "/topology", topology, options);
  }

  place(workloadId: string, railId: string, policy: ElevationPolicy, options?: MeshOptions): Promise<PlacementAnswer> {
    return this.#command("POST", "/placements", { workload_id: workloadId, rail_id: railId, policy }, options);
  }

  async elevate(workloadId: string, targetRailId: string, options?: MeshOptions): Promise<PlacementAnswer> {
    const path = `/placements/${named(workloadId)}/elevation`;
    return this.#command("POST", path, { target_rail_id: targetRailId }, options);
  }

  async remove(workloadId: string, options?: MeshOptions): Promise<PlacementAnswer> {
    return this.#command("DELETE", `/placements/${named(workloadId)}`, undefined, options);
  }

  async show(): Promise<Mesh | null> {
    return unlessUnknown(
      this.#wire.json<Mesh>({ method: "GET", path: this.#path, query: { tenant_id: this.tenantId } }),
      "mesh_unknown",
    );
  }

  get #path(): string {
    return `/v1/meshes/${segment(this.meshId)}`;
  }

  #command<T>(method: WireCall["method"], path: string, body: unknown, options: MeshOptions = {}): Promise<T> {
    const { revision } = options;
    const headers =
      revision === undefined ? {} : revision === 0 ? { "if-none-match": "*" } : { "if-match": `"${revision}"` };
    const member = method === "PUT" ? "mesh" : "placement";
    const call = { method, path: this.#path + path, headers, member, ...(body !== undefined && { json: body }) };
    return this.#wire.json(command(call, this.tenantId, options));
  }
}

class RemoteWorkload implements WorkloadHandle {
  readonly workloadId: string;
  readonly tenantId: string | undefined;
  readonly #wire: Wire;

  constructor(wire: Wire, workloadId: string, tenantId: string | undefined) {
    checkNames({ workload_id: workloadId, tenant_id: tenantId });
    this.#wire = wire;
    this.workloadId = workloadId;
    this.tenantId = tenantId;
  }

  create = (options?: CommandOptions) => this.transition("create", options);
  start = (options?: CommandOptions) => this.transition("start", options);
  stop = (options?: CommandOptions) => this.transition("stop", options);
  destroy = (options?: CommandOptions) => this.transition("destroy", options);

  transition(transition: Transition, options?: CommandOptions): Promise<WorkloadAnswer> {
    return this.#command("lifecycle", { transition }, options);
  }

  attest(attestation: AttestationRequest, options?: CommandOptions): Promise<WorkloadAnswer> {
    return this.#command("attestations", attestation, options);
  }

  async show(): Promise<WorkloadView | null> {
    return unlessUnknown(
      this.#wire.json<WorkloadView>({ method: "GET", path: this.#path, query: { tenant_id: this.tenantId } }),
      "workload_unknown",
    );
  }

  get #path(): string {
    return `/v1/workloads/${segment(this.workloadId)}`;
  }

  async #command(what: string, json: object, options: CommandOptions = {}): Promise<WorkloadAnswer> {
    return this.#wire.json(
      command({ method: "POST", path: `${this.#path}/${what}`, json, member: "workload" }, this.tenantId, options),
    );
  }
}

function named(workloadId: string): string {
  checkNames({ workload_id: workloadId });
  return segment(workloadId);
}

async function unlessUnknown<T>(asked: Promise<T>, code: string): Promise<T | null> {
  try {
    return await asked;
  } catch (error) {
    if ((error as { code?: unknown }).code === code) return null;
    throw error;
  }
}
