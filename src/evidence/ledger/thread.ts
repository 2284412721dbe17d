// The committer's thread as the ledger sees it: started when first needed, replaced when it dies, probed when it fails, asked for checkpoints, stopped.
import type { Worker } from "node:worker_threads";
import { EvidenceUnavailableError } from "../../core/errors.ts";
import type { StateAt, StoreCounts } from "../../store/store.ts";
import { startThread } from "../../threads/threads.ts";
import type { RecordKey } from "./entry.ts";
import type { CommitterData, CommitterReply, CommitterRequest, Group, PutState, RecordedHead } from "./messages.ts";
import type { Parcel } from "./parcel.ts";

/** How often a store that failed is tried again when nobody asks for anything. */
const PROBE_MS = 1000;

/** How often a node at rest looks whether its files are in their places; one that commits does with each commit. */
const WATCH_MS = 1000;

/** What the thread has to say to the ledger. */
export interface CommitterOwner {
  /** A batch is on record, or is not. */
  onBatch(reply: Extract<CommitterReply, { kind: "committed" | "failed" }>): void;
  /** Pieces of state are locked for a turn. */
  onLocked(reply: Extract<CommitterReply, { kind: "locked" }>): void;
  /** The store was tried: why it cannot be written; undefined where it can. */
  onProbed(failure: string | undefined): void;
  /** Checkpoints that were due could not be made. */
  onCheckpointFailure(message: string): void;
  /** Whoever asked for a checkpoint has an answer. */
  onAnswered(): void;
  onDeath(message: string): void;
  onCounts(counts: StoreCounts): void;
  /** Nothing is being written. */
  idle(): boolean;
}

export class CommitterThread {
  readonly #owner: CommitterOwner;
  #data: CommitterData;
  /** The last of each stream, as many as the node has, and no more: where a database goes back that lacks one, only this process knows, until it has a checkpoint. */
  readonly #acknowledged = new Map<string, RecordedHead>();
  #worker: Worker | undefined;
  /** See {@link CommitterReply}; a new committer starts at 0. */
  #epoch = 0;
  /** Checkpoints that were asked for. */
  readonly #requests = new Map<number, { resolve: () => void; reject: (error: EvidenceUnavailableError) => void }>();
  readonly #replicas = new Map<
    number,
    { resolve: (position: number) => void; reject: (error: EvidenceUnavailableError) => void }
  >();
  readonly #puts = new Map<
    number,
    { resolve: (done: boolean) => void; reject: (error: EvidenceUnavailableError) => void }
  >();
  #lastRequest = 0;
  #probe: NodeJS.Timeout | undefined;
  #watch: NodeJS.Timeout | undefined;
  #quiet = false;

  constructor(data: CommitterData, owner: CommitterOwner) {
    this.#data = data;
    this.#owner = owner;
  }

  /** Somebody waits for a checkpoint, for records of another node to be taken, or for state to be put. */
  get asked(): boolean {
    return this.#requests.size > 0 || this.#replicas.size > 0 || this.#puts.size > 0;
  }

  /** Starts the thread before anything is to be written. */
  begin(): void {
    this.#running().unref();
  }

  commit(batch: number, groups: readonly Group[]): void {
    this.#post({ kind: "commit", epoch: this.#epoch, batch, groups });
  }

  /** For what commits under the same number next. */
  lock(batch: number, places: readonly StateAt[]): void {
    this.#post({ kind: "lock", epoch: this.#epoch, batch, places });
  }

