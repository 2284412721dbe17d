// Sends this node's records upstream, on a thread of its own, and knows how far they have arrived (spec evidence §7).
import type { Worker } from "node:worker_threads";
import type { ServiceAccess } from "../../outbound/access.ts";
import type { StreamRow } from "../../store/store.ts";
import { startThread } from "../../threads/threads.ts";
import type { ForwardData, ForwardReply, ForwardRequest } from "./forward-messages.ts";
import type { StoreAt } from "../../store/open.ts";

export interface ForwarderParts {
  readonly storePath: StoreAt;
  readonly access: ServiceAccess;
  readonly cursorFile: string;
  readonly ownIds: readonly string[];
  readonly heartbeatMs: number;
  readonly backoffMsMax: number;
  /** Upstream was heard from; or, why not. */
  readonly heard: (problem: string | undefined) => void;
  /** Resolutions that upstream hands down. @returns when they are on record; rejects where they cannot be now. */
  readonly superseded: (records: readonly string[]) => Promise<void>;
  readonly streams: () => Promise<readonly StreamRow[]>;
}

/** How records go upstream, as operators are shown it. */
export interface Forwarding {
  readonly url: string;
  /** Records that have not arrived yet. */
  readonly backlog: number;
  /** Records that arrived since the node was started. */
  readonly forwarded: number;
  /** Streams that upstream does not take, and why. */
  readonly refused: readonly { readonly chain_id: string; readonly problem: string }[];
}

/** Told that there is more so often at most. */
const GROWN_MS = 20;

export class Forwarder {
  readonly #parts: ForwarderParts;
  readonly #arrived = new Map<string, number>();
  readonly #cosigned = new Map<string, string>();
  readonly #refused = new Map<string, string>();
  #cutOffAt: { readonly [chainId: string]: number } | null = null;
  #worker: Worker | undefined;
  #stopped: (() => void) | undefined;
  #grown: NodeJS.Timeout | undefined;
  #forwarded = 0;
  #handingDown = false;

  constructor(parts: ForwarderParts) {
    this.#parts = parts;
  }

  start(): void {
    const { storePath, access, cursorFile, ownIds, heartbeatMs, backoffMsMax } = this.#parts;
    const data: ForwardData = { storePath, access, cursorFile, ownIds, heartbeatMs, backoffMsMax };
    const worker = startThread("./forward-worker", import.meta.url, { workerData: data });
    this.#worker = worker;
    worker.unref();
    worker.on("message", (reply: ForwardReply) => this.#told(reply));
    worker.on("error", (error) => this.#parts.heard(`sending ended: ${(error as Error).message}`));
    worker.on("exit", () => this.#exited());
  }

  async stop(): Promise<void> {
    clearTimeout(this.#grown);
    const worker = this.#worker;
    if (!worker) return;
    this.#worker = undefined;
    worker.ref();
    await new Promise<void>((resolve) => {
      this.#stopped = resolve;
      worker.postMessage({ kind: "stop" } satisfies ForwardRequest);
    });
  }

  /** There is more on record. */
  grown(): void {
    this.#grown ??= setTimeout(() => {
      this.#grown = undefined;
      this.#tell({ kind: "grown" });
    }, GROWN_MS).unref();
  }

  /** Whether nothing may be sent. */
  isolate(isolated: boolean): void {
    this.#tell({ kind: "isolated", isolated });
  }

  /** Remembers how far it was when the node was cut off; until told that it no longer is. */
  cutOff(cutOff: boolean): void {
    this.#cutOffAt = cutOff ? (this.#cutOffAt ?? Object.fromEntries(this.#arrived)) : null;
    this.#tell({ kind: "cut_off", cutOff });
  }

  /** The sequence that upstream expected when the node was cut off; undefined where nobody remembers. */
  arrivedBefore(chainId: string): number | undefined {
    return this.#cutOffAt?.[chainId];
  }

  /** How much of a stream has arrived. */
  arrived(chainId: string): number {
    return this.#arrived.get(chainId) ?? 0;
  }

  /** Its latest checkpoint that upstream has signed as well. */
  cosigned(chainId: string): string | undefined {
    return this.#cosigned.get(chainId);
  }

  async status(): Promise<Forwarding> {
    const streams = await this.#parts.streams();
    const backlog = streams.reduce((sum, { chain_id, size }) => sum + Math.max(0, size - this.arrived(chain_id)), 0);
    const refused = [...this.#refused].map(([chain_id, problem]) => ({ chain_id, problem }));
    return { url: this.#parts.access.url, backlog, forwarded: this.#forwarded, refused };
  }

  #told(reply: ForwardReply): void {
    switch (reply.kind) {
      case "ready":
        for (const [chain, next] of Object.entries(reply.arrived)) this.#arrived.set(chain, next);
        this.#cutOffAt ??= reply.cutOffAt;
        return;
      case "heard":
        return this.#parts.heard(reply.problem);
      case "arrived":
        this.#arrived.set(reply.chainId, reply.next);
        this.#forwarded += reply.accepted;
        if (reply.checkpoint !== undefined) this.#cosigned.set(reply.chainId, reply.checkpoint);
        return;
      case "refused":
        if (reply.problem === undefined) this.#refused.delete(reply.chainId);
        else this.#refused.set(reply.chainId, reply.problem);
        return;
      case "superseded":
        return void this.#handDown(reply);
      case "stopped":
        return this.#stopped?.();
    }
  }

  /** What could not be put on record is handed down again with the next sign of life. */
  async #handDown({ nodeId, records, next }: Extract<ForwardReply, { kind: "superseded" }>): Promise<void> {
    if (this.#handingDown) return;
    this.#handingDown = true;
    try {
      await this.#parts.superseded(records);
      this.#tell({ kind: "superseded", nodeId, next });
    } catch {
      // Said above.
    } finally {
      this.#handingDown = false;
    }
  }

  #exited(): void {
    this.#stopped?.();
    if (!this.#worker) return;
    this.#worker = undefined;
    setTimeout(() => this.#stopped || this.#worker || this.start(), 1000).unref();
  }

  #tell(request: ForwardRequest): void {
    this.#worker?.postMessage(request);
  }
}
