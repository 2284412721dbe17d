// What may be asked of evidence and state, and by operators: members are those of the wire's queries and bodies.
import Type, { type Static } from "typebox";
import { closed, Count, Identifier, oneOf, optional, Time } from "./base.ts";
import { EVIDENCE_PROFILES } from "./limits.ts";
import { EVENT_TYPES } from "../event-types.ts";

const PAGE_MAX = 1000;
const Cursor = optional(Type.String({ description: "continues a listing: the `next` of the page before" }));
const Tenant = { tenant_id: optional(Identifier) };

/** Meshes are one tenant's (the caller's own, or `default`); workloads are all that the caller may see, unless it names one. */
export const ListQuery = closed({
  ...Tenant,
  limit: optional(Type.Integer({ minimum: 1, maximum: PAGE_MAX })),
  cursor: Cursor,
});

const EVENT_FILTERS = {
  ...Tenant,
  event_type: optional(oneOf(EVENT_TYPES)),
  outcome: optional(oneOf(["accepted", "refused", "failed"])),
  workload_id: optional(Identifier),
  correlation_id: optional(Identifier),
  since: optional(Time),
  until: optional(Time),
};

export const EventsQuery = closed({
  ...EVENT_FILTERS,
  order: optional(oneOf(["desc", "asc"])),
  limit: optional(Type.Integer({ minimum: 1, maximum: PAGE_MAX })),
  cursor: Cursor,
});

/** `after`: the id of the last event that was seen. Without it, and without `since`, it begins now. */
export const FollowQuery = closed({ ...EVENT_FILTERS, after: optional(Type.String()) });

/** Of one event: an error where the caller names a tenant that it is not of. */
export const EventScope = closed(Tenant);

export const ExportRequestSchema = closed({
  ...Tenant,
  evidence_profile_id: optional(
    oneOf(EVIDENCE_PROFILES, { description: "what the export must hold; the node's own profile where absent" }),
  ),
  from_sequence: optional(Count),
  to_sequence: optional(Count),
  chain_id: optional(
    Type.String({ description: "<tenant_id>/<node_id>; the tenant's stream on this node where absent" }),
  ),
});

export const RotationSchema = closed({
  compromised_since: optional(Time),
  to: optional(Type.String({ description: "the thumbprint of the new key, where keys come from a folder" })),
});

/** Why an artifact is erased; it becomes part of the evidence, so it names no person. */
export const ErasureSchema = closed({
  ...Tenant,
  basis: Type.String({ pattern: "\\S", maxLength: 1024, description: "why; part of the evidence" }),
});

type Lenient<T> = { readonly [M in keyof T]: undefined extends T[M] ? T[M] | undefined : T[M] };
export type ListQuery = Lenient<Static<typeof ListQuery>>;
export type EventsQuery = Lenient<Static<typeof EventsQuery>>;
export type FollowQuery = Lenient<Static<typeof FollowQuery>>;
export type EventScope = Lenient<Static<typeof EventScope>>;
export type ExportQuery = Lenient<Static<typeof ExportRequestSchema>>;
export type Rotation = Lenient<Static<typeof RotationSchema>>;
export type Erasure = Lenient<Static<typeof ErasureSchema>>;
