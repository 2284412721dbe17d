// A mesh and a workload as they are commanded in this process: read as HTTP reads them, refusals as errors.
import Type from "typebox";
import { tenantOf, type Caller } from "../core/caller.ts";
import { EvidenceUnavailableError, RequestError } from "../core/errors.ts";
import { digestOf } from "../core/event.ts";
import { canonicalJson, throughJson } from "../core/json.ts";
import type { MeshCommand } from "../core/mesh.ts";
import {
  parseElevationBody,
  parseLifecycleBody,
  parsePlacementBody,
  parser,
  parseTopologyBody,
} from "../core/request.ts";
import { closed, optional } from "../core/schema/base.ts";
import type { ElevationPolicy, Mesh, MeshAnswer, PlacementAnswer } from "../core/schema/mesh.ts";
import { Attestation, type AttestationRequest } from "../core/schema/request.ts";
import type { Transition, WorkloadAnswer, WorkloadView } from "../core/schema/workload.ts";
import type { LifecycleCommand, Workload } from "../core/workload.ts";
import type { Call, Evidenced, Gate } from "../gate/gate.ts";
import { lifecycleCommand } from "../gate/commands/lifecycle.ts";
import { meshCommand, type MeshOutcome } from "../gate/commands/mesh.ts";
import { refusedError } from "../gate/refused.ts";
import { checkNames } from "./names.ts";
import type { CommandOptions, MeshHandle, WorkloadHandle } from "./railgate.ts";

/** An answer with its proof. `event` is parsed when it is asked for; `eventText` is its canonical bytes, as text. */
export type WithProof<M extends object> = M & {
  readonly event: MeshAnswer["event"];
  readonly receipt: string;
  readonly eventText: string;
};

export function proven<M extends object>(
  members: M,
  { eventText, receipt }: Pick<Evidenced, "eventText" | "receipt">,
): WithProof<M> {
  let event: MeshAnswer["event"] | undefined;
  const answer = {
    ...members,
    get event() {
      return (event ??= JSON.parse(eventText) as MeshAnswer["event"]);
    },
    receipt,
  };
  return Object.defineProperty(answer, "eventText", { value: eventText }) as WithProof<M>;
}

export interface LocalOptions extends CommandOptions {
  /** In place of what else there is: the call as a door has read it, the digest of all that was asked reckoned there. */
  readonly call?: Pick<Call, "trace" | "retry"> | undefined;
}

export interface LocalMeshOptions extends LocalOptions {
  /** See MeshCommandOptions; or what must hold of the revision. */
  readonly revision?: number | ((revision: number) => boolean) | undefined;
}

/** `created`: the mesh was not defined before. */
export type DefinedMesh = WithProof<{ readonly mesh: Mesh }> & { readonly created: boolean };

export interface HandleParts {
  readonly gate: Gate;
  readonly caller: Caller;
  readonly showMesh: (meshId: string, tenantId: string | undefined) => Promise<Mesh | null>;
  readonly showWorkload: (workloadId: string, tenantId: string | undefined) => Promise<WorkloadView | null>;
  /** A workload as a command left it, and no event that came after. */
  readonly viewWorkload: (workload: Workload, by: Evidenced) => Promise<WorkloadView>;
}

const parseAttestation = parser(Attestation);
const parseRevision = parser(closed({ revision: optional(Type.Integer({ minimum: 0 })) }));

const KEY = /^[!-~](?:[ -~]{0,253}[!-~])?$/;

/**
 * @param asked all of it, for a retry to be told from another command under the same key.
 * @throws RequestError 422 for what is no identifier, or no key.
 */
export function callOf(caller: Caller, { traceId, idempotencyKey: key, call }: LocalOptions, asked: object): Call {
  if (call !== undefined) return { caller, ...call };
  checkNames({ trace_id: traceId });
  if (key !== undefined && !KEY.test(key))
    throw new RequestError(422, [
      { pointer: "/idempotency_key", message: "must be 1 to 255 printable characters of ASCII" },
    ]);
  const retry =
    key === undefined ? undefined : { key, digest: digestOf(canonicalJson({ ...asked, trace_id: traceId ?? null })) };
  return { caller, trace: { traceId }, retry };
}

/**
 * Reads what an answer shows beside what came of its command, which is on record already.
 * @throws EvidenceUnavailableError it cannot be read; the event to look for is named.
 */
async function shown<T>({ eventId }: Evidenced, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    const message = `what was decided cannot be shown: ${(cause as Error).message}`;
    throw new EvidenceUnavailableError(message, { cause, maybeRecorded: eventId });
  }
}

export class LocalMesh implements MeshHandle {
  readonly meshId: string;
  readonly tenantId: string | undefined;
  readonly #parts: HandleParts;

  /** @throws RequestError 422 for what is no identifier. */
  constructor(parts: HandleParts, meshId: string, tenantId?: string) {
    checkNames({ mesh_id: meshId, tenant_id: tenantId });
    this.#parts = parts;
    this.meshId = meshId;
    this.tenantId = tenantId;
  }

