// What decides, on a thread that is told of it: policies loaded from the very bytes that the main thread has verified, in the same places.
import { Slot, type ActiveBundle } from "../../policies/slot.ts";
import { Slots, type ActivePolicy } from "../../policies/slots.ts";
import { loadUnder } from "../../policies/choose.ts";
import type { EvaluationLimits } from "../../policy/evaluator.ts";
import type { Policy } from "../../policy/policy.ts";
import type { PolicyCopy, SlotCopy } from "./messages.ts";

export class PolicyCopies {
  readonly #limits: EvaluationLimits;
  #slots = new Slots();
  /** Loaded already, by digests. */
  #loaded = new Map<string, Policy>();
  /** Which change of them decides; see {@link ToThread}. */
  #change = -1;
  #told = -1;
  #changing: Promise<void> | undefined;
  readonly #failed: (error: Error) => void;

  /** @param failed what was told cannot be loaded: the thread must not go on. */
  constructor(limits: EvaluationLimits, failed: (error: Error) => void) {
    this.#limits = limits;
    this.#failed = failed;
  }

  get change(): number {
    return this.#change;
  }

  /** Until what decides from now on is loaded; undefined: it is. */
  get changing(): Promise<void> | undefined {
    return this.#changing;
  }

  get active(): ActivePolicy {
    return this.#slots.law;
  }

  find(path: string): ActiveBundle | undefined {
    return this.#slots.find(path);
  }

  bundles(): ActiveBundle[] {
    return this.#slots.all.flatMap(({ active }) => active ?? []);
  }

  /** Nothing is decided any more until these decide. */
  told(change: number, slots: readonly SlotCopy[]): void {
    this.#told = change;
    const before = this.#changing ?? Promise.resolve();
    const changing = before
      .then(() => (change === this.#told ? this.#take(change, slots) : undefined))
      .catch((error: Error) => this.#failed(error))
      .then(() => {
        if (this.#changing === changing) this.#changing = undefined;
      });
    this.#changing = changing;
  }

  /** @param confirmed of each place, when its source last confirmed what decides there. */
  confirmed(confirmed: readonly (number | null)[]): void {
    this.#slots.all.forEach((slot, i) => (slot.confirmedAtMs = confirmed[i] ?? null));
    this.#slots.settle();
  }

  async #take(change: number, copies: readonly SlotCopy[]): Promise<void> {
    const loaded = new Map<string, Policy>();
    const slots = new Slots();
    slots.all = await Promise.all(
      copies.map(async ({ name, policy, confirmedAtMs }) => {
        const slot = new Slot(name, null, policy?.terms ?? { keys: {} });
        if (policy) loaded.set(nameOf(policy), (slot.policy = await this.#load(policy)));
        slot.confirmedAtMs = confirmedAtMs;
        return slot;
      }),
    );
    slots.settle();
    [this.#slots, this.#loaded, this.#change] = [slots, loaded, change];
  }

  /** @throws Error it is not what decides on the main thread. */
  async #load(copy: PolicyCopy): Promise<Policy> {
    const { bytes, terms, settings, digest } = copy;
    const known = this.#loaded.get(nameOf(copy));
    if (known) return known;
    const source = settings === null ? undefined : { bytes: () => settings.bytes, keys: settings.keys };
    const policy = await loadUnder(bytes, terms, this.#limits, source);
    if (policy.digest !== digest || policy.settings?.digest !== settings?.digest)
      throw new Error(`the policy ${digest} was loaded as ${policy.digest}`);
    return policy;
  }
}

const nameOf = ({ digest, settings }: PolicyCopy): string => `${digest} ${settings?.digest ?? ""}`;
