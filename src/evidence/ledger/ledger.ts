// The ledger: gives each event its place in its stream, and makes batches of events durable before anyone is answered (spec evidence §3).
import { Worker } from "node:worker_threads";
import { EvidenceUnavailableError } from "../../core/errors.ts";
import { chainId, EMPTY_STREAM, linkEvent, type EventDraft, type Head } from "../../core/event.ts";
import type { Blob, StateWrite, StoreReader, StoredEvent, KeyRow } from "../../store/store.ts";
import type { CommitterData, CommitterReply, CommitterRequest, RecordKey, UnsignedAppend } from "./messages.ts";

/** An event, with the artifact it points to and the state that changes with it. */
export interface Entry {
  readonly draft: EventDraft;
  /** Exact text of the artifact; null where it lies among the shared blobs already. */
  readonly artifact: string | null;
  readonly artifactDigest: string;
  readonly workloadId: string | null;
  readonly occurredAtMs: number;
  readonly blobs: readonly Blob[];
  readonly states: readonly StateWrite[];
  /** See {@link Append}. */
  readonly keys?: readonly KeyRow[] | undefined;
  readonly erases?: readonly number[] | undefined;
  /** Signs all that is appended behind this entry, in every stream. */
  readonly signNextWith?: RecordKey | undefined;
}

/** Proof that an event is signed and durable. */
export interface Receipt {
  /** The event's canonical bytes, as text. */
  readonly eventText: string;
  /** The record: a compact JWS. */
  readonly record: string;
  readonly position: number;
}

export interface BatchFigures {
  readonly events: number;
  readonly signingMs: number;
  readonly commitMs: number;
}

export interface LedgerLimits {
  /** Events that may wait; beyond it new ones are turned away. */
  readonly queueMax: number;
  readonly batchMax: number;
}

/** Events in one commit: enough to share an fsync among many, few enough that none waits long. */
export const DEFAULT_LEDGER_LIMITS: LedgerLimits = { queueMax: 20_000, batchMax: 128 };

/** An event's canonical bytes: its record (base64url, header and signature added) must fit the 65,535 bytes of a log's entry. */
const EVENT_BYTES_MAX = 48_000;

/** With the committer idle, this many are worth a commit: it signs and syncs them while others are still being decided. */
const EAGER_BATCH = 8;

/** How often a store that failed is tried again when nobody asks for anything. */
const PROBE_MS = 1000;

/** How often a node at rest looks whether its files are in their places; one that commits does with each commit. */
const WATCH_MS = 1000;

/** One batch is signed and synced while the next is decided; a third would only wait. */
const BATCHES_IN_FLIGHT_MAX = 2;

interface Waiting {
  readonly event: UnsignedAppend;
  /** Entries appended together commit together. */
  readonly group: number;
  readonly resolve: (receipt: Receipt) => void;
  readonly reject: (error: EvidenceUnavailableError) => void;
}

export class Ledger {
  readonly #reader: StoreReader;
  readonly #nodeId: string;
  #data: CommitterData;
  readonly #limits: LedgerLimits;
  #committer: Worker | undefined;
  /** Ends of all streams, those of events not yet durable included. Undefined: to be read from the store. */
  #heads: Map<string, Head> | undefined;
  #queue: Waiting[] = [];
  readonly #inFlight = new Map<number, Waiting[]>();
  #epoch = 0;
  #lastBatch = 0;
  #lastGroup = 0;
  /** Checkpoints that were asked for. */
  readonly #requests = new Map<number, { resolve: () => void; reject: (error: EvidenceUnavailableError) => void }>();
  #lastRequest = 0;
  #pumpScheduled = false;
  #closed = false;
  #drained: (() => void) | undefined;
  #probe: NodeJS.Timeout | undefined;
  #watch: NodeJS.Timeout | undefined;
  #failure: string | undefined;
  #appended = 0;
  #committed = 0;

