// State as the next decision must see it: what is stored, overlaid with what was decided and is not durable yet.
import { EvidenceUnavailableError } from "../../core/errors.ts";
import type { Need } from "../../core/state.ts";
import { Holding, type StateClaims } from "./claims.ts";
import type { Draft, StateSource, Versioned } from "./draft.ts";
import type { MaybePromise, StoredState, StoreReader } from "../../store/store.ts";

/** Pieces of state kept for quick reading, beyond those that are not durable yet. */
const KEPT_MAX = 20_000;
/** No turn of anything. */
const NO_TURN = -1;

interface Kept extends Versioned {
  readonly at: Need;
  readonly ref: string | undefined;
  readonly rank: number;
  /** 0: it was read. */
  readonly ticket: number;
  /** It is old once the turn is another, see {@link StateClaims.turnOf}. */
  readonly turn: number;
}

export class StateView implements StateSource {
  readonly #reader: StoreReader;
  /** Absent: this thread alone decides. */
  readonly #claims: StateClaims | undefined;
  /** By name, longest unused first among those that are durable. */
  readonly #kept = new Map<string, Kept>();
  readonly #keptMax: number;
  #epoch = 0;

  constructor(reader: StoreReader, claims?: StateClaims) {
    this.#reader = reader;
    this.#keptMax = reader.shared ? 0 : KEPT_MAX;
    this.#claims = claims;
  }

  hold(): Holding | undefined {
    return this.#claims && new Holding(this.#claims);
  }

  get epoch(): number {
    return this.#epoch;
  }

  /** @throws EvidenceUnavailableError the store cannot be read. */
  read(need: Need): MaybePromise<Versioned> {
    try {
      const found = this.#find(need);
      return found instanceof Promise ? found.catch(unreadable) : found;
    } catch (error) {
      return unreadable(error);
    }
  }

