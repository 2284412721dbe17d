// RFC 9457 problem details: how every door but OPA's own answers what went wrong.
import Type, { type Static } from "typebox";
import { closed, nullable, oneOf, optional } from "./base.ts";
import { EvidenceEventSchema, ReceiptSchema } from "./event.ts";
import { TrialReportSchema } from "./policies.ts";

export const ProblemSchema = closed({
  type: Type.String(),
  title: Type.String(),
  status: Type.Integer({ minimum: 400, maximum: 599 }),
  code: Type.String(),
  detail: optional(Type.String()),
  instance: optional(Type.String()),
  errors: optional(Type.Array(closed({ pointer: Type.String(), message: Type.String() }))),
  recorded: optional(
    oneOf(["no", "unknown"], { description: "EVI-01: whether it is certain that nothing was recorded" }),
  ),
  event_id: optional(Type.String({ description: "EVI-01: the event to look for where that is not certain" })),
  pointer: optional(Type.String()),
  solution: optional(Type.String()),
  next_sequence: optional(Type.Integer({ minimum: 0, description: "records: the sequence that is expected next" })),
  reason: optional(Type.String({ description: "policy_invalid: in a word, what is wrong with the bundle" })),
  step: optional(Type.String({ description: "provenance_invalid: the step that the bundle failed" })),
  report: optional(nullable(TrialReportSchema)),
  mesh_event: optional(nullable(Type.String())),
  event: optional(EvidenceEventSchema),
  receipt: optional(ReceiptSchema),
});

export type Problem = Static<typeof ProblemSchema>;
