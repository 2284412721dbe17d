// Verification in a thread of its own, so that no archive, however it is made, keeps decisions waiting; bounded in time, counts and memory.
import type { Worker } from "node:worker_threads";
import { RailgateError } from "../../core/errors.ts";
import { startThread } from "../../threads/threads.ts";
import type { ArchiveLimits } from "./files.ts";
import type { VerifyReport } from "./report.ts";
import type { VerifyOptions } from "./verification.ts";

/** It took longer than an archive within the bounds can take. */
export class VerificationTimeoutError extends RailgateError {
  static override code = "verification_timeout";
}

/** What a thread is sent: what is to be held against the archive, then the archive, piece by piece; null is its end. */
export type ApartRequest = { readonly options: VerifyOptions } | { readonly part: Uint8Array | null };
/** What it says: that it wants more, or how it ended. */
export type ApartReply =
  | { readonly more: true }
  | { readonly report: VerifyReport }
  | { readonly error: string; readonly isUsage: boolean };

export interface ApartOptions extends Omit<VerifyOptions, "progress"> {
  readonly timeoutMs?: number;
}

/** Of what callers send over the network: an export of more is verified with `railgate verify`, which has a machine to itself. */
const APART_LIMITS: ArchiveLimits = {
  bytesMax: 16 * 1024 ** 3,
  entriesMax: 600_000,
  manifestBytesMax: 96 * 1024 ** 2,
  eventsMax: 250_000,
};
const APART_TIMEOUT_MS = 5 * 60_000;
const HEAP_MIB_MAX = 384;
/** Small parts are gathered, since each that is handed over costs the thread that hands it. */
const PART_BYTES = 256 * 1024;

/**
 * Verifies an archive as it arrives.
 * @throws VerificationTimeoutError; whatever reading the archive throws; TypeError as `verifyExport`.
 */
export async function verifyApart(
  archive: Uint8Array | AsyncIterable<Uint8Array>,
  { timeoutMs = APART_TIMEOUT_MS, ...options }: ApartOptions,
): Promise<VerifyReport> {
  const worker = startThread("./apart-worker", import.meta.url, {
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MIB_MAX },
  });
  const thread = new ApartThread(worker, timeoutMs);
  try {
    thread.send({ options: { ...options, limits: { ...APART_LIMITS, ...options.limits } } });
    return await Promise.race([thread.ended, feed(thread, archive)]);
  } finally {
    thread.dispose();
    await worker.terminate();
  }
}

/** Hands over the archive at the pace of the one who reads it. It never ends by itself but in failure. */
async function feed(thread: ApartThread, archive: Uint8Array | AsyncIterable<Uint8Array>): Promise<VerifyReport> {
  const parts = archive instanceof Uint8Array ? pieces(archive) : gathered(archive);
  for await (const part of parts) {
    if (!(await thread.wantsMore())) break;
    thread.send({ part }, [part.buffer as ArrayBuffer]);
  }
  if (await thread.wantsMore()) thread.send({ part: null });
  return thread.ended;
}

function* pieces(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += PART_BYTES) yield new Uint8Array(bytes.subarray(at, at + PART_BYTES));
}

/** Parts whose memory nobody else holds. */
async function* gathered(archive: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let held: Uint8Array[] = [];
  let length = 0;
  const whole = (): Uint8Array => {
    const bytes = new Uint8Array(length);
    let at = 0;
    for (const part of held) {
      bytes.set(part, at);
      at += part.length;
    }
    [held, length] = [[], 0];
    return bytes;
  };
  for await (const part of archive) {
    held.push(part);
    length += part.length;
    if (length >= PART_BYTES) yield whole();
  }
  if (length > 0) yield whole();
}

class ApartThread {
  readonly #worker: Worker;
  readonly #timer: NodeJS.Timeout;
  /** How many parts it has asked for that were not sent yet. */
  #wanted = 0;
  #waiting: (() => void) | undefined;
  #isOver = false;
  readonly ended: Promise<VerifyReport>;

  constructor(worker: Worker, timeoutMs: number) {
    this.#worker = worker;
    const { promise, resolve, reject } = Promise.withResolvers<VerifyReport>();
    this.ended = promise;
    promise.catch(() => {}).finally(() => this.#over());
    this.#timer = setTimeout(
      () => reject(new VerificationTimeoutError(`the archive was not verified within ${timeoutMs} ms`)),
      timeoutMs,
    );
    worker.on("message", (reply: ApartReply) => {
      if ("more" in reply) this.#wants();
      else if ("report" in reply) resolve(reply.report);
      else reject(reply.isUsage ? new TypeError(reply.error) : new Error(reply.error));
    });
    worker.on("error", reject);
    worker.on("exit", () => reject(new Error("the verifier's thread ended")));
  }

  send(request: ApartRequest, transfer: ArrayBuffer[] = []): void {
    this.#worker.postMessage(request, transfer);
  }

  /** Resolves once a part may be sent; false when no more is needed. */
  async wantsMore(): Promise<boolean> {
    if (this.#wanted === 0 && !this.#isOver) await new Promise<void>((resolve) => (this.#waiting = resolve));
    if (this.#isOver) return false;
    this.#wanted--;
    return true;
  }

  dispose(): void {
    clearTimeout(this.#timer);
  }

  #wants(): void {
    this.#wanted++;
    this.#waiting?.();
    this.#waiting = undefined;
  }

  #over(): void {
    this.#isOver = true;
    this.#waiting?.();
  }
}
