// The decision: the policy's exact output (stored, replayed byte for byte), and the answer made from it for people.
import Type, { type Static } from "typebox";
import {
  closed,
  Digest,
  ENVELOPE_KINDS,
  EnvelopeKind,
  EpochMs,
  Level,
  nullable,
  oneOf,
  optional,
  OUTCOMES,
  REFUSAL_CLASSES,
  Time,
} from "./base.ts";

const Outcome = oneOf(OUTCOMES);
export const RefusalClass = oneOf(REFUSAL_CLASSES);

export const REFUSAL_MEMBERS = {
  code: Type.String(),
  class: RefusalClass,
  rule: Type.String(),
  pointer: Type.String({ description: "RFC 6901, relative to the request" }),
  params: Type.Record(Type.String(), Type.Unknown()),
};

/** A refusal as the law gives it. */
export const Refusal = closed(REFUSAL_MEMBERS);

/** The same with the catalogue's words. */
export const ExplainedRefusal = closed({
  ...REFUSAL_MEMBERS,
  title: Type.String(),
  message: Type.String(),
  solution: Type.String(),
  /** Of a pod: in which modes of its namespace it holds. */
  modes: optional(Type.Array(oneOf(["deny", "audit", "warn"]))),
});

const Trigger = closed({
  trigger: oneOf(["risk", "classification", "governance_profile", "tenant_tier"]),
  requires: EnvelopeKind,
  because: Type.String(),
});

/** `reattest` by a time; `elevate` in a mesh to a least level. */
export const Obligation = closed(
  { obligation: Type.String(), by: optional(Time), mesh_id: optional(Type.String()), least_level: optional(Level) },
  { additionalProperties: true },
);

const LiftingException = closed({
  digest: Digest,
  issuer: Type.String(),
  rules: Type.Array(Type.String()),
  reason: Type.String(),
  not_after_ms: EpochMs,
});

export const DECISION_MEMBERS = {
  outcome: Outcome,
  envelope: closed({
    declared: nullable(Type.String()),
    required: nullable(oneOf(ENVELOPE_KINDS)),
    triggers: Type.Array(Trigger),
  }),
  obligations: Type.Array(Obligation),
  rail: closed({ least_level: nullable(Level) }),
  exceptions: optional(Type.Array(LiftingException)),
};

/** What `railgate/admission/decision` returns. */
export const PolicyDecisionSchema = closed({ ...DECISION_MEMBERS, refusals: Type.Array(Refusal) });

/** What a caller is answered. */
export const DecisionSchema = closed({
  ...DECISION_MEMBERS,
  refusals: Type.Array(ExplainedRefusal),
  dry_run: optional(Type.Boolean()),
  /** Of a pod: whether it may run all the same, and which modes held. */
  kubernetes: optional(Type.Object({ allowed: Type.Boolean() }, { additionalProperties: true })),
});

export type RefusalClass = Static<typeof RefusalClass>;
export type Refusal = Static<typeof Refusal>;
export type ExplainedRefusal = Static<typeof ExplainedRefusal>;
export type Obligation = Static<typeof Obligation>;
export type PolicyDecision = Static<typeof PolicyDecisionSchema>;
export type Decision = Static<typeof DecisionSchema>;
/** @property problem why the policy could not decide (POL-03): which entrypoint, and what of its answer, as the record would have it. */
export type DryRun = Decision & { readonly problem?: string };
