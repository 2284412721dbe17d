// Threads that check chunks of records, one per core: signatures are most of the work of verifying an export.
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import type { EventKeys, EventRows, LineChunk, RecordRows } from "./rows.ts";
import type { Checker } from "./verification.ts";

/** What a thread is asked. */
export type PoolRequest =
  | { readonly job: number; readonly kind: "events"; readonly chunk: LineChunk }
  | { readonly job: number; readonly kind: "records"; readonly chunk: LineChunk; readonly keys: EventKeys };

/** What it answers. */
export type PoolReply =
  | { readonly job: number; readonly rows: EventRows | RecordRows }
  | { readonly job: number; readonly error: string };

/** Chunks until the first of which one thread is as fast as several. */
const FEW = 2;

interface Waiting {
  resolve(rows: EventRows | RecordRows): void;
  reject(error: Error): void;
}

export class VerifierPool implements Checker {
  readonly #workers: { worker: Worker; jobs: number }[] = [];
  readonly #waiting = new Map<number, Waiting>();
  #jobs = 0;

  events(chunk: LineChunk): Promise<EventRows> {
    return this.#ask({ job: ++this.#jobs, kind: "events", chunk }) as Promise<EventRows>;
  }

  records(chunk: LineChunk, keys: EventKeys): Promise<RecordRows> {
    return this.#ask({ job: ++this.#jobs, kind: "records", chunk, keys }) as Promise<RecordRows>;
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.map(({ worker }) => worker.terminate()));
  }

  #ask(request: PoolRequest): Promise<EventRows | RecordRows> {
    const chosen = this.#leastBusy();
    chosen.jobs++;
    return new Promise((resolve, reject) => {
      const done =
        <T>(then: (value: T) => void) =>
        (value: T): void => {
          chosen.jobs--;
          then(value);
        };
      this.#waiting.set(request.job, { resolve: done(resolve), reject: done(reject) });
      chosen.worker.postMessage(request, [request.chunk.bytes.buffer as ArrayBuffer]);
    });
  }

  #leastBusy(): { worker: Worker; jobs: number } {
    const least = this.#workers.toSorted((a, b) => a.jobs - b.jobs)[0];
    if (
      least !== undefined &&
      (least.jobs === 0 || this.#workers.length >= availableParallelism() || this.#jobs <= FEW)
    )
      return least;
    const started = { worker: this.#start(), jobs: 0 };
    this.#workers.push(started);
    return started;
  }

  #start(): Worker {
    const file = import.meta.url.endsWith(".ts") ? "./worker.ts" : "./worker.js";
    const worker = new Worker(new URL(file, import.meta.url));
    worker.on("message", (reply: PoolReply) => {
      const waiting = this.#waiting.get(reply.job);
      this.#waiting.delete(reply.job);
      if ("rows" in reply) waiting?.resolve(reply.rows);
      else waiting?.reject(new Error(reply.error));
    });
    worker.on("error", (error) => {
      for (const waiting of this.#waiting.values()) waiting.reject(error as Error);
      this.#waiting.clear();
    });
    return worker;
  }
}
