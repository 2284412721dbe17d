// Threads that check chunks of rows, one per core: signatures are most of the work of verifying an export.
import { ThreadPool } from "../../threads/threads.ts";
import type { LineChunk } from "./chunks.ts";
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
export type PoolAnswer = EventRows | RecordRows | SegmentRows | ProofRows;

/** A chunk leaves little behind. */
const YOUNG_MIB_MAX = 8;

export class VerifierPool implements Checker {
  readonly #threads = new ThreadPool<PoolRequest, PoolAnswer>("./worker", import.meta.url, {
    youngMiBMax: YOUNG_MIB_MAX,
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

  #ask<Rows extends PoolAnswer>(request: PoolRequest): Promise<Rows> {
    return this.#threads.ask(request, [request.chunk.bytes.buffer as ArrayBuffer]) as Promise<Rows>;
  }
}
