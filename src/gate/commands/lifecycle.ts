// Lifecycle commands: transitions, re-attestations and missed deadlines of an admitted workload (spec law §4).
import { HOST_REFUSALS, type HostRefusalCode } from "../../core/outcome.ts";
import { reportFact } from "../../core/facts.ts";
import type { EventType } from "../../core/schema/event.ts";
import type { AttestationFact, Context } from "../../core/schema/input.ts";
import {
  lifecycleFacts,
  recogniseLifecycle,
  reattestDetails,
  transitionDetails,
  type LifecycleCommand,
  type LifecycleDecision,
  type LifecycleFacts,
  type Workload,
} from "../../core/workload.ts";
import { authoritySnapshot, type Trust } from "../../trust/trust.ts";
import { get } from "../../core/tree.ts";
import type { StateView } from "../../evidence/ledger/state.ts";
import { foldWorkload } from "./admission.ts";
import { meshCommand, type MeshStep } from "./mesh.ts";
import { NO_TOKENS, refusalOf, type Command, type Tokens } from "./command.ts";

const LIFECYCLE = "railgate/lifecycle/decision";

/** The input document of `railgate/lifecycle/decision`. */
interface LifecycleInput {
  readonly request: LifecycleCommand;
  readonly facts: LifecycleFacts;
  readonly context: Context;
}

/** A lifecycle command, and the workload as the command left it. */
export interface LifecycleStep extends Command<LifecycleInput, LifecycleDecision> {
  readonly after: Workload | null;
}

/** @param correlationId also the nonce that an attestation token must bear, if it bears one. */
export function lifecycleCommand(request: LifecycleCommand, tenantId: string, correlationId?: string): LifecycleStep {
  const { workload_id } = request;
  let before: Workload | null = null;
  let after: Workload | null = null;
  return {
    get after() {
      return after;
    },
    entrypoint: LIFECYCLE,
    tenantId,
    workloadId: workload_id,
    correlationId,
    verify: (trust, nowMs) => verifyAttestation(request, trust, nowMs, correlationId),
    input: (states, { nowMs, tokens, context }) => {
      before = states.workload(tenantId, workload_id) ?? null;
      return {
        request,
        facts: lifecycleFacts(before, nowMs, attestationFact(request, tokens, correlationId)),
        context,
      };
    },
    recognise: (output) => {
      const decision = recogniseLifecycle(output, request.command);
      return decision ? { decision } : { problem: "it is no answer to a lifecycle command" };
    },
    failClosed,
    statement: (input, decision) => ({
      event_type: eventType(request),
      ...(decision.standing === "missed" ? { outcome: "failed" } : { refusal: refusalOf(decision) }),
      subject: workload_id,
      details:
        request.command === "transition"
          ? transitionDetails(before, request, decision)
          : reattestDetails(before, input.facts, request, decision),
    }),
    fold: (states, draft, ticket) => {
      const writes = foldWorkload(states, draft, workload_id, ticket);
      after = states.workload(tenantId, workload_id) ?? null;
      return writes;
    },
    followUps: (states, { to_state }) =>
      to_state === "destroyed" ? removals(states, tenantId, workload_id, correlationId) : [],
  };
}

/** A destroyed workload leaves its rails, in whatever mesh they are. */
function removals(
  states: StateView,
  tenantId: string,
  workload_id: string,
  correlationId: string | undefined,
): MeshStep[] {
  const holding = [...states.meshes(tenantId).values()].filter(
    (mesh) => get(mesh.placements, workload_id) !== undefined,
  );
  return holding.map(({ mesh_id }) =>
    meshCommand({ command: "remove", mesh_id, workload_id }, tenantId, correlationId),
  );
}

function eventType(request: LifecycleCommand): EventType {
  return request.command === "transition" ? `workload.envelope.${request.transition}` : "workload.attestation";
}

async function verifyAttestation(
  request: LifecycleCommand,
  trust: Trust,
  nowMs: number,
  nonce: string | undefined,
): Promise<Tokens> {
  if (request.command !== "attest" || !("token" in request.attestation)) return NO_TOKENS;
  const { fact, used } = await trust.verifyAttestation(request.attestation.token, { nowMs, nonce });
  return { facts: { ...NO_TOKENS.facts, attestation: fact }, snapshot: authoritySnapshot(used) };
}

function attestationFact(request: LifecycleCommand, tokens: Tokens, nonce: string | undefined): AttestationFact | null {
  return request.command === "attest" ? (reportFact(request.attestation, nonce) ?? tokens.facts.attestation) : null;
}

function failClosed(code: HostRefusalCode): LifecycleDecision {
  const { rule, class: refusalClass } = HOST_REFUSALS[code];
  return {
    outcome: "refused",
    error_code: code,
    class: refusalClass,
    rule,
    pointer: "",
    params: {},
    to_state: null,
    standing: null,
    obligations: [],
  };
}
