// What is sent to the committer, and when: what waits, batch by batch, and turns in between.
import type { StateAt, StoredState } from "../../store/store.ts";
import { Queue, sizeOf, type Waiting } from "./queue.ts";
import type { Group } from "./messages.ts";
import { TurnOrder, type LedgerTurn, type Places, type TurnParts } from "./turn.ts";

/** With the committer idle, this many are worth a commit: it signs and syncs them while others are still being decided. */
const EAGER_BATCH = 8;

/** One batch is signed and synced while the next is decided; a third would only wait, unless one is signed while another is synced. */
const BATCHES_IN_FLIGHT_MAX = 2;

export interface SendingParts extends Pick<TurnParts, "append" | "relay"> {
  readonly committer: {
    commit(batch: number, groups: readonly Group[]): void;
    lock(batch: number, places: readonly StateAt[]): void;
  };
  /** Events in one commit. */
  readonly batchMax: number;
  readonly signsAhead: boolean;
  /** What was locked for a turn is free again, after so long. */
  readonly turned: (ms: number) => void;
  /** All is sent that can be now. */
  readonly sent: () => void;
}

export class Sending {
  readonly queue = new Queue();
  readonly #parts: SendingParts;
  readonly #turns: TurnOrder;
  /** By number; empty while it is a turn that lasts. */
  readonly #inFlight = new Map<number, Waiting[]>();
  readonly #inFlightMax: number;
  #lastBatch = 0;
  #turnIsNext = false;
  /** Events in the queue that no turn overtakes any more. */
  #ahead = 0;
  #locked: { readonly batch: number; readonly sinceMs: number } | undefined;
  #scheduled = false;

  constructor(parts: SendingParts) {
    this.#parts = parts;
    this.#inFlightMax = BATCHES_IN_FLIGHT_MAX + (parts.signsAhead ? 1 : 0);
    const { append, relay } = parts;
    const ended = (batch: number, waiting: Waiting[]): void => {
      this.#send(batch, waiting);
      this.pump();
    };
    this.#turns = new TurnOrder({ append, relay, ended });
  }

  get isIdle(): boolean {
    return this.#inFlight.size === 0;
  }

  get isBusy(): boolean {
    return this.#inFlight.size > 0 || this.#turns.asked;
  }

  get allInFlight(): Waiting[][] {
    return [...this.#inFlight.values()];
  }

  inFlight(batch: number): Waiting[] | undefined {
    return this.#inFlight.get(batch);
  }

  /** See Ledger. */
  turn(places: Places): Promise<LedgerTurn> {
    const given = this.#turns.ask(places);
    this.#schedule();
    return given;
  }

  /** What is in the queue is sent before anything that is decided from now on. */
  ahead(): void {
    this.#ahead = this.queue.events;
    this.#turns.cut();
    this.soon();
  }

  /** For what was queued just now. */
  soon(): void {
    if (this.isIdle && this.queue.events >= EAGER_BATCH) this.pump();
    else this.#schedule();
  }

  /** Sends as much as there is, and as can be under way together. */
  pump(): void {
    while (!this.#turns.open && this.#inFlight.size < this.#inFlightMax) {
      const isTurn = this.#turns.asked && (this.#turnIsNext || this.queue.isEmpty) && this.#ahead === 0;
      if (!isTurn && this.queue.isEmpty) break;
      const batch = ++this.#lastBatch;
      this.#turnIsNext = !isTurn;
      if (!isTurn) {
        const waiting = this.queue.take(this.#parts.batchMax);
        this.#ahead = Math.max(0, this.#ahead - sizeOf(waiting));
        this.#send(batch, waiting);
      } else {
        this.#inFlight.set(batch, []);
        this.#parts.committer.lock(batch, this.#turns.begin());
      }
    }
    this.#parts.sent();
  }

  /** What a turn was to have locked is. */
  locked(batch: number, found: readonly (StoredState | undefined)[]): void {
    if (!this.#inFlight.has(batch)) return;
    this.#locked = { batch, sinceMs: performance.now() };
    this.#turns.give(batch, found);
  }

  /** It is settled what became of a batch. */
  over(batch: number): void {
    this.#inFlight.delete(batch);
    if (batch === this.#locked?.batch) this.#parts.turned(performance.now() - this.#locked.sinceMs);
  }

  /** Nothing of it comes to anything. @returns all that was sent or waits. */
  fail(error: Error): Waiting[] {
    const lost = [...this.#inFlight.values(), this.queue.empty(), this.#turns.fail(error)].flat();
    this.#inFlight.clear();
    this.#ahead = 0;
    return lost;
  }

  #send(batch: number, waiting: Waiting[]): void {
    this.#inFlight.set(batch, waiting);
    const groups = waiting.map(({ group }) => group);
    this.#parts.committer.commit(batch, groups);
  }

  /** A turn of the event loop later, so that decisions which arrived together share a commit, and a single one does not wait. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.pump();
    });
  }
}
