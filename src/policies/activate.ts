// The policies that decide: those a node starts with, those that replace them, each on record and kept at hand.
import { BundleError } from "../core/errors.ts";
import type { Receipt } from "../evidence/ledger/entry.ts";
import type { ActedBy, Recorder } from "../evidence/ledger/recorder.ts";
import type { EvaluationLimits } from "../policy/evaluator.ts";
import { bundleDigest, type BundleKeys, type Policy } from "../policy/policy.ts";
import type { StoreReader } from "../store/store.ts";
import {
  asBundleError,
  isOlder,
  lacks,
  twins,
  loadUnder,
  rollback,
  type Activated,
  type BundleTerms,
  type SettingsSource,
} from "./choose.ts";
import type { Confirmations } from "./confirmations.ts";
import { evaluationLimits } from "./limits.ts";
import { PolicyRecords } from "./records.ts";
import { Slot, type ActiveBundle, type SourceFigures } from "./slot.ts";
import { Slots, type ActivePolicy } from "./slots.ts";
import { isPolled, type BundleSource, type ConfiguredSource } from "./source.ts";
import { whyRefused, type PolicyTrial } from "./trial.ts";

export type { ActivePolicy } from "./slots.ts";

/** What came of offering a bundle. `unchanged`: it is what decides already, or what an operator chose another over. */
export type Offered =
  | { readonly outcome: "activated" | "unchanged" }
  | { readonly outcome: "rejected"; readonly error: BundleError };

export interface PoliciesParts {
  readonly store: StoreReader;
  /** Where other nodes use the store as well: the stream that this one's activations are on record in. */
  readonly shared?: { readonly chainId: string } | undefined;
  readonly recorder: () => Recorder;
  readonly now: () => number;
  /** Longest evaluation, in milliseconds (POL-03). */
  readonly evaluationMsMax: number | undefined;
  /** Laid over the policies' own. */
  readonly settings?: SettingsSource | undefined;
  /** Keys that may sign what operators submit, beside those of each bundle's own terms. */
  readonly keys?: BundleKeys | undefined;
  /** Of sources that are asked again and again. */
  readonly confirmations: Confirmations;
  readonly trial: PolicyTrial;
  /** Told of a bundle that was offered and not taken. */
  readonly rejected: (problem: string) => void;
  /** Told of a bundle that was taken and should be better. */
  readonly warned: (problem: string) => void;
}

/** How a change is put on record. */
export interface PutOptions {
  readonly by?: ActedBy | undefined;
  readonly details?: object | undefined;
  /** See {@link Activated}. */
  readonly over?: string | null | undefined;
  /** Another node of the same store has activated it. */
  readonly followed?: boolean | undefined;
}

export class Policies {
  readonly slots = new Slots();
  readonly records: PolicyRecords;
  readonly #parts: PoliciesParts;
  readonly #limits: EvaluationLimits;
  /** On which operators may submit beside what comes with Railgate. */
  readonly #submitted: BundleTerms | undefined;
  /** Of each policy that was loaded, on which terms: order counts among those of the same. */
  readonly #termsOf = new WeakMap<Policy, BundleTerms>();
  /** One change at a time. */
  #changing: Promise<unknown> = Promise.resolve();
  /** Takes back a change that is linked and not durable yet. */
  #undo: (() => void) | undefined;
  readonly #listeners = new Set<() => void>();
  #changes = 0;

  constructor(parts: PoliciesParts) {
    this.#parts = parts;
    this.records = new PolicyRecords(parts.store, parts.recorder);
    const { evaluationMsMax, keys } = parts;
    this.#submitted = keys && { keys };
    this.#limits = evaluationLimits(evaluationMsMax);
  }

  /** The law: what admissions, lifecycles and meshes are decided by. */
  get active(): ActivePolicy {
    return this.slots.law;
  }

  /** How often other policies have come to decide. */
  get changes(): number {
    return this.#changes;
  }

  /** Why nothing would be admitted, or which bundle is missing; undefined where all is well. */
  get problem(): string | undefined {
    const { all } = this.slots;
    return all.length === 0 ? "no policy was loaded yet" : all.find(({ problem }) => problem)?.problem;
  }

  /**
   * Which active bundle answers a path of `data`: the one whose roots cover it. No two bundles' do.
   * @param path with no slash around it, e.g. `authz/allow`.
   */
  find(path: string): ActiveBundle | undefined {
    return this.slots.find(path);
  }

