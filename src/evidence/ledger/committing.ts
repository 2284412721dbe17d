// What the committer does, on whatever thread it is: links a batch, signs it, appends it with its state in one transaction, and says so; checkpoints follow.
import { createPrivateKey } from "node:crypto";
import { Checkpointer } from "../log/checkpointer.ts";
import type { OwnPort } from "../../threads/threads.ts";
import type { RecordKey } from "./entry.ts";
import { makeIds } from "./ids.ts";
import { Linker, type LinkedGroup } from "./linker.ts";
import { recordSigner, type RecordSigner } from "./sign.ts";
import { SoundStore, told } from "./sound.ts";
import type { Head } from "../../core/event.ts";
import { openReader, type StoreAt } from "../../store/open.ts";
import type { Append } from "../../store/store.ts";
import { appendsIn } from "./parcel.ts";
import type { CommitterData, CommitterReply, CommitterRequest, Group, LinkedAppend, PutState } from "./messages.ts";

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
  #signRecord: RecordSigner;
  /** Batches sent before the last failure were decided on what never was; they are refused unread. */
  #epoch = 0;
  /** What is asked for is done one after the other, checkpoints that are due included. */
  #before: Promise<void> = Promise.resolve();

  constructor(data: CommitterData, reply: (message: CommitterReply) => void, end: () => void) {
    const { storePath, place, unsettled = [], nodeId, log } = data;
    this.#reply = reply;
    this.#end = end;
    this.#signRecord = signerOf(data);
    this.#sound = new SoundStore({ path: storePath, place, unsettled, checkpointer: () => this.#checkpointer });
    this.#linker = new Linker({ nodeId, heads: () => headsOf(storePath), newId: makeIds() });
    const inTurn = (work: () => Promise<void>): void => this.#inTurn(work);
    this.#checkpointer = log && new Checkpointer(log, (work) => this.#sound.write(work), inTurn, reply);
  }

  ask(request: CommitterRequest): void {
    this.#inTurn(() => this.#answer(request));
  }

  #inTurn(work: () => Promise<void>): void {
    this.#before = this.#before.then(work).then(() => {
      const { counts } = this.#sound;
      if (counts) this.#reply({ kind: "counted", counts });
    });
  }

  async #answer(request: CommitterRequest): Promise<void> {
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
      case "commit": {
        const { batch, groups } = request;
        if (request.epoch < this.#epoch)
          return this.#reply({
            kind: "failed",
            batch,
            epoch: this.#epoch,
            message: "an earlier batch failed",
            recorded: "no",
          });
        return this.#reply(await this.#commit(batch, groups));
      }
    }
  }

  async #commit(batch: number, groups: readonly Group[]): Promise<CommitterReply> {
    const signBefore = this.#signRecord;
    const started = performance.now();
    const took = { linkingMs: 0, signingMs: 0 };
    let linked: LinkedGroup[] = [];
    let events: LinkedAppend[] = [];
    let records: string[] = [];
    const committed = (firstPosition: number): CommitterReply => {
      this.#sound.committed(events);
      this.#checkpointer?.grown(events);
      const commitMs = performance.now() - started - took.linkingMs - took.signingMs;
      const sizes = linked.map((group) => group?.length);
      const texts = events.map(({ text }) => text);
      const { user, system } = process.threadCpuUsage();
      const processorMs = (user + system) / 1000;
      return { kind: "committed", batch, sizes, texts, records, firstPosition, ...took, commitMs, processorMs };
    };
    try {
      const store = await this.#sound.writer();
      linked = await this.#linker.link(groups, store);
      events = linked.flatMap((group) => group ?? []);
      took.linkingMs = performance.now() - started;
      records = events.map(({ text, signNextWith }) => {
        const record = this.#signRecord(text);
        if (signNextWith) this.#signRecord = signerOf(signNextWith);
        return record;
      });
      took.signingMs = performance.now() - started - took.linkingMs;
      if (events.length === 0) {
        await store.release();
        return committed(0);
      }
      return committed(await store.append(events.map((event, i) => Object.assign(event, { record: records[i]! }))));
    } catch (error) {
      const found = await this.#sound.failed(error, events);
      if ("position" in found) return committed(found.position);
      this.#signRecord = signBefore;
      this.#linker.reset();
      return {
        kind: "failed",
        batch,
        epoch: ++this.#epoch,
        message: told(error),
        recorded: found.recorded,
      };
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
