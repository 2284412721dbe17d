// Workloads after admission: lifecycle and attestation bodies, and what a workload is answered as.
import Type, { type Static } from "typebox";
import {
  closed,
  EnvelopeKind,
  Level,
  nullable,
  oneOf,
  Identifier,
  Time,
  TRANSITIONS,
  WORKLOAD_STATES,
} from "./base.ts";
import { DecisionSchema, Obligation } from "./decision.ts";
import { EvidenceEventSchema, ReceiptSchema } from "./event.ts";
import { COMMAND_MEMBERS } from "./mesh.ts";
import { attestationBranch, REPORT_MEMBERS, TOKEN_MEMBERS } from "./request.ts";

export const Transition = oneOf(TRANSITIONS);

export const LifecycleBodySchema = closed({ transition: Transition, ...COMMAND_MEMBERS });

/** As the request's `attestation`: a token, or a report that the law finds complete or not. */
export const AttestationBodySchema = Type.Union(
  [closed({ ...TOKEN_MEMBERS, ...COMMAND_MEMBERS }), closed({ ...REPORT_MEMBERS, ...COMMAND_MEMBERS })],
  { "~branch": attestationBranch },
);

const ADMISSION_MEMBERS = {
  event_id: Type.String(),
  admitted_at: Time,
  /** When the first of what it rests on ends; null where nothing does. */
  valid_until: nullable(Time),
};

/** `GET /v1/workloads/{id}`. */
export const WorkloadViewSchema = closed({
  workload_id: Identifier,
  tenant_id: Identifier,
  state: oneOf(WORKLOAD_STATES),
  envelope_kind: EnvelopeKind,
  least_level: Level,
  /** `decision` null: its artifact was erased. */
  admission: closed({ decision: nullable(DecisionSchema), ...ADMISSION_MEMBERS }),
  attestation: nullable(
    closed({
      form: oneOf(["token", "report"]),
      report_ref: nullable(Type.String()),
      platform_type: nullable(Type.String()),
      result: nullable(oneOf(["pass", "fail"])),
      measured_at: nullable(Time),
      due_by: nullable(Time),
      overdue: Type.Boolean(),
    }),
  ),
  obligations: Type.Array(Obligation),
  events: Type.Array(EvidenceEventSchema),
});

const { workload_id, tenant_id, state, envelope_kind, least_level, attestation, obligations } =
  WorkloadViewSchema.properties;

/** `GET /v1/workloads`, each. */
export const WorkloadSummary = closed({
  workload_id,
  tenant_id,
  state,
  envelope_kind,
  least_level,
  admission: closed(ADMISSION_MEMBERS),
  attestation,
  obligations,
});

export const AdmissionAnswer = closed({ decision: DecisionSchema, event: EvidenceEventSchema, receipt: ReceiptSchema });
export const WorkloadAnswer = closed({
  workload: WorkloadViewSchema,
  event: EvidenceEventSchema,
  receipt: ReceiptSchema,
});

export type Transition = Static<typeof Transition>;
export type AttestationBody = Static<typeof AttestationBodySchema>;
export type WorkloadView = Static<typeof WorkloadViewSchema>;
export type WorkloadSummary = Static<typeof WorkloadSummary>;
export type AdmissionAnswer = Static<typeof AdmissionAnswer>;
export type WorkloadAnswer = Static<typeof WorkloadAnswer>;
