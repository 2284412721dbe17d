// What is on record of policies: which was activated last under each name, which were submitted, and what was refused.
import { brief } from "../core/brief.ts";
import { HOST_REFUSALS } from "../core/catalogue.ts";
import { eventTextOf } from "../core/event.ts";
import type { EvidenceEvent } from "../core/schema/event.ts";
import type { BundleError } from "../core/errors.ts";
import type { PolicyState } from "../core/schema/policies.ts";
import type { Receipt } from "../evidence/ledger/entry.ts";
import { THE_NODE, type ActedBy, type Recorder } from "../evidence/ledger/recorder.ts";
import type { Policy } from "../policy/policy.ts";
import type { StateWrite, StoreReader } from "../store/store.ts";
import type { Activated } from "./choose.ts";

/** What is said of a bundle may quote it. */
const PROBLEM_CHARS_MAX = 2048;

/** One policy of the registry. */
export interface PolicyRow {
  readonly digest: string;
  readonly revision: string;
  readonly sequence: number | null;
  readonly entrypoints: readonly string[];
  readonly state: PolicyState;
  /** RFC 3339: since when it is in this state. */
  readonly since: string;
  /** Of the bundle under whose name it was activated last; null: under none, or never. */
  readonly name: string | null;
}

const KIND = "policy";
const ACTIVE = "active";
const ROW = "digest/";

/** The bundle that was activated last under a name, as the store has it; undefined where there is none. */
export async function lastBundle(store: StoreReader, name: string | null): Promise<Uint8Array | undefined> {
  const stored = await store.state(KIND, THE_NODE.tenantId, activeKey(name));
  return stored === undefined ? undefined : await store.artifact((JSON.parse(stored) as Activated).digest);
}

const activeKey = (name: string | null): string => (name === null ? ACTIVE : `${ACTIVE}/${name}`);

export class PolicyRecords {
  readonly #store: StoreReader;
  readonly #recorder: () => Recorder;

  constructor(store: StoreReader, recorder: () => Recorder) {
    this.#store = store;
    this.#recorder = recorder;
  }

  /** What was activated last under a name. Kept as state: its event may lie a million events back. */
  async lastActivated(name: string | null): Promise<Activated | undefined> {
    const stored = await this.#store.state(KIND, THE_NODE.tenantId, activeKey(name));
    return stored === undefined ? undefined : (JSON.parse(stored) as Activated);
  }

