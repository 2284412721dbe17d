// An audit of a cluster over HTTP: what is handed over part by part, how each object was judged, and the counts that seal the run.
import Type, { type Static } from "typebox";
import { closed } from "./base.ts";
import { ExplainedRefusal } from "./decision.ts";

/** Objects that are judged and committed together: few enough to leave others their turns, enough to share a sync. */
export const AUDIT_PART_MAX = 125;

const Count = Type.Integer({ minimum: 0 });

export const AuditBeginSchema = closed({
  namespaces: Type.Array(Type.Unknown(), { description: "all of the cluster's, as the API server lists them" }),
});

export const AuditPartSchema = closed({
  kind: Type.String({ minLength: 1, maxLength: 63, description: "of all items; lists don't say it of each" }),
  items: Type.Array(Type.Unknown(), { maxItems: AUDIT_PART_MAX }),
});

export const AuditedObjectSchema = closed({
  kind: Type.String(),
  namespace: Type.String(),
  name: Type.String(),
  allowed: Type.Boolean(),
  refusals: Type.Array(ExplainedRefusal),
});

export const AuditBegunSchema = closed({ run: Type.String({ description: "the correlation id of all its events" }) });
export const AuditedPartSchema = closed({ objects: Type.Array(AuditedObjectSchema) });

export const AuditRunSchema = closed({
  run: Type.String({ description: "the correlation id of all its events" }),
  listed: Count,
  allowed: Count,
  refused: Count,
  unreadable: Count,
  without_pod: Type.Integer({ minimum: 0, description: "objects that have no pod template" }),
  rules: Type.Record(Type.String(), Count, { description: "by rule, how many refusals, in whatever mode" }),
});

/** One object, as it was judged. */
export type AuditedObject = Readonly<Static<typeof AuditedObjectSchema>>;
/** What went in is what came out: `listed` = `allowed` + `refused` + `unreadable` + `without_pod`. */
export type AuditRun = Readonly<Static<typeof AuditRunSchema>>;

/** A part of what a cluster has of one kind. */
export interface AuditedPage {
  readonly kind: string;
  readonly items: readonly unknown[];
}
