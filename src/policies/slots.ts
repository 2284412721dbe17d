// The bundles of a node beside each other: which answers what, and that no two are about the same.
import { BundleError } from "../core/errors.ts";
import type { Policy } from "../policy/policy.ts";
import { covers, overlap } from "./choose.ts";
import type { ActiveBundle, Slot } from "./slot.ts";

/** What the law is asked for; where it is answered, admissions are. */
const LAW = "railgate/admission/decision";

/** Which policy decides, and when its source last confirmed it (null: it has no remote source, so no age). */
export interface ActivePolicy {
  readonly policy: Policy | null;
  readonly confirmedAtMs: number | null;
}

const NONE: ActivePolicy = { policy: null, confirmedAtMs: null };

export class Slots {
  /** In the order of the settings. */
  all: readonly Slot[] = [];
  #law: ActivePolicy = NONE;

  get law(): ActivePolicy {
    return this.#law;
  }

  /** Why nothing decides in a place, where its bundle could, with other settings. */
  get settingsFault(): BundleError | undefined {
    return this.all.find(({ policy, rejected }) => policy === null && rejected?.reason === "settings")?.rejected;
  }

  /** @throws Error there is none of that name: callers know the names. */
  named(name: string | null): Slot {
    const slot = this.all.find((each) => each.name === name);
    if (!slot) throw new Error(`there is no bundle ${name}`);
    return slot;
  }

  find(path: string): ActiveBundle | undefined {
    return this.all.find(({ policy }) => policy?.roots.some((root) => covers(root, path)))?.active;
  }

  /** Says anew which is the law: the bundle about it; or the only one there is, whatever it is about. To be called after each change. */
  settle(): void {
    const law = this.find(LAW) ?? (this.all.length === 1 ? this.all[0]!.active : undefined);
    this.#law = law ?? NONE;
  }

  /** @throws BundleError another active bundle is about the same. */
  checkRoots(slot: Slot, { roots }: Policy): void {
    for (const other of this.all) {
      if (other === slot || !other.policy) continue;
      const both = other.policy.roots.find((root) => roots.some((own) => overlap(own, root)));
      if (both !== undefined)
        throw new BundleError(
          "roots",
          `its roots overlap with those of the bundle ${other.name ?? ""}: ${both || "all"}`,
        );
    }
  }

  /** Where a policy belongs that nobody named a place for: among what it is about, else the only place that is free. */
  placeFor({ roots }: Policy): Slot | undefined {
    const about = this.all.filter(({ policy }) =>
      policy?.roots.some((root) => roots.some((own) => overlap(own, root))),
    );
    const free = about.length > 0 ? about : this.all.length === 1 ? this.all : this.all.filter(({ policy }) => !policy);
    return free.length === 1 ? free[0] : undefined;
  }
}
