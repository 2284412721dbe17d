// What the lifecycle, the mesh and the reconciliation law answer. What more they may say is not read.
import Type, { type TProperties, type TSchema } from "typebox";
import { nullable, oneOf, REFUSAL_CLASSES, WORKLOAD_STATES, type WorkloadState } from "./base.ts";
import { Obligation, type RefusalClass } from "./decision.ts";

const PARAMS = Type.Record(Type.String(), Type.Unknown());

/** An acceptance names no error; a refusal has all that explains it. */
const answerOf = (members: TProperties): TSchema =>
  Type.Union([
    Type.Object({ outcome: Type.Literal("accepted"), error_code: Type.Null(), params: PARAMS, ...members }),
    Type.Object({
      outcome: Type.Literal("refused"),
      error_code: Type.String(),
      class: oneOf(REFUSAL_CLASSES),
      rule: Type.String(),
      pointer: Type.String(),
      params: PARAMS,
      ...members,
    }),
  ]);

/** Entrypoint `railgate/lifecycle/decision`. */
export const LifecycleDecisionSchema = answerOf({
  to_state: nullable(oneOf(WORKLOAD_STATES)),
  standing: nullable(oneOf(["passed", "failed", "missed"])),
  obligations: Type.Array(Obligation),
});

/** Entrypoint `railgate/mesh/decision`. */
export const MeshDecisionSchema = answerOf({ mesh_event: nullable(Type.String()) });

/** Entrypoint `railgate/reconciliation/decision`. */
export const ReconciliationDecisionSchema = answerOf({
  standing: nullable(Type.String()),
  superseded: Type.Array(Type.String()),
});

interface LawAnswer {
  readonly outcome: "accepted" | "refused";
  readonly error_code: string | null;
  readonly class: RefusalClass | null;
  readonly rule: string | null;
  /** RFC 6901, into the command. */
  readonly pointer: string | null;
  readonly params: { readonly [name: string]: unknown };
}

export interface LifecycleDecision extends LawAnswer {
  readonly to_state: WorkloadState | null;
  readonly standing: "passed" | "failed" | "missed" | null;
  readonly obligations: readonly Obligation[];
}

export interface MeshDecision extends LawAnswer {
  readonly mesh_event: string | null;
}

export interface ReconciliationDecision extends LawAnswer {
  /** The id of the decision that stands; null where none was asked about, or refused. */
  readonly standing: string | null;
  readonly superseded: readonly string[];
}