  /** All that are active, in the order of their settings. */
  bundles(): ActiveBundle[] {
    return this.slots.all.flatMap(({ active }) => active ?? []);
  }

  /**
   * Loads what a node starts with: what its sources offer, or what decided last. Nothing is on record yet.
   * @param shipped the source is the bundle that comes with Railgate: it decides only where no other was ever named.
   */
  async open(sources: readonly (ConfiguredSource | BundleSource)[], shipped: boolean): Promise<void> {
    const unnamed = shipped ? await this.records.names() : [];
    const { keys = {} } = this.#parts;
    this.slots.all =
      unnamed.length > 0
        ? unnamed.map((name) => new Slot(name, null, { keys }))
        : sources.map((source) => new Slot(source.name ?? null, source, source));
    for (const slot of this.slots.all) {
      await this.#open(slot);
      this.#warn(slot.policy && lacks(slot.policy));
    }
    this.slots.settle();
  }

  /** Puts on record what `open` chose and refused. @throws EvidenceUnavailableError */
  async record(): Promise<void> {
    const { shared } = this.#parts;
    for (const slot of this.slots.all) {
      if (slot.rejected) await this.#recordRejection(slot, slot.rejected);
      const { policy, name } = slot;
      if (policy) slot.figures = { ...slot.figures, activatedMs: this.#parts.now() };
      const last = await this.records.lastActivated(name);
      if (policy && (last?.digest !== policy.digest || last.settings !== policy.settings?.digest))
        await this.records.activated(policy, name, last?.digest === policy.digest ? { over: slot.over } : {});
      else if (policy && shared && !(await this.records.isRecordedIn(shared.chainId, policy.digest)))
        await this.records.activated(policy, name, { followed: true });
    }
  }

  /**
   * Takes new bytes of a bundle for its policy, unless they cannot be trusted, are older, or fail their trial. Decisions go on
   * meanwhile; all that are linked before the activation are by the policy before, all behind it by this one.
   * @param name as under `bundles`; null: the one that comes with Railgate, or a host's own.
   * @param etag what a remote source calls it.
   * @throws EvidenceUnavailableError the change could not be put on record, and did not happen.
   */
  offer(name: string | null, bytes: () => Uint8Array, etag?: string): Promise<Offered> {
    return this.alone(async () => {
      const slot = this.slots.named(name);
      let loaded: Policy | undefined;
      try {
        loaded = await this.#offered(slot, bytes());
        if (loaded === undefined) return { outcome: this.#confirm(slot, etag) };
        await this.#try(loaded, slot);
      } catch (error) {
        const rejected = asBundleError(error);
        slot.rejected = rejected;
        await this.#recordRejection(slot, rejected);
        return { outcome: "rejected", error: rejected };
      }
      await this.put(slot, loaded);
      this.#confirm(slot, etag);
      return { outcome: "activated" };
    });
  }

  /**
   * Lets decide here what another node of the same store has activated, on record in this node's stream. What cannot be used
   * here is refused once.
   * @throws EvidenceUnavailableError it did not happen, and is tried the next time.
   */
  follow(): Promise<void> {
    return this.alone(async () => {
      for (const slot of this.slots.all) {
        const last = await this.records.lastActivated(slot.name);
        if (!last || last.digest === slot.policy?.digest || last.digest === slot.unusable) continue;
        let policy: Policy;
        try {
          const bytes = await this.records.bytes(last.digest);
          if (!bytes) continue;
          policy = await this.load(slot, bytes);
          this.slots.checkRoots(slot, policy);
          // Only an operator goes back.
          if (last.over === undefined && this.isOlder(slot, policy))
            throw rollback(policy, slot.policy!, "which stays");
        } catch (error) {
          slot.unusable = last.digest;
          slot.rejected = asBundleError(error);
          await this.#recordRejection(slot, slot.rejected);
          continue;
        }
        await this.put(slot, policy, { over: last.over, followed: true });
      }
    });
  }

  /** Its source says that what decides is still what it offers. */
  confirmed(name: string, etag: string): void {
    this.#confirm(this.slots.named(name), etag);
  }

  /** What a remote source calls what it last offered; undefined where that is not known. */
  etag(name: string): string | undefined {
    const { policy } = this.slots.named(name);
    return this.#parts.confirmations.get(name, policy?.digest)?.etag ?? undefined;
  }

  /** Notes how asking a remote source goes. */
  polled(name: string, figures: SourceFigures): void {
    const slot = this.slots.named(name);
    slot.figures = { ...slot.figures, ...figures };
  }

  /** Calls back after each change of what decides, and again when it is durable. @returns a function that ends it. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** What was linked will never be durable: a change that was, did not happen. */
  reset(): void {
    this.#undo?.();
  }

  /** Waits for what is under way. */
  async close(): Promise<void> {
    await this.#changing;
    await this.#parts.confirmations.written();
  }

  /** Runs one change after the other. */
  alone<T>(change: () => Promise<T>): Promise<T> {
    const done = this.#changing.then(change, change);
    this.#changing = done.catch(() => {});
    return done;
  }

  /** @throws BundleError none of the terms of its place accepts it. */
  async load(slot: Slot, bytes: Uint8Array): Promise<Policy> {
    const terms = slot.name === null && this.#submitted ? [slot.terms, this.#submitted] : [slot.terms];
    let failure: unknown;
    for (const each of terms)
      try {
        const policy = await loadUnder(bytes, each, this.#limits, this.#parts.settings);
        this.#termsOf.set(policy, each);
        return policy;
      } catch (error) {
        failure ??= error;
      }
    throw failure;
  }

  /** On which terms a policy was loaded. */
  termsOf(policy: Policy): BundleTerms | undefined {
    return this.#termsOf.get(policy);
  }

  /** Who may have signed the settings that are laid over policies. */
  get settingsKeys(): BundleKeys {
    return this.#parts.settings?.keys ?? {};
  }

  /** Whether it is older than what is active there; of what others have signed nobody can tell. */
  isOlder(slot: Slot, policy: Policy): boolean {
    const active = slot.policy;
    return active !== null && this.#termsOf.get(active) === this.#termsOf.get(policy) && isOlder(policy, active);
  }

  /**
   * Lets a policy decide in place of another: from the very moment that it is linked, and on record.
   * @returns when that is durable. @throws EvidenceUnavailableError it did not happen.
   */
  async put(slot: Slot, policy: Policy, { by, details, over, followed }: PutOptions = {}): Promise<Receipt> {
    const before = slot.policy === null ? undefined : await this.records.row(slot.policy.digest);
    const { policy: replaced, confirmedAtMs, over: overBefore } = slot;
    const undo = () => {
      Object.assign(slot, { policy: replaced, confirmedAtMs, over: overBefore });
      this.#changed();
      this.#undo = undefined;
    };
    this.#undo = undo;
    this.#warn(lacks(policy));
    Object.assign(slot, { policy, confirmedAtMs: slot.polled ? this.#parts.now() : null, over });
    this.#changed();
    try {
      const receipt = await this.records.activated(policy, slot.name, {
        before,
        by,
        details,
        over,
        followed,
      });
      this.#undo = undefined;
      slot.rejected = undefined;
      slot.figures = { ...slot.figures, activatedMs: this.#parts.now() };
      this.#tell();
      if (over !== undefined && slot.polled) this.#keepEtag(slot.polled.name, replaced, policy);
      return receipt;
    } catch (error) {
      if (this.#undo === undo) undo();
      throw error;
    }
  }

  /** An operator's choice is as old as the choice; what the source calls its own is asked with as before. */
  #keepEtag(name: string, replaced: Policy | null, { digest }: Policy): void {
    const { confirmations, now } = this.#parts;
    const etag = confirmations.get(name, replaced?.digest)?.etag ?? null;
    confirmations.set(name, { digest, etag, at_ms: now() });
  }

  /** What an operator chose over what the source offers, that does not confirm. */
  #confirm(slot: Slot, etag: string | undefined): "unchanged" {
    const { polled, policy } = slot;
    if (!polled || !policy) return "unchanged";
    const { confirmations, now } = this.#parts;
    const chosen = slot.over !== undefined;
    const at_ms = chosen ? (slot.confirmedAtMs ?? 0) : now();
    confirmations.set(polled.name, { digest: policy.digest, etag: etag ?? null, at_ms });
    if (chosen) return "unchanged";
    slot.confirmedAtMs = at_ms;
    slot.rejected = undefined;
    slot.recorded = undefined;
    this.slots.settle();
    return "unchanged";
  }

  async #open(slot: Slot): Promise<void> {
    const last = await this.#lastOf(slot);
    const { source } = slot;
    slot.over = last?.over;
    try {
      if (source === null || isPolled(source)) return await this.#openKept(slot, last);
      // What a host brings itself decides only until an operator has chosen another.
      if (last?.over !== undefined && slot.name === null) return await this.#openKept(slot, last);
      const bytes = source.bytes();
      if (last?.over !== undefined && bundleDigest(bytes) === last.over) return await this.#openKept(slot, last);
      await this.#openOffered(slot, await this.load(slot, bytes), last);
    } catch (error) {
      slot.rejected = asBundleError(error);
    }
  }

  async #openOffered(slot: Slot, offered: Policy, last: Activated | undefined): Promise<void> {
    try {
      if (last && isOlder(offered, last)) throw rollback(offered, last, "which stays");
      this.#warnOfTwins(offered, last);
      this.slots.checkRoots(slot, offered);
      if (slot.name !== null && offered.digest !== last?.digest) await this.#try(offered, slot);
      slot.policy = offered;
      slot.over = undefined;
    } catch (error) {
      const rejected = asBundleError(error);
      await this.#openKept(slot, last).catch((kept: Error) => {
        const what = `but that one can no longer be used: ${kept.message}`;
        throw rejected.reason === "rollback" ? rollback(offered, last!, what) : rejected;
      });
      slot.rejected = rejected;
    }
  }

  /** Under its own name; or as one that had none yet, where its signers are the same, so that they count alike. */
  async #lastOf(slot: Slot): Promise<Activated | undefined> {
    const own = await this.records.lastActivated(slot.name);
    if (own || slot.name === null) return own;
    const unnamed = await this.records.lastActivated(null);
    const bytes = unnamed && (await this.records.bytes(unnamed.digest));
    return bytes &&
      (await this.load(slot, bytes).then(
        () => true,
        () => false,
      ))
      ? unnamed
      : undefined;
  }

