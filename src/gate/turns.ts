// Turns of a gate: what others command as well is locked before it is decided on, for all runs that wait for it, and they decide one after the other (docs/decisions/0360).
import { EvidenceUnavailableError } from "../core/errors.ts";
import { DEFAULTS } from "../core/schema/defaults.ts";
import type { Need } from "../core/state.ts";
import { BasisMovedError } from "../evidence/ledger/basis.ts";
import { Draft, type Versioned } from "../evidence/ledger/draft.ts";
import type { Entry, Receipt } from "../evidence/ledger/entry.ts";
import { StateView } from "../evidence/ledger/state.ts";
import type { Turn, TurnSource } from "../evidence/ledger/turn.ts";
import { stateName, type MaybePromise, type StateAt, type StateRead, type StoreReader } from "../store/store.ts";
import type { GateObserver } from "./parts.ts";

/** For how long what was found to be commanded elsewhere as well is not decided on without a turn. */
const CONTENDED_MS = 10_000;
const CONTENDED_MAX = 10_000;
/** Commands in one turn; it must not last long. */
const COMMANDS_MAX = 128;
/** Within a turn all that was decided before is not durable. */
const TICKET = 1;

type TurnObserver = Pick<GateObserver, "turnsWaiting" | "turnWaited">;

/** What a run waits for. */
export interface Wanted {
  readonly needs: readonly Need[];
  /** What it was decided on beside that. */
  readonly basis: readonly StateRead[];
  /** How many commands. */
  readonly commands: number;
}

interface Waiting extends Wanted {
  readonly sinceMs: number;
  readonly given: PromiseWithResolvers<RunTurn>;
}

export class RunTurns {
  readonly #store: StoreReader;
  readonly #ask: TurnSource["turn"];
  readonly #commandsMax: number;
  readonly #observe: TurnObserver;
  /** By `stateName`: until when; the oldest first. */
  readonly #contended = new Map<string, number>();
  #waiting: Waiting[] = [];
  #commands = 0;
  #asked = false;

  /**
   * @param ask see {@link TurnSource}.
   * @param commandsMax how many may wait.
   */
  constructor(
    store: StoreReader,
    ask: TurnSource["turn"],
    commandsMax: number = DEFAULTS.queueMax,
    observe: TurnObserver = {},
  ) {
    this.#store = store;
    this.#ask = ask;
    this.#commandsMax = commandsMax;
    this.#observe = observe;
  }

