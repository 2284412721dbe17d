// Who is told, in commit order, what became durable.
import type { StoredEvent } from "../store/store.ts";

export type Subscriber = (events: readonly StoredEvent[]) => void;

export class Subscribers {
  readonly #subscribers = new Set<Subscriber>();

  /** @returns a function that ends it. */
  add(subscriber: Subscriber): () => void {
    this.#subscribers.add(subscriber);
    return () => this.#subscribers.delete(subscriber);
  }

  /** Whether anybody is told. */
  get any(): boolean {
    return this.#subscribers.size > 0;
  }

  tell(events: readonly StoredEvent[]): void {
    for (const subscriber of this.#subscribers) subscriber(events);
  }
}
