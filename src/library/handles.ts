// A mesh and a workload as a host that embeds the engine commands them: typed, validated as HTTP does it, refusals as errors.
import Type from "typebox";
import type { Caller } from "../core/caller.ts";
import { refusalIn, refusedError } from "../gate/refused.ts";
import { throughJson } from "../core/json.ts";
import { wireMesh, type MeshCommand } from "../core/mesh.ts";
import {
  parseElevationBody,
  parseLifecycleBody,
  parsePlacementBody,
  parser,
  parseTopologyBody,
} from "../core/request.ts";
import { closed, Identifier, optional } from "../core/schema/base.ts";
import type { EvidenceEvent } from "../core/schema/event.ts";
import type { ElevationPolicy, Mesh, MeshPlacement, Rail } from "../core/schema/mesh.ts";
import { Attestation, type AttestationRequest } from "../core/schema/request.ts";
import type { Transition } from "../core/schema/workload.ts";
import { get } from "../core/tree.ts";
import type { LifecycleCommand, Workload } from "../core/workload.ts";
import type { Gate } from "../gate/gate.ts";

/** How an accepted command is proved. */
export interface Proof {
  readonly event: EvidenceEvent;
  /** The record: a compact JWS. */
  readonly receipt: string;
}

export interface CommandOptions {
  /** An identifier of the caller's that ends up in the event. */
  readonly traceId?: string | undefined;
}

export interface MeshOptions extends CommandOptions {
  /** Decide only if the mesh is at this revision (0: not defined yet), else RevisionError. */
  readonly revision?: number | undefined;
}

const parseNames = parser(
  closed({
    mesh_id: optional(Identifier),
    workload_id: optional(Identifier),
    tenant_id: Identifier,
    trace_id: optional(Identifier),
  }),
);
const parseAttestation = parser(Attestation);
const parseRevision = parser(closed({ revision: optional(Type.Integer({ minimum: 0 })) }));

/**
 * One tenant's mesh (spec law §5). Each command resolves when what it changed is durable. Each rejects with
 * - RefusedError: the law refuses it; `code`, `title`, `solution`, `pointer`, and the proof: `event`, `receipt`.
 * - RequestError: it cannot be read; nothing was decided.
 * - EvidenceUnavailableError: EVI-01; nothing changed.
 */
export class MeshHandle {
  readonly meshId: string;
  readonly tenantId: string;
  readonly #gate: Gate;
  readonly #caller: Caller;

  /** @throws RequestError 422 for what is no identifier. */
  constructor(gate: Gate, caller: Caller, meshId: string, tenantId: string) {
    parseNames({ mesh_id: meshId, tenant_id: tenantId });
    this.#gate = gate;
    this.#caller = caller;
    this.meshId = meshId;
    this.tenantId = tenantId;
  }

  /** Defines the mesh, or reloads its topology. */
  async define(
    topology: { readonly rails: readonly Rail[] },
    options: MeshOptions = {},
  ): Promise<{ mesh: Mesh } & Proof> {
    const { rails } = parseTopologyBody(throughJson(topology));
    const { after, proof } = await this.#command({ command: "reload", mesh_id: this.meshId, rails }, options);
    return { mesh: wireMesh(after!), ...proof };
  }

