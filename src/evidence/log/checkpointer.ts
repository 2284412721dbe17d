// Checkpoints on the committer's thread: which streams have grown, and soon after, a signed head of each.
import { createPrivateKey } from "node:crypto";
import type { LogReader, StoreWriter } from "../../store/store.ts";
import { CheckpointFile, checkpointSigner, checkStreams, type StreamCheckpoint } from "./checkpoints.ts";
import { rawPublicKey } from "./note-signing.ts";
import type { CommitterReply, LogData } from "../ledger/messages.ts";

type Checkpointed = Extract<CommitterReply, { kind: "checkpointed" }>;

/** From a commit to its checkpoint: a second at most (spec evidence §4), the time that making it takes included. */
const DELAY_MS = 500;
const RETRY_MS = 1000;
/** Streams in one go, so that the batches that wait meanwhile wait some tens of milliseconds at most. */
const STREAMS_AT_ONCE = 256;

export class Checkpointer {
  readonly #write: <T>(work: (store: StoreWriter) => Promise<T>) => Promise<T>;
  readonly #inTurn: (work: () => Promise<void>) => void;
  readonly #report: (reply: Checkpointed) => void;
  readonly #sign: ReturnType<typeof checkpointSigner>;
  readonly #path: string;
  readonly #publicKey: Uint8Array;
  /** Streams that were this node's to write under an earlier id; their checkpoints stay as they are. */
  readonly #finished: (chainId: string) => boolean;
  #file: CheckpointFile;
  /** Streams without a checkpoint of all that is committed; undefined: to be read from the store. */
  #grown: Set<string> | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    { privateJwk, origin, nodeId, earlierIds = [], checkpointFile }: LogData,
    write: <T>(work: (store: StoreWriter) => Promise<T>) => Promise<T>,
    inTurn: (work: () => Promise<void>) => void,
    report: (reply: Checkpointed) => void,
  ) {
    const privateKey = createPrivateKey({ key: privateJwk, format: "jwk" });
    this.#sign = checkpointSigner(privateKey, origin);
    this.#publicKey = rawPublicKey(privateKey);
    this.#path = checkpointFile;
    this.#finished = (chain) =>
      !chain.endsWith(`/${nodeId}`) && earlierIds.some((earlier) => chain.endsWith(`/${earlier}`));
    this.#file = new CheckpointFile(checkpointFile);
    this.#write = write;
    this.#inTurn = inTurn;
    this.#report = report;
  }

  /** Events are committed; they get a checkpoint in time. */
  grown(events: readonly { readonly chain_id: string }[]): void {
    for (const { chain_id } of events) this.#grown?.add(chain_id);
    this.#schedule(DELAY_MS);
  }

  /** What has happened to the file behind our back, in words; undefined where nothing has. */
  displaced(): string | undefined {
    return this.#file.displaced();
  }

  /** The file as it is now. @throws LogRolledBackError it lacks what was in it. */
  readAgain(): CheckpointFile {
    const file = new CheckpointFile(this.#path);
    file.mustContinue(this.#file);
    return file;
  }

  /** Goes on with a file that was read again. @throws LogRolledBackError the database lacks what it says. */
  async take(file: CheckpointFile, log: LogReader): Promise<void> {
    await checkStreams(log, file.latest().values(), this.#publicKey, this.#path);
    this.#file = file;
  }

  /** Checkpoints of all that has grown, durable outside the database and then in it. */
  async publish(): Promise<Checkpointed> {
    let streams = 0;
    try {
      for (let made; (made = await this.#publishSome()) > 0; ) streams += made;
      return { kind: "checkpointed", streams };
    } catch (error) {
      return this.#fail(error);
    }
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer);
    const { failure, streams } = await this.publish();
    clearTimeout(this.#timer);
    if (failure !== undefined) this.#report({ kind: "checkpointed", streams, failure });
  }

  #schedule(delayMs: number): void {
    this.#timer ??= setTimeout(() => this.#inTurn(() => this.#due()), delayMs);
  }

  async #due(): Promise<void> {
    this.#timer = undefined;
    try {
      if ((await this.#publishSome()) === STREAMS_AT_ONCE) this.#schedule(0);
    } catch (error) {
      this.#report(this.#fail(error));
    }
  }

  #fail(error: unknown): Checkpointed {
    this.#schedule(RETRY_MS);
    return { kind: "checkpointed", streams: 0, failure: (error as Error).message };
  }

  /** @returns for how many streams. */
  #publishSome(): Promise<number> {
    return this.#write((store) => this.#publishTo(store));
  }

  async #publishTo(store: StoreWriter): Promise<number> {
    const grown = (this.#grown ??= new Set((await store.uncheckpointed()).filter((chain) => !this.#finished(chain))));
    const chains = [...grown].slice(0, STREAMS_AT_ONCE);
    if (chains.length === 0) return 0;
    const made: StreamCheckpoint[] = [];
    for (const chain of chains) {
      const { size, root } = await store.tree(chain);
      made.push(this.#sign(chain, size, root));
    }
    // Outside first: nobody sees a checkpoint that a database from before it could be silent about.
    this.#file.append(made);
    await store.putCheckpoints(made);
    for (const chain of chains) grown.delete(chain);
    return chains.length;
  }
}
