// `railgate`: the engine as a library, for hosts that decide in their own process, connected or not.
import { hostCaller } from "../core/caller.ts";
import { throughJson } from "../core/json.ts";
import { parseAdmissionRequest } from "../core/request.ts";
import type { Decision } from "../core/schema/decision.ts";
import type { EvidenceEvent } from "../core/schema/event.ts";
import type { Trace } from "../gate/gate.ts";
import { MeshHandle, WorkloadHandle } from "./handles.ts";
import { RailgateNode, type NodeOptions } from "../node/open.ts";

export {
  BundleError,
  ConfigError,
  EvidenceUnavailableError,
  RailgateError,
  RefusedError,
  RequestError,
  StoreLockedError,
} from "../core/errors.ts";
export { RevisionError } from "../gate/commands/mesh.ts";
export type { Decision } from "../core/schema/decision.ts";
export type { EvidenceEvent } from "../core/schema/event.ts";
export type { ElevationPolicy, Mesh, MeshPlacement, Rail } from "../core/schema/mesh.ts";
export type { AdmissionRequest, AttestationRequest } from "../core/schema/request.ts";
export type { Workload } from "../core/workload.ts";
export type { CommandOptions, MeshHandle, MeshOptions, Proof, WorkloadHandle } from "./handles.ts";
export type { NodeObserver, NodeOptions } from "../node/open.ts";

export interface AdmissionAnswer {
  readonly decision: Decision;
  readonly event: EvidenceEvent;
  /** The record: a compact JWS, verifiable with `jwks()`. */
  readonly receipt: string;
}

const EMBEDDING_HOST = hostCaller("library");

export class Railgate implements AsyncDisposable {
  readonly #node: RailgateNode;

  constructor(node: RailgateNode) {
    this.#node = node;
  }

  /**
   * Decides an admission request (spec request), accepted or refused.
   * @param request any value; it is read as its JSON would be.
   * @returns when the decision is signed and durable.
   * @throws RequestError 422 with the pointers at fault; nothing was decided.
   * @throws EvidenceUnavailableError EVI-01; nothing was admitted.
   */
  async admit(request: unknown, trace: Trace = {}): Promise<AdmissionAnswer> {
    const { decision, event, receipt } = await this.#node.gate.admit(
      parseAdmissionRequest(throughJson(request)),
      EMBEDDING_HOST,
      trace,
    );
    return { decision, event, receipt };
  }

  /** What would be decided now; nothing is recorded, so nothing is admitted. @throws RequestError */
  async dryRun(request: unknown): Promise<Decision> {
    return this.#node.gate.dryRun(parseAdmissionRequest(throughJson(request)), EMBEDDING_HOST);
  }

  /** A mesh, defined or not. @param tenantId whose it is. @throws RequestError 422 for what is no identifier. */
  mesh(meshId: string, tenantId = "default"): MeshHandle {
    return new MeshHandle(this.#node.gate, EMBEDDING_HOST, meshId, tenantId);
  }

  /** A workload, admitted or not. @param tenantId whose it is. @throws RequestError 422 for what is no identifier. */
  workload(workloadId: string, tenantId = "default"): WorkloadHandle {
    return new WorkloadHandle(this.#node.gate, EMBEDDING_HOST, workloadId, tenantId);
  }

  /** Public keys with which receipts verify. */
  jwks(): { keys: { readonly [member: string]: unknown }[] } {
    return this.#node.jwks();
  }

  /** Why nothing would be admitted now; undefined when ready. */
  get problem(): string | undefined {
    return this.#node.problem;
  }

  /** Waits for what was decided to become durable, then lets go of the data directory. */
  async close(): Promise<void> {
    await this.#node.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/**
 * Opens a node in this process: bundle, keys and store have embedded defaults.
 * @throws StoreLockedError another process holds the data directory.
 * @throws KeyError the private key is missing or another.
 * @throws EvidenceUnavailableError the data directory cannot be written.
 */
export async function openRailgate(options: Partial<NodeOptions> = {}): Promise<Railgate> {
  return new Railgate(await RailgateNode.open({ dataDir: "./data", ...options }));
}
