// Events that are no decisions: what a node does of itself, and what is done with its evidence.
import { EMPTY_SNAPSHOT, pointerTo } from "../../core/digest.ts";
import { digestOf, type EventDraft } from "../../core/event.ts";
import { canonicalJson } from "../../core/json.ts";
import { settingsDetail } from "../../core/snapshots.ts";
import type { EventType } from "../../core/event-types.ts";
import type { Policy } from "../../policy/policy.ts";
import type { Blob, StateWrite } from "../../store/store.ts";
import type { Entry } from "./entry.ts";
import type { Receipt } from "./entry.ts";
import type { Ledger } from "./ledger.ts";

/** Whose stream an event goes to, and who acted. */
export interface ActedBy {
  readonly tenantId: string;
  readonly actor: string;
}

/** Whose events the node's own are (spec evidence §1). */
export const THE_NODE: ActedBy = { tenantId: "default", actor: "node" };

export interface RecorderParts {
  readonly ledger: Ledger;
  readonly evidenceProfileId: string;
  readonly now: () => number;
  readonly newId: () => string;
  readonly activePolicy: () => Policy | null;
}

type Details = { readonly [name: string]: unknown };

export class Recorder {
  readonly #parts: RecorderParts;

  constructor(parts: RecorderParts) {
    this.#parts = parts;
  }

  /**
   * @param states what changes in the same commit.
   * @param blob the event's artifact, where its details are not.
   * @throws EvidenceUnavailableError EVI-01: what was to be recorded must not be done.
   */
  async record(
    type: EventType,
    details: Details,
    by: ActedBy = THE_NODE,
    states: readonly StateWrite[] = [],
    blob?: Blob,
  ): Promise<void> {
    await this.append({ ...this.entry(type, details, by, blob), states });
  }

  /** The event, not yet appended. Its artifact is the blob, or its details. */
  entry(type: EventType, said: Details, by: ActedBy, blob?: Blob, nowMs = this.#parts.now()): Entry {
    const { newId, evidenceProfileId, activePolicy } = this.#parts;
    const details = { ...said, ...settingsDetail(activePolicy()?.settings?.digest ?? null) };
    const artifact = canonicalJson(details);
    const artifactDigest = blob?.digest ?? digestOf(artifact);
    const draft: EventDraft = {
      id: newId(),
      event_type: type,
      occurred_at: new Date(nowMs).toISOString(),
      tenant_id: by.tenantId,
      actor: by.actor,
      correlation_id: newId(),
      outcome: "accepted",
      evidence_profile_id: evidenceProfileId,
      evidence_pointer: pointerTo(artifactDigest),
      policy_snapshot_id: activePolicy()?.digest ?? EMPTY_SNAPSHOT,
      authority_snapshot_id: EMPTY_SNAPSHOT,
      details,
    };
    return {
      draft,
      artifact: blob ? null : artifact,
      artifactDigest,
      workloadId: null,
      occurredAtMs: nowMs,
      blobs: blob ? [blob] : [],
      states: [],
    };
  }

  /**
   * Links it at once; resolves when it is durable.
   * @throws EvidenceUnavailableError EVI-01, also when it is called: nothing was linked then.
   */
  append(entry: Entry): Promise<Receipt> {
    return this.#parts.ledger.appendAhead([entry]).then(([receipt]) => receipt!);
  }
}
