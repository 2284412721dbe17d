// The policy that decides: chosen when the node starts, put on record, and kept at hand.
import type { Recorder } from "../evidence/ledger/recorder.ts";
import { DEFAULT_LIMITS } from "../policy/evaluator.ts";
import type { BundleKeys, LoadOptions, Policy } from "../policy/policy.ts";
import type { StoreReader } from "../store/store.ts";
import { choosePolicy, type Chosen } from "./choose.ts";

/** Where a bundle comes from, and whose signature makes it acceptable. */
export interface BundleSource {
  readonly bytes: () => Uint8Array;
  readonly keys: BundleKeys;
  readonly keyId?: string | undefined;
  readonly scope?: string | undefined;
}

/** Which policy decides, and when its source last confirmed it (null: it has no remote source, so no age). */
export interface ActivePolicy {
  readonly policy: Policy | null;
  readonly confirmedAtMs: number | null;
}

export class Policies {
  readonly #store: StoreReader;
  readonly #recorder: () => Recorder;
  #active: ActivePolicy = { policy: null, confirmedAtMs: null };
  #problem: string | undefined = "no policy was loaded yet";

  constructor(store: StoreReader, recorder: () => Recorder) {
    this.#store = store;
    this.#recorder = recorder;
  }

  get active(): ActivePolicy {
    return this.#active;
  }

  /** Why none is active; undefined where one is. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /**
   * Takes the bundle of a source, unless it cannot be trusted or is older than the one before. Nothing is on record yet.
   * @param evaluationMsMax longest evaluation (POL-03).
   */
  async choose({ bytes, keys, keyId, scope }: BundleSource, evaluationMsMax: number | undefined): Promise<Chosen> {
    const limits = { ...DEFAULT_LIMITS, ...(evaluationMsMax !== undefined && { evaluationMsMax }) };
    const options: LoadOptions = {
      keys,
      limits,
      ...(keyId !== undefined && { keyId }),
      ...(scope !== undefined && { scope }),
    };
    const last = this.#recorder().lastActivated();
    const chosen = await choosePolicy(bytes, options, last, (digest) => this.#store.artifact(digest));
    this.#active = { policy: chosen.policy, confirmedAtMs: null };
    this.#problem = chosen.policy ? undefined : chosen.rejected?.message;
    return chosen;
  }

  /** Puts a choice on record. @throws EvidenceUnavailableError */
  async record({ policy, rejected }: Chosen): Promise<void> {
    if (rejected) await this.#recorder().recordRejection({ reason: rejected.reason, problem: rejected.message });
    if (policy) await this.#recorder().recordActivation(policy);
  }
}
