// Mesh commands: define or reload a topology, place, elevate and remove workloads (spec law §5).
import { RevisionError } from "../../core/errors.ts";
import { HOST_REFUSALS, type HostRefusalCode } from "../../core/outcome.ts";
import {
  MESH_EVENT_TYPES,
  meshChanges,
  meshDetails,
  meshFacts,
  recogniseMesh,
  step,
  type Mesh,
  type MeshCommand,
  type MeshDecision,
  type MeshFacts,
} from "../../core/mesh.ts";
import type { Context } from "../../core/schema/input.ts";
import { meshAdmission } from "../../core/workload.ts";
import { NO_TOKENS, refusalOf, type Command } from "./command.ts";

const MESH = "railgate/mesh/decision";

/** The input document of `railgate/mesh/decision`. */
interface MeshInput {
  readonly request: MeshCommand;
  readonly facts: MeshFacts;
  readonly context: Context;
}

/** A mesh command, and the mesh as the law was asked about it and as the command left it. */
export interface MeshStep extends Command<MeshInput, MeshDecision> {
  readonly before: Mesh | null;
  readonly after: Mesh | null;
}

/** @param expected decide only if it holds of the mesh's revision, which is 0 before the mesh is defined. */
export function meshCommand(
  request: MeshCommand,
  tenantId: string,
  correlationId?: string,
  expected?: (revision: number) => boolean,
): MeshStep {
  const workloadId = "workload_id" in request ? request.workload_id : null;
  let before: Mesh | null = null;
  let after: Mesh | null = null;
  return {
    get before() {
      return before;
    },
    get after() {
      return after;
    },
    entrypoint: MESH,
    tenantId,
    workloadId,
    correlationId,
    verify: () => Promise.resolve(NO_TOKENS),
    input: (states, { context }) => {
      before = after = states.meshes(tenantId).get(request.mesh_id) ?? null;
      const revision = before?.revision ?? 0;
      if (expected && !expected(revision)) throw new RevisionError(movedOn(request.mesh_id, revision), revision);
      const workload = workloadId === null ? undefined : states.workload(tenantId, workloadId);
      return { request, facts: meshFacts(before, request, meshAdmission(workload ?? null)), context };
    },
    recognise: (output) => {
      const decision = recogniseMesh(output, request.command);
      return decision ? { decision } : { problem: "it is no answer to a mesh command" };
    },
    failClosed,
    statement: (_input, decision) => ({
      event_type: MESH_EVENT_TYPES[request.command],
      subject: workloadId ?? request.mesh_id,
      refusal: refusalOf(decision),
      details: meshDetails(before, request, decision),
    }),
    fold: (states, draft, ticket) => {
      after = step(before, draft);
      return after === null || after === before
        ? []
        : states.setMesh(tenantId, after, meshChanges(before, after, draft), ticket);
    },
  };
}

function failClosed(code: HostRefusalCode): MeshDecision {
  const { rule, class: refusalClass } = HOST_REFUSALS[code];
  return { outcome: "refused", error_code: code, mesh_event: null, class: refusalClass, rule, pointer: "", params: {} };
}

const movedOn = (meshId: string, revision: number): string =>
  revision === 0
    ? `The mesh ${meshId} is not defined.`
    : `The mesh ${meshId} is at revision ${revision}; read it again and decide anew.`;
