// Reconciliation: whether a partition may end, and which decision stands where nodes have decided differently (spec law §6).
import { hostRefusalOf, faultOf, lazily, type Recognised } from "../../core/outcome.ts";
import type { Context } from "../../core/schema/input.ts";
import { ReconciliationDecisionSchema, type ReconciliationDecision } from "../../core/schema/law.ts";
import { workloadAt, workloadWrites, type Standing, type SupersededDetails } from "../../core/workload.ts";
import { refusalIn, type CommandRefusal } from "../refused.ts";
import { refusalOf, type Command } from "./command.ts";

const RECONCILIATION = "railgate/reconciliation/decision";

/** The records of one stream that were held back, and have all arrived. */
export interface Reconciled {
  readonly chain_id: string;
  readonly from_sequence: number;
  readonly to_sequence: number;
  /** `event_hash` of the first and of the last. */
  readonly first_hash: string;
  readonly last_hash: string;
  /** A signed note over them, with upstream's signature where it gave one. */
  readonly checkpoint: string;
}

type ReconciliationRequest =
  | ({ readonly command: "reconcile" } & Pick<Reconciled, "chain_id" | "from_sequence" | "to_sequence">)
  | {
      readonly command: "supersede";
      readonly workload_id: string;
      readonly decisions: readonly Standing[];
      /** The record by which upstream has told of it. */
      readonly handed_down?: string;
    };

interface ReconciliationInput {
  readonly request: ReconciliationRequest;
  readonly facts: object;
  readonly context: Context;
}

type Reconciling = Command<ReconciliationInput, ReconciliationDecision, ReconciliationOutcome>;

/** `refusal`: why the law does not allow it. */
export interface ReconciliationOutcome {
  readonly refusal?: CommandRefusal | undefined;
}

const answerShape = lazily(ReconciliationDecisionSchema);

const failClosed: Reconciling["failClosed"] = (code) => ({ ...hostRefusalOf(code), standing: null, superseded: [] });

/** The event that ends a partition for one stream. */
export function reconcileCommand(range: Reconciled, tenantId: string): Reconciling {
  const { chain_id, from_sequence, to_sequence } = range;
  return {
    entrypoint: RECONCILIATION,
    tenantId,
    workloadId: null,
    correlationId: undefined,
    needs: () => [],
    input: (_state, { context }) => ({
      request: { command: "reconcile", chain_id, from_sequence, to_sequence },
      facts: {},
      context,
    }),
    recognise: (output) => recognise(output, []),
    failClosed,
    says: (_state, { decision }) => ({
      event_type: "chain.reconciliation",
      subject: chain_id,
      refusal: refusalOf(decision),
      details: { ...range },
    }),
    effect: (_state, _event, { decision, catalogue }) => ({
      changes: [],
      outcome: { refusal: refusalIn(decision, catalogue) },
    }),
  };
}

/** How a node was told of what another one resolved. */
export interface HandedDown {
  readonly record: string;
  readonly event_id: string;
  readonly chain_id: string;
}

/** The event that says which decision stands; what it supersedes here changes with it. */
export function supersedeCommand(
  workload_id: string,
  tenantId: string,
  decisions: readonly Standing[],
  handedDown?: HandedDown,
): Reconciling {
  const workload = workloadAt(tenantId, workload_id);
  return {
    entrypoint: RECONCILIATION,
    tenantId,
    workloadId: workload_id,
    correlationId: undefined,
    needs: () => [workload],
    revision: (state) => state.version(workload),
    input: (_state, { context }) => ({
      request: {
        command: "supersede",
        workload_id,
        decisions,
        ...(handedDown && { handed_down: handedDown.record }),
      },
      facts: {},
      context,
    }),
    recognise: (output) =>
      recognise(
        output,
        decisions.map(({ event_id }) => event_id),
      ),
    failClosed,
    says: (_state, { decision }) => ({
      event_type: "decision.superseded",
      subject: workload_id,
      refusal: refusalOf(decision),
      details:
        decision.outcome === "accepted"
          ? supersededDetails(workload_id, decisions, decision, handedDown)
          : { workload_id, decisions: decisions.map(({ event_id }) => event_id) },
    }),
    effect: (state, event, { decision, catalogue }) => ({
      changes: decision.outcome === "accepted" ? workloadWrites(state, event, workload_id) : [],
      outcome: { refusal: refusalIn(decision, catalogue) },
    }),
  };
}

/** @param ids of the decisions that were asked about; what stands and what does not is among them. */
function recognise(output: unknown, ids: readonly string[]): Recognised<ReconciliationDecision> {
  if (!answerShape().Check(output)) return { problem: faultOf(answerShape(), output) };
  const decision = output as ReconciliationDecision;
  const { outcome, standing, superseded } = decision;
  if (outcome === "refused")
    return standing === null && superseded.length === 0 ? { decision } : { problem: "it refuses, and lets one stand" };
  if (ids.length === 0) return standing === null ? { decision } : { problem: "it lets stand what nobody asked about" };
  const among = standing !== null && ids.includes(standing) && superseded.every((id) => ids.includes(id));
  return among && superseded.length > 0 && !superseded.includes(standing)
    ? { decision }
    : { problem: "what stands is none of the decisions" };
}

function supersededDetails(
  workload_id: string,
  decisions: readonly Standing[],
  { standing, superseded }: ReconciliationDecision,
  handedDown: HandedDown | undefined,
): SupersededDetails {
  const stands = decisions.find(({ event_id }) => event_id === standing)!;
  return {
    workload_id,
    standing: stands,
    superseded: decisions.filter(({ event_id }) => superseded.includes(event_id)),
    alike: decisions.filter(({ event_id }) => event_id !== standing && !superseded.includes(event_id)),
    ...(handedDown && { handed_down: { event_id: handedDown.event_id, chain_id: handedDown.chain_id } }),
  };
}
