// Whether what evidence is written to is still what it was: database and file of checkpoints in their places, earlier commits settled.
import { openReader, openWriter } from "../../store/open.ts";
import { LogRolledBackError } from "../../core/errors.ts";
import { DisplacedError, UnsettledError, type StoreReader, type StoreWriter } from "../../store/store.ts";
import { eventTextOf } from "../../core/event.ts";
import type { EvidenceEvent } from "../../core/schema/event.ts";
import type { Checkpointer } from "../log/checkpointer.ts";
import type { LinkedAppend } from "./messages.ts";

export interface SoundParts {
  readonly path: string;
  /** See `openWriter`. */
  readonly place: string | undefined;
  /** Ids of the last events of batches that another committer left open. */
  readonly unsettled: readonly string[];
  readonly checkpointer: () => Checkpointer | undefined;
}

/** What is known of a batch that failed. */
export type Failed =
  /** It is on record after all. */
  { readonly position: number } | { readonly recorded: "no" | "unknown" };

/** As much of an event as is remembered. */
type Committed = Pick<LinkedAppend, "chain_id" | "sequence" | "event_hash" | "id" | "signNextWith">;

const ROTATED = "a rotation of keys is on record that this node did not finish; restart it";

export class SoundStore {
  readonly #parts: SoundParts;
  #store: StoreWriter | undefined;
  #displaced: DisplacedError | undefined;
  /** Nothing is written any more, whatever lies there later: only an operator's act leads out of it. */
  #rolledBack: LogRolledBackError | undefined;
  /** Whether the ledger knows of it. */
  #told = false;
  #unsettled: readonly string[];
  #rotating = false;
  /** The last event that was committed in each stream. */
  readonly #heads = new Map<string, { readonly sequence: number; readonly hash: string }>();

  constructor(parts: SoundParts) {
    this.#parts = parts;
    this.#unsettled = parts.unsettled;
  }

  /** What may be written to. @throws Error nothing may; nothing was written. */
  writer(): StoreWriter {
    if (this.#displaced) throw this.#displaced;
    this.#check();
    const { path, place } = this.#parts;
    this.#store ??= openWriter(path, place);
    if (this.#unsettled.length > 0) this.#settle(this.#store);
    return this.#store;
  }

  /** Writes what is no batch. @throws Error it may or may not be on the disk; the connection is given up. */
  write<T>(work: (store: StoreWriter) => T): T {
    try {
      return work(this.writer());
    } catch (error) {
      this.failed(error, []);
      throw error;
    }
  }

  /** @returns in words, what is displaced; undefined where nothing is, or the ledger was told. */
  watch(): string | undefined {
    try {
      if (!this.#displaced) {
        this.#check();
        this.#store?.checkPlace();
      }
    } catch (error) {
      this.#giveUp(error instanceof DisplacedError ? error : new DisplacedError((error as Error).message));
    }
    if (!this.#displaced || this.#told) return undefined;
    this.#told = true;
    return this.#displaced.message;
  }

  committed(events: readonly Committed[]): void {
    for (const { chain_id, sequence, event_hash } of events) this.#heads.set(chain_id, { sequence, hash: event_hash });
  }

  /** A batch could not be written. The connection is suspect, and is given up. */
  failed(error: unknown, events: readonly Committed[]): Failed {
    this.#giveUp(error);
    if (!(error instanceof UnsettledError)) return { recorded: "no" };
    if (error.cause instanceof DisplacedError) {
      this.#displaced = error.cause;
      return { recorded: "unknown" };
    }
    this.#unsettled = events.slice(-1).map(({ id }) => id);
    this.#rotating = events.some(({ signNextWith }) => signNextWith);
    try {
      const store = openWriter(this.#parts.path, this.#parts.place);
      this.#store = store;
      const last = store.settle(this.#unsettled);
      this.#unsettled = [];
      return last === undefined ? { recorded: "no" } : { position: last - events.length + 1 };
    } catch (cause) {
      this.#giveUp(cause);
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
    const { path, place, checkpointer } = this.#parts;
    const store = openWriter(path, place);
    try {
      const file = checkpointer()?.readAgain();
      using reader = openReader(path);
      await this.#mustHoldAll(reader, () => file && checkpointer()?.take(file, reader.log));
    } catch (error) {
      store.close();
      throw error;
    }
    this.#displaced = undefined;
    this.#told = false;
    this.#store = store;
  }

  /** @throws LogRolledBackError the database lacks what was committed, or signed; from then on it is given up. */
  async #mustHoldAll(reader: StoreReader, signed: () => Promise<void> | undefined): Promise<void> {
    try {
      for (const [chain, { sequence, hash }] of this.#heads) {
        const [record] = reader.log.records(chain, sequence, sequence + 1);
        const event = record === undefined ? undefined : (JSON.parse(eventTextOf(record)) as EvidenceEvent);
        if (event?.event_hash !== hash)
          throw new LogRolledBackError(`${this.#parts.path} lacks what was recorded in ${chain}`);
      }
      await signed();
    } catch (error) {
      if (error instanceof LogRolledBackError) this.#rolledBack = error;
      throw error;
    }
  }

  close(): void {
    try {
      this.#store?.close();
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

  #settle(store: StoreWriter): void {
    const position = store.settle(this.#unsettled);
    if (position !== undefined && this.#rotating) throw new Error(ROTATED);
    this.#unsettled = [];
  }

  #giveUp(error: unknown): void {
    if (error instanceof DisplacedError) this.#displaced = error;
    this.close();
  }
}
