// What one run is decided on: each piece of state as it was read, with its version, and what the run's own commands have made of it.
import type { Change, Need, Reads } from "../../core/state.ts";
import type { Holding } from "./claims.ts";
import type { MaybePromise, StateRead, StateWrite } from "../../store/store.ts";

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
  /** Where other threads decide, too: what keeps them from what a run reads. */
  hold?(): Holding | undefined;
  /** The version that a decision would be made on now; undefined where only the commit can tell. */
  version(need: Need): number | undefined;
  /** Changes whenever state that was decided turned out never to become durable. */
  readonly epoch: number;
}

/** The state that the commands of one run are decided on: as it was read, with what those before changed. */
export class Draft implements Reads {
  /** By name: the last change, and the version with it. */
  readonly changed = new Map<string, { readonly change: Change; readonly version: number }>();
  readonly #source: StateSource;
  readonly #holding: Holding | undefined;
  readonly #epoch: number;
  readonly #read = new Map<string, Versioned & { readonly need: Need }>();
  #ticket = 0;

  /** @param holding keeps other threads from what it reads; absent: nothing does. */
  constructor(source: StateSource, holding?: Holding) {
    this.#source = source;
    this.#holding = holding;
    this.#epoch = source.epoch;
  }

  /** What it read is decided on anew once all that is under way is settled. */
  drain(): void {
    this.#holding?.drain();
  }

  /** Others may decide on what it read. */
  release(): void {
    this.#holding?.release();
  }

  /** Reads what was not read yet. @returns undefined where it is all there at once. */
  load(needs: readonly Need[]): Promise<void> | undefined {
    const claiming = this.#claim(needs);
    if (claiming !== undefined) return claiming.then(() => this.load(needs));
    let waiting: Promise<void>[] | undefined;
    for (const need of needs) {
      if (this.#read.has(need.name)) continue;
      const found = this.#source.read(need);
      if (!(found instanceof Promise)) this.#add(need, found);
      else (waiting ??= []).push(found.then((versioned) => this.#add(need, versioned)));
    }
    return waiting && Promise.all(waiting).then(() => undefined);
  }

  /** One after the other, in the order of the command: two that begin with the same wait for that, and hold nothing of each other's. */
  #claim(needs: readonly Need[]): Promise<void> | undefined {
    if (this.#holding === undefined) return undefined;
    for (const { how, name } of needs) {
      const waiting = how === "one" ? this.#holding.claim(name) : undefined;
      if (waiting !== undefined) return waiting;
    }
    return undefined;
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

  /**
   * Reads again what was decided elsewhere on this thread while the rest was waited for, where it is at hand. For a draft that nothing was decided on yet.
   * @returns whether anything was.
   */
  renew(): boolean {
    const reads = [...this.#read.values()];
    // What has no version of its own must be as old as what it changes with.
    if (reads.some(({ need }) => need.how !== "one")) return false;
    let renewed = false;
    for (const { need, version } of reads) {
      if ((this.#source.version(need) ?? version) === version) continue;
      const found = this.#source.read(need);
      if (found instanceof Promise) continue;
      this.#add(need, found);
      renewed = true;
    }
    return renewed;
  }

  /** What it is decided on, with versions. */
  get reads(): StateRead[] {
    const reads: StateRead[] = [];
    for (const { need, version } of this.#read.values())
      if (need.how === "one") reads.push({ kind: need.kind, tenant_id: need.tenant_id, key: need.key, version });
    return reads;
  }

  /** All that was read. */
  get needs(): Need[] {
    return [...this.#read.values()].map(({ need }) => need);
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