  /** The last good one, as it lies in the store: no network is needed for it. @throws BundleError */
  async #openKept(slot: Slot, last: Activated | undefined): Promise<void> {
    if (!last) return;
    const bytes = await this.records.bytes(last.digest);
    if (!bytes) throw new BundleError("archive", `the bundle ${last.digest} that was active is not in the store`);
    const kept = await this.load(slot, bytes).catch((error: Error) => {
      if (slot.source !== null) throw error;
      throw new BundleError(
        "unnamed",
        `the bundle ${slot.name} decided here, and settings name it no more: name it under bundles, or deprecate it to go back to the one that comes with Railgate (${error.message})`,
      );
    });
    this.slots.checkRoots(slot, kept);
    slot.policy = kept;
    if (slot.polled) slot.confirmedAtMs = await this.#confirmedMs(slot.polled.name, last.digest);
  }

  /** Where that is not known any more, as old as its activation. */
  async #confirmedMs(name: string, digest: string): Promise<number> {
    const since = (await this.records.row(digest))?.since;
    return this.#parts.confirmations.get(name, digest)?.at_ms ?? (since === undefined ? 0 : Date.parse(since));
  }

  /** @returns undefined: it is what decides already, or what an operator chose another over. @throws BundleError */
  async #offered(slot: Slot, bytes: Uint8Array): Promise<Policy | undefined> {
    const digest = bundleDigest(bytes);
    if (digest === slot.policy?.digest || digest === slot.over) return undefined;
    if ((await this.records.row(digest))?.state === "deprecated")
      throw new BundleError("deprecated", `the policy ${digest} was deprecated by an operator`);
    const policy = await this.load(slot, bytes);
    const last = slot.policy ?? (await this.records.lastActivated(slot.name));
    if (last && isOlder(policy, last)) throw rollback(policy, last, slot.policy ? "which stays" : "and is not taken");
    this.slots.checkRoots(slot, policy);
    this.#warnOfTwins(policy, last);
    return policy;
  }

  #warnOfTwins(offered: Policy, last: Activated | Policy | undefined): void {
    this.#warn(last && twins(offered, last));
  }

  #warn(warning: string | null | undefined): void {
    if (warning) this.#parts.warned(warning);
  }

  /** @throws BundleError `gate` */
  async #try(candidate: Policy, slot: Slot): Promise<void> {
    const report = await this.#parts.trial(candidate, slot.policy);
    if (!report.passes) throw new BundleError("gate", `the policy is refused before it decides: ${whyRefused(report)}`);
  }

  /** Once, until the reason changes. */
  async #recordRejection(slot: Slot, error: BundleError): Promise<void> {
    const what = `${error.reason}: ${error.message}`;
    if (slot.recorded === what) return;
    this.#parts.rejected(error.message);
    await this.records.rejected(error, slot.name);
    slot.recorded = what;
  }

  #changed(): void {
    this.#changes++;
    this.slots.settle();
    this.#tell();
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}
