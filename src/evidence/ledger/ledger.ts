// The ledger: gives each event its place in its stream, and makes batches of events durable before anyone is answered (spec evidence §3).
import { EvidenceUnavailableError } from "../../core/errors.ts";
import { DEFAULTS } from "../../core/schema/defaults.ts";
import { chainId, EMPTY_STREAM, linkEvent, type Head } from "../../core/event.ts";
import type { Append, StoreReader, StoredEvent } from "../../store/store.ts";
import { toAppend, type Entry } from "./entry.ts";
import type { CommitterData, CommitterReply, UnsignedAppend } from "./messages.ts";
import { CommitterThread } from "./thread.ts";

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
export const DEFAULT_LEDGER_LIMITS: LedgerLimits = { queueMax: DEFAULTS.queueMax, batchMax: 128 };

/** An event's canonical bytes: its record (base64url, header and signature added) must fit the 65,535 bytes of a log's entry. */
const EVENT_BYTES_MAX = 48_000;

/** With the committer idle, this many are worth a commit: it signs and syncs them while others are still being decided. */
const EAGER_BATCH = 8;

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
  readonly #limits: LedgerLimits;
  readonly #committer: CommitterThread;
  /** Ends of all streams, those of events not yet durable included. Undefined: to be read from the store. */
  #heads: Map<string, Head> | undefined;
  #queue: Waiting[] = [];
  readonly #inFlight = new Map<number, Waiting[]>();
  #lastBatch = 0;
  #lastGroup = 0;
  #pumpScheduled = false;
  #closed = false;
  #drained: (() => void) | undefined;
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
    this.#limits = limits;
    this.#committer = new CommitterThread(data, {
      onBatch: (reply) => this.#onBatch(reply),
      onProbed: (failure) => this.#onProbed(failure),
      onCheckpointFailure: (message) => this.onCheckpointFailure(message),
      onAnswered: () => this.#rest(),
      onDeath: (message) => this.#onDeath(message),
      idle: () => this.#inFlight.size === 0,
    });
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

  /**
   * Takes records that another node has signed, checked already, into its stream here.
   * @returns the position of the first, when all are durable; they lie behind one another.
   * @throws EvidenceUnavailableError they are not, as far as is known; to send them again is safe.
   */
  replicate(events: readonly Append[]): Promise<number> {
    if (this.#closed) return Promise.reject(new EvidenceUnavailableError("the node is shutting down"));
    return this.#committer.replicate(events);
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
    return this.#committer.checkpoint();
  }

  /** Waits until everything appended is durable or refused, then stops the committer. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#committer.quiet();
    if (this.waiting > 0) await new Promise<void>((resolve) => (this.#drained = resolve));
    await this.#committer.close();
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
      this.#committer.probeSoon();
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
      this.#committer.commit(number, eventsOf(batch));
    }
    this.#rest();
  }

  /** Whether nothing is left to be made durable, and nobody waits for a checkpoint. */
  #rest(): void {
    if (this.waiting > 0 || this.#committer.asked) return;
    this.#committer.unref();
    this.#drained?.();
  }

  #onBatch(reply: Extract<CommitterReply, { kind: "committed" | "failed" }>): void {
    const batch = reply.batch === undefined ? undefined : this.#inFlight.get(reply.batch);
    // A batch that was given up when the one before it failed; its callers have their answer.
    if (!batch && reply.batch !== undefined) return;
    if (reply.kind === "failed") {
      this.#fail(reply.message, reply.recorded === "unknown" ? [batch!] : []);
      return;
    }
    if (!batch) return;
    this.#inFlight.delete(reply.batch);
    this.#committed += batch.length;
    this.#committer.committed(eventsOf(batch));
    this.#failure = undefined;
    const stored = batch.map((_, i) => ({ position: reply.firstPosition + i, record: reply.records[i]! }));
    batch.forEach((waiting, i) => waiting.resolve({ eventText: waiting.event.text, ...stored[i]! }));
    this.onCommit(stored, { events: batch.length, signingMs: reply.signingMs, commitMs: reply.commitMs });
    this.#pump();
  }

  #onProbed(failure: string | undefined): void {
    this.#failure &&= failure;
    if (this.#failure !== undefined) this.#committer.probeSoon();
  }

  #onDeath(message: string): void {
    const open = [...this.#inFlight.values()];
    this.#committer.unsettled(open.map((batch) => batch.at(-1)!.event.id));
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
    this.#committer.probeSoon();
    const maybe = new Set(open.flat());
    for (const waiting of lost) {
      const maybeRecorded = maybe.has(waiting) ? waiting.event.id : undefined;
      waiting.reject(new EvidenceUnavailableError(`evidence could not be recorded: ${message}`, { maybeRecorded }));
    }
    this.#drained?.();
  }
}

function eventsOf(batch: readonly Waiting[]): UnsignedAppend[] {
  return batch.map(({ event }) => event);
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
