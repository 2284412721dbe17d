// Policies as operators see them: the registry, what trying a candidate finds, and what a shadow came to.
import Type, { type Static } from "typebox";
import { closed, Digest, Identifier, nullable, oneOf, optional } from "./base.ts";
import { EvidenceEventSchema, ReceiptSchema } from "./event.ts";

const Count = Type.Integer({ minimum: 0 });

export const POLICY_STATES = ["active", "shadow", "submitted", "deprecated"] as const;

export const PolicyItemSchema = closed({
  digest: Digest,
  revision: Type.String(),
  sequence: nullable(Type.Integer()),
  state: oneOf(POLICY_STATES),
  since: nullable(
    Type.String({ description: "RFC 3339: since when it is in this state; null: since before that was kept" }),
  ),
  entrypoints: Type.Array(Type.String()),
  bundle: nullable(Type.String({ description: "under whose name in `bundles` it decides or decided last" })),
  order: oneOf(["sequence", "revision", "none"], {
    description: "how newer and older are told apart; none: going back to an older one can't be told",
  }),
});

export const PolicyListSchema = closed({ items: Type.Array(PolicyItemSchema) });

const TooWeak = closed({
  tenant_id: Identifier,
  workload_id: Identifier,
  state: Type.String(),
  envelope: nullable(closed({ admitted: Type.String(), required: Type.String() })),
  rails: Type.Array(closed({ mesh_id: Identifier, level: Type.String(), least_level: Type.String() })),
});
const Violation = closed({ case: Type.String(), breaks: Type.String(), message: Type.String() });

export const TrialReportSchema = closed({
  passes: Type.Boolean({ description: "nothing of what follows keeps the policy from deciding" }),
  conformance: nullable(
    closed(
      { cases: Count, violations: Type.Array(Violation) },
      { description: "what no policy may admit; null: it is not about Railgate" },
    ),
  ),
  workloads: closed(
    { tried: Count, untried: Count, too_weak: Count, listed: Type.Array(TooWeak) },
    { description: "placed or running ones, and which would be on too weak a rail or envelope" },
  ),
  decisions: closed(
    { tried: Count, newly_refused: Count, newly_admitted: Count, other_envelope: Count },
    { description: "of the newest admissions, how many it would decide otherwise; these keep it from nothing" },
  ),
});

const PROOF = { event: EvidenceEventSchema, receipt: ReceiptSchema };
export const ActedPolicySchema = closed({ policy: PolicyItemSchema, ...PROOF });
export const ActivatedPolicySchema = closed({ policy: PolicyItemSchema, ...PROOF, report: TrialReportSchema });

export const ActivateBodySchema = closed({
  force: optional(
    closed({
      authority: Type.String({
        minLength: 1,
        description: "a root's word that this policy may decide all the same, a JWS of type `railgate-override+jws`",
      }),
    }),
  ),
});
export const ShadowBodySchema = closed({ stop: optional(Type.Boolean({ description: "no longer" })) });

const SHADOW_CHANGES = ["newly_refused", "newly_admitted", "other_envelope", "other"] as const;
export const DifferencesSchema = closed({
  digest: Digest,
  decided: Count,
  skipped: Count,
  differences: closed({ newly_refused: Count, newly_admitted: Count, other_envelope: Count, other: Count }),
  items: Type.Array(
    closed({
      event_id: Type.String(),
      tenant_id: Identifier,
      subject: nullable(Type.String()),
      entrypoint: Type.String(),
      change: oneOf(SHADOW_CHANGES),
    }),
  ),
});

export type PolicyState = (typeof POLICY_STATES)[number];
/** One policy as it is listed. */
export type PolicyItem = Static<typeof PolicyItemSchema>;
/** A workload that a candidate would want on a stricter rail, or in a stronger envelope, than it has. */
export type TooWeak = Static<typeof TooWeak>;
/** A case of the conformance corpus that a candidate admits. */
export type Violation = Static<typeof Violation>;
/** What trying a candidate found. */
export type TrialReport = Static<typeof TrialReportSchema>;
export type ShadowChange = (typeof SHADOW_CHANGES)[number];
/** What came of a shadow: counts since it began, and its newest differences. */
export type ShadowFigures = Static<typeof DifferencesSchema>;
