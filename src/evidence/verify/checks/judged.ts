// What the checks judge: the facts of an export that was read to its end, and what is known beside them.
import type { ReadingContext } from "../context.ts";
import type { Pin } from "../keys.ts";
import { scopeOf } from "../manifest.ts";
import { SCHEMA_VERSION, SCHEMA_VERSION_1 } from "../profiles.ts";
import type { ExportFacts } from "../reading.ts";

export interface JudgedExport
  extends Pick<ReadingContext, "findings" | "primitives" | "artifacts" | "eventsAndRecords" | "eventsAndSegment"> {
  readonly facts: ExportFacts;
  /** The manifest's members, none where there is no manifest. */
  readonly members: ReadonlyMap<string, unknown>;
  /** The range that the manifest claims. */
  readonly scope: { readonly from: number; readonly to: number } | undefined;
  /** It is another producer's: of another schema, and with no keys. What cannot be judged of it is not checked. */
  readonly isOthers: boolean;
  /** Keys that the caller knows by another way, by thumbprint; only these may have signed. */
  readonly pins: ReadonlyMap<string, Pin> | undefined;
  /** Keys of the node that verifies. */
  readonly own: ReadonlyMap<string, Pin> | undefined;
  readonly trustsEmbedded: boolean;
}

export function membersOf(facts: ExportFacts): Pick<JudgedExport, "members" | "scope" | "isOthers"> {
  const members = facts.manifest?.members ?? new Map<string, unknown>();
  const schema = members.get("schema_version");
  const isOurs = schema === SCHEMA_VERSION || schema === SCHEMA_VERSION_1;
  return { members, scope: scopeOf(members), isOthers: !isOurs && !facts.digests.has("keys.json") };
}

/** Thumbprints of the keys that signed. */
export function signersOf({ manifest, records }: ExportFacts): string[] {
  return [...new Set([...(records?.kids ?? []), ...(manifest?.signatures ?? []).map(({ key_id }) => key_id)])];
}

/** The first sequence of the range. */
export const firstOf = ({ events }: ExportFacts): number => events?.first ?? 0;
