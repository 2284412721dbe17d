// The evidence event: one for every governed action, signed and chained.
import Type, { type Static } from "typebox";
import { EVENT_TYPES } from "../event-types.ts";
import { closed, Count, Digest, Identifier, nullable, oneOf, optional, REFUSAL_CLASSES } from "./base.ts";

export const EvidenceEventSchema = closed({
  id: Type.String({
    pattern: "^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$",
    description: "a UUID of version 7",
  }),
  event_type: oneOf(EVENT_TYPES),
  occurred_at: Type.String({
    pattern: "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z$",
    description: "RFC 3339, UTC, milliseconds",
  }),
  tenant_id: Identifier,
  actor: Type.String(),
  correlation_id: Identifier,
  outcome: oneOf(["accepted", "refused", "failed"]),
  chain_id: Type.String({ description: "<tenant_id>/<node_id>" }),
  sequence: Count,
  prev_hash: nullable(Digest),
  event_hash: Digest,
  evidence_profile_id: Type.String(),
  hash_profile_id: Type.String(),
  evidence_pointer: Type.String({ pattern: "^eosc://evidence/sha256:[0-9a-f]{64}$" }),
  policy_snapshot_id: Digest,
  authority_snapshot_id: Digest,
  refusal_reason: optional(Type.String({ description: "the title of the first refusal's code" })),
  refusal_reason_class: optional(oneOf(REFUSAL_CLASSES)),
  refusal_reason_code: optional(Type.String()),
  refusal_subject: optional(Type.String()),
  monotonic_time_ns: optional(Count),
  subject: optional(Type.String()),
  details: optional(Type.Record(Type.String(), Type.Unknown())),
});

/** A compact JWS over an event's canonical bytes. */
export const ReceiptSchema = Type.String({ description: "the record: a compact JWS whose payload is the event" });

export type EvidenceEvent = Static<typeof EvidenceEventSchema>;
