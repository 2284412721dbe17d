// The policies that decide: those a node starts with, those that replace them, each on record and kept at hand.
import { BundleError } from "../core/errors.ts";
import type { ActedBy, Recorder } from "../evidence/ledger/recorder.ts";
import { DEFAULT_LIMITS, type EvaluationLimits } from "../policy/evaluator.ts";
import { bundleDigest, type Policy } from "../policy/policy.ts";
import type { StoreReader } from "../store/store.ts";
import {
  asBundleError,
  covers,
  isOlder,
  loadUnder,
  overlap,
  rollback,
  type Activated,
  type BundleTerms,
  type SettingsSource,
} from "./choose.ts";
import type { Confirmations } from "./confirmations.ts";
import { PolicyRecords } from "./records.ts";
import { Slot, type ActiveBundle, type SourceFigures } from "./slot.ts";
import { isPolled, type BundleSource, type ConfiguredSource } from "./source.ts";

/** What the law is asked for; where it is answered, admissions are. */
const LAW = "railgate/admission/decision";

/** Which policy decides, and when its source last confirmed it (null: it has no remote source, so no age). */
export interface ActivePolicy {
  readonly policy: Policy | null;
  readonly confirmedAtMs: number | null;
}

const NONE: ActivePolicy = { policy: null, confirmedAtMs: null };

/** What came of offering a bundle. `unchanged`: it is what decides already. */
export type Offered =
  | { readonly outcome: "activated" | "unchanged" }
  | { readonly outcome: "rejected"; readonly error: BundleError };

export interface PoliciesParts {
  readonly store: StoreReader;
  readonly recorder: () => Recorder;
  readonly now: () => number;
  /** Longest evaluation, in milliseconds (POL-03). */
  readonly evaluationMsMax: number | undefined;
  /** Laid over the policies' own. */
  readonly settings?: SettingsSource | undefined;
  /** Of sources that are asked again and again. */
  readonly confirmations: Confirmations;
  /** Told of a bundle that was offered and not taken. */
  readonly rejected: (problem: string) => void;
}

export class Policies {
  readonly #parts: PoliciesParts;
  readonly #records: PolicyRecords;
  readonly #limits: EvaluationLimits;
  #slots: readonly Slot[] = [];
  #law: ActivePolicy = NONE;
  /** One change at a time. */
  #changing: Promise<unknown> = Promise.resolve();
  /** Takes back a change that is linked and not durable yet. */
  #undo: (() => void) | undefined;

  constructor(parts: PoliciesParts) {
    this.#parts = parts;
    this.#records = new PolicyRecords(parts.store, parts.recorder);
    const { evaluationMsMax } = parts;
    this.#limits = { ...DEFAULT_LIMITS, ...(evaluationMsMax !== undefined && { evaluationMsMax }) };
  }

  /** The law: what admissions, lifecycles and meshes are decided by. */
  get active(): ActivePolicy {
    return this.#law;
  }

  /** Why nothing would be admitted, or which bundle is missing; undefined where all is well. */
  get problem(): string | undefined {
    return this.#slots.length === 0 ? "no policy was loaded yet" : this.#slots.find(({ problem }) => problem)?.problem;
  }

  /**
   * Which active bundle answers a path of `data`: the one whose roots cover it. No two bundles' do.
   * @param path with no slash around it, e.g. `authz/allow`.
   */
  find(path: string): ActiveBundle | undefined {
    return this.#slots.find(({ policy }) => policy?.roots.some((root) => covers(root, path)))?.active;
  }

  /** All that are active, in the order of their settings. */
  bundles(): ActiveBundle[] {
    return this.#slots.flatMap(({ active }) => active ?? []);
  }

  /** Loads what a node starts with: what its sources offer, or what decided last. Nothing is on record yet. */
  async open(sources: readonly (ConfiguredSource | BundleSource)[]): Promise<void> {
    const named = sources.map((source) => new Slot(source.name ?? null, source, source));
    for (const slot of named) await this.#open(slot, named);
    this.#slots = named;
    this.#settle();
  }

