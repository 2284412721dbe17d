// Threads that check chunks of records, one per core: signatures are most of the work of verifying an export.
import { ThreadPool } from "../../threads/threads.ts";
import type { LineChunk } from "./chunks.ts";
import type { Checker } from "./context.ts";
import type { EventKeys, EventRows, RecordRows } from "./rows.ts";

/** What a thread is asked. */
export type PoolRequest =
  | { readonly kind: "events"; readonly chunk: LineChunk }
  | { readonly kind: "records"; readonly chunk: LineChunk; readonly keys: EventKeys | undefined };

/** A chunk leaves little behind. */
const YOUNG_MIB_MAX = 8;

export class VerifierPool implements Checker {
  readonly #threads = new ThreadPool<PoolRequest, EventRows | RecordRows>("./worker", import.meta.url, {
    youngMiBMax: YOUNG_MIB_MAX,
  });

  events(chunk: LineChunk): Promise<EventRows> {
    return this.#threads.ask({ kind: "events", chunk }, [chunk.bytes.buffer as ArrayBuffer]) as Promise<EventRows>;
  }

  records(chunk: LineChunk, keys: EventKeys | undefined): Promise<RecordRows> {
    const request = { kind: "records", chunk, keys } as const;
    return this.#threads.ask(request, [chunk.bytes.buffer as ArrayBuffer]) as Promise<RecordRows>;
  }

  close(): Promise<void> {
    return this.#threads.close();
  }
}
