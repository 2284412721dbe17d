// Reports this node's decisions on a thread of its own, and knows how that goes.
import type { Worker } from "node:worker_threads";
import type { StoreReader } from "../../store/store.ts";
import { startThread } from "../../threads/threads.ts";
import { beginAtEnd, START } from "./place.ts";
import type { ReportData, ReportReply, ReportRequest } from "./report-messages.ts";

export interface ReporterParts extends ReportData {
  readonly store: StoreReader;
  /** Something was tried; or, why it failed. */
  readonly tried: (problem: ReportProblem | undefined) => void;
  /** What operators should know of a decision that went out without its input or result. */
  readonly withheld: (problem: string) => void;
}

export interface ReportProblem {
  readonly message: string;
  readonly httpCode: number | undefined;
}

type Policies = Extract<ReportRequest, { kind: "policies" }>;

/** Told that there is more so often at most. */
const GROWN_MS = 20;
const RESTARTED_MS = 1000;

export class Reporter {
  readonly #parts: ReporterParts;
  #worker: Worker | undefined;
  #stopped: (() => void) | undefined;
  #grown: NodeJS.Timeout | undefined;
  #again: NodeJS.Timeout | undefined;
  #policies: Policies | undefined;
  #isolated = false;
  #after = START;
  /** The position of the last event that is known of. */
  #newest = START;
  problem: ReportProblem | undefined;
  failures = 0;
  reported = 0;
  dropped = 0;

  constructor(parts: ReporterParts) {
    this.#parts = parts;
  }

  /** Nothing that is recorded from now on is passed over, whatever happens to this process. */
  async start(policies: Omit<Policies, "kind">, isolated: boolean): Promise<void> {
    this.#policies = { kind: "policies", ...policies };
    this.#isolated = isolated;
    const { after, last } = await beginAtEnd(this.#parts.cursorFile, this.#parts.store);
    this.#after = after;
    this.#newest = Math.max(this.#newest, last);
    this.#run();
  }

  async stop(): Promise<void> {
    clearTimeout(this.#grown);
    clearTimeout(this.#again);
    const worker = this.#worker;
    if (!worker) return;
    this.#worker = undefined;
    worker.ref();
    await new Promise<void>((resolve) => {
      this.#stopped = resolve;
      worker.postMessage({ kind: "stop" } satisfies ReportRequest);
    });
  }

  /** @param position up to which there are events. */
  grown(position: number): void {
    this.#newest = Math.max(this.#newest, position);
    if (!this.#parts.immediate) return;
    this.#grown ??= setTimeout(() => {
      this.#grown = undefined;
      this.#tell({ kind: "grown" });
    }, GROWN_MS).unref();
  }

  isolate(isolated: boolean): void {
    this.#isolated = isolated;
    this.#tell({ kind: "isolated", isolated });
  }

  /** What hides from now on. */
  policies(policies: Omit<Policies, "kind">): void {
    if (isSame(policies, this.#policies!)) return;
    this.#policies = { kind: "policies", ...policies };
    this.#tell(this.#policies);
  }

  get running(): boolean {
    return this.#worker !== undefined;
  }

  /** Records that have not been looked at yet: decisions, and others that are passed over. */
  get backlog(): number {
    return Math.max(0, this.#newest - this.#after);
  }

  #run(): void {
    const { store: _, tried: _tried, withheld: _withheld, ...data } = this.#parts;
    const worker = startThread("./report-worker", import.meta.url, { workerData: data satisfies ReportData });
    this.#worker = worker;
    worker.unref();
    worker.on("message", (reply: ReportReply) => this.#told(reply));
    worker.on("error", (error) =>
      this.#failed({ message: `reporting ended: ${(error as Error).message}`, httpCode: undefined }),
    );
    worker.on("exit", () => this.#exited());
    this.#tell(this.#policies!);
    this.#tell({ kind: "isolated", isolated: this.#isolated });
  }

  #told(reply: ReportReply): void {
    switch (reply.kind) {
      case "reported":
        this.#after = reply.after;
        this.reported += reply.events;
        this.dropped += reply.dropped;
        return;
      case "done":
        this.problem = undefined;
        return this.#parts.tried(undefined);
      case "failed":
        return this.#failed(reply);
      case "withheld":
        return this.#parts.withheld(`decision ${reply.decisionId} is reported without all of it: ${reply.why}`);
      case "stopped":
        return this.#stopped?.();
    }
  }

  #failed({ message, httpCode }: ReportProblem): void {
    this.failures += 1;
    this.problem = { message, httpCode };
    this.#parts.tried(this.problem);
  }

  #exited(): void {
    this.#stopped?.();
    if (!this.#worker) return;
    this.#worker = undefined;
    this.#again = setTimeout(() => this.#run(), RESTARTED_MS).unref();
  }

  #tell(request: ReportRequest): void {
    this.#worker?.postMessage(request);
  }
}

const isSame = (one: Omit<Policies, "kind">, other: Policies): boolean =>
  one.complete === other.complete && one.mask?.bytes === other.mask?.bytes && one.drop?.bytes === other.drop?.bytes;
