// State as the next decision must see it: what is stored, overlaid with what was decided and is not durable yet.
import { EvidenceUnavailableError } from "../../core/errors.ts";
import type { Change, Need, Reads } from "../../core/state.ts";
import type { MaybePromise, StateRead, StateWrite, StoredState, StoreReader } from "../../store/store.ts";

/** Pieces of state kept for quick reading, beyond those that are not durable yet. */
const KEPT_MAX = 20_000;

/** A piece of state, parsed. */
export interface Versioned {
  /** null where there is none. */
  readonly value: unknown;
  /** Counts its changes; 0 where there is none. */
  readonly version: number;
  /** Durable once the ledger has settled this many events; 0 or absent: it is. */
  readonly ticket?: number;
}

/** Where a run reads what its commands need: at once where it is at hand, else in a moment. */
export interface StateSource {
  read(need: Need): MaybePromise<Versioned>;
  /** The version that a decision would be made on now; undefined where only the commit can tell. */
  version(need: Need): number | undefined;
  /** Changes whenever state that was decided turned out never to become durable. */
  readonly epoch: number;
}

interface Kept extends Versioned {
  readonly at: Need;
  readonly ref: string | undefined;
  readonly rank: number;
  /** 0: it was read. */
  readonly ticket: number;
}

export class StateView implements StateSource {
  readonly #reader: StoreReader;
  /** By name, longest unused first among those that are durable. */
  readonly #kept = new Map<string, Kept>();
  readonly #keptMax: number;
  #epoch = 0;

  constructor(reader: StoreReader) {
    this.#reader = reader;
    this.#keptMax = reader.shared ? 0 : KEPT_MAX;
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
    const known = this.#kept.get(name);
    if (known) return known.version;
    if (this.#reader.shared) return undefined;
    const stored = this.#reader.read(kind, tenant_id, key);
    return stored instanceof Promise ? undefined : (stored?.version ?? 0);
  }

  /** Takes what a run changed for decided. @param ticket the count of appended events with which it becomes durable. */
  apply(draft: Draft, ticket: number): void {
    for (const [name, { change, version }] of draft.changed) {
      const { at, value, ref, rank = 0 } = change;
      this.#kept.delete(name);
      this.#kept.set(name, { at, value, version, ref, rank, ticket });
    }
  }

  /**
   * Forgets what a run read and changed, which was decided on what has moved.
   * @param ticket as it was applied with.
   */
  retract(draft: Draft, ticket: number): void {
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
    return (
      this.#kept.get(at.name) ??
      then(this.#reader.read(at.kind, at.tenant_id, at.key), (found) => this.#keep(at, found))
    );
  }

  #keep(at: Need, stored: StoredState | undefined): Versioned {
    // What was decided while it was read is newer.
    const known = this.#kept.get(at.name);
    if (known) return known;
    const value: unknown = stored === undefined ? null : JSON.parse(stored.value);
    const kept = { at, value, version: stored?.version ?? 0, ref: undefined, rank: 0, ticket: 0 };
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
      if (kept.ticket > 0 && kept.at.kind === kind && kept.at.tenant_id === tenantId) yield kept;
  }
}

const unversioned = (value: unknown): Versioned => ({ value, version: 0 });

/** What is at hand is worked on at once. */
function then<T, R>(given: MaybePromise<T>, work: (given: T) => R): MaybePromise<R> {
  return given instanceof Promise ? given.then(work) : work(given);
}

function unreadable(error: unknown): never {
  throw new EvidenceUnavailableError(`the store cannot be read: ${(error as Error).message}`, { cause: error });
}

/** The state that the commands of one run are decided on: as it was read, with what those before changed. */
export class Draft implements Reads {
  /** By name: the last change, and the version with it. */
  readonly changed = new Map<string, { readonly change: Change; readonly version: number }>();
  readonly #source: StateSource;
  readonly #epoch: number;
  readonly #read = new Map<string, Versioned & { readonly need: Need }>();
  #ticket = 0;

  constructor(source: StateSource) {
    this.#source = source;
    this.#epoch = source.epoch;
  }

  /** Reads what was not read yet. @returns undefined where it is all there at once. */
  load(needs: readonly Need[]): Promise<void> | undefined {
    let waiting: Promise<void>[] | undefined;
    for (const need of needs) {
      if (this.#read.has(need.name)) continue;
      const found = this.#source.read(need);
      if (!(found instanceof Promise)) this.#add(need, found);
      else (waiting ??= []).push(found.then((versioned) => this.#add(need, versioned)));
    }
    return waiting && Promise.all(waiting).then(() => undefined);
  }

  has({ name }: Need): boolean {
    return this.#read.has(name);
  }

  get<T>(need: Need): T | null {
    const changed = this.changed.get(need.name);
    return (changed ? changed.change.value : this.#asRead(need).value) as T | null;
  }

  version(need: Need): number {
    return (this.changed.get(need.name) ?? this.#asRead(need)).version;
  }

  #asRead({ name }: Need): Versioned {
    const read = this.#read.get(name);
    if (!read) throw new Error(`${name} was not said to be needed`);
    return read;
  }

  /** Takes changes over. @returns the writes that make them durable. */
  set(changes: readonly Change[]): StateWrite[] {
    return changes.map((change) => {
      const { at, value, due_ms, ref, rank } = change;
      // What is absent has version 0.
      const version = value === null ? 0 : this.version(at) + 1;
      this.changed.set(at.name, { change, version });
      return {
        kind: at.kind,
        tenant_id: at.tenant_id,
        key: at.key,
        value: value === null ? null : JSON.stringify(value),
        ...(value !== null && { version }),
        ...(due_ms !== undefined && { due_ms }),
        ...(ref !== undefined && { ref, rank: rank! }),
      };
    });
  }

  /** Whether anything that was read has changed since. */
  get moved(): boolean {
    if (this.#source.epoch !== this.#epoch) return true;
    for (const { need, version } of this.#read.values())
      if (need.how === "one" && (this.#source.version(need) ?? version) !== version) return true;
    return false;
  }

  /** What it is decided on, with versions. */
  get reads(): StateRead[] {
    const reads: StateRead[] = [];
    for (const { need, version } of this.#read.values())
      if (need.how === "one") reads.push({ kind: need.kind, tenant_id: need.tenant_id, key: need.key, version });
    return reads;
  }

  /** Of all that was read. */
  get names(): Iterable<string> {
    return this.#read.keys();
  }

  /** How many events must be settled before all that was read is durable. */
  get ticket(): number {
    return this.#ticket;
  }

  #add(need: Need, { value, version, ticket = 0 }: Versioned): void {
    this.#read.set(need.name, { need, value, version });
    this.#ticket = Math.max(this.#ticket, ticket);
  }
}