  /** Puts on record what `open` chose and refused. @throws EvidenceUnavailableError */
  async record(): Promise<void> {
    for (const slot of this.#slots) {
      if (slot.rejected) await this.#recordRejection(slot, slot.rejected);
      const { policy, name } = slot;
      const last = this.#records.lastActivated(name);
      if (policy && (last?.digest !== policy.digest || last.settings !== policy.settings?.digest))
        await this.#records.activated(policy, name, last?.digest === policy.digest ? { over: slot.over } : {});
    }
  }

  /**
   * Takes new bytes of a bundle for its policy, unless they cannot be trusted or are older. Decisions go on meanwhile; all
   * that are linked before the activation are by the policy before, all behind it by this one.
   * @param name as under `bundles`; null: the one that comes with Railgate, or a host's own.
   * @param etag what a remote source calls it.
   * @throws EvidenceUnavailableError the change could not be put on record, and did not happen.
   */
  offer(name: string | null, bytes: () => Uint8Array, etag?: string): Promise<Offered> {
    return this.#alone(async () => {
      const slot = this.#slot(name);
      let loaded: Policy | undefined;
      try {
        loaded = await this.#offered(slot, bytes());
        if (loaded === undefined) return { outcome: this.#confirm(slot, etag) };
      } catch (error) {
        return { outcome: "rejected", error: await this.#reject(slot, asBundleError(error)) };
      }
      slot.rejected = undefined;
      await this.#activate(slot, loaded);
      this.#confirm(slot, etag);
      return { outcome: "activated" };
    });
  }

  /** Its source says that what decides is still what it offers. */
  confirmed(name: string, etag: string): void {
    this.#confirm(this.#slot(name), etag);
  }

  /** What a remote source calls what decides; undefined where it is not what that offered, or has no name there. */
  etag(name: string): string | undefined {
    const { policy } = this.#slot(name);
    return this.#parts.confirmations.get(name, policy?.digest)?.etag ?? undefined;
  }

  /** Notes how asking a remote source goes. */
  polled(name: string, figures: SourceFigures): void {
    const slot = this.#slot(name);
    slot.figures = { ...slot.figures, ...figures };
  }

  /** What was linked will never be durable: a change that was, did not happen. */
  reset(): void {
    this.#undo?.();
  }

