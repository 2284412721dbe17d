// Turns at what replicas command at once: pieces of state are locked first, and decided on then, so that none of it moves before that is recorded (docs/decisions/0360).
import { stateName, type StateAt, type StoredState } from "../../store/store.ts";
import { BasisMovedError, type Basis } from "./basis.ts";
import type { Entry, Receipt } from "./entry.ts";
import type { Group } from "./messages.ts";
import type { Waiting } from "./queue.ts";

/** While decisions are made in it, whoever else commands the same waits. A run of very many commands has longer. */
const [TURN_MS_MIN, TURN_MS_MAX, PLACE_MS] = [500, 4000, 2];

/** How long a turn lasts at most, by how much it locks; well below what ends the session of whoever is paused. */
export const turnMsMax = (places: number): number => Math.min(TURN_MS_MAX, TURN_MS_MIN + places * PLACE_MS);

/** What there is at the places of a turn, by `stateName`. */
export type FoundStates = ReadonlyMap<string, StoredState | undefined>;

/** While it lasts nobody else changes what was found. What is appended in it commits together, before all that was not sent to be committed yet; nothing that is decided later does so where that says by what it is decided (see `Ledger.appendAhead`). */
export interface Turn {
  readonly found: FoundStates;
  /** It took too long, or evidence cannot be recorded: nothing is appended any more. */
  readonly over: boolean;
  /** Once it is. */
  readonly ended: Promise<void>;
  /** See {@link Ledger.append}. @throws BasisMovedError it is over. */
  append(entries: readonly Entry[], basis: Basis): Promise<Receipt[]>;
  /** All is appended that is going to be. */
  end(): void;
}

/** Asked for what is to be locked, each once, when it is about to be: what is wanted by then comes along. */
export type Places = () => readonly StateAt[];

/** Where turns are asked for. */
export interface TurnSource {
  /** @throws EvidenceUnavailableError nothing can be recorded. */
  turn(places: Places): Promise<Turn>;
}

/** As a committer says it. @param found in the order of places. */
export const foundAt = (places: readonly StateAt[], found: readonly (StoredState | undefined)[]): FoundStates =>
  new Map(places.map((place, i) => [stateName(place), found[i]]));

/** Takes what is appended in a turn. */
export interface TurnParts {
  readonly append: (entries: readonly Entry[], basis: Basis, into: Waiting[]) => Promise<Receipt[]>;
  readonly relay: (group: Group, into: Waiting[]) => Promise<Receipt[]>;
  readonly ended: (batch: number, waiting: Waiting[]) => void;
}

/** A turn, as it is given by the ledger. */
export class LedgerTurn implements Turn {
  readonly found: FoundStates;
  readonly #batch: number;
  readonly #parts: TurnParts;
  readonly #waiting: Waiting[] = [];
  readonly #late: NodeJS.Timeout;
  readonly #ended = Promise.withResolvers<void>();
  #over = false;

  constructor(batch: number, found: FoundStates, parts: TurnParts) {
    this.found = found;
    this.#batch = batch;
    this.#parts = parts;
    this.#late = setTimeout(() => this.end(), turnMsMax(found.size));
  }

  get over(): boolean {
    return this.#over;
  }

  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  append(entries: readonly Entry[], basis: Basis): Promise<Receipt[]> {
    if (this.#over) throw new BasisMovedError();
    return this.#parts.append(entries, basis, this.#waiting);
  }

  /** As `append`, what another thread has decided. */
  relay(group: Group): Promise<Receipt[]> {
    if (this.#over) throw new BasisMovedError();
    return this.#parts.relay(group, this.#waiting);
  }

  end(): void {
    if (!this.#over) this.#parts.ended(this.#batch, this.lost());
  }

  /** Nothing comes of it. @returns who waits for that. */
  lost(): Waiting[] {
    clearTimeout(this.#late);
    this.#over = true;
    this.#ended.resolve();
    return this.#waiting;
  }
}

interface Asked {
  readonly places: Places;
  readonly given: PromiseWithResolvers<LedgerTurn>;
}

/** Turns of a ledger, one after the other. */
export class TurnOrder {
  readonly #parts: TurnParts;
  #asked: Asked[] = [];
  /** What the committer is asked to lock, or has. */
  #open:
    | { readonly places: readonly StateAt[]; readonly given: Asked["given"]; turn?: LedgerTurn; cut?: true }
    | undefined;

  constructor(parts: TurnParts) {
    this.#parts = {
      ...parts,
      ended: (batch, waiting) => {
        this.#open = undefined;
        parts.ended(batch, waiting);
      },
    };
  }

  /** Whether somebody waits for one that is not open yet. */
  get asked(): boolean {
    return this.#asked.length > 0;
  }

  /** Until it is over nothing else is sent to be committed. */
  get open(): boolean {
    return this.#open !== undefined;
  }

  ask(places: Places): Promise<LedgerTurn> {
    const given = Promise.withResolvers<LedgerTurn>();
    this.#asked.push({ places, given });
    return given.promise;
  }

  /** Opens the next one. @returns what is to be locked. */
  begin(): readonly StateAt[] {
    const { places: wanted, given } = this.#asked.shift()!;
    const places = wanted();
    this.#open = { places, given };
    return places;
  }

  /** It is locked. */
  give(batch: number, found: readonly (StoredState | undefined)[]): void {
    const open = this.#open!;
    open.turn = new LedgerTurn(batch, foundAt(open.places, found), this.#parts);
    open.given.resolve(open.turn);
    if (open.cut) open.turn.end();
  }

  /** Nothing is decided any more in the one that is open. */
  cut(): void {
    if (this.#open) this.#open.cut = true;
    this.#open?.turn?.end();
  }

  /** None that is open or asked for comes to anything. @returns who waits for what was appended in the open one. */
  fail(error: Error): Waiting[] {
    const open = this.#open;
    this.#open = undefined;
    for (const { given } of open ? [open, ...this.#asked] : this.#asked) given.reject(error);
    this.#asked = [];
    return open?.turn?.lost() ?? [];
  }
}
