// Worker threads: how one is started; a pool of those that answer requests, one after the other each, and the thread's end of it.
import { availableParallelism } from "node:os";
import { parentPort, Worker, type MessagePort, type Transferable, type WorkerOptions } from "node:worker_threads";

type Job = { readonly job: number; readonly request: unknown };
type Reply = { readonly job: number; readonly answer: unknown } | { readonly job: number; readonly error: string };
type Waiting = { resolve(answer: unknown): void; reject(error: Error): void };
type Thread = { readonly worker: Worker; readonly waiting: Map<number, Waiting> };

/**
 * Starts a thread. It takes no flags from the host's process: some say how that one's own script is to be read (`--eval`,
 * `--input-type`), and no thread that has a file starts with them.
 * @param module the thread's own, without its extension: source or built, as the caller is. @param base the caller's URL.
 */
export function startThread(module: string, base: string, options: WorkerOptions = {}): Worker {
  const url = new URL(`${module}.${base.endsWith(".ts") ? "ts" : "js"}`, base);
  return new Worker(url, { name: module.slice(module.lastIndexOf("/") + 1), ...options, execArgv: [] });
}

/** Threads of one module; they are started as they are needed, one a core at most. */
export class ThreadPool<Request, Answer> {
  readonly #module: string;
  readonly #base: string;
  readonly #failed: (message: string) => Error;
  readonly #options: WorkerOptions;
  readonly #threads: Thread[] = [];
  /** What a thread that is started later must be told first. */
  readonly #told: Request[] = [];
  #jobs = 0;
  readonly size = availableParallelism();

  /**
   * @param module as in {@link startThread}.
   * @param failed makes the error that a thread's message becomes.
   * @param youngMiBMax what a thread keeps for what is young; V8's own bound where it is left out.
   * @param oldMiBMax what a thread may hold beside it. V8 collects early what may not grow beyond 256 MiB, and late what may.
   */
  constructor(
    module: string,
    base: string,
    {
      failed = (message) => new Error(message),
      youngMiBMax,
      oldMiBMax,
    }: {
      readonly failed?: (message: string) => Error;
      readonly youngMiBMax?: number;
      readonly oldMiBMax?: number;
    } = {},
  ) {
    this.#module = module;
    this.#base = base;
    this.#failed = failed;
    this.#options = {
      resourceLimits: {
        ...(youngMiBMax !== undefined && { maxYoungGenerationSizeMb: youngMiBMax }),
        ...(oldMiBMax !== undefined && { maxOldGenerationSizeMb: oldMiBMax }),
      },
    };
  }

  /** Starts all threads at once, where there will be work for each: starting takes a moment. */
  start(): void {
    while (this.#threads.length < this.size) this.#start();
  }

  /** Asks the thread that has least to do. */
  ask(request: Request, transfer: readonly Transferable[] = []): Promise<Answer> {
    return this.#send(this.#leastBusy(), request, transfer);
  }

  /** Tells all threads, and those that are started later before they are asked anything. */
  async tell(request: Request): Promise<void> {
    if (this.#threads.length === 0) this.#start();
    const answers = this.#threads.map((thread) => this.#send(thread, request));
    this.#told.push(request);
    await Promise.all(answers);
  }

  async close(): Promise<void> {
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()));
  }

  #send(thread: Thread, request: Request, transfer: readonly Transferable[] = []): Promise<Answer> {
    const job = ++this.#jobs;
    return new Promise<Answer>((resolve, reject) => {
      thread.waiting.set(job, { resolve: resolve as Waiting["resolve"], reject });
      thread.worker.postMessage({ job, request } satisfies Job, transfer);
    });
  }

  #leastBusy(): Thread {
    const least = this.#threads.toSorted((a, b) => a.waiting.size - b.waiting.size)[0];
    if (least !== undefined && (least.waiting.size === 0 || this.#threads.length >= this.size)) return least;
    return this.#start();
  }

  #start(): Thread {
    const thread: Thread = { worker: startThread(this.#module, this.#base, this.#options), waiting: new Map() };
    const fail = (error: Error): void => {
      for (const { reject } of thread.waiting.values()) reject(error);
      thread.waiting.clear();
      const at = this.#threads.indexOf(thread);
      if (at !== -1) this.#threads.splice(at, 1);
    };
    thread.worker.on("message", (reply: Reply) => {
      const waiting = thread.waiting.get(reply.job);
      thread.waiting.delete(reply.job);
      if ("error" in reply) waiting?.reject(this.#failed(reply.error));
      else waiting?.resolve(reply.answer);
    });
    thread.worker.on("error", (error) => fail(error as Error));
    thread.worker.on("exit", () => fail(new Error("the thread ended")));
    this.#threads.push(thread);
    for (const request of this.#told) this.#send(thread, request).catch(() => {});
    return thread;
  }
}

/** What a thread has of whoever started it: `parentPort`, or what stands for it where there is no thread. */
export type OwnPort = Pick<MessagePort, "postMessage" | "on" | "close">;

/**
 * The thread's end: answers each request as it comes.
 * @param transfer what of an answer is handed over in place of being copied.
 */
export function answerRequests<Request, Answer>(
  work: (request: Request) => Answer | Promise<Answer>,
  transfer: (answer: Answer) => Transferable[] = () => [],
  port: OwnPort = parentPort!,
): void {
  port.on("message", async ({ job, request }: { job: number; request: Request }) => {
    let reply: Reply;
    let handed: Transferable[] = [];
    try {
      const answer = await work(request);
      reply = { job, answer };
      handed = transfer(answer);
    } catch (error) {
      reply = { job, error: (error as Error).message };
    }
    port.postMessage(reply, handed);
  });
}
