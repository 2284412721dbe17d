// What of a past decision is needed to decide again, and where such decisions come from.
import { digestOfPointer } from "../../core/digest.ts";
import { COMPANION_TYPES, type CompanionType } from "../../core/event-types.ts";
import type { EvidenceEvent } from "../../core/schema/event.ts";
import { settingsOfEvent } from "../../core/snapshots.ts";
import type { ReplayItem } from "./check.ts";

/** Which decision, and about what. */
export interface DecisionPlace {
  readonly sequence: number;
  readonly event_id: string;
  readonly chain_id: string;
  readonly tenant_id: string;
  /** Null where the event is about none. */
  readonly workload_id: string | null;
}

/** An event that may be a decision. */
export type SourceItem = Omit<ReplayItem, "artifact"> & {
  /** Undefined where it was erased. */
  readonly artifact: Uint8Array | undefined;
  /** Or the line of events.jsonl that says so, counted from 0. */
  readonly place: DecisionPlace | number;
};

export interface ReplaySource extends Disposable {
  items(): AsyncIterable<SourceItem>;
  /** What stands in these lines. */
  places(lines: readonly number[]): Promise<ReadonlyMap<number, DecisionPlace>>;
  /** A policy bundle, or settings, by digest; undefined where it is not here. */
  shared(digest: string): Promise<Uint8Array | undefined>;
}

type Item = Omit<SourceItem, "artifact" | "place"> & { readonly place: DecisionPlace };

/** Undefined: the event accompanies an admission, and is no decision of its own. */
export function itemOf(text: string): Item | undefined {
  const event = JSON.parse(text) as EvidenceEvent;
  const { chain_id, sequence, id, tenant_id, policy_snapshot_id, evidence_pointer, event_type } = event;
  const workload = event.details?.["workload_id"] ?? event.subject;
  if (COMPANION_TYPES.includes(event_type as CompanionType)) return undefined;
  return {
    place: { sequence, event_id: id, chain_id, tenant_id, workload_id: typeof workload === "string" ? workload : null },
    evaluation: event_type === "policy.evaluate",
    policy: policy_snapshot_id,
    settings: settingsOfEvent(event),
    pointer: digestOfPointer(evidence_pointer) ?? evidence_pointer,
  };
}
