// What operators do with policies: submit, activate, shadow, deprecate; each on record under their name.
import { BundleError, NotFoundError, PolicyRefusedError } from "../core/errors.ts";
import type { PolicyItem, ShadowFigures, TrialReport } from "../core/schema/policies.ts";
import { timeMs } from "../core/time.ts";
import type { Receipt } from "../evidence/ledger/entry.ts";
import { THE_NODE, type ActedBy } from "../evidence/ledger/recorder.ts";
import { bundleDigest, type Policy } from "../policy/policy.ts";
import type { OverrideCheck, Override } from "../trust/override.ts";
import type { Policies } from "./activate.ts";
import { asBundleError } from "./choose.ts";
import type { PolicyRecords, PolicyRow } from "./records.ts";
import type { Shadows } from "./shadow.ts";
import type { Slot } from "./slot.ts";
import { whyRefused, type PolicyTrial } from "./trial.ts";

export interface Activation {
  readonly policy: PolicyItem;
  readonly receipt: Receipt;
  readonly report: TrialReport;
}

export interface Acted {
  readonly policy: PolicyItem;
  readonly receipt: Receipt;
}

export interface RegistryParts {
  readonly policies: Policies;
  readonly shadows: Shadows;
  readonly trial: PolicyTrial;
  readonly override: OverrideCheck;
  readonly now: () => number;
}

export class Registry {
  readonly #parts: RegistryParts;

  constructor(parts: RegistryParts) {
    this.#parts = parts;
  }