  /** Called when events that were linked will never be: whatever was derived from them must be read again. */
  onReset: () => void = () => {};
  /** Called when checkpoints that were due could not be made; it is tried again. */
  onCheckpointFailure: (message: string) => void = () => {};
  /** Called in commit order with what became durable. */
  onCommit: (events: readonly StoredEvent[], figures: BatchFigures) => void = () => {};

  constructor(reader: StoreReader, nodeId: string, data: CommitterData, limits = DEFAULT_LEDGER_LIMITS) {
    this.#reader = reader;
    this.#nodeId = nodeId;
    this.#data = data;
    this.#limits = limits;
  }

  /** Why evidence could not be recorded last time; undefined once it could again. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** Events linked so far, counted from the start or from the last failure. */
  get appended(): number {
    return this.#appended;
  }

  /** How many of them, from the first on, are durable. */
  get committed(): number {
    return this.#committed;
  }

  /** Events linked and not yet durable. */
  get waiting(): number {
    return this.#appended - this.#committed;
  }

  /**
   * Links entries to the ends of their streams, in order and at once; they commit together.
   * @returns one promise per entry, resolved only when its event is signed and durable. MUST NOT be answered before.
   *   Each rejects with EvidenceUnavailableError (EVI-01) when it could not be, which says whether that nothing of it was
   *   recorded is certain.
   * @throws EvidenceUnavailableError when the queue is full, an event too large, or the ledger cannot read where its
   *   streams end. Nothing of the entries was linked then.
   */
  append(entries: readonly Entry[]): Promise<Receipt>[] {
    if (this.#closed) throw new EvidenceUnavailableError("the node is shutting down");
    if (this.#queue.length + entries.length > this.#limits.queueMax) {
      throw new EvidenceUnavailableError(`${this.#queue.length} decisions already wait to be recorded`);
    }
    const linked = this.#link(entries);
    const group = ++this.#lastGroup;
    this.#appended += linked.length;
    const receipts = linked.map(
      (event) => new Promise<Receipt>((resolve, reject) => this.#queue.push({ event, group, resolve, reject })),
    );
    if (this.#inFlight.size === 0 && this.#queue.length >= EAGER_BATCH) this.#pump();
    else this.#schedulePump();
    return receipts;
  }

  /** Streams that this node writes and that have an event, durable or not. @throws EvidenceUnavailableError */
  chains(): string[] {
    return [...this.#readHeads()]
      .filter(([chain, { size }]) => size > 0 && chain.endsWith(`/${this.#nodeId}`))
      .map(([chain]) => chain);
  }

  /**
   * Sees to it that all that is durable has a checkpoint.
   * @throws EvidenceUnavailableError when none could be made.
   */
  checkpoint(): Promise<void> {
    if (this.#closed) return Promise.reject(new EvidenceUnavailableError("the node is shutting down"));
    this.#committer ??= this.#startCommitter();
    this.#committer.ref();
    const request = ++this.#lastRequest;
    this.#committer.postMessage({ kind: "checkpoint", request } satisfies CommitterRequest);
    return new Promise((resolve, reject) => this.#requests.set(request, { resolve, reject }));
  }

  /** Waits until everything appended is durable or refused, then stops the committer. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#probe);
    clearInterval(this.#watch);
    if (this.waiting > 0) await new Promise<void>((resolve) => (this.#drained = resolve));
    const committer = this.#committer;
    if (!committer) return;
    this.#committer = undefined;
    await new Promise<void>((resolve) => {
      committer.ref();
      committer.removeAllListeners();
      committer.once("exit", () => resolve());
      committer.postMessage({ kind: "close" } satisfies CommitterRequest);
    });
    this.#giveUpRequests("the node is shutting down");
  }

  /** All of the entries or none: the streams' ends move once every event is made. */
  #link(entries: readonly Entry[]): UnsignedAppend[] {
    const heads = this.#readHeads();
    const ends = new Map<string, Head>();
    const linked = entries.map((entry) => {
      const chain = chainId(entry.draft.tenant_id, this.#nodeId);
      const head = ends.get(chain) ?? heads.get(chain) ?? EMPTY_STREAM;
      const { text, head: end } = linkEvent(entry.draft, chain, head);
      if (text.length > EVENT_BYTES_MAX || Buffer.byteLength(text) > EVENT_BYTES_MAX)
        throw new EvidenceUnavailableError("the event is too large to be recorded");
      ends.set(chain, end);
      return toAppend(entry, chain, head.size, text, end.hash!);
    });
    for (const [chain, end] of ends) heads.set(chain, end);
    return linked;
  }

  #readHeads(): Map<string, Head> {
    try {
      return (this.#heads ??= this.#reader.heads());
    } catch (error) {
      this.#failure = (error as Error).message;
      this.#scheduleProbe();
      throw new EvidenceUnavailableError(`the store cannot be read: ${this.#failure}`, { cause: error });
    }
  }

  /** A turn of the event loop later, so that decisions which arrived together share a commit, and a single one does not wait. */
  #schedulePump(): void {
    if (this.#pumpScheduled) return;
    this.#pumpScheduled = true;
    setImmediate(() => {
      this.#pumpScheduled = false;
      this.#pump();
    });
  }

  #pump(): void {
    while (this.#queue.length > 0 && this.#inFlight.size < BATCHES_IN_FLIGHT_MAX) {
      const batch = this.#queue.splice(0, batchLength(this.#queue, this.#limits.batchMax));
      const number = ++this.#lastBatch;
      this.#inFlight.set(number, batch);
      const request: CommitterRequest = {
        kind: "commit",
        epoch: this.#epoch,
        batch: number,
        events: batch.map((waiting) => waiting.event),
      };
      this.#committer ??= this.#startCommitter();
      this.#committer.ref();
      this.#committer.postMessage(request);
    }
    if (this.waiting > 0) return;
    this.#rest();
  }

  /** Nothing is left to be made durable. */
  #rest(): void {
    if (this.#requests.size > 0) return;
    // A host that embeds us may end when nothing is left to be made durable.
    this.#committer?.unref();
    this.#drained?.();
  }

  #startCommitter(): Worker {
    const file = import.meta.url.endsWith(".ts") ? "./committer.ts" : "./committer.js";
    // A new committer starts at epoch 0, and so must we.
    this.#epoch = 0;
    const committer = new Worker(new URL(file, import.meta.url), { workerData: this.#data });
    committer.on("message", (reply: CommitterReply) => this.#onReply(reply));
    committer.on("error", (error) => this.#onDeath(committer, (error as Error).message));
    committer.on("exit", (code) => this.#onDeath(committer, `the committer's thread ended with ${code}`));
    this.#watch ??= setInterval(() => this.#watchFiles(), WATCH_MS).unref();
    return committer;
  }

  #watchFiles(): void {
    if (this.#inFlight.size === 0) this.#committer?.postMessage({ kind: "watch" } satisfies CommitterRequest);
  }

  #onReply(reply: CommitterReply): void {
    if (reply.kind === "checkpointed") return this.#onCheckpointed(reply);
    if (reply.kind === "probed") return this.#onProbed(reply.failure);
    const batch = reply.batch === undefined ? undefined : this.#inFlight.get(reply.batch);
    // A batch that was given up when the one before it failed; its callers have their answer.
    if (!batch && reply.batch !== undefined) return;
    if (reply.kind === "failed") {
      this.#epoch = reply.epoch;
      this.#fail(reply.message, reply.recorded === "unknown" ? [batch!] : []);
      return;
    }
    if (!batch) return;
    this.#inFlight.delete(reply.batch);
    if (this.#data.unsettled) this.#data = { ...this.#data, unsettled: undefined };
    this.#committed += batch.length;
    for (const { event } of batch) if (event.signNextWith) this.#data = { ...this.#data, ...event.signNextWith };
    this.#failure = undefined;
    const stored = batch.map((_, i) => ({ position: reply.firstPosition + i, record: reply.records[i]! }));
    batch.forEach((waiting, i) => waiting.resolve({ eventText: waiting.event.text, ...stored[i]! }));
    this.onCommit(stored, { events: batch.length, signingMs: reply.signingMs, commitMs: reply.commitMs });
    this.#pump();
  }

  /** A node that is not ready gets no requests from a careful balancer, so it must find out by itself when it is ready again. */
  #scheduleProbe(): void {
    if (this.#closed || this.#probe) return;
    this.#probe = setTimeout(() => {
      this.#committer ??= this.#startCommitter();
      this.#committer.postMessage({ kind: "probe" } satisfies CommitterRequest);
    }, PROBE_MS).unref();
  }

  #onProbed(failure: string | undefined): void {
    this.#probe = undefined;
    this.#failure &&= failure;
    if (this.#failure !== undefined) this.#scheduleProbe();
  }

  #onCheckpointed({ request, failure }: Extract<CommitterReply, { kind: "checkpointed" }>): void {
    if (failure !== undefined) this.onCheckpointFailure(failure);
    const asked = request === undefined ? undefined : this.#requests.get(request);
    if (request === undefined || !asked) return;
    this.#requests.delete(request);
    if (failure === undefined) asked.resolve();
    else asked.reject(new EvidenceUnavailableError(`no checkpoint could be made: ${failure}`));
    if (this.waiting === 0) this.#rest();
  }

  #giveUpRequests(message: string): void {
    for (const { reject } of this.#requests.values())
      reject(new EvidenceUnavailableError(`no checkpoint could be made: ${message}`));
    this.#requests.clear();
  }

  #onDeath(committer: Worker, message: string): void {
    if (this.#committer !== committer) return;
    this.#committer = undefined;
    this.#probe = void clearTimeout(this.#probe);
    this.#giveUpRequests(message);
    // What it was writing when it ended may be on the disk; whoever follows it finds out before it writes anything.
    const open = [...this.#inFlight.values()];
    const unsettled = open.map((batch) => batch.at(-1)!.event.id);
    this.#data = { ...this.#data, unsettled: [...(this.#data.unsettled ?? []), ...unsettled] };
    this.#fail(message, open);
  }

  /**
   * Everything linked so far stands on a commit that failed: all of it is refused, and the streams' ends are read again.
   * @param open batches that may be on record.
   */
  #fail(message: string, open: readonly (readonly Waiting[])[] = []): void {
    this.#failure = message;
    this.#heads = undefined;
    const lost = [...this.#inFlight.values(), this.#queue].flat();
    this.#inFlight.clear();
    this.#queue = [];
    this.#appended = this.#committed = 0;
    this.onReset();
    this.#scheduleProbe();
    const maybe = new Set(open.flat());
    for (const waiting of lost) {
      const maybeRecorded = maybe.has(waiting) ? waiting.event.id : undefined;
      waiting.reject(new EvidenceUnavailableError(`evidence could not be recorded: ${message}`, { maybeRecorded }));
    }
    this.#drained?.();
  }
}

/** As many as fit, without parting a group, and always at least one group. */
function batchLength(queue: readonly Waiting[], batchMax: number): number {
  if (queue.length <= batchMax) return queue.length;
  let length = batchMax;
  while (length > 0 && queue[length - 1]!.group === queue[length]!.group) length--;
  if (length > 0) return length;
  length = batchMax;
  while (length < queue.length && queue[length]!.group === queue[length - 1]!.group) length++;
  return length;
}

function toAppend(entry: Entry, chain_id: string, sequence: number, text: string, event_hash: string): UnsignedAppend {
  const { draft } = entry;
  return {
    chain_id,
    sequence,
    id: draft.id,
    event_type: draft.event_type,
    outcome: draft.outcome,
    tenant_id: draft.tenant_id,
    workload_id: entry.workloadId,
    correlation_id: draft.correlation_id,
    occurred_at_ms: entry.occurredAtMs,
    event_hash,
    artifact_digest: entry.artifactDigest,
    artifact: entry.artifact,
    blobs: entry.blobs,
    states: entry.states,
    keys: entry.keys,
    erases: entry.erases,
    signNextWith: entry.signNextWith,
    text,
  };
}
