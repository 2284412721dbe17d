// Whether what evidence is written to is still what it was: database and file of checkpoints in their places, earlier commits settled.
import { isShared, openReader, openWriter, placeName, type StoreAt } from "../../store/open.ts";
import { LogRolledBackError } from "../../core/errors.ts";
import {
  DisplacedError,
  UnsettledError,
  type StoreCounts,
  type StoreReader,
  type StoreWriter,
} from "../../store/store.ts";
import { eventTextOf } from "../../core/event.ts";
import type { EvidenceEvent } from "../../core/schema/event.ts";
import type { Checkpointer } from "../log/checkpointer.ts";
import type { LinkedAppend, RecordedHead } from "./messages.ts";

export interface SoundParts {
  readonly path: StoreAt;
  /** Ids of the last events of batches that another committer left open. */
  readonly unsettled: readonly string[];
  /** What another committer of this process has recorded, as far as its callers were told. */
  readonly acknowledged: readonly RecordedHead[];
  /** Whether this process had another committer before: what else that one has signed only the file of checkpoints tells. */
  readonly follows: boolean;
  readonly checkpointer: () => Checkpointer | undefined;
}

/** What is known of a batch that failed. */
export type Failed =
  /** It is on record after all. */
  { readonly position: number } | { readonly recorded: "no" | "unknown" };

/** As much of an event as is remembered. */
type Committed = Pick<LinkedAppend, "chain_id" | "sequence" | "event_hash" | "id" | "signNextWith">;

const ROTATED = "a rotation of keys is on record that this node did not finish; restart it";

/** In words; by its code, where only an operator's act leads out of it. */
export function told(error: unknown): string {
  const { message } = error as Error;
  return error instanceof LogRolledBackError ? `${error.code}: ${message}` : message;
}

export class SoundStore {
  readonly #parts: SoundParts;
  #store: StoreWriter | undefined;
  #displaced: DisplacedError | undefined;
  /** Nothing is written any more, whatever lies there later: only an operator's act leads out of it. */
  #rolledBack: LogRolledBackError | undefined;
  /** Whether the ledger knows of it. */
  #told = false;
  #unsettled: readonly string[];
  #follows: boolean;
  /** Of stores that were given up. */
  #counted: StoreCounts | undefined;
  #rotating = false;
  /** The last event that was committed in each stream. */
  readonly #heads: Map<string, RecordedHead>;

  constructor(parts: SoundParts) {
    this.#parts = parts;
    this.#heads = new Map(parts.acknowledged.map((head) => [head.chainId, head]));
    this.#unsettled = parts.unsettled;
    this.#follows = parts.follows;
  }

  /** Of a database that others share, since this began; undefined for any other. */
  get counts(): StoreCounts | undefined {
    const counts = this.#store?.counts;
    return counts && this.#counted ? added(this.#counted, counts) : (counts ?? this.#counted);
  }

