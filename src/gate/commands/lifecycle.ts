// Lifecycle commands: transitions, re-attestations and missed deadlines of an admitted workload (spec law §4).
import { UndecidedError } from "../../core/errors.ts";
import { proofChanges, proofFact, proofNeeds, type About } from "../../core/challenge.ts";
import { reportFact } from "../../core/facts.ts";
import { placedAt, type Placed } from "../../core/mesh-state.ts";
import { hostRefusalOf } from "../../core/outcome.ts";
import type { EventType } from "../../core/event-types.ts";
import type { AttestationFact, Context } from "../../core/schema/input.ts";
import type { Reads } from "../../core/state.ts";
import {
  lifecycleFacts,
  placementFacts,
  reattestDetails,
  recogniseLifecycle,
  transitionDetails,
  withElevations,
  workloadAt,
  workloadWrites,
  type LifecycleCommand,
  type LifecycleDecision,
  type LifecycleFacts,
  type Workload,
} from "../../core/workload.ts";
import { authoritySnapshot, type Trust } from "../../trust/trust.ts";
import { refusalIn, type CommandRefusal } from "../refused.ts";
import { NO_TOKENS, refusalOf, type Command, type Tokens } from "./command.ts";
import { meshCommand } from "./mesh.ts";

const LIFECYCLE = "railgate/lifecycle/decision";

/** The input document of `railgate/lifecycle/decision`. */
interface LifecycleInput {
  readonly request: LifecycleCommand;
  readonly facts: LifecycleFacts;
  readonly context: Context;
}

/** What came of a lifecycle command: why it was refused, or the workload as it left it. */
export type LifecycleOutcome =
  | { readonly refusal: CommandRefusal; readonly workload?: undefined }
  | { readonly refusal?: undefined; readonly workload: Workload };

/**
 * A token is bound by a challenge alone, since the command has no name that its attester could know before (spec trust §4).
 * @param correlationId also the nonce that a report must bear, if it bears one.
 */
export function lifecycleCommand(
  request: LifecycleCommand,
  tenantId: string,
  correlationId?: string,
): Command<LifecycleInput, LifecycleDecision, LifecycleOutcome> {
  const { workload_id } = request;
  const [workload, placed] = [workloadAt(tenantId, workload_id), placedAt(tenantId, workload_id)];
  const current = (state: Reads) => state.get<Workload>(workload);
  const about: About = { tenantId, workloadId: workload_id, correlationId: undefined };
  return {
    entrypoint: LIFECYCLE,
    tenantId,
    workloadId: workload_id,
    correlationId,
    prove: (trust, nowMs) => verifyAttestation(request, trust, nowMs),
    needs: (_state, { proof }) => [workload, placed, ...proofNeeds(about, proof)],
    revision: (state) => state.version(workload),
    input: (state, { nowMs, tokens, context }) => ({
      request,
      facts: lifecycleFacts(
        current(state),
        nowMs,
        attestationFact(request, correlationId) ?? proofFact(state, about, tokens.proof, nowMs),
        placementFacts(state.get<Placed>(placed)),
      ),
      context,
    }),
    recognise: (output) => recogniseLifecycle(output, request.command),
    failClosed: (code) => ({ ...hostRefusalOf(code), to_state: null, standing: null, obligations: [] }),
    says: (state, { input, decision }) => {
      mustBeMissed(request, decision);
      return {
        event_type: eventType(request),
        ...(decision.standing === "missed" ? { outcome: "failed" } : { refusal: refusalOf(decision) }),
        subject: workload_id,
        details:
          request.command === "transition"
            ? transitionDetails(current(state), request, decision)
            : reattestDetails(current(state), input.facts, request, decision),
      };
    },
    effect: (state, event, { input, decision, catalogue, tokens }) => {
      const changes = workloadWrites(state, event, workload_id);
      const refusal = refusalIn(decision, catalogue);
      return {
        changes: [...changes, ...proofChanges(state, about, tokens.proof, input.facts.now_ms)],
        outcome: refusal
          ? { refusal }
          : { workload: withElevations(changes[0]?.value ?? current(state)!, state.get<Placed>(placed)) },
        // A destroyed workload leaves its rails, in whatever mesh they are.
        follow: (decision.to_state === "destroyed" ? (state.get<Placed>(placed) ?? []) : []).map(({ mesh_id }) =>
          meshCommand({ command: "remove", mesh_id, workload_id }, tenantId, { correlationId }),
        ),
      };
    },
  };
}

/**
 * Nobody asked for anything when a deadline passes: where no policy can say that it did, it waits until one can (spec law §4).
 * @throws UndecidedError
 */
function mustBeMissed({ command, workload_id }: LifecycleCommand, { standing, error_code }: LifecycleDecision): void {
  if (command === "deadline" && standing !== "missed")
    throw new UndecidedError(`whether ${workload_id} missed its deadline is not decided: ${error_code}`);
}

function eventType(request: LifecycleCommand): EventType {
  return request.command === "transition" ? `workload.envelope.${request.transition}` : "workload.attestation";
}

async function verifyAttestation(request: LifecycleCommand, trust: Trust, nowMs: number): Promise<Tokens> {
  if (request.command !== "attest" || !("token" in request.attestation)) return NO_TOKENS;
  const { token, devices } = request.attestation;
  const { fact, used, materials, proof } = await trust.verifyAttestation(token, { nowMs, nonce: undefined }, devices);
  return {
    facts: { ...NO_TOKENS.facts, attestation: fact },
    snapshot: authoritySnapshot(used, materials),
    proof,
  };
}

const attestationFact = (request: LifecycleCommand, nonce: string | undefined): AttestationFact | null =>
  request.command === "attest" ? reportFact(request.attestation, nonce) : null;
