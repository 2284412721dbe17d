// The ledger: gathers what was decided into batches, and has them linked, signed and made durable before anyone is answered (spec evidence §3).
import { EvidenceUnavailableError } from "../../core/errors.ts";
import { DEFAULTS } from "../../core/schema/defaults.ts";
import type { StoredEvent, StoreCounts } from "../../store/store.ts";
import { BasisMovedError, NO_BASIS, type Basis } from "./basis.ts";
import { openAppends, type Entry, type Receipt } from "./entry.ts";
import type { CommitterData, CommitterReply, Group, PutState } from "./messages.ts";
import type { Parcel } from "./parcel.ts";
import { firstIdOf, lastIdOf, nextKeyIn, SettledCount, type Sink, type Waiting } from "./queue.ts";
import { Sending } from "./sending.ts";
import { CommitterThread } from "./thread.ts";
import type { LedgerTurn, Places } from "./turn.ts";

export interface BatchFigures {
  readonly events: number;
  /** What the batch was decided on is locked and compared, and it is linked. */
  readonly linkingMs: number;
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

export class Ledger {
  readonly #nodeId: string;
  readonly #limits: LedgerLimits;
  readonly #committer: CommitterThread;
  readonly #sending: Sending;
  readonly #settled = new SettledCount();
  /** See {@link Group}. */
  #generation = 0;
  #closed = false;
  #drained: (() => void) | undefined;
  #failure: string | undefined;
  #appended = 0;
  #processorMs = 0;
  #moved = 0;
  #counts: StoreCounts | undefined;

  /** Called when events that were appended will never be: whatever was derived from them must be read again. */
  onReset: () => void = () => {};
  /** Called when checkpoints that were due could not be made; it is tried again. */
  onCheckpointFailure: (message: string) => void = () => {};
  /** Called in commit order with what became durable. */
  onCommit: (events: readonly StoredEvent[], figures: BatchFigures) => void = () => {};
  /** Called when a turn is over and what was decided in it is durable: for how long others waited for what it had locked. */
  onTurn: (ms: number) => void = () => {};

