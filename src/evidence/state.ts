// State as the next decision must see it: what is stored, overlaid with what was decided and is not durable yet.
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

  constructor(reader: StoreReader) {
    this.#reader = reader;
  }

  /** The state under a key; undefined where there is none. */
  get<T>(kind: Kind, tenantId: string, key: string): T | undefined {
    const name = nameOf(kind, tenantId, key);
    const kept = this.#kept.get(name);
    if (kept) return kept.value as T | undefined;
    const stored = this.#reader.state(kind, tenantId, key);
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
    this.#kept.delete(name);
    this.#kept.set(name, { value, ticket });
    return { kind, tenant_id: tenantId, key, value: value === undefined ? null : JSON.stringify(value) };
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
}

/** Tenant and key are identifiers, which have no space. */
function nameOf(kind: Kind, tenantId: string, key: string): string {
  return `${kind} ${tenantId} ${key}`;
}
