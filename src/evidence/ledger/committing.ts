// What the committer does, on whatever thread it is: links a batch, signs it, appends it with its state in one transaction, and says so; checkpoints follow.
import { Checkpointer } from "../log/checkpointer.ts";
import type { OwnPort } from "../../threads/threads.ts";
import { makeIds } from "./ids.ts";
import { countsByItself, Linker, type Linked } from "./linker.ts";
import type { RecordSigner } from "./sign.ts";
import { BatchSigner, NOTHING_SIGNED, type Signed } from "./signing.ts";
import { SoundStore, told } from "./sound.ts";
import { CommitOrder } from "./stages.ts";
import type { Head } from "../../core/event.ts";
import { openReader, type StoreAt } from "../../store/open.ts";
import type { Append } from "../../store/store.ts";
import { appendsIn } from "./parcel.ts";
import { turnMsMax } from "./turn.ts";
import type { CommitterData, CommitterReply, CommitterRequest, LinkedAppend, PutState } from "./messages.ts";

/** For so much longer than a turn lasts what is locked waits for what is decided on it: for a ledger that does not say that it is over. */
const LOCKED_LONGER_MS = 500;

type CommitRequest = Extract<CommitterRequest, { kind: "commit" }>;
type LockRequest = Extract<CommitterRequest, { kind: "lock" }>;
const NOTHING_LINKED: Linked = { groups: [], moved: [] };

/** What commits together, in its place. */
interface Batch {
  readonly request: CommitRequest;
  readonly started: number;
  /** What signed before it. */
  readonly signBefore: RecordSigner;
  readonly linked: Linked;
  /** Of all groups. */
  readonly events: readonly LinkedAppend[];
  readonly linkingMs: number;
  readonly signed: Promise<Signed>;
}

/** Answers requests over a port, until it is told to close. */
export function commitEvidence(data: CommitterData, port: OwnPort): void {
  const committing = new Committing(
    data,
    (reply) => port.postMessage(reply),
    () => port.close(),
  );
  port.on("message", (request: CommitterRequest) => committing.ask(request));
}

class Committing {
  readonly #reply: (message: CommitterReply) => void;
  readonly #end: () => void;
  readonly #sound: SoundStore;
  readonly #linker: Linker;
  readonly #checkpointer: Checkpointer | undefined;
  readonly #order = new CommitOrder();
  readonly #signAhead: boolean;
  readonly #signing: BatchSigner;
  /** Batches sent before the last failure were decided on what never was; they are refused unread. */
  #epoch = 0;
  /** Batches that are linked and not appended yet. */
  #underWay = 0;
  /** What is waited for while pieces of state are locked. */
  #locked: { readonly batch: number; readonly decided: (request: CommitRequest) => void } | undefined;