  constructor(nodeId: string, data: Omit<CommitterData, "nodeId">, limits = DEFAULT_LEDGER_LIMITS) {
    this.#nodeId = nodeId;
    this.#limits = limits;
    this.#committer = new CommitterThread(
      { ...data, nodeId },
      {
        onBatch: (reply) => this.#onBatch(reply),
        onLocked: ({ batch, found }) => this.#sending.locked(batch, found),
        onProbed: (failure) => this.#onProbed(failure),
        onCheckpointFailure: (message) => this.onCheckpointFailure(message),
        onAnswered: () => this.#rest(),
        onDeath: (message) => this.#onDeath(message),
        onCounts: (counts) => (this.#counts = counts),
        idle: () => this.#sending.isIdle,
      },
    );
    this.#sending = new Sending({
      committer: this.#committer,
      batchMax: limits.batchMax,
      signsAhead: data.signAhead ?? false,
      append: (entries, basis, into) => this.#append(entries, basis, into),
      relay: (group, into) => this.#relay(group, into),
      turned: (ms) => this.onTurn(ms),
      sent: () => this.#rest(),
    });
  }

  /** Why evidence could not be recorded last time; undefined once it could again. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** Events appended so far, counted from the start or from the last failure. */
  get appended(): number {
    return this.#appended;
  }

  /** How many of them, from the first on, are settled: durable, or refused since what they were decided on has moved. */
  get committed(): number {
    return this.#settled.events;
  }

  /** What is counted of a database that others share; undefined for any other. */
  get sharing(): (StoreCounts & { readonly moved: number }) | undefined {
    return this.#counts && { ...this.#counts, moved: this.#moved };
  }

  /** Processor time of the thread that commits, since it began, as far as it has said. */
  get committingMs(): number {
    return this.#processorMs;
  }

  /** Events appended and not yet durable. */
  get waiting(): number {
    return this.#appended - this.committed;
  }

  /** Has the thread that commits started: what is appended soon does not wait for it. */
  begin(): void {
    this.#committer.begin();
  }

  /**
   * Has entries linked to the ends of their streams, in order; they commit together, behind all that was appended before.
   * @param basis default: they were decided on nothing that can move.
   * @returns a receipt for each, resolved only when its event is signed and durable. MUST NOT be answered before.
   *   Rejects with BasisMovedError where nothing was recorded since the basis has moved, and with EvidenceUnavailableError (EVI-01)
   *   when it could not be, which says whether that nothing of it was recorded is certain.
   * @throws EvidenceUnavailableError when the queue is full, or an event too large. Nothing was appended then.
   */
  append(entries: readonly Entry[], basis: Basis = NO_BASIS): Promise<Receipt[]> {
    const receipts = this.#append(entries, basis, this.#sending.queue);
    this.#sending.soon();
    return receipts;
  }

  /** As `append`, what may change by what is decided: nothing that is decided from now on is recorded before it. */
  appendAhead(entries: readonly Entry[]): Promise<Receipt[]> {
    const receipts = this.#append(entries, NO_BASIS, this.#sending.queue);
    this.#sending.ahead();
    return receipts;
  }

  /** As `append`, what another thread has decided. */
  relay(group: Group): Promise<Receipt[]> {
    const receipts = this.#relay(group, this.#sending.queue);
    this.#sending.soon();
    return receipts;
  }

  /**
   * For a store that others share: a turn at what they command as well, once all that was sent before is committed.
   * @throws EvidenceUnavailableError nothing can be recorded.
   */
  async turn(places: Places): Promise<LedgerTurn> {
    this.#checkRoom(0);
    return this.#sending.turn(places);
  }

  /**
   * As `append`, in every stream of this node that has an event by then, in one commit.
   * @param entry its tenant is each stream's own, and what changes with it changes with the last.
   * @returns a receipt of each stream.
   */
  appendEverywhere(entry: Entry): Promise<Receipt[]> {
    this.#checkRoom(1);
    const group = { events: [], ...NO_BASIS, origin: 0, generation: this.#generation, everywhere: entry };
    const receipts = this.#enqueue(group, 1, this.#sending.queue);
    this.#sending.soon();
    return receipts;
  }

  /**
   * Takes records that another node has signed, checked already, into its stream here.
   * @returns the position of the first, when all are durable; they lie behind one another.
   * @throws EvidenceUnavailableError they are not, as far as is known; to send them again is safe.
   */
  replicate(events: Parcel): Promise<number> {
    if (this.#closed) return Promise.reject(new EvidenceUnavailableError("the node is shutting down"));
    return this.#committer.replicate(events);
  }

  /**
   * State that comes with no event, durable when it resolves.
   * @returns whether there was room for it. @throws EvidenceUnavailableError it was not put, as far as is known.
   */
  put(put: PutState): Promise<boolean> {
    if (this.#closed) return Promise.reject(new EvidenceUnavailableError("the node is shutting down"));
    return this.#committer.put(put);
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
    if (this.#isBusy) await new Promise<void>((resolve) => (this.#drained = resolve));
    await this.#committer.close();
  }

  #checkRoom(events: number): void {
    if (this.#closed) throw new EvidenceUnavailableError("the node is shutting down");
    if (this.#sending.queue.events + events > this.#limits.queueMax)
      throw new EvidenceUnavailableError(`${this.#sending.queue.events} decisions already wait to be recorded`);
  }

  #append(entries: readonly Entry[], { reads, stacked }: Basis, into: Sink): Promise<Receipt[]> {
    this.#checkRoom(entries.length);
    const events = openAppends(entries, this.#nodeId);
    const group = { events, reads, stacked, origin: 0, generation: this.#generation };
    return this.#enqueue(group, events.length, into);
  }

  #relay(group: Group, into: Sink): Promise<Receipt[]> {
    this.#checkRoom(group.events.length);
    return this.#enqueue(group, group.events.length, into);
  }

  #enqueue(group: Group, size: number, into: Sink): Promise<Receipt[]> {
    const before = this.#appended;
    this.#appended += size;
    return new Promise<Receipt[]>((resolve, reject) => into.push({ group, size, before, resolve, reject }));
  }

  /** Whether nothing is left to be made durable, and nobody waits for a checkpoint. */
  #rest(): void {
    if (this.#isBusy || this.#committer.asked) return;
    this.#committer.unref();
    this.#drained?.();
  }

  /** Something is to be made durable yet, or a turn is wanted. */
  get #isBusy(): boolean {
    return this.waiting > 0 || this.#sending.isBusy;
  }

  #onBatch(reply: Extract<CommitterReply, { kind: "committed" | "failed" }>): void {
    const batch = reply.batch === undefined ? undefined : this.#sending.inFlight(reply.batch);
    // A batch that was given up when the one before it failed; its callers have their answer.
    if (!batch && reply.batch !== undefined) return;
    if (reply.kind === "failed") {
      this.#fail(reply.message, reply.recorded === "unknown" ? [batch!] : []);
      return;
    }
    if (!batch) return;
    this.#sending.over(reply.batch);
    this.#settled.add(batch);
    this.#processorMs = reply.processorMs;
    this.#committer.committed(nextKeyIn(batch), reply.heads);
    this.#failure = undefined;
    const stored = reply.records.map((record, i) => ({ position: reply.firstPosition + i, record }));
    const receipts = stored.map((event, i) => ({ eventText: reply.texts[i]!, ...event }));
    let at = 0;
    batch.forEach(({ group, resolve, reject }, i) => {
      const size = reply.sizes[i];
      if (size !== undefined) return resolve(receipts.slice(at, (at += size)));
      this.#moved++;
      if (group.origin === 0) this.#generation++;
      reject(new BasisMovedError(reply.moved));
    });
    const { linkingMs, signingMs, commitMs } = reply;
    if (stored.length > 0) this.onCommit(stored, { events: stored.length, linkingMs, signingMs, commitMs });
    this.#sending.pump();
  }

  #onProbed(failure: string | undefined): void {
    this.#failure = failure;
    if (this.#failure !== undefined) this.#committer.probeSoon();
  }

  #onDeath(message: string): void {
    const open = this.#sending.allInFlight;
    this.#committer.unsettled(open.flat().map(({ group }) => lastIdOf(group)));
    this.#fail(message, open);
  }

  /**
   * Everything appended so far may stand on a commit that failed: all of it is refused.
   * @param open batches that may be on record.
   */
  #fail(message: string, open: readonly (readonly Waiting[])[] = []): void {
    this.#failure = message;
    const error = new EvidenceUnavailableError(`evidence could not be recorded: ${message}`);
    const lost = this.#sending.fail(error);
    this.#settled.reset();
    this.#appended = this.#generation = 0;
    this.onReset();
    this.#committer.probeSoon();
    const maybe = new Set(open.flat());
    for (const waiting of lost) {
      const maybeRecorded = maybe.has(waiting) ? firstIdOf(waiting.group) : undefined;
      waiting.reject(new EvidenceUnavailableError(`evidence could not be recorded: ${message}`, { maybeRecorded }));
    }
    this.#drained?.();
  }
}
