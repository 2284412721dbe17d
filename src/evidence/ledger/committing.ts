// What the committer does, on whatever thread it is: links a batch, signs it, appends it with its state in one transaction, and says so; checkpoints follow.
import { createPrivateKey } from "node:crypto";
import { Checkpointer } from "../log/checkpointer.ts";
import type { OwnPort } from "../../threads/threads.ts";
import type { RecordKey } from "./entry.ts";
import { makeIds } from "./ids.ts";
import { countsByItself, Linker, type LinkedGroup } from "./linker.ts";
import { recordSigner, type RecordSigner } from "./sign.ts";
import { SoundStore, told } from "./sound.ts";
import { CommitOrder } from "./stages.ts";
import type { Head } from "../../core/event.ts";
import { openReader, type StoreAt } from "../../store/open.ts";
import type { Append } from "../../store/store.ts";
import { appendsIn } from "./parcel.ts";
import type { CommitterData, CommitterReply, CommitterRequest, LinkedAppend, PutState } from "./messages.ts";

/** Fewer are signed sooner than they are handed over. */
const SIGNED_APART_MIN = 2;

type CommitRequest = Extract<CommitterRequest, { kind: "commit" }>;
type Signed = { readonly records: readonly string[]; readonly signingMs: number } | { readonly error: unknown };

const NOTHING_SIGNED = { records: [], signingMs: 0 };

/** What commits together, in its place. */
interface Batch {
  readonly request: CommitRequest;
  readonly started: number;
  /** What signed before it. */
  readonly signBefore: RecordSigner;
  readonly linked: readonly LinkedGroup[];
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
  #signer: RecordSigner;
  /** Batches sent before the last failure were decided on what never was; they are refused unread. */
  #epoch = 0;
  /** Batches that are linked and not appended yet. */
  #underWay = 0;

  constructor(data: CommitterData, reply: (message: CommitterReply) => void, end: () => void) {
    const { storePath, place, unsettled = [], nodeId, log } = data;
    this.#reply = reply;
    this.#end = end;
    this.#signAhead = data.signAhead ?? false;
    this.#signer = signerOf(data);
    const follows = data.unsettled !== undefined;
    this.#sound = new SoundStore({
      path: storePath,
      place,
      unsettled,
      follows,
      checkpointer: () => this.#checkpointer,
    });
    this.#linker = new Linker({ nodeId, heads: () => headsOf(storePath), newId: makeIds() });
    const inTurn = (work: () => Promise<void>): void => void this.#order.take(() => this.#counted(work()));
    this.#checkpointer = log && new Checkpointer(log, (work) => this.#sound.write(work), inTurn, reply);
  }

  ask(request: CommitterRequest): void {
    if (request.kind !== "commit") this.#order.ask(() => this.#counted(this.#answer(request)));
    else if (this.#signAhead) this.#commitInStages(request);
    else
      this.#order.ask(async () => {
        const batch = await this.#link(request);
        await this.#counted(this.#append(batch));
      });
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

  /** Gives a batch its place, and has its signing begun. */
  async #link(request: CommitRequest): Promise<Batch> {
    const batch = {
      request,
      signBefore: this.#signer,
      started: performance.now(),
      linked: [],
      events: [],
      linkingMs: 0,
    };
    const durable = this.#underWay++ === 0;
    if (request.epoch < this.#epoch) return { ...batch, signed: Promise.resolve(NOTHING_SIGNED) };
    try {
      const linked = await this.#linker.link(request.groups, await this.#sound.writer(), durable);
      const events = linked.flatMap((group) => group ?? []);
      const linkingMs = performance.now() - batch.started;
      return { ...batch, linked, events, linkingMs, signed: this.#sign(events) };
    } catch (error) {
      return { ...batch, signed: Promise.resolve({ error }) };
    }
  }

  /** Begun at once, in order. */
  async #sign(events: readonly LinkedAppend[]): Promise<Signed> {
    const started = performance.now();
    const apart = this.#signAhead && events.length >= SIGNED_APART_MIN;
    try {
      const records = apart ? await this.#signApart(events) : events.map((event) => this.#signHere(event));
      return { records, signingMs: performance.now() - started };
    } catch (error) {
      return { error };
    }
  }

  #signHere({ text, signNextWith }: LinkedAppend): string {
    const record = this.#signer.sign(text);
    if (signNextWith) this.#signer = signerOf(signNextWith);
    return record;
  }

  #signApart(events: readonly LinkedAppend[]): Promise<string[]> {
    const { promise, resolve, reject } = Promise.withResolvers<string[]>();
    const records = events.map(() => "");
    let left = events.length;
    events.forEach(({ text, signNextWith }, i) => {
      this.#signer.signApart(text, (error, record) => {
        if (error) return reject(error);
        records[i] = record;
        if (--left === 0) resolve(records);
      });
      if (signNextWith) this.#signer = signerOf(signNextWith);
    });
    return promise;
  }

  async #append({ request, signBefore, started, linked, events, linkingMs, signed: signing }: Batch): Promise<void> {
    this.#underWay--;
    const { batch } = request;
    const refused = (message: string, recorded: "no" | "unknown"): void =>
      this.#reply({ kind: "failed", batch, epoch: this.#epoch, message, recorded });
    if (request.epoch < this.#epoch) return refused("an earlier batch failed", "no");
    const signed = await signing;
    const committed = (firstPosition: number): void => {
      this.#sound.committed(events);
      this.#checkpointer?.grown(events);
      const { records, signingMs } = "error" in signed ? NOTHING_SIGNED : signed;
      const commitMs = performance.now() - started - linkingMs - signingMs;
      const sizes = linked.map((group) => group?.length);
      const texts = events.map(({ text }) => text);
      const { user, system } = process.threadCpuUsage();
      const took = { linkingMs, signingMs, commitMs, processorMs: (user + system) / 1000 };
      this.#reply({ kind: "committed", batch, sizes, texts, records, firstPosition, ...took });
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
      this.#signer = signBefore;
      this.#linker.reset();
      this.#epoch++;
      refused(told(error), found.recorded);
    }
  }

  /** What another node has signed; whether it is taken is settled, and it concerns no batch of our own. */
  async #replicate(request: number, events: readonly Append[]): Promise<CommitterReply> {
    const taken = (firstPosition: number): CommitterReply => {
      this.#sound.committed(events);
      this.#checkpointer?.grown(events);
      for (const { states } of events) this.#linker.wrote(states);
      return { kind: "replicated", request, firstPosition };
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
    this.#linker.reset();
    this.#reply({ kind: "failed", epoch: ++this.#epoch, message, recorded: "no" });
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

function signerOf(key: RecordKey): RecordSigner {
  return recordSigner(createPrivateKey({ key: key.privateJwk, format: "jwk" }), key.kid);
}