  constructor(data: CommitterData, reply: (message: CommitterReply) => void, end: () => void) {
    const { storePath, unsettled = [], acknowledged = [], nodeId, log } = data;
    this.#reply = reply;
    this.#end = end;
    this.#signAhead = data.signAhead ?? false;
    this.#signing = new BatchSigner(data, this.#signAhead);
    const follows = data.unsettled !== undefined;
    this.#sound = new SoundStore({
      path: storePath,
      unsettled,
      acknowledged,
      follows,
      checkpointer: () => this.#checkpointer,
    });
    this.#linker = new Linker({ nodeId, heads: () => headsOf(storePath), newId: makeIds() });
    const inTurn = (work: () => Promise<void>): void => void this.#order.take(() => this.#counted(work()));
    this.#checkpointer = log && new Checkpointer(log, (work) => this.#sound.write(work), inTurn, reply);
  }

  ask(request: CommitterRequest): void {
    if (request.kind === "commit" && request.batch === this.#locked?.batch) this.#locked.decided(request);
    else if (request.kind !== "commit") this.#order.ask(() => this.#counted(this.#answer(request)));
    else if (this.#signAhead) this.#commitInStages(request);
    else this.#order.ask(() => this.#commit(request));
  }

  async #commit(request: CommitRequest): Promise<void> {
    const batch = await this.#link(request);
    await this.#counted(this.#append(batch));
  }

  /** While a batch is signed on the thread pool, the next one is linked on it. */
  #commitInStages(request: CommitRequest): void {
    this.#order.askInStages({
      link: () => this.#link(request),
      signed: async ({ signed }) => void (await signed),
      append: (batch) => this.#append(batch),
      alone: ({ events }) => events.some(({ states }) => countsByItself(states)),
    });
  }

  async #counted(work: Promise<void>): Promise<void> {
    await work;
    const { counts } = this.#sound;
    if (counts) this.#reply({ kind: "counted", counts });
  }

  async #answer(request: Exclude<CommitterRequest, CommitRequest>): Promise<void> {
    switch (request.kind) {
      case "lock":
        return this.#lock(request);
      case "close":
        return this.#close();
      case "checkpoint":
        return this.#answerCheckpoint(request.request);
      case "replicate":
        return this.#reply(await this.#replicate(request.request, appendsIn(request.events)));
      case "put":
        return this.#reply(await this.#put(request.request, request.put));
      case "probe":
        return this.#reply(await this.#probe());
      case "watch":
        return this.#watch();
    }
  }

  /** Locks pieces of state until what is decided on them is committed. What comes too late for that is committed as any other, if nothing has moved. */
  async #lock({ epoch, batch, places }: LockRequest): Promise<void> {
    if (epoch < this.#epoch) return;
    try {
      const found = await (await this.#sound.writer()).lock!(places);
      const { promise, resolve } = Promise.withResolvers<CommitRequest | undefined>();
      this.#locked = { batch, decided: resolve };
      this.#reply({ kind: "locked", batch, found });
      const late = setTimeout(() => resolve(undefined), turnMsMax(places.length) + LOCKED_LONGER_MS);
      const request = await promise;
      clearTimeout(late);
      this.#locked = undefined;
      if (request) await this.#append(await this.#link(request));
      else await this.#sound.write((store) => store.release());
    } catch (error) {
      await this.#sound.failed(error, []);
      this.#fail(batch, told(error));
    }
  }

  /** What was sent before was decided on what never will be. */
  #fail(batch: number | undefined, message: string, recorded: "no" | "unknown" = "no"): void {
    this.#linker.reset();
    this.#epoch++;
    this.#reply({ kind: "failed", ...(batch !== undefined && { batch }), epoch: this.#epoch, message, recorded });
  }

  /** Gives a batch its place, and has its signing begun. */
  async #link(request: CommitRequest): Promise<Batch> {
    const batch = {
      request,
      signBefore: this.#signing.signer,
      started: performance.now(),
      linked: NOTHING_LINKED,
      events: [],
      linkingMs: 0,
    };
    const durable = this.#underWay++ === 0;
    if (request.epoch < this.#epoch) return { ...batch, signed: Promise.resolve(NOTHING_SIGNED) };
    try {
      const linked = await this.#linker.link(request.groups, await this.#sound.writer(), durable);
      const events = linked.groups.flatMap((group) => group ?? []);
      const linkingMs = performance.now() - batch.started;
      return { ...batch, linked, events, linkingMs, signed: this.#signing.sign(events) };
    } catch (error) {
      return { ...batch, signed: Promise.resolve({ error }) };
    }
  }

  async #append({ request, signBefore, started, linked, events, linkingMs, signed: signing }: Batch): Promise<void> {
    this.#underWay--;
    const { batch } = request;
    if (request.epoch < this.#epoch)
      return this.#reply({
        kind: "failed",
        batch,
        epoch: this.#epoch,
        message: "an earlier batch failed",
        recorded: "no",
      });
    const signed = await signing;
    const committed = (firstPosition: number): void => {
      const heads = this.#sound.committed(events);
      this.#checkpointer?.grown(events);
      const { records, signingMs } = "error" in signed ? NOTHING_SIGNED : signed;
      const commitMs = performance.now() - started - linkingMs - signingMs;
      const { moved } = linked;
      const sizes = linked.groups.map((group) => group?.length);
      const texts = events.map(({ text }) => text);
      const { user, system } = process.threadCpuUsage();
      const took = { linkingMs, signingMs, commitMs, processorMs: (user + system) / 1000 };
      this.#reply({ kind: "committed", batch, sizes, moved, texts, records, firstPosition, heads, ...took });
    };
    try {
      if ("error" in signed) throw signed.error;
      const store = await this.#sound.writer();
      if (events.length > 0)
        return committed(
          await store.append(events.map((event, i) => Object.assign(event, { record: signed.records[i]! }))),
        );
      await store.release();
      committed(0);
    } catch (error) {
      const found = await this.#sound.failed(error, events);
      if ("position" in found) return committed(found.position);
      this.#signing.signer = signBefore;
      this.#fail(batch, told(error), found.recorded);
    }
  }

  /** What another node has signed; whether it is taken is settled, and it concerns no batch of our own. */
  async #replicate(request: number, events: readonly Append[]): Promise<CommitterReply> {
    const taken = (firstPosition: number): CommitterReply => {
      const heads = this.#sound.committed(events);
      this.#checkpointer?.grown(events);
      for (const { states } of events) this.#linker.wrote(states);
      return { kind: "replicated", request, firstPosition, heads };
    };
    try {
      return taken(await (await this.#sound.writer()).append(events));
    } catch (error) {
      const found = await this.#sound.failed(error, events);
      return "position" in found
        ? taken(found.position)
        : { kind: "replicated", request, failure: (error as Error).message };
    }
  }

  async #put(request: number, asked: PutState): Promise<CommitterReply> {
    const { nowMs } = asked;
    const kinds = "write" in asked ? [asked.write.kind] : asked.due;
    try {
      const done = await this.#sound.write(async (store) => {
        if ("write" in asked) return store.putBounded(asked.write, nowMs, asked.most);
        for (const kind of asked.due) await store.deleteDue(kind, nowMs);
        return true;
      });
      this.#linker.forget(kinds);
      if ("write" in asked && done) this.#linker.wrote([asked.write]);
      return { kind: "put", request, done };
    } catch (error) {
      // It may be on the disk all the same.
      this.#linker.forget(kinds);
      return { kind: "put", request, done: false, failure: (error as Error).message };
    }
  }

  /** A write that changes nothing: a full disk or a lock refuses it as it would refuse evidence. */
  async #probe(): Promise<CommitterReply> {
    try {
      await this.#sound.recover();
      await this.#sound.write(async (store) => {
        await store.tryWriting?.();
        await store.putMeta("probed_at_ms", String(Date.now()));
      });
      return { kind: "probed" };
    } catch (error) {
      return { kind: "probed", failure: told(error) };
    }
  }

  /** Asked while there is nothing to commit. */
  async #watch(): Promise<void> {
    const message = await this.#sound.watch();
    if (message === undefined) return;
    this.#fail(undefined, message);
  }

  async #answerCheckpoint(request: number): Promise<void> {
    const made = (await this.#checkpointer?.publish()) ?? ({ kind: "checkpointed", streams: 0 } as const);
    this.#reply({ ...made, request });
  }

  async #close(): Promise<void> {
    await this.#checkpointer?.close();
    await this.#sound.close();
    this.#end();
  }
}

async function headsOf(storePath: StoreAt): Promise<Map<string, Head>> {
  await using reader = await openReader(storePath);
  return await reader.heads();
}
