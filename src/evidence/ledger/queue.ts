// What waits to be made durable, in order, and how much of it goes in one commit.
import type { Receipt, RecordKey } from "./entry.ts";
import type { Group } from "./messages.ts";

/** Events that commit together, and who waits for that. */
export interface Waiting {
  readonly group: Group;
  /** How many events. */
  readonly size: number;
  /** How many were appended before them. */
  readonly before: number;
  readonly resolve: (receipts: Receipt[]) => void;
  readonly reject: (error: Error) => void;
}

export class Queue {
  #waiting: Waiting[] = [];
  #events = 0;

  /** Events in it. */
  get events(): number {
    return this.#events;
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  push(waiting: Waiting): void {
    this.#waiting.push(waiting);
    this.#events += waiting.size;
  }

  /** The next batch: as many groups as have no more events than this together, and one at least, if any waits. */
  take(eventsMax: number): Waiting[] {
    const batch = this.#waiting.splice(0, groupsWithin(this.#waiting, eventsMax));
    this.#events -= sizeOf(batch);
    return batch;
  }

  /** @returns all that waited. */
  empty(): Waiting[] {
    const all = this.#waiting;
    this.#waiting = [];
    this.#events = 0;
    return all;
  }
}

/** Where what is appended waits: in the queue, or in a turn. */
export type Sink = Queue | Waiting[];

/** How many events are settled, from the first that was appended on: turns overtake what waits. */
export class SettledCount {
  #events = 0;
  /** Of those that were settled before their turn: how many events, by how many were appended before them. */
  readonly #ahead = new Map<number, number>();

  get events(): number {
    return this.#events;
  }

  /** Numbers alone are kept: what was appended would outlive its time in a collection that grows old. */
  add(batch: readonly Waiting[]): void {
    for (const { before, size } of batch) {
      if (before !== this.#events) {
        this.#ahead.set(before, size);
        continue;
      }
      this.#events += size;
      for (let next = this.#next(); next > 0; next = this.#next()) this.#events += next;
    }
  }

  reset(): void {
    this.#events = 0;
    this.#ahead.clear();
  }

  #next(): number {
    if (this.#ahead.size === 0) return 0;
    const size = this.#ahead.get(this.#events) ?? 0;
    this.#ahead.delete(this.#events);
    return size;
  }
}

export const sizeOf = (batch: readonly Waiting[]): number => batch.reduce((sum, { size }) => sum + size, 0);

export const firstIdOf = ({ events, everywhere }: Group): string => everywhere?.draft.id ?? events[0]!.id;
export const lastIdOf = ({ events, everywhere }: Group): string => everywhere?.draft.id ?? events.at(-1)!.id;

/** The key that signs what comes behind a batch, where that changes with it. */
export function nextKeyIn(batch: readonly Waiting[]): RecordKey | undefined {
  const keys = batch.flatMap(({ group: { events, everywhere } }) =>
    [everywhere, ...events].flatMap((each) => each?.signNextWith ?? []),
  );
  return keys.at(-1);
}

function groupsWithin(waiting: readonly Waiting[], eventsMax: number): number {
  let count = 0;
  for (let events = 0; count < waiting.length; count++) {
    events += waiting[count]!.size;
    if (count > 0 && events > eventsMax) break;
  }
  return count;
}
