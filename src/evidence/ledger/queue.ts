// What waits to be made durable, in order, and how much of it goes in one commit.
import type { Receipt, RecordKey } from "./entry.ts";
import type { Group } from "./messages.ts";

/** Events that commit together, and who waits for that. */
export interface Waiting {
  readonly group: Group;
  /** How many events. */
  readonly size: number;
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

/** What was appended, in order, until all before it is settled as well: turns overtake what waits. */
export class Unsettled {
  readonly #waiting = new Set<Waiting>();
  readonly #settled = new Set<Waiting>();

  add(waiting: Waiting): void {
    this.#waiting.add(waiting);
  }

  /** @returns how many events more are settled, from the first on. */
  settle(batch: readonly Waiting[]): number {
    for (const waiting of batch) this.#settled.add(waiting);
    let events = 0;
    for (const waiting of this.#waiting) {
      if (!this.#settled.delete(waiting)) break;
      this.#waiting.delete(waiting);
      events += waiting.size;
    }
    return events;
  }

  clear(): void {
    this.#waiting.clear();
    this.#settled.clear();
  }
}

const sizeOf = (batch: readonly Waiting[]): number => batch.reduce((sum, { size }) => sum + size, 0);

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
