// Threads that decide again, one per core; each has the policies loaded once.
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { ReplayError, type ReplayFinding, type ReplayItem } from "./check.ts";

/** The name under which the candidate is loaded, which is no digest. */
export const CANDIDATE = "candidate";

export type ReplayRequest =
  | { readonly job: number; readonly kind: "policy"; readonly name: string; readonly bundle: Uint8Array }
  | { readonly job: number; readonly kind: "check"; readonly items: readonly ReplayItem[] };
export type ReplayReply =
  | { readonly job: number; readonly findings: readonly ReplayFinding[] }
  | { readonly job: number; readonly error: string };

export class ReplayPool {
  readonly #workers: Worker[] = [];
  readonly #jobs: number[] = [];
  readonly #waiting = new Map<
    number,
    { resolve: (findings: readonly ReplayFinding[]) => void; reject: (error: Error) => void }
  >();
  readonly #policies = new Set<string>();
  #job = 0;

  constructor() {
    for (let i = 0; i < availableParallelism(); i++) {
      this.#workers.push(this.#start());
      this.#jobs.push(0);
    }
  }

  get size(): number {
    return this.#workers.length;
  }

  has(name: string): boolean {
    return this.#policies.has(name);
  }

  /** @throws ReplayError the bundle cannot be used. */
  async addPolicy(name: string, bundle: Uint8Array): Promise<void> {
    this.#policies.add(name);
    await Promise.all(this.#workers.map((_, i) => this.#ask(i, { job: ++this.#job, kind: "policy", name, bundle })));
  }

  check(items: readonly ReplayItem[]): Promise<readonly ReplayFinding[]> {
    const least = this.#jobs.indexOf(Math.min(...this.#jobs));
    return this.#ask(least, { job: ++this.#job, kind: "check", items });
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }

  #ask(index: number, request: ReplayRequest): Promise<readonly ReplayFinding[]> {
    this.#jobs[index]!++;
    return new Promise<readonly ReplayFinding[]>((resolve, reject) => {
      this.#waiting.set(request.job, { resolve, reject });
      this.#workers[index]!.postMessage(request);
    }).finally(() => this.#jobs[index]!--);
  }

  #start(): Worker {
    const file = import.meta.url.endsWith(".ts") ? "./worker.ts" : "./worker.js";
    const worker = new Worker(new URL(file, import.meta.url));
    worker.on("message", (reply: ReplayReply) => {
      const waiting = this.#waiting.get(reply.job);
      this.#waiting.delete(reply.job);
      if ("findings" in reply) waiting?.resolve(reply.findings);
      else waiting?.reject(new ReplayError(reply.error));
    });
    worker.on("error", (error) => {
      for (const { reject } of this.#waiting.values()) reject(error as Error);
      this.#waiting.clear();
    });
    return worker;
  }
}
