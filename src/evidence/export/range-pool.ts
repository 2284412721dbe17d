// Who reads the pages of a range: this thread, or where they are many threads, one a core.
import { ThreadPool } from "../../threads/threads.ts";
import { ChunkMemory } from "../verify/chunks.ts";
import { readRange, type RangePage, type RangeRows } from "./range-rows.ts";

/** What came of a page, and the memory that its artifacts were in. */
export interface RangeAnswer {
  readonly rows: RangeRows;
  readonly spent: ArrayBuffer;
}

/** Starting threads takes as long as reading so many events. */
const FEW_EVENTS = 2000;
/** A page leaves little behind. */
const YOUNG_MIB_MAX = 4;

export class RangePool {
  /** Where pages are to lie; what comes of one is to be given back when it was taken. */
  readonly memory = new ChunkMemory();
  readonly #threads: ThreadPool<RangePage, RangeAnswer> | undefined;

  /** @param events how many there are in all. */
  constructor(events: number) {
    if (events <= FEW_EVENTS) return;
    this.#threads = new ThreadPool("./range-worker", import.meta.url, { youngMiBMax: YOUNG_MIB_MAX });
    this.#threads.start();
  }

  async read(page: RangePage): Promise<RangeRows> {
    const memory = page.artifacts.buffer;
    const { rows, spent } =
      this.#threads === undefined
        ? { rows: readRange(page), spent: memory }
        : await this.#threads.ask(page, [memory, page.room]);
    this.memory.giveBack(spent);
    return rows;
  }

  async close(): Promise<void> {
    await this.#threads?.close();
  }
}