  #slot(name: string | null): Slot {
    const slot = this.#slots.find((each) => each.name === name);
    if (!slot) throw new Error(`there is no bundle ${name}`);
    return slot;
  }

  /** What an operator chose over what the source offers, that does not confirm. */
  #confirm(slot: Slot, etag: string | undefined): "unchanged" {
    const { polled, policy } = slot;
    if (!polled || !policy || slot.over !== undefined) return "unchanged";
    const at_ms = this.#parts.now();
    this.#parts.confirmations.set(polled.name, { digest: policy.digest, etag: etag ?? null, at_ms });
    slot.confirmedAtMs = at_ms;
    slot.rejected = undefined;
    slot.recorded = undefined;
    this.#settle();
    return "unchanged";
  }

  /** Waits for what is under way. */
  async close(): Promise<void> {
    await this.#changing;
    await this.#parts.confirmations.written();
  }

  async #open(slot: Slot, all: readonly Slot[]): Promise<void> {
    const last = await this.#lastOf(slot);
    slot.over = last?.over;
    const { source } = slot;
    if (source === null || isPolled(source) || last?.over !== undefined) {
      if (last) await this.#openKept(slot, last, all);
      return;
    }
    try {
      const offered = await loadUnder(source.bytes(), slot.terms, this.#limits, this.#parts.settings);
      if (!last || !isOlder(offered, last)) {
        this.#checkRoots(slot, offered, all);
        slot.policy = offered;
        return;
      }
      await this.#openKept(slot, last, all);
      const kept = slot.rejected as BundleError | undefined;
      const what = kept ? `but that one can no longer be used: ${kept.message}` : "which stays";
      slot.rejected = rollback(offered, last, what);
    } catch (error) {
      slot.rejected = asBundleError(error);
    }
  }

  /** Under its own name; or as one that had none yet, where its signers are the same, so that they count alike. */
  async #lastOf({ name, terms }: Slot): Promise<Activated | undefined> {
    const own = this.#records.lastActivated(name);
    if (own || name === null) return own;
    const unnamed = this.#records.lastActivated(null);
    const bytes = unnamed && this.#records.bytes(unnamed.digest);
    return bytes && (await this.#isSoundUnder(bytes, terms)) ? unnamed : undefined;
  }

  async #isSoundUnder(bytes: Uint8Array, terms: BundleTerms): Promise<boolean> {
    return loadUnder(bytes, terms, this.#limits, this.#parts.settings).then(
      () => true,
      () => false,
    );
  }

  /** The last good one, as it lies in the store: no network is needed for it. */
  async #openKept(slot: Slot, { digest }: Activated, all: readonly Slot[]): Promise<void> {
    try {
      const bytes = this.#records.bytes(digest);
      if (!bytes) throw new BundleError("archive", `the bundle ${digest} that was active is not in the store`);
      const kept = await loadUnder(bytes, slot.terms, this.#limits, this.#parts.settings);
      this.#checkRoots(slot, kept, all);
      slot.policy = kept;
      if (slot.polled) slot.confirmedAtMs = this.#confirmedMs(slot.polled.name, digest);
    } catch (error) {
      slot.rejected = asBundleError(error);
    }
  }

  /** Where that is not known any more, as old as its activation. */
  #confirmedMs(name: string, digest: string): number {
    const since = this.#records.row(digest)?.since;
    return this.#parts.confirmations.get(name, digest)?.at_ms ?? (since === undefined ? 0 : Date.parse(since));
  }

  /** @returns undefined: it is what decides already, or what an operator chose another over. @throws BundleError */
  async #offered(slot: Slot, bytes: Uint8Array): Promise<Policy | undefined> {
    const digest = bundleDigest(bytes);
    if (digest === slot.policy?.digest || digest === slot.over) return undefined;
    const policy = await loadUnder(bytes, slot.terms, this.#limits, this.#parts.settings);
    const last = slot.policy ?? this.#records.lastActivated(slot.name);
    if (last && isOlder(policy, last)) throw rollback(policy, last, slot.policy ? "which stays" : "and is not taken");
    this.#checkRoots(slot, policy, this.#slots);
    return policy;
  }

  /** @throws BundleError another active bundle is about the same. */
  #checkRoots(slot: Slot, { roots }: Policy, all: readonly Slot[]): void {
    for (const other of all) {
      if (other === slot || !other.policy) continue;
      const both = other.policy.roots.find((root) => roots.some((own) => overlap(own, root)));
      if (both !== undefined)
        throw new BundleError(
          "roots",
          `its roots overlap with those of the bundle ${other.name ?? ""}: ${both || "all"}`,
        );
    }
  }

  async #activate(slot: Slot, policy: Policy, by?: ActedBy): Promise<void> {
    const before = { policy: slot.policy, confirmedAtMs: slot.confirmedAtMs, over: slot.over };
    const undo = () => {
      Object.assign(slot, before);
      this.#settle();
      this.#undo = undefined;
    };
    this.#undo = undo;
    Object.assign(slot, {
      policy,
      confirmedAtMs: slot.polled ? this.#parts.now() : null,
      over: undefined,
    });
    this.#settle();
    try {
      await this.#records.activated(policy, slot.name, { before: before.policy?.digest, by });
      this.#undo = undefined;
    } catch (error) {
      if (this.#undo === undo) undo();
      throw error;
    }
  }

  async #reject(slot: Slot, error: BundleError): Promise<BundleError> {
    slot.rejected = error;
    await this.#recordRejection(slot, error);
    return error;
  }

  /** Once, until the reason changes. */
  async #recordRejection(slot: Slot, error: BundleError): Promise<void> {
    const what = `${error.reason}: ${error.message}`;
    if (slot.recorded === what) return;
    this.#parts.rejected(error.message);
    await this.#records.rejected(error, slot.name);
    slot.recorded = what;
  }

  /** The law is the bundle about it; or the only one there is, whatever it is about. */
  #settle(): void {
    const law = this.find(LAW) ?? (this.#slots.length === 1 ? this.#slots[0]!.active : undefined);
    this.#law = law ?? NONE;
  }

  #alone<T>(change: () => Promise<T>): Promise<T> {
    const done = this.#changing.then(change, change);
    this.#changing = done.catch(() => {});
    return done;
  }
}