  /** What may be written to. @throws Error nothing may; nothing was written. */
  async writer(): Promise<StoreWriter> {
    if (this.#rolledBack) throw this.#rolledBack;
    if (this.#displaced) throw this.#displaced;
    this.#check();
    this.#store ??= await this.#open();
    if (this.#unsettled.length > 0) await this.#settle(this.#store);
    return this.#store;
  }

  /** What others share may have become another database while nobody was connected to it: a standby that lacks the last records. */
  async #open(): Promise<StoreWriter> {
    const { path } = this.#parts;
    let store: StoreWriter | undefined;
    try {
      store = await openWriter(path);
      if (store.shared) await this.#mustHoldWhatIsKnown();
      this.#follows = false;
      return store;
    } catch (error) {
      await store?.close();
      // One that lacks what is on record may not know this node either.
      if (error instanceof DisplacedError && this.#isShared) await this.#mustHoldWhatIsKnown();
      throw error;
    }
  }

  /** @throws LogRolledBackError see `#mustHoldAll`. */
  async #mustHoldWhatIsKnown(): Promise<void> {
    if (this.#follows) await this.#mustHoldAll(this.#signed());
    else if (this.#heads.size > 0) await this.#mustHoldAll();
  }

  get #isShared(): boolean {
    return isShared(this.#parts.path);
  }

  /** Writes what is no batch. @throws Error it may or may not be on the disk; the connection is given up. */
  async write<T>(work: (store: StoreWriter) => Promise<T>): Promise<T> {
    try {
      return await work(await this.writer());
    } catch (error) {
      await this.failed(error, []);
      throw error;
    }
  }

  /**
   * A store that was given up, whoever wrote to it, is opened again: else nobody would notice that it cannot be.
   * @returns in words, what is displaced; undefined where nothing is, or the ledger was told.
   */
  async watch(): Promise<string | undefined> {
    try {
      if (!this.#displaced) await (await this.writer()).checkPlace();
    } catch (error) {
      await this.#giveUp(error instanceof DisplacedError ? error : new DisplacedError(told(error)));
    }
    if (!this.#displaced || this.#told) return undefined;
    this.#told = true;
    return this.#displaced.message;
  }

  /** @returns the last of them in each stream. */
  committed(events: readonly Committed[]): RecordedHead[] {
    const heads = new Map<string, RecordedHead>();
    for (const { chain_id: chainId, sequence, event_hash: hash } of events.toReversed())
      if (!heads.has(chainId)) heads.set(chainId, { chainId, sequence, hash });
    for (const [chainId, head] of heads) this.#heads.set(chainId, head);
    return [...heads.values()];
  }

  /** A batch could not be written. The connection is suspect, and is given up. */
  async failed(error: unknown, events: readonly Committed[]): Promise<Failed> {
    await this.#giveUp(error);
    if (!(error instanceof UnsettledError)) return { recorded: "no" };
    if (error.cause instanceof DisplacedError) {
      this.#displaced = error.cause;
      return { recorded: "unknown" };
    }
    this.#unsettled = events.slice(-1).map(({ id }) => id);
    this.#rotating = events.some(({ signNextWith }) => signNextWith);
    // Over a network it was looked for as long as anyone may wait.
    if (this.#isShared) return { recorded: "unknown" };
    try {
      const store = (this.#store = await this.#open());
      const last = await store.settle(this.#unsettled);
      this.#unsettled = [];
      return last === undefined ? { recorded: "no" } : { position: last - events.length + 1 };
    } catch (cause) {
      await this.#giveUp(cause);
      return { recorded: "unknown" };
    }
  }

  /**
   * After a displacement: goes on where the very same database is back, with all that was committed and signed.
   * @throws LogRolledBackError it lacks some of that. @throws Error it is not back.
   */
  async recover(): Promise<void> {
    if (this.#rolledBack) throw this.#rolledBack;
    if (!this.#displaced) return;
    if (this.#displaced.lasting) throw this.#displaced;
    const signed = this.#signed();
    const store = await this.#open();
    try {
      await this.#mustHoldAll(signed);
    } catch (error) {
      await store.close();
      throw error;
    }
    this.#displaced = undefined;
    this.#told = false;
    this.#store = store;
  }

  /** @throws LogRolledBackError the database lacks what was committed, or signed; from then on it is given up. */
  async #mustHoldAll(signed: (reader: StoreReader) => Promise<void> | undefined = () => undefined): Promise<void> {
    await using reader = await openReader(this.#parts.path);
    try {
      for (const { chainId, sequence, hash } of this.#heads.values()) {
        const [record] = await reader.log.records(chainId, sequence, sequence + 1);
        const event = record === undefined ? undefined : (JSON.parse(eventTextOf(record)) as EvidenceEvent);
        if (event?.event_hash !== hash)
          throw new LogRolledBackError(`${placeName(this.#parts.path)} lacks what was recorded in ${chainId}`);
      }
      await signed(reader);
    } catch (error) {
      if (error instanceof LogRolledBackError) this.#rolledBack = error;
      throw error;
    }
  }

  /**
   * @returns what throws where a database lacks what was signed.
   * @throws LogRolledBackError the file of checkpoints lacks what was in it: not the database's fault, and the file may come back.
   */
  #signed(): (reader: StoreReader) => Promise<void> | undefined {
    const checkpointer = this.#parts.checkpointer();
    const file = checkpointer?.readAgain();
    return (reader) => file && checkpointer?.take(file, reader.log);
  }

  async close(): Promise<void> {
    this.#counted = this.counts;
    try {
      await this.#store?.close();
    } catch {
      // It is given up either way.
    }
    this.#store = undefined;
  }

  #check(): void {
    const problem = this.#parts.checkpointer()?.displaced();
    if (problem !== undefined) {
      this.#displaced = new DisplacedError(problem);
      throw this.#displaced;
    }
  }

  async #settle(store: StoreWriter): Promise<void> {
    const position = await store.settle(this.#unsettled);
    if (position !== undefined && this.#rotating) throw new Error(ROTATED);
    this.#unsettled = [];
  }

  async #giveUp(error: unknown): Promise<void> {
    if (error instanceof DisplacedError) this.#displaced = error;
    await this.close();
  }
}

function added(before: StoreCounts, { retries, outcomes, ...lease }: StoreCounts): StoreCounts {
  return {
    ...lease,
    retries: {
      "40001": before.retries["40001"] + retries["40001"],
      "40P01": before.retries["40P01"] + retries["40P01"],
    },
    outcomes: {
      found: before.outcomes.found + outcomes.found,
      absent: before.outcomes.absent + outcomes.absent,
      unknown: before.outcomes.unknown + outcomes.unknown,
    },
  };
}