  async define(topology: { readonly rails: readonly unknown[] }, options: LocalMeshOptions = {}): Promise<DefinedMesh> {
    const { rails } = parseTopologyBody(throughJson(topology));
    const done = await this.#command({ command: "reload", mesh_id: this.meshId, rails }, options);
    const answer = proven({ mesh: done.outcome.mesh ?? (await shown(done, () => this.show()))! }, done);
    return Object.defineProperty(answer, "created", { value: done.outcome.created }) as DefinedMesh;
  }

  async place(
    workloadId: string,
    railId: string,
    policy: ElevationPolicy,
    options: LocalMeshOptions = {},
  ): Promise<WithProof<Pick<PlacementAnswer, "placement">>> {
    const body = parsePlacementBody(throughJson({ workload_id: workloadId, rail_id: railId, policy }));
    const { workload_id, rail_id } = body;
    const done = await this.#command(
      { command: "place", mesh_id: this.meshId, workload_id, rail_id, policy: body.policy },
      options,
    );
    return proven({ placement: done.outcome.placement! }, done);
  }

  async elevate(
    workloadId: string,
    targetRailId: string,
    options: LocalMeshOptions = {},
  ): Promise<WithProof<Pick<PlacementAnswer, "placement">>> {
    checkNames({ workload_id: workloadId });
    const { target_rail_id } = parseElevationBody({ target_rail_id: targetRailId });
    const done = await this.#command(
      { command: "elevate", mesh_id: this.meshId, workload_id: workloadId, target_rail_id },
      options,
    );
    return proven({ placement: done.outcome.placement! }, done);
  }

  async remove(
    workloadId: string,
    options: LocalMeshOptions = {},
  ): Promise<WithProof<Pick<PlacementAnswer, "placement">>> {
    checkNames({ workload_id: workloadId });
    const done = await this.#command({ command: "remove", mesh_id: this.meshId, workload_id: workloadId }, options);
    return proven({ placement: done.outcome.placement! }, done);
  }

  show(): Promise<Mesh | null> {
    return this.#parts.showMesh(this.meshId, this.tenantId);
  }

  async #command(request: MeshCommand, options: LocalMeshOptions): Promise<Evidenced<MeshOutcome>> {
    const { gate, caller } = this.#parts;
    const { revision } = options;
    if (typeof revision !== "function") parseRevision({ ...(revision !== undefined && { revision }) });
    const expected = typeof revision === "number" ? (now: number) => now === revision : revision;
    const tenantId = tenantOf(caller, this.tenantId);
    const call = callOf(caller, options, {
      request,
      tenantId,
      revision: typeof revision === "number" ? revision : null,
    });
    const correlationId = call.trace?.traceId;
    const command = meshCommand(request, tenantId, { correlationId, expected, whole: call.retry !== undefined });
    const [done] = await gate.run([command], call);
    if (done!.outcome.refusal) throw refusedError(done!.outcome.refusal, done!);
    return done!;
  }
}

export class LocalWorkload implements WorkloadHandle {
  readonly workloadId: string;
  readonly tenantId: string | undefined;
  readonly #parts: HandleParts;

  /** @throws RequestError 422 for what is no identifier. */
  constructor(parts: HandleParts, workloadId: string, tenantId?: string) {
    checkNames({ workload_id: workloadId, tenant_id: tenantId });
    this.#parts = parts;
    this.workloadId = workloadId;
    this.tenantId = tenantId;
  }

  create = (options?: LocalOptions) => this.transition("create", options);
  start = (options?: LocalOptions) => this.transition("start", options);
  stop = (options?: LocalOptions) => this.transition("stop", options);
  destroy = (options?: LocalOptions) => this.transition("destroy", options);

  async transition(
    transition: Transition,
    options: LocalOptions = {},
  ): Promise<WithProof<Pick<WorkloadAnswer, "workload">>> {
    parseLifecycleBody({ transition });
    return this.#command({ command: "transition", workload_id: this.workloadId, transition }, options);
  }

  async attest(
    attestation: AttestationRequest,
    options: LocalOptions = {},
  ): Promise<WithProof<Pick<WorkloadAnswer, "workload">>> {
    const read = parseAttestation(throughJson(attestation));
    return this.#command({ command: "attest", workload_id: this.workloadId, attestation: read }, options);
  }

  show(): Promise<WorkloadView | null> {
    return this.#parts.showWorkload(this.workloadId, this.tenantId);
  }

  async #command(
    request: LifecycleCommand,
    options: LocalOptions,
  ): Promise<WithProof<Pick<WorkloadAnswer, "workload">>> {
    const { gate, caller, viewWorkload } = this.#parts;
    const tenantId = tenantOf(caller, this.tenantId);
    const call = callOf(caller, options, { request, tenantId });
    const [done] = await gate.run([lifecycleCommand(request, tenantId, call.trace?.traceId)], call);
    const { refusal, workload } = done!.outcome;
    if (refusal) throw refusedError(refusal, done!);
    return proven({ workload: await shown(done!, () => viewWorkload(workload, done!)) }, done!);
  }
}