  /** Newest first; what decides is among them, submitted or not. */
  async list(): Promise<PolicyItem[]> {
    const { policies } = this.#parts;
    const rows = new Map((await this.#records.rows()).map((row) => [row.digest, row]));
    for (const { policy, name } of policies.bundles())
      if (rows.get(policy.digest)?.state !== "active") rows.set(policy.digest, unlisted(policy, name));
    return [...rows.values()].map(itemOf).sort((a, b) => ((a.since ?? "") < (b.since ?? "") ? 1 : -1));
  }

  /**
   * Verifies a bundle and keeps it, not active.
   * @returns `created` false: it was there already.
   * @throws BundleError it cannot be trusted or used; on record under the operator's name.
   */
  submit(bytes: Uint8Array, actor: string): Promise<{ policy: PolicyItem; created: boolean }> {
    const { policies } = this.#parts;
    return policies.alone(async () => {
      const digest = bundleDigest(bytes);
      const known = await this.#records.row(digest);
      if (known) return { policy: itemOf(known), created: false };
      const by = byOperator(actor);
      const policy = await this.#loadAnywhere(bytes).catch(async (error: unknown) => {
        const refused = asBundleError(error);
        await this.#records.rejected(refused, null, by);
        throw refused;
      });
      await this.#records.acted("submit", policy, "submitted", by);
      return { policy: await this.#item(digest), created: true };
    });
  }

  /**
   * Lets a policy decide.
   * @param force an authority's override, a compact JWS: lets it decide though it is older, deprecated, or fails its trial.
   * @throws PolicyRefusedError it is; with the report.
   */
  activate(digest: string, actor: string, force?: string): Promise<Activation> {
    const { policies } = this.#parts;
    return policies.alone(async () => {
      const row = await this.#known(digest);
      const { policy, slot } = await this.#placed(digest);
      const report = await this.#parts.trial(policy, slot.policy);
      const reasons = [
        ...(row.state === "deprecated" ? ["it was deprecated"] : []),
        ...(policies.isOlder(slot, policy) ? ["it is older than the one that is active"] : []),
        ...(report.passes ? [] : [whyRefused(report)]),
      ];
      const forced = reasons.length > 0 ? await this.#forced(digest, reasons, report, force) : undefined;
      const details = { act: "activate", ...(forced && { forced: { ...forced, against: reasons.length } }) };
      const offered = slot.over === undefined ? (slot.policy?.digest ?? null) : slot.over;
      this.#parts.shadows.forget(digest);
      const receipt = await policies.put(slot, policy, {
        by: byOperator(actor),
        details,
        over: offered === digest ? undefined : offered,
      });
      return { policy: await this.#item(digest), receipt, report };
    });
  }

  /** Lets a policy decide beside the active one, or no longer; nothing else changes. @throws PolicyRefusedError */
  shadow(digest: string, actor: string, stop = false): Promise<Acted> {
    const { policies, shadows } = this.#parts;
    return policies.alone(async () => {
      const row = await this.#known(digest);
      if (row.state === "active" || row.state === "deprecated")
        throw new PolicyRefusedError(`the policy is ${row.state}, so it does not decide beside the active one`, null);
      const { policy } = await this.#placed(digest);
      const also = (await this.#records.rows())
        .filter((other) => other.state === "shadow" && other.digest !== digest)
        .map((other) => ({ ...other, state: "submitted" as const }));
      const state = stop ? "submitted" : "shadow";
      const receipt = await this.#records.acted("shadow", policy, state, byOperator(actor), {
        also: stop ? [] : also,
        details: stop ? { stopped: true } : {},
      });
      if (!stop) shadows.begin(policy);
      else shadows.forget(digest);
      return { policy: await this.#item(digest), receipt };
    });
  }

  /** Keeps a policy from deciding again. @throws PolicyRefusedError it decides now. */
  deprecate(digest: string, actor: string): Promise<Acted> {
    const { policies, shadows } = this.#parts;
    return policies.alone(async () => {
      const row = await this.#known(digest);
      if (policies.slots.all.some(({ policy, source }) => policy?.digest === digest && source !== null))
        throw new PolicyRefusedError("the policy decides now; activate another one first", null);
      let forget: { readonly name: string | null } | undefined;
      for (const { name, source } of policies.slots.all)
        if (source === null && (await this.#records.lastActivated(name))?.digest === digest) forget ??= { name };
      const receipt = await this.#records.acted("deprecate", row, "deprecated", byOperator(actor), {
        ...(forget && { forget: forget.name }),
      });
      shadows.forget(digest);
      return { policy: await this.#item(digest), receipt };
    });
  }

  /** What came of deciding beside the active policy. @throws NotFoundError `policy_unknown`: none of that digest does. */
  differences(digest: string): ShadowFigures {
    const figures = this.#parts.shadows.figures(digest);
    if (!figures)
      throw new NotFoundError("policy_unknown", `The policy ${digest} does not decide beside the active one.`);
    return figures;
  }

  /** Goes on with what decided beside the active one when the node was last open. */
  async resume(): Promise<void> {
    const row = (await this.#records.rows()).find(({ state }) => state === "shadow");
    if (!row) return;
    await this.#placed(row.digest).then(
      ({ policy }) => this.#parts.shadows.begin(policy),
      () => {},
    );
  }

  get #records(): PolicyRecords {
    return this.#parts.policies.records;
  }

  async #item(digest: string): Promise<PolicyItem> {
    return itemOf((await this.#records.row(digest))!);
  }

  /** @throws NotFoundError `policy_unknown` */
  async #known(digest: string): Promise<PolicyRow> {
    const active = this.#parts.policies.bundles().find(({ policy }) => policy.digest === digest);
    const row = (await this.#records.row(digest)) ?? (active && unlisted(active.policy, active.name));
    if (!row) throw new NotFoundError("policy_unknown", `There is no policy ${digest} here.`);
    return row;
  }

  /** @throws BundleError the terms of no place accept it. */
  async #loadAnywhere(bytes: Uint8Array): Promise<Policy> {
    const { policies } = this.#parts;
    let failure: unknown;
    for (const slot of policies.slots.all)
      try {
        return await policies.load(slot, bytes);
      } catch (error) {
        failure ??= error;
      }
    throw failure;
  }

  /** The policy, loaded on the terms of the place where it belongs. @throws PolicyRefusedError there is none. */
  async #placed(digest: string): Promise<{ policy: Policy; slot: Slot }> {
    const { policies } = this.#parts;
    const bytes = await this.#records.bytes(digest);
    if (!bytes) throw new NotFoundError("policy_unknown", `The bundle of the policy ${digest} is not here any more.`);
    try {
      const slot = policies.slots.placeFor(await this.#loadAnywhere(bytes));
      if (!slot) throw new BundleError("roots", "its roots lie in no one bundle's place");
      const policy = await policies.load(slot, bytes);
      policies.slots.checkRoots(slot, policy);
      return { policy, slot };
    } catch (error) {
      throw new PolicyRefusedError(asBundleError(error).message, null);
    }
  }

  /** @throws PolicyRefusedError nobody may say so, or has. */
  async #forced(
    digest: string,
    reasons: readonly string[],
    report: TrialReport,
    force: string | undefined,
  ): Promise<Override> {
    const why = `The policy is refused before it decides: ${reasons.join("; ")}`;
    if (force === undefined) throw new PolicyRefusedError(why, report);
    const override = await this.#parts.override(force, digest, this.#parts.now());
    if ("problem" in override) throw new PolicyRefusedError(`${why}. And ${override.problem}`, report);
    return override;
  }
}

const byOperator = (actor: string): ActedBy => ({ tenantId: THE_NODE.tenantId, actor });

const itemOf = ({ name, ...row }: PolicyRow): PolicyItem => ({
  ...row,
  since: row.since === NEVER ? null : row.since,
  entrypoints: [...row.entrypoints],
  bundle: name,
  order: orderOf(row),
});

/** What decides since before there was a registry. */
const NEVER = new Date(0).toISOString();

function orderOf({ sequence, revision }: Pick<PolicyRow, "sequence" | "revision">): PolicyItem["order"] {
  if (sequence !== null) return "sequence";
  return timeMs(revision) === undefined ? "none" : "revision";
}

const unlisted = ({ digest, revision, sequence, entrypoints }: Policy, name: string | null): PolicyRow => ({
  digest,
  revision,
  sequence,
  entrypoints,
  state: "active",
  since: NEVER,
  name,
});
