// State as the next decision must see it: what is stored, overlaid with what was decided and is not durable yet.
import { EvidenceUnavailableError } from "../core/errors.ts";
import type { StateWrite, StoreReader } from "../store/store.ts";

type Kind = StateWrite["kind"];

/** Values kept for quick reading, beyond those that are not durable yet. */
const KEPT_MAX = 10_000;

interface Kept {
  value: unknown;
  /** Durable once the ledger has committed this many events. */
  readonly ticket: number;
}

export class StateView {
  readonly #reader: StoreReader;
  readonly #kept = new Map<string, Kept>();
  /** What the running `attempt` has replaced. */
  #replaced: Map<string, Kept | undefined> | undefined;

  constructor(reader: StoreReader) {
    this.#reader = reader;
  }

  /** The state under a key; undefined where there is none. @throws EvidenceUnavailableError the store cannot be read. */
  get<T>(kind: Kind, tenantId: string, key: string): T | undefined {
    const name = nameOf(kind, tenantId, key);
    const kept = this.#kept.get(name);
    if (kept) return kept.value as T | undefined;
    const stored = this.#read(kind, tenantId, key);
    const value = stored === undefined ? undefined : (JSON.parse(stored) as T);
    this.#kept.set(name, { value, ticket: 0 });
    return value;
  }

  /**
   * Overlays a value.
   * @param ticket the count of appended events with which it becomes durable.
   * @returns the write that makes it so.
   */
  set(kind: Kind, tenantId: string, key: string, value: unknown, ticket: number): StateWrite {
    const name = nameOf(kind, tenantId, key);
    if (this.#replaced && !this.#replaced.has(name)) this.#replaced.set(name, this.#kept.get(name));
    this.#kept.delete(name);
    this.#kept.set(name, { value, ticket });
    return { kind, tenant_id: tenantId, key, value: value === undefined ? null : JSON.stringify(value) };
  }

  /** Runs synchronous work; if it throws, what it set is as it was before. */
  attempt<T>(work: () => T): T {
    const replaced = (this.#replaced = new Map<string, Kept | undefined>());
    try {
      return work();
    } catch (error) {
      for (const [name, kept] of replaced) {
        if (kept) this.#kept.set(name, kept);
        else this.#kept.delete(name);
      }
      throw error;
    } finally {
      this.#replaced = undefined;
    }
  }

  /** Lets go of the oldest values that are durable. */
  trim(committed: number): void {
    for (const [name, { ticket }] of this.#kept) {
      if (this.#kept.size <= KEPT_MAX || ticket > committed) return;
      this.#kept.delete(name);
    }
  }

  /** Forgets everything, so that it is read from the store again. */
  reset(): void {
    this.#kept.clear();
  }

  #read(kind: Kind, tenantId: string, key: string): string | undefined {
    try {
      return this.#reader.state(kind, tenantId, key);
    } catch (error) {
      throw new EvidenceUnavailableError(`the store cannot be read: ${(error as Error).message}`, { cause: error });
    }
  }
}

/** Tenant and key are identifiers, which have no space. */
function nameOf(kind: Kind, tenantId: string, key: string): string {
  return `${kind} ${tenantId} ${key}`;
}
