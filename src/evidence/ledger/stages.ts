// Whose turn it is on the committer: one thing is done at a time, in the order in which it was asked for; only batches are linked while earlier ones are still being signed.

export interface Stages<Batch> {
  readonly link: () => Promise<Batch>;
  /** Until it can be appended. Must not reject. */
  readonly signed: (batch: Batch) => Promise<void>;
  readonly append: (batch: Batch) => Promise<void>;
  /** What comes behind it must not be linked before it is appended. */
  readonly alone: (batch: Batch) => boolean;
}

export class CommitOrder {
  /** What was begun last is over. */
  #free: Promise<void> = Promise.resolve();
  /** All that was asked for is linked, or done. */
  #linked: Promise<void> = Promise.resolve();
  /** All that was asked for is done. */
  #done: Promise<void> = Promise.resolve();

  /** As soon as nothing else is being done. */
  take<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#free.then(work);
    this.#free = turn.then(() => {});
    return turn;
  }

  /** Once all that was asked for is done. */
  ask(work: () => Promise<void>): void {
    this.#linked = this.#done = this.#done.then(() => this.take(work));
  }

  /** Linked once all that was asked for is linked or done, appended once all of it is done. */
  askInStages<Batch>({ link, signed, append, alone }: Stages<Batch>): void {
    const before = this.#done;
    const linking = this.#linked.then(() => this.take(link));
    const done = linking.then(async (batch) => {
      await signed(batch);
      await before;
      await this.take(() => append(batch));
    });
    this.#linked = linking.then((batch) => (alone(batch) ? done : undefined));
    this.#done = done;
  }
}