  /**
   * Records that another node has signed.
   * @returns the position of the first, when all are durable. @throws EvidenceUnavailableError they are not, as far as is known.
   */
  replicate(events: Parcel): Promise<number> {
    const request = ++this.#lastRequest;
    this.#post({ kind: "replicate", request, events });
    return new Promise((resolve, reject) => this.#replicas.set(request, { resolve, reject }));
  }

  /** State that comes with no event. @returns whether it was put. @throws EvidenceUnavailableError it was not, as far as is known. */
  put(put: PutState): Promise<boolean> {
    const request = ++this.#lastRequest;
    this.#post({ kind: "put", request, put });
    return new Promise((resolve, reject) => this.#puts.set(request, { resolve, reject }));
  }

  /** What a thread after this one must know of a batch that is on record, before anybody is told. */
  committed(signNextWith: RecordKey | undefined, heads: readonly RecordedHead[]): void {
    this.#acknowledge(heads);
    if (this.#data.unsettled) this.#data = { ...this.#data, unsettled: undefined };
    if (signNextWith) this.#data = { ...this.#data, ...signNextWith };
  }

  /** What it was writing when it ended may be on the disk; whoever follows it finds out before it writes anything. */
  unsettled(lastIds: readonly string[]): void {
    this.#data = { ...this.#data, unsettled: [...(this.#data.unsettled ?? []), ...lastIds] };
  }

  /** @throws EvidenceUnavailableError when no checkpoint could be made. */
  checkpoint(): Promise<void> {
    const request = ++this.#lastRequest;
    this.#post({ kind: "checkpoint", request });
    return new Promise((resolve, reject) => this.#requests.set(request, { resolve, reject }));
  }

  /** A node that is not ready gets no requests from a careful balancer, so it must find out by itself when it is ready again. */
  probeSoon(): void {
    if (this.#quiet || this.#probe) return;
    this.#probe = setTimeout(() => this.#running().postMessage({ kind: "probe" } satisfies CommitterRequest), PROBE_MS);
    this.#probe.unref();
  }

  /** A host that embeds us may end when nothing is left to be made durable. */
  unref(): void {
    this.#worker?.unref();
  }

  /** No more of its own accord: it is about to be closed. */
  quiet(): void {
    this.#quiet = true;
    clearTimeout(this.#probe);
    clearInterval(this.#watch);
  }

  async close(): Promise<void> {
    const worker = this.#worker;
    if (!worker) return;
    this.#worker = undefined;
    await new Promise<void>((resolve) => {
      worker.ref();
      worker.removeAllListeners();
      worker.once("exit", () => resolve());
      // One that dies now has nothing left to lose; unheard, its error would end the process.
      worker.on("error", () => {});
      worker.postMessage({ kind: "close" } satisfies CommitterRequest);
    });
    this.#giveUpRequests("the node is shutting down");
  }

  /** Asks for what somebody waits for. */
  #post(request: CommitterRequest): void {
    const worker = this.#running();
    worker.ref();
    worker.postMessage(request);
  }

  #running(): Worker {
    return (this.#worker ??= this.#start());
  }

  #start(): Worker {
    this.#epoch = 0;
    const data: CommitterData = { ...this.#data, acknowledged: [...this.#acknowledged.values()] };
    const worker = startThread("./committer", import.meta.url, { workerData: data });
    worker.on("message", (reply: CommitterReply) => {
      if (this.#worker === worker) this.#onReply(reply);
    });
    worker.on("error", (error) => this.#onDeath(worker, (error as Error).message));
    worker.on("exit", (code) => this.#onDeath(worker, `the committer's thread ended with ${code}`));
    this.#watch ??= setInterval(() => this.#watchFiles(), WATCH_MS).unref();
    return worker;
  }

  #watchFiles(): void {
    if (this.#owner.idle()) this.#worker?.postMessage({ kind: "watch" } satisfies CommitterRequest);
  }

  #onReply(reply: CommitterReply): void {
    if (reply.kind === "checkpointed") return this.#onCheckpointed(reply);
    if (reply.kind === "replicated") return this.#onReplicated(reply);
    if (reply.kind === "put") return this.#onPut(reply);
    if (reply.kind === "probed") {
      this.#probe = undefined;
      return this.#owner.onProbed(reply.failure);
    }
    if (reply.kind === "locked") return this.#owner.onLocked(reply);
    if (reply.kind === "counted") return this.#owner.onCounts(reply.counts);
    if (reply.kind === "failed") this.#epoch = reply.epoch;
    this.#owner.onBatch(reply);
  }

  #onCheckpointed({ request, failure }: Extract<CommitterReply, { kind: "checkpointed" }>): void {
    if (failure !== undefined) this.#owner.onCheckpointFailure(failure);
    const asked = request === undefined ? undefined : this.#requests.get(request);
    if (request === undefined || !asked) return;
    this.#requests.delete(request);
    if (failure === undefined) asked.resolve();
    else asked.reject(new EvidenceUnavailableError(`no checkpoint could be made: ${failure}`));
    this.#owner.onAnswered();
  }

  #acknowledge(heads: readonly RecordedHead[]): void {
    for (const head of heads) this.#acknowledged.set(head.chainId, head);
  }

  #onReplicated({
    request,
    firstPosition,
    heads = [],
    failure,
  }: Extract<CommitterReply, { kind: "replicated" }>): void {
    const asked = this.#replicas.get(request);
    this.#replicas.delete(request);
    this.#acknowledge(heads);
    if (firstPosition !== undefined) asked?.resolve(firstPosition);
    else asked?.reject(new EvidenceUnavailableError(`the records could not be taken: ${failure}`));
    if (failure !== undefined) this.probeSoon();
    this.#owner.onAnswered();
  }

  #onPut({ request, done, failure }: Extract<CommitterReply, { kind: "put" }>): void {
    const asked = this.#puts.get(request);
    this.#puts.delete(request);
    if (failure === undefined) asked?.resolve(done);
    else asked?.reject(new EvidenceUnavailableError(`the state could not be written: ${failure}`));
    if (failure !== undefined) this.probeSoon();
    this.#owner.onAnswered();
  }

  #giveUpRequests(message: string): void {
    for (const { reject } of this.#puts.values())
      reject(new EvidenceUnavailableError(`the state could not be written: ${message}`));
    this.#puts.clear();
    for (const { reject } of this.#replicas.values())
      reject(new EvidenceUnavailableError(`the records could not be taken: ${message}`));
    this.#replicas.clear();
    for (const { reject } of this.#requests.values())
      reject(new EvidenceUnavailableError(`no checkpoint could be made: ${message}`));
    this.#requests.clear();
  }

  #onDeath(worker: Worker, message: string): void {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    this.#probe = void clearTimeout(this.#probe);
    this.#giveUpRequests(message);
    this.#owner.onDeath(message);
  }
}
