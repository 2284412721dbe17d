// Threads that decide again, one per core; each has the policies loaded once.
import { ThreadPool } from "../../threads/threads.ts";
import { ReplayError, type ReplayFinding, type ReplayItem } from "./check.ts";

/** The name under which the candidate is loaded, which is no digest. */
export const CANDIDATE = "candidate";

/** What a policy is loaded under: its digest, and that of the settings laid over its own. */
export const nameOf = ({ policy, settings }: Pick<ReplayItem, "policy" | "settings">): string =>
  `${policy} ${settings ?? ""}`;

export type ReplayRequest =
  | {
      readonly kind: "policy";
      readonly name: string;
      readonly bundle: Uint8Array;
      readonly settings: Uint8Array | undefined;
    }
  | ({ readonly kind: "check" } & ReplayItems);

/** Decisions that are checked together. */
export interface ReplayItems {
  readonly items: readonly Omit<ReplayItem, "artifact">[];
  /** Their artifacts, one after the other, in memory that nothing else lies in; and where each ends. */
  readonly artifacts: Uint8Array<ArrayBuffer>;
  readonly ends: readonly number[];
}

/** A decision leaves little behind. */
const YOUNG_MIB_MAX = 4;

export class ReplayPool {
  readonly #threads = new ThreadPool<ReplayRequest, readonly ReplayFinding[]>("./worker", import.meta.url, {
    failed: (message) => new ReplayError(message),
    youngMiBMax: YOUNG_MIB_MAX,
  });
  readonly #policies = new Set<string>();

  get size(): number {
    return this.#threads.size;
  }

  has(name: string): boolean {
    return this.#policies.has(name);
  }

  /** @param settings laid over the bundle's own. @throws ReplayError the bundle cannot be used. */
  async addPolicy(name: string, bundle: Uint8Array, settings?: Uint8Array): Promise<void> {
    this.#policies.add(name);
    await this.#threads.tell({ kind: "policy", name, bundle, settings });
  }

  check(items: ReplayItems): Promise<readonly ReplayFinding[]> {
    return this.#threads.ask({ kind: "check", ...items }, [items.artifacts.buffer]);
  }

  close(): Promise<void> {
    return this.#threads.close();
  }
}
