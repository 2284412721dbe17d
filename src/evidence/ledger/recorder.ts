// Events that are no decisions: what a node does of itself, and what is done with its evidence.
import { HOST_REFUSALS } from "../../core/catalogue.ts";
import { EMPTY_SNAPSHOT, pointerTo } from "../../core/digest.ts";
import { digestOf, type EventDraft } from "../../core/event.ts";
import { brief } from "../../core/brief.ts";
import { canonicalJson } from "../../core/json.ts";
import { settingsDetail } from "../../core/snapshots.ts";
import type { EventType } from "../../core/schema/event.ts";
import type { Activated } from "../../policies/choose.ts";
import type { Policy } from "../../policy/policy.ts";
import type { Blob, StateWrite, StoreReader } from "../../store/store.ts";
import type { Entry } from "./entry.ts";
import type { Ledger } from "./ledger.ts";

/** Whose stream an event goes to, and who acted. */
export interface ActedBy {
  readonly tenantId: string;
  readonly actor: string;
}

/** Whose events the node's own are (spec evidence §1). */
const THE_NODE: ActedBy = { tenantId: "default", actor: "node" };

/** What is said of a bundle may quote it. */
const PROBLEM_CHARS_MAX = 2048;

const ACTIVATED = { kind: "policy", tenant_id: THE_NODE.tenantId, key: "active" } as const;

export interface RecorderParts {
  readonly ledger: Ledger;
  readonly store: StoreReader;
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
   * @throws EvidenceUnavailableError EVI-01: what was to be recorded must not be done.
   */
  async record(
    type: EventType,
    details: Details,
    by: ActedBy = THE_NODE,
    states: readonly StateWrite[] = [],
  ): Promise<void> {
    await this.#append({ ...this.entry(type, details, by), states });
  }

  /** A bundle that was not accepted as policy. */
  async recordRejection({ reason, problem }: { readonly reason: string; readonly problem: string }): Promise<void> {
    const details = { reason: brief(reason), problem: brief(problem, PROBLEM_CHARS_MAX) };
    const entry = this.entry("policy.reject", details, THE_NODE);
    const refusal = {
      outcome: "refused",
      refusal_reason: HOST_REFUSALS.policy_unavailable.title,
      refusal_reason_class: "dependency_unavailable_fail_closed",
      refusal_reason_code: "policy_unavailable",
    } as const;
    await this.#append({ ...entry, draft: { ...entry.draft, ...refusal } });
  }

  /** The policy that was activated last. Kept as state: its event may lie a million events back. */
  lastActivated(): Activated | undefined {
    const { kind, tenant_id, key } = ACTIVATED;
    const stored = this.#parts.store.state(kind, tenant_id, key);
    return stored === undefined ? undefined : (JSON.parse(stored) as Activated);
  }

  /** Once per change of policy, not per start. */
  async recordActivation({ digest, revision, sequence, bytes }: Policy): Promise<void> {
    if (this.lastActivated()?.digest === digest) return;
    const activated: Activated = { digest, revision, sequence };
    const entry = this.entry("policy.activate", { ...activated }, THE_NODE, { digest, bytes });
    await this.#append({ ...entry, states: [{ ...ACTIVATED, value: JSON.stringify(activated) }] });
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

  async #append(entry: Entry): Promise<void> {
    await Promise.all(this.#parts.ledger.append([entry]));
  }
}
