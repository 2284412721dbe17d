// Mesh commands: define or reload a topology, place, elevate and remove workloads (spec law §5).
import { RevisionError } from "../../core/errors.ts";
import { meshNeeds, meshSlice, meshWrites } from "../../core/mesh-state.ts";
import {
  MESH_EVENT_TYPES,
  meshDetails,
  meshFacts,
  recogniseMesh,
  step,
  wireMesh,
  type MeshState,
  type MeshCommand,
  type MeshDecision,
  type MeshFacts,
} from "../../core/mesh.ts";
import { hostRefusalOf } from "../../core/outcome.ts";
import type { Context } from "../../core/schema/input.ts";
import type { Mesh, MeshPlacement } from "../../core/schema/mesh.ts";
import type { Reads } from "../../core/state.ts";
import { get, values } from "../../core/tree.ts";
import { meshAdmission, workloadAt, type Workload } from "../../core/workload.ts";
import { refusalIn, type CommandRefusal } from "../refused.ts";
import { refusalOf, type Command } from "./command.ts";

export const MESH = "railgate/mesh/decision";

/** The input document of `railgate/mesh/decision`. */
interface MeshInput {
  readonly request: MeshCommand;
  readonly facts: MeshFacts;
  readonly context: Context;
}

/** What came of a mesh command: why it was refused, the placement as it left it (or took it away), or the mesh. */
export interface MeshOutcome {
  readonly refusal?: CommandRefusal;
  readonly placement?: MeshPlacement;
  /** Of a reload. `mesh` is absent where its placements were not read, see `whole`. */
  readonly created?: boolean;
  readonly mesh?: Mesh;
}

export interface MeshCommandOptions {
  readonly correlationId?: string | undefined;
  /** Decide only if it holds of the mesh's revision, which is 0 before the mesh is defined. */
  readonly expected?: ((revision: number) => boolean) | undefined;
  /** A reload's outcome has the mesh with every placement: it may have to be told again. */
  readonly whole?: boolean;
}

export function meshCommand(
  request: MeshCommand,
  tenantId: string,
  { correlationId, expected, whole = false }: MeshCommandOptions = {},
): Command<MeshInput, MeshDecision, MeshOutcome> {
  const workloadId = "workload_id" in request ? request.workload_id : null;
  const goesOn = request.command === "place" || request.command === "elevate";
  const workload = goesOn ? workloadAt(tenantId, request.workload_id) : null;
  const current = (state: Reads) => meshSlice(state, tenantId, request, whole);
  return {
    entrypoint: MESH,
    tenantId,
    workloadId,
    correlationId,
    needs: (state) => [...meshNeeds(state, tenantId, request, whole), ...(workload ? [workload] : [])],
    revision: (state) => current(state)?.revision ?? 0,
    input: (state, { context }) => {
      const mesh = current(state);
      const revision = mesh?.revision ?? 0;
      if (expected && !expected(revision)) throw new RevisionError(movedOn(request.mesh_id, revision), revision);
      const admitted = meshAdmission(workload && state.get<Workload>(workload));
      return { request, facts: meshFacts(mesh, request, admitted), context };
    },
    recognise: (output) => recogniseMesh(output, request.command),
    failClosed: (code) => ({ ...hostRefusalOf(code), mesh_event: null }),
    says: (state, { decision }) => ({
      event_type: MESH_EVENT_TYPES[request.command],
      subject: workloadId ?? request.mesh_id,
      refusal: refusalOf(decision),
      details: meshDetails(current(state), request, decision),
    }),
    effect: (state, event, { decision, catalogue }) => {
      const before = current(state);
      const after = step(before, event);
      const refusal = refusalIn(decision, catalogue);
      return {
        changes: after === null || after === before ? [] : meshWrites(state, tenantId, before, after, event),
        outcome: refusal ? { refusal } : outcomeOf(request, before, after!, whole),
      };
    },
  };
}

function outcomeOf(request: MeshCommand, before: MeshState | null, after: MeshState, whole: boolean): MeshOutcome {
  if (request.command !== "reload")
    return { placement: get((request.command === "remove" ? before! : after).placements, request.workload_id)! };
  const empty = [...values(after.rails)].every(({ active_count }) => active_count === 0);
  return { created: before === null, ...((whole || empty) && { mesh: wireMesh(after) }) };
}

const movedOn = (meshId: string, revision: number): string =>
  revision === 0
    ? `The mesh ${meshId} is not defined.`
    : `The mesh ${meshId} is at revision ${revision}; read it again and decide anew.`;
