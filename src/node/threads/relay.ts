// The ledger as a thread sees it that decides beside the main one: what it decided is handed over, and what became of it comes back.
import { EvidenceUnavailableError } from "../../core/errors.ts";
import { openAppends, type Entry, type Receipt } from "../../evidence/ledger/entry.ts";
import { BasisMovedError, type Basis } from "../../evidence/ledger/ledger.ts";
import type { Handed, Settled } from "./messages.ts";

interface Waiting {
  readonly size: number;
  readonly resolve: (receipts: Receipt[]) => void;
  readonly reject: (error: Error) => void;
  over: boolean;
}

export class LedgerRelay {
  readonly #nodeId: string;
  readonly #hand: (groups: readonly Handed[]) => void;
  /** By id, in order. */
  readonly #waiting = new Map<number, Waiting>();
  #outbox: Handed[] = [];
  #lastId = 0;
  #refused = 0;
  #resets = 0;
  #appended = 0;
  #committed = 0;

  /** @param hand hands groups over, in order. */
  constructor(nodeId: string, hand: (groups: readonly Handed[]) => void) {
    this.#nodeId = nodeId;
    this.#hand = hand;
  }

  /** See Ledger. */
  get appended(): number {
    return this.#appended;
  }

  get committed(): number {
    return this.#committed;
  }

  /** See Ledger.append. */
  append(entries: readonly Entry[], { reads, stacked, law = 0 }: Basis): Promise<Receipt[]> {
    const events = openAppends(entries, this.#nodeId);
    const id = ++this.#lastId;
    this.#appended += events.length;
    if (this.#outbox.length === 0) setImmediate(() => this.#flush());
    this.#outbox.push({ id, events, reads, stacked, refused: this.#refused, resets: this.#resets, law });
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
        waiting.reject(new BasisMovedError("what was decided on has moved"));
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
  }

  #flush(): void {
    const groups = this.#outbox;
    this.#outbox = [];
    this.#hand(groups);
  }
}