  /** Names under which something is active on record. */
  async names(): Promise<string[]> {
    return (await this.#within(`${ACTIVE}/`)).map(({ key }) => key.slice(ACTIVE.length + 1));
  }

  async row(digest: string): Promise<PolicyRow | undefined> {
    const stored = await this.#store.state(KIND, THE_NODE.tenantId, ROW + digest);
    return stored === undefined ? undefined : (JSON.parse(stored) as PolicyRow);
  }

  async rows(): Promise<PolicyRow[]> {
    return (await this.#within(ROW)).map(({ value }) => JSON.parse(value) as PolicyRow);
  }

  bytes(digest: string): Promise<Uint8Array | undefined> {
    return this.#store.artifact(digest);
  }

  /** A bundle that was not accepted as policy. @throws EvidenceUnavailableError */
  async rejected({ reason, message }: BundleError, name: string | null, by = THE_NODE): Promise<void> {
    const details = {
      reason: brief(reason),
      problem: brief(message, PROBLEM_CHARS_MAX),
      ...(name !== null && { bundle: name }),
    };
    const entry = this.#recorder().entry("policy.reject", details, by);
    const refusal = {
      outcome: "refused",
      refusal_reason: HOST_REFUSALS.policy_unavailable.title,
      refusal_reason_class: "dependency_unavailable_fail_closed",
      refusal_reason_code: "policy_unavailable",
    } as const;
    await this.#recorder().append({ ...entry, draft: { ...entry.draft, ...refusal } });
  }

  /**
   * Links the activation, in the very moment of the call: what is linked from now on stands behind it.
   * @param details beside digest and order.
   * @returns when it is durable. @throws EvidenceUnavailableError also when it is called: nothing was linked then.
   */
  activated(
    { digest, revision, sequence, entrypoints, bytes, settings }: Policy,
    name: string | null,
    { over, before, followed = false, by = THE_NODE, details = {} }: ActivationRecord,
  ): Promise<Receipt> {
    const recorder = this.#recorder();
    const activated: Activated = { digest, revision, sequence };
    const stated = { ...activated, ...(name !== null && { bundle: name }), ...details };
    const entry = recorder.entry("policy.activate", stated, by, { digest, bytes });
    const since = entry.draft.occurred_at;
    if (followed) return recorder.append({ ...entry, blobs: [...entry.blobs, ...(settings ? [settings] : [])] });
    const states: StateWrite[] = [
      this.#write(activeKey(name), {
        ...activated,
        ...(over !== undefined && { over }),
        ...(settings && { settings: settings.digest }),
      }),
      this.#write(ROW + digest, { digest, revision, sequence, entrypoints, state: "active", since, name }),
    ];
    if (before && before.digest !== digest)
      states.push(this.#write(ROW + before.digest, { ...before, state: "submitted", since }));
    return recorder.append({ ...entry, blobs: [...entry.blobs, ...(settings ? [settings] : [])], states });
  }

  /** Whether a stream's last activation is of this policy. */
  async isRecordedIn(chain_id: string, digest: string): Promise<boolean> {
    const query = { chain_id, event_type: "policy.activate", outcome: "accepted", order: "desc", limit: 20 } as const;
    for (const { record } of await this.#store.events(query)) {
      const { details = {} } = JSON.parse(eventTextOf(record)) as EvidenceEvent;
      if (details["act"] === undefined || details["act"] === "activate") return details["digest"] === digest;
    }
    return false;
  }

  /** Another act of an operator's on a policy: what it is from now on. What is submitted is kept with it. */
  async acted(
    act: "submit" | "shadow" | "deprecate",
    policy: Pick<Policy, "digest" | "revision" | "sequence" | "entrypoints"> & { readonly bytes?: Uint8Array },
    state: PolicyState,
    by: ActedBy,
    more: { readonly also?: readonly PolicyRow[]; readonly forget?: string | null; readonly details?: object } = {},
  ): Promise<Receipt> {
    const { digest, revision, sequence, entrypoints, bytes } = policy;
    const recorder = this.#recorder();
    const details = { digest, revision, sequence, act, ...more.details };
    const blob = act === "submit" && bytes ? { digest, bytes } : undefined;
    const entry = recorder.entry("policy.activate", details, by, blob);
    const since = entry.draft.occurred_at;
    const name = (await this.row(digest))?.name ?? null;
    const states = [
      this.#write(ROW + digest, { digest, revision, sequence, entrypoints, state, since, name }),
      ...(more.also ?? []).map((row) => this.#write(ROW + row.digest, { ...row, since })),
      ...(more.forget === undefined ? [] : [this.#write(activeKey(more.forget), null)]),
    ];
    return recorder.append({ ...entry, states });
  }

  #write(key: string, value: object | null): StateWrite {
    const { tenantId } = THE_NODE;
    return { kind: KIND, tenant_id: tenantId, key, value: value === null ? null : JSON.stringify(value) };
  }

  async #within(prefix: string): Promise<{ key: string; value: string }[]> {
    return this.#store.within(KIND, THE_NODE.tenantId, prefix);
  }
}

interface ActivationRecord {
  /** See {@link Activated}. */
  readonly over?: string | null | undefined;
  /** What was active. */
  readonly before?: PolicyRow | undefined;
  /** Another node has activated it: this one's stream says that it decides here, too. */
  readonly followed?: boolean | undefined;
  readonly by?: ActedBy | undefined;
  readonly details?: object | undefined;
}
