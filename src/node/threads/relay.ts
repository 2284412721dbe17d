// The ledger as a thread sees it that decides beside the main one: what it decided is handed over, and what became of it comes back.
import { EvidenceUnavailableError } from "../../core/errors.ts";
import { openAppends, type Entry, type Receipt } from "../../evidence/ledger/entry.ts";
import { BasisMovedError, type Basis } from "../../evidence/ledger/basis.ts";
import { foundAt, type FoundStates, type Places, type Turn } from "../../evidence/ledger/turn.ts";
import type { StoredState } from "../../store/store.ts";
import type { FromThread, Handed, Settled } from "./messages.ts";

interface Waiting {
  readonly size: number;
  readonly resolve: (receipts: Receipt[]) => void;
  readonly reject: (error: Error) => void;
  over: boolean;
}

export class LedgerRelay {
  readonly #nodeId: string;
  readonly #say: (message: FromThread) => void;
  /** By id, in order. */
  readonly #waiting = new Map<number, Waiting>();
  /** That are asked for. */
  readonly #turns = new Map<number, (found: readonly (StoredState | undefined)[] | Error) => void>();
  /** What ends those that last. */
  readonly #open = new Map<number, () => void>();
  #outbox: Handed[] = [];
  #lastId = 0;
  #lastTurn = 0;
  #refused = 0;
  #resets = 0;
  #appended = 0;
  #committed = 0;

  /** @param say to the main thread, in order. */
  constructor(nodeId: string, say: (message: FromThread) => void) {
    this.#nodeId = nodeId;
    this.#say = say;
  }

  /** See Ledger. */
  get appended(): number {
    return this.#appended;
  }

  get committed(): number {
    return this.#committed;
  }

  /** See Ledger.append. */
  append(entries: readonly Entry[], { reads, stacked, law = 0 }: Basis, turn?: number): Promise<Receipt[]> {
    const events = openAppends(entries, this.#nodeId);
    const id = ++this.#lastId;
    this.#appended += events.length;
    if (this.#outbox.length === 0) setImmediate(() => this.#flush());
    this.#outbox.push({ id, events, reads, stacked, refused: this.#refused, resets: this.#resets, law, turn });
    return new Promise((resolve, reject) =>
      this.#waiting.set(id, { size: events.length, resolve, reject, over: false }),
    );
  }

  settled(settled: readonly Settled[]): void {
    for (const each of settled) {
      const waiting = this.#waiting.get(each.id)!;
      waiting.over = true;
      if ("receipts" in each) waiting.resolve([...each.receipts]);
      else if ("moved" in each) {
        this.#refused++;
        waiting.reject(new BasisMovedError(each.moved));
      } else waiting.reject(new EvidenceUnavailableError(each.problem, { maybeRecorded: each.maybeRecorded }));
    }
    for (const [id, { size, over }] of this.#waiting) {
      if (!over) return;
      this.#waiting.delete(id);
      this.#committed += size;
    }
  }

  /** What was not durable is lost; of each group handed over it is told by itself. */
  reset(): void {
    this.#resets++;
    for (const end of this.#open.values()) end();
  }

  /** See Ledger. */
  turn(places: Places): Promise<Turn> {
    const turn = ++this.#lastTurn;
    return new Promise((resolve, reject) =>
      setImmediate(() => {
        const wanted = places();
        this.#turns.set(turn, (found) => {
          this.#turns.delete(turn);
          if (found instanceof Error) reject(found);
          else resolve(this.#turnOf(turn, foundAt(wanted, found)));
        });
        this.#say({ kind: "turn", turn, places: wanted });
      }),
    );
  }

  /** @param found see {@link ToThread}; an error where there will be none. */
  given(turn: number, found: readonly (StoredState | undefined)[] | Error): void {
    this.#turns.get(turn)?.(found);
  }

  /** See {@link ToThread}. */
  turnOver(turn: number): void {
    this.#open.get(turn)?.();
  }

  #turnOf(turn: number, found: FoundStates): Turn {
    const { promise: ended, resolve } = Promise.withResolvers<void>();
    const begun = { found, ended, over: false };
    this.#open.set(turn, () => {
      this.#open.delete(turn);
      begun.over = true;
      resolve();
    });
    return Object.assign(begun, {
      append: (entries: readonly Entry[], basis: Basis) => this.append(entries, basis, turn),
      end: () => {
        this.turnOver(turn);
        this.#flush();
        this.#say({ kind: "turn ends", turn });
      },
    });
  }

  #flush(): void {
    const groups = this.#outbox;
    this.#outbox = [];
    if (groups.length > 0) this.#say({ kind: "append", groups });
  }
}
