// Threads that check chunks of rows, one per core: signatures are most of the work of verifying an export.
import { ThreadPool } from "../../threads/threads.ts";
import { ChunkMemory, type LineChunk } from "./chunks.ts";
import type { Checker } from "./context.ts";
import type { EventRows } from "./event-rows.ts";
import type { LeafRange } from "./inclusion.ts";
import type { ElementChunk } from "./json-stream.ts";
import type { ProofRows } from "./proof-rows.ts";
import type { EventKeys, RecordRows } from "./record-rows.ts";
import type { SegmentRows } from "./segment-rows.ts";

/** What a thread is asked. */
export type PoolRequest =
  | { readonly kind: "events"; readonly chunk: LineChunk }
  | { readonly kind: "records"; readonly chunk: LineChunk; readonly keys: EventKeys | undefined }
  | { readonly kind: "segment"; readonly chunk: ElementChunk }
  | { readonly kind: "proofs"; readonly chunk: ElementChunk; readonly range: LeafRange };
export type PoolRows = EventRows | RecordRows | SegmentRows | ProofRows;
/** What came of a chunk, and the memory that it was in. */
export interface PoolAnswer {
  readonly rows: PoolRows;
  readonly memory: ArrayBuffer;
}

/** A chunk leaves little behind; the worst lines that there can be take a fifth of what is allowed. */
const YOUNG_MIB_MAX = 4;
const OLD_MIB_MAX = 256;

export class VerifierPool implements Checker {
  readonly memory = new ChunkMemory();
  readonly #threads = new ThreadPool<PoolRequest, PoolAnswer>("./worker", import.meta.url, {
    youngMiBMax: YOUNG_MIB_MAX,
    oldMiBMax: OLD_MIB_MAX,
  });

  /** Starts them before there is anything to check. */
  start(): void {
    this.#threads.start();
  }

  events(chunk: LineChunk): Promise<EventRows> {
    return this.#ask({ kind: "events", chunk });
  }

  records(chunk: LineChunk, keys: EventKeys | undefined): Promise<RecordRows> {
    return this.#ask({ kind: "records", chunk, keys });
  }

  segment(chunk: ElementChunk): Promise<SegmentRows> {
    return this.#ask({ kind: "segment", chunk });
  }

  proofs(chunk: ElementChunk, range: LeafRange): Promise<ProofRows> {
    return this.#ask({ kind: "proofs", chunk, range });
  }

  close(): Promise<void> {
    return this.#threads.close();
  }

  async #ask<Rows extends PoolRows>(request: PoolRequest): Promise<Rows> {
    const { rows, memory } = await this.#threads.ask(request, [request.chunk.bytes.buffer as ArrayBuffer]);
    this.memory.giveBack(memory);
    return rows as Rows;
  }
}