  /** Whether any of it is commanded elsewhere as well, as far as is known. */
  areWanted(needs: () => readonly Need[]): boolean {
    if (this.#contended.size === 0) return false;
    const now = performance.now();
    this.#forget(now);
    return needs().some((need) => (this.#contended.get(stateName(need)) ?? 0) > now);
  }

  /** @param names what has moved, by `stateName`. */
  moved(names: readonly string[]): void {
    const now = performance.now();
    for (const name of names) {
      this.#contended.delete(name);
      this.#contended.set(name, now + CONTENDED_MS);
    }
    this.#forget(now);
  }

  #forget(now: number): void {
    for (const [name, untilMs] of this.#contended) {
      if (untilMs > now && this.#contended.size <= CONTENDED_MAX) return;
      this.#contended.delete(name);
    }
  }

  /**
   * Waits for a turn. What is decided in it is decided on its draft, and it MUST be told when that is done.
   * @throws EvidenceUnavailableError nothing can be recorded, or too many wait.
   */
  take(wanted: Wanted): Promise<RunTurn> {
    if (this.#commands + wanted.commands > this.#commandsMax)
      return Promise.reject(new EvidenceUnavailableError(`${this.#commands} commands already wait for a turn`));
    const given = Promise.withResolvers<RunTurn>();
    this.#waiting.push({ ...wanted, given, sinceMs: performance.now() });
    this.#count(wanted.commands);
    this.#askSoon();
    return given.promise;
  }

  #askSoon(): void {
    if (this.#asked || this.#waiting.length === 0) return;
    this.#asked = true;
    this.#ask(() => eachOnce(this.#waiting.slice(0, this.#within(COMMANDS_MAX)).flatMap(placesOf)))
      .then((turn) => this.#give(turn))
      .catch((error: Error) => this.#fail(error))
      .finally(() => {
        this.#asked = false;
        this.#askSoon();
      });
  }

  /** How many of those that wait have no more commands than this together; one at least. */
  #within(commandsMax: number): number {
    let count = 0;
    for (let commands = 0; count < this.#waiting.length; count++) {
      commands += this.#waiting[count]!.commands;
      if (count > 0 && commands > commandsMax) break;
    }
    return count;
  }

  /** To all that wait for what is locked by now, one after the other: each sees what those before it changed. */
  async #give(turn: Turn): Promise<void> {
    const view = new StateView(this.#store);
    try {
      for (let commands = 0; !turn.over && commands < COMMANDS_MAX; ) {
        const next = this.#waiting.find((each) => placesOf(each).every((place) => turn.found.has(stateName(place))));
        if (next === undefined) return;
        commands += next.commands;
        this.#remove(next);
        await this.#run(next, turn, view);
      }
    } finally {
      turn.end();
    }
  }

  /** @returns when it is done, or the turn is over: what waits for a slow answer holds nobody up beyond that, and is decided anew. */
  async #run({ basis, given }: Waiting, turn: Turn, view: StateView): Promise<void> {
    const done = Promise.withResolvers<void>();
    const moved = basis.some((read) => (turn.found.get(stateName(read))?.version ?? 0) !== read.version);
    if (moved) given.reject(new EvidenceUnavailableError("the same request is carried out elsewhere"));
    else {
      given.resolve(new RunTurn(turn, view, (names) => this.moved(names), done.resolve));
      await Promise.race([done.promise, turn.ended]);
    }
  }

  #remove(waiting: Waiting): void {
    this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
    this.#observe.turnWaited?.(performance.now() - waiting.sinceMs);
    this.#count(-waiting.commands);
  }

  #count(commands: number): void {
    this.#commands += commands;
    this.#observe.turnsWaiting?.(this.#commands);
  }

  #fail(error: Error): void {
    const all = this.#waiting;
    this.#waiting = [];
    this.#count(-this.#commands);
    for (const { given } of all) given.reject(error);
  }
}

const placesOf = ({ needs, basis }: Wanted): StateAt[] => [...needs.filter(({ how }) => how === "one"), ...basis];

const eachOnce = (places: readonly StateAt[]): StateAt[] => [
  ...new Map(
    places.map(({ kind, tenant_id, key }) => [stateName({ kind, tenant_id, key }), { kind, tenant_id, key }]),
  ).values(),
];

/** Only said to be needed, so that it is locked the next time. */
const NOT_LOCKED: Versioned = { value: null, version: 0 };

/** What one run decides in a turn. */
export class RunTurn {
  readonly draft: Draft;
  readonly #turn: Turn;
  readonly #view: StateView;
  readonly #moved: (names: readonly string[]) => void;
  #needsMore = false;
  /** To be called when all is appended, or nothing will be. */
  readonly done: () => void;

  constructor(turn: Turn, view: StateView, moved: (names: readonly string[]) => void, done: () => void) {
    this.draft = new Draft({
      read: (need) => this.#read(need),
      version: (need) => view.version(need),
      get epoch() {
        return view.epoch;
      },
    });
    this.#turn = turn;
    this.#view = view;
    this.#moved = moved;
    this.done = done;
  }

  /** Nothing that has a version is read from the database: it is locked, or the run is over. */
  #read(need: Need): MaybePromise<Versioned> {
    if (need.how === "one") {
      const name = stateName(need);
      if (!this.#turn.found.has(name)) {
        this.#needsMore = true;
        return NOT_LOCKED;
      }
      this.#view.know(need, this.#turn.found.get(name));
    }
    return this.#view.read(need);
  }

  /** Whether it turned out to need more than is locked, or took too long: what it would decide is in vain. */
  get isOver(): boolean {
    return this.#needsMore || this.#turn.over;
  }

  /** @returns undefined where what it was decided on has moved all the same. */
  async append(
    entries: readonly Entry[],
    reads: readonly StateRead[],
    law: number | undefined,
  ): Promise<readonly Receipt[] | undefined> {
    try {
      const appended = this.#turn.append(entries, { reads, stacked: this.draft.ticket > 0, law });
      this.#view.apply(this.draft, TICKET);
      return await appended;
    } catch (error) {
      if (!(error instanceof BasisMovedError)) throw error;
      this.#moved(error.moved);
      return undefined;
    }
  }
}