  /** Places a workload on its first rail. @param policy stays with it, whatever moves. */
  async place(
    workloadId: string,
    railId: string,
    policy: ElevationPolicy,
    options: MeshOptions = {},
  ): Promise<{ placement: MeshPlacement } & Proof> {
    const {
      workload_id,
      rail_id,
      policy: given,
    } = parsePlacementBody(throughJson({ workload_id: workloadId, rail_id: railId, policy }));
    const { after, proof } = await this.#command(
      { command: "place", mesh_id: this.meshId, workload_id, rail_id, policy: given },
      options,
    );
    return { placement: get(after!.placements, workload_id)!, ...proof };
  }

  /** Moves a workload to a stricter rail. */
  async elevate(
    workloadId: string,
    targetRailId: string,
    options: MeshOptions = {},
  ): Promise<{ placement: MeshPlacement } & Proof> {
    parseNames({ workload_id: workloadId, tenant_id: this.tenantId });
    const { target_rail_id } = parseElevationBody({ target_rail_id: targetRailId });
    const { after, proof } = await this.#command(
      { command: "elevate", mesh_id: this.meshId, workload_id: workloadId, target_rail_id },
      options,
    );
    return { placement: get(after!.placements, workloadId)!, ...proof };
  }

  /** Takes a workload off its rail. @returns the placement as it was. */
  async remove(workloadId: string, options: MeshOptions = {}): Promise<{ placement: MeshPlacement } & Proof> {
    parseNames({ workload_id: workloadId, tenant_id: this.tenantId });
    const { before, proof } = await this.#command(
      { command: "remove", mesh_id: this.meshId, workload_id: workloadId },
      options,
    );
    return { placement: get(before!.placements, workloadId)!, ...proof };
  }

  /** The mesh, as far as it is durable; null where it was never defined. */
  show(): Mesh | null {
    const mesh = this.#gate.meshes(this.tenantId).get(this.meshId);
    return mesh ? wireMesh(mesh) : null;
  }

  async #command(command: MeshCommand, { traceId, revision }: MeshOptions) {
    parseNames({ tenant_id: this.tenantId, ...(traceId !== undefined && { trace_id: traceId }) });
    parseRevision({ ...(revision !== undefined && { revision }) });
    const expected = revision === undefined ? undefined : (now: number) => now === revision;
    const { answer, before, after } = await this.#gate.mesh(
      command,
      this.tenantId,
      this.#caller,
      { traceId },
      expected,
    );
    const proof = { event: answer.event, receipt: answer.receipt };
    const refusal = refusalIn(answer.decision, answer.explanation);
    if (refusal) throw refusedError(refusal, proof);
    return { before, after, proof };
  }
}

/** One tenant's workload after its admission (spec law §4); what its commands resolve and reject with is as a mesh's. */
export class WorkloadHandle {
  readonly workloadId: string;
  readonly tenantId: string;
  readonly #gate: Gate;
  readonly #caller: Caller;

  /** @throws RequestError 422 for what is no identifier. */
  constructor(gate: Gate, caller: Caller, workloadId: string, tenantId: string) {
    parseNames({ workload_id: workloadId, tenant_id: tenantId });
    this.#gate = gate;
    this.#caller = caller;
    this.workloadId = workloadId;
    this.tenantId = tenantId;
  }

  create = (options?: CommandOptions) => this.transition("create", options);
  start = (options?: CommandOptions) => this.transition("start", options);
  stop = (options?: CommandOptions) => this.transition("stop", options);
  /** Also takes it off the rails it is on, in the same commit. */
  destroy = (options?: CommandOptions) => this.transition("destroy", options);

  async transition(transition: Transition, options: CommandOptions = {}): Promise<{ workload: Workload } & Proof> {
    parseLifecycleBody({ transition });
    return this.#command({ command: "transition", workload_id: this.workloadId, transition }, options);
  }

  /** Attests it again: a token that the host verifies, or a verifier's report. A nonce in it must be the trace id. */
  async attest(attestation: AttestationRequest, options: CommandOptions = {}): Promise<{ workload: Workload } & Proof> {
    const read = parseAttestation(throughJson(attestation));
    return this.#command({ command: "attest", workload_id: this.workloadId, attestation: read }, options);
  }

  async #command(command: LifecycleCommand, { traceId }: CommandOptions): Promise<{ workload: Workload } & Proof> {
    parseNames({ tenant_id: this.tenantId, ...(traceId !== undefined && { trace_id: traceId }) });
    const { answer, workload } = await this.#gate.lifecycle(command, this.tenantId, this.#caller, { traceId });
    const proof = { event: answer.event, receipt: answer.receipt };
    const refusal = refusalIn(answer.decision, answer.explanation);
    if (refusal) throw refusedError(refusal, proof);
    return { workload: workload!, ...proof };
  }
}
