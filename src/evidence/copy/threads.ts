// The threads of a copy: as many as there are cores, their answers in the order of what was asked, and never many that wait.
import type { StoreAt } from "../../store/open.ts";
import { ThreadPool } from "../../threads/threads.ts";
import type { ComparedRange, CopiedRange, ReadRecord } from "./checking.ts";

export type CopyRequest =
  | { readonly source: StoreAt; readonly copied: StoreAt }
  | { readonly records: readonly string[] }
  | CopiedRange;
export type CopyAnswer = ReadRecord[] | ComparedRange | Record<string, never>;

/** What a thread keeps for what is young; a page has a few megabytes. */
const YOUNG_MIB_MAX = 8;
/** Asked for each thread, so that none waits for the main one. */
const ASKED_EACH = 2;

export class CopyThreads {
  readonly #pool = new ThreadPool<CopyRequest, CopyAnswer>("./copy-worker", import.meta.url, {
    youngMiBMax: YOUNG_MIB_MAX,
  });

  async open(source: StoreAt, copied: StoreAt): Promise<void> {
    await this.#pool.tell({ source, copied });
  }

  close(): Promise<void> {
    return this.#pool.close();
  }

  read(records: readonly string[]): Promise<ReadRecord[]> {
    return this.#pool.ask({ records }) as Promise<ReadRecord[]>;
  }

  compare(range: CopiedRange): Promise<ComparedRange> {
    return this.#pool.ask(range) as Promise<ComparedRange>;
  }

  /** @param ask is given one of `all` after the other, ahead of what is yielded. @returns what it answered, in order. */
  async *inOrder<T, A>(all: AsyncIterable<T> | Iterable<T>, ask: (each: T) => Promise<A>): AsyncGenerator<A> {
    const asked: Promise<A>[] = [];
    for await (const each of all) {
      const answer = ask(each);
      // Whoever takes it in its turn is told.
      answer.catch(() => {});
      if (asked.push(answer) > ASKED_EACH * this.#pool.size) yield await asked.shift()!;
    }
    while (asked.length > 0) yield await asked.shift()!;
  }
}
