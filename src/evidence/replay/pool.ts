// Threads that decide again, one per core; each has the policies loaded once.
import { ThreadPool } from "../../threads/threads.ts";
import { ChunkMemory } from "../verify/chunks.ts";
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

/** What was found, and the memory that the artifacts lay in. */
export interface ReplayAnswer {
  readonly findings: readonly ReplayFinding[];
  readonly memory?: ArrayBuffer;
}

/** A decision leaves little behind. */
const YOUNG_MIB_MAX = 4;

export class ReplayPool {
  /** Where artifacts are to lie; it is taken back when they were checked. */
  readonly memory = new ChunkMemory();
  readonly #threads = new ThreadPool<ReplayRequest, ReplayAnswer>("./worker", import.meta.url, {
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

  async check(items: ReplayItems): Promise<readonly ReplayFinding[]> {
    const { findings, memory } = await this.#threads.ask({ kind: "check", ...items }, [items.artifacts.buffer]);
    if (memory !== undefined) this.memory.giveBack(memory);
    return findings;
  }

  close(): Promise<void> {
    return this.#threads.close();
  }
}