  version({ name, kind, tenant_id, key }: Need): number | undefined {
    const known = this.#known(name);
    if (known) return known.version;
    if (this.#reader.shared) return undefined;
    const stored = this.#reader.read(kind, tenant_id, key);
    return stored instanceof Promise ? undefined : (stored?.version ?? 0);
  }

  /** Takes for known what nobody else can change, unless it was decided on here. */
  know(at: Need, stored: StoredState | undefined): void {
    if (!this.#kept.has(at.name)) this.#kept.set(at.name, keptAs(at, stored, this.#turnOf(at.name)));
  }

  /** Takes what a run changed for decided. @param ticket the count of appended events with which it becomes durable. */
  apply(draft: Draft, ticket: number): void {
    for (const [name, { change, version }] of draft.changed) {
      const { at, value, ref, rank = 0 } = change;
      this.#kept.delete(name);
      this.#kept.set(name, { at, value, version, ref, rank, ticket, turn: this.#turnOf(name) });
    }
  }

  /**
   * Forgets what a run read and changed, which was decided on what has moved.
   * @param ticket as it was applied with.
   */
  retract(draft: Draft, ticket: number): void {
    draft.drain();
    for (const name of draft.names) {
      const kept = this.#kept.get(name);
      // What a run after it has made of it is that run's to retract.
      if (kept && (kept.ticket === 0 || kept.ticket <= ticket)) this.#kept.delete(name);
    }
  }

  /** Lets go of what was asked about longest ago and is durable. */
  trim(committed: number): void {
    for (const [name, { ticket }] of this.#kept) {
      if (this.#kept.size <= this.#keptMax || ticket > committed) return;
      this.#kept.delete(name);
    }
  }

  /** Forgets everything, so that it is read from the store again. */
  reset(): void {
    this.#epoch++;
    this.#kept.clear();
  }

  #find(need: Need): MaybePromise<Versioned> {
    if (need.how === "all") return then(this.#all(need), unversioned);
    if (need.how === "least") return then(this.#least(need), unversioned);
    return this.#one(need);
  }

  #one(at: Need): MaybePromise<Versioned> {
    return this.#known(at.name) ?? this.#readOne(at, this.#turnOf(at.name));
  }

  #readOne(at: Need, turn: number): MaybePromise<Versioned> {
    return then(this.#reader.read(at.kind, at.tenant_id, at.key), (found) => this.#keep(at, found, turn));
  }

  /** What is remembered, unless another thread has had it since. */
  #known(name: string): Kept | undefined {
    const kept = this.#kept.get(name);
    if (kept === undefined || this.#isCurrent(kept)) return kept;
    this.#kept.delete(name);
    return undefined;
  }

  #isCurrent({ at: { name }, turn }: Kept): boolean {
    if (this.#claims === undefined) return true;
    const slot = this.#claims.slotOf(name);
    return turn === this.#claims.turnOf(slot) && !this.#claims.isOthers(slot);
  }

  /** What another thread decides on just now is old as soon as it is read. */
  #turnOf(name: string): number {
    if (this.#claims === undefined) return 0;
    const slot = this.#claims.slotOf(name);
    return this.#claims.isOthers(slot) ? NO_TURN : this.#claims.turnOf(slot);
  }

  #keep(at: Need, stored: StoredState | undefined, turn: number): Versioned {
    // What was decided while it was read is newer.
    const known = this.#known(at.name);
    if (known) return known;
    const kept = keptAs(at, stored, turn);
    // What others may change is read each time.
    if (!this.#reader.shared) this.#kept.set(at.name, kept);
    return kept;
  }

  #all({ kind, tenant_id, key: prefix }: Need): MaybePromise<unknown[]> {
    return then(this.#reader.within(kind, tenant_id, prefix), (stored) => {
      const values = new Map<string, unknown>();
      for (const { key, value } of stored) values.set(key, JSON.parse(value));
      for (const { at, value } of this.#decided(kind, tenant_id))
        if (at.key.startsWith(prefix)) {
          if (value === null) values.delete(at.key);
          else values.set(at.key, value);
        }
      return [...values].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, value]) => value);
    });
  }

  #least({ kind, tenant_id, key: ref }: Need): MaybePromise<unknown> {
    // As many as were decided on here may be others by now; the next one is what is stored.
    const among = [...this.#decided(kind, tenant_id)].length + 1;
    return then(this.#reader.referring(kind, tenant_id, ref, among), (stored) => {
      const decided = [...this.#decided(kind, tenant_id)];
      const changed = new Set(decided.map(({ at }) => at.key));
      const first = stored.find(({ key }) => !changed.has(key));
      let found: { value: unknown; rank: number } | null = first
        ? { value: JSON.parse(first.value), rank: first.rank }
        : null;
      for (const each of decided)
        if (each.ref === ref && each.value !== null && (found === null || each.rank < found.rank)) found = each;
      return found?.value ?? null;
    });
  }

  /** What was decided here, whether or not it is durable already. */
  *#decided(kind: Need["kind"], tenantId: string): Generator<Kept> {
    for (const kept of this.#kept.values())
      if (kept.ticket > 0 && kept.at.kind === kind && kept.at.tenant_id === tenantId && this.#isCurrent(kept))
        yield kept;
  }
}

function keptAs(at: Need, stored: StoredState | undefined, turn: number): Kept {
  const value: unknown = stored === undefined ? null : JSON.parse(stored.value);
  return { at, value, version: stored?.version ?? 0, ref: undefined, rank: 0, ticket: 0, turn };
}

const unversioned = (value: unknown): Versioned => ({ value, version: 0 });

/** What is at hand is worked on at once. */
function then<T, R>(given: MaybePromise<T>, work: (given: T) => R): MaybePromise<R> {
  return given instanceof Promise ? given.then(work) : work(given);
}

function unreadable(error: unknown): never {
  throw new EvidenceUnavailableError(`the store cannot be read: ${(error as Error).message}`, { cause: error });
}
