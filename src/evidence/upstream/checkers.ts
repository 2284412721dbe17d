// The threads that check what other nodes send: each is started when those before it have something to do, and again if it died.
import { availableParallelism } from "node:os";
import type { Worker } from "node:worker_threads";
import { EvidenceUnavailableError, RequestError } from "../../core/errors.ts";
import { startThread } from "../../threads/threads.ts";
import type {
  Conflicts,
  IntakeData,
  IntakeReply,
  IntakeRequest,
  OfferedRecords,
  OfferReply,
  ReadReply,
} from "./messages.ts";

/** A store takes no more than so many can verify. */
const THREADS_MAX = 8;

/** Has what was offered compared with what is held, once all before it is on record. To be called once. */
export type Settle = (nowMs: number) => Promise<OfferReply>;

export class Checkers {
  readonly #data: IntakeData;
  readonly #threadsMax: number;
  readonly #threads: CheckingThread[] = [];
  #offers = 0;

  constructor(data: IntakeData, threadsMax = Math.min(availableParallelism(), THREADS_MAX)) {
    this.#data = data;
    this.#threadsMax = threadsMax;
  }

  /**
   * Has records read, and their signatures verified, whatever else of their node is under way.
   * @throws RequestError the body cannot be read. @throws EvidenceUnavailableError it could not be checked.
   */
  async offer(records: Omit<OfferedRecords, "kind" | "offer">): Promise<Settle> {
    const thread = this.#leastBusy();
    const offer = ++this.#offers;
    const { unreadable } = (await thread.ask({ kind: "offer", offer, ...records })) as ReadReply;
    if (unreadable) throw new RequestError(unreadable.status, unreadable.faults);
    return (nowMs) => thread.ask({ kind: "settle", offer, nowMs }) as Promise<OfferReply>;
  }

  conflicts(after: number, ownId: string): Promise<Conflicts> {
    return this.#leastBusy().ask({ kind: "conflicts", after, ownId }) as Promise<Conflicts>;
  }

  async close(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.close()));
  }

  #leastBusy(): CheckingThread {
    const least = this.#threads.toSorted((a, b) => a.asked - b.asked)[0];
    if (least && (least.asked === 0 || this.#threads.length >= this.#threadsMax)) return least;
    const thread = new CheckingThread(this.#data);
    this.#threads.push(thread);
    return thread;
  }
}

class CheckingThread {
  readonly #data: IntakeData;
  readonly #asked = new Map<number, { resolve: (reply: IntakeReply) => void; reject: (error: Error) => void }>();
  #worker: Worker | undefined;
  #jobs = 0;

  constructor(data: IntakeData) {
    this.#data = data;
  }

  /** How many answers it owes. */
  get asked(): number {
    return this.#asked.size;
  }

  ask(request: IntakeRequest): Promise<IntakeReply> {
    const job = ++this.#jobs;
    const worker = (this.#worker ??= this.#start());
    worker.ref();
    return new Promise((resolve, reject) => {
      this.#asked.set(job, { resolve, reject });
      worker.postMessage({ job, request }, request.kind === "offer" ? transferOf(request.bytes) : []);
    });
  }

  async close(): Promise<void> {
    await this.#worker?.terminate();
  }

  #start(): Worker {
    const worker = startThread("./intake-worker", import.meta.url, { workerData: this.#data });
    worker.on("message", ({ job, answer, error }: { job: number; answer: IntakeReply; error?: string }) => {
      const asked = this.#asked.get(job);
      this.#asked.delete(job);
      if (this.#asked.size === 0) worker.unref();
      if (error === undefined) asked?.resolve(answer);
      else asked?.reject(new EvidenceUnavailableError(`the records could not be checked: ${error}`));
    });
    const died = (message: string) => {
      if (this.#worker === worker) this.#worker = undefined;
      for (const { reject } of this.#asked.values()) reject(new EvidenceUnavailableError(message));
      this.#asked.clear();
    };
    worker.on("error", (error) => died((error as Error).message));
    worker.on("exit", () => died("the thread that checks records ended"));
    return worker;
  }
}

/** What has memory of its own is handed over; a part of what others use is copied. */
const transferOf = ({ buffer, byteLength }: Uint8Array): ArrayBuffer[] =>
  buffer instanceof ArrayBuffer && buffer.byteLength === byteLength ? [buffer] : [];
