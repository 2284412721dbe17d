// The committer's thread: links a batch, signs it, appends it with its state in one transaction, and says so; checkpoints follow. Nothing else writes the database.
import { createPrivateKey } from "node:crypto";
import { parentPort, workerData } from "node:worker_threads";
import { LogRolledBackError } from "../../core/errors.ts";
import { Checkpointer } from "../log/checkpointer.ts";
import type { RecordKey } from "./entry.ts";
import { makeIds } from "./ids.ts";
import { Linker, type LinkedGroup } from "./linker.ts";
import { recordSigner, type RecordSigner } from "./sign.ts";
import { SoundStore } from "./sound.ts";
import type { Head } from "../../core/event.ts";
import { openReader } from "../../store/open.ts";
import type { Append } from "../../store/store.ts";
import type { CommitterData, CommitterReply, CommitterRequest, Group, LinkedAppend } from "./messages.ts";

const { storePath, place, unsettled = [], privateJwk, kid, nodeId, log } = workerData as CommitterData;
let signRecord = signerOf({ privateJwk, kid });

/** Batches sent before the last failure were decided on what never was; they are refused unread. */
let epoch = 0;
const sound = new SoundStore({ path: storePath, place, unsettled, checkpointer: () => checkpointer });
const linker = new Linker({ nodeId, heads: headsOf, newId: makeIds() });
const checkpointer: Checkpointer | undefined = log && new Checkpointer(log, (work) => sound.write(work), inTurn, reply);

/** What is asked for is done one after the other, checkpoints that are due included. */
let before: Promise<void> = Promise.resolve();
function inTurn(work: () => Promise<void>): void {
  before = before.then(work);
}

parentPort!.on("message", (request: CommitterRequest) => inTurn(() => answer(request)));

async function answer(request: CommitterRequest): Promise<void> {
  switch (request.kind) {
    case "close":
      return close();
    case "checkpoint":
      return answerCheckpoint(request.request);
    case "replicate":
      return reply(await replicate(request.request, request.events));
    case "probe":
      return reply(await probe());
    case "watch":
      return watch();
    case "commit": {
      const { batch, groups } = request;
      if (request.epoch < epoch)
        return reply({ kind: "failed", batch, epoch, message: "an earlier batch failed", recorded: "no" });
      return reply(await commit(batch, groups));
    }
  }
}

async function headsOf(): Promise<Map<string, Head>> {
  await using reader = await openReader(storePath);
  return reader.heads();
}

function reply(message: CommitterReply): void {
  parentPort!.postMessage(message);
}

function signerOf(key: RecordKey): RecordSigner {
  return recordSigner(createPrivateKey({ key: key.privateJwk, format: "jwk" }), key.kid);
}

async function commit(batch: number, groups: readonly Group[]): Promise<CommitterReply> {
  const signBefore = signRecord;
  const started = performance.now();
  const took = { linkingMs: 0, signingMs: 0 };
  let linked: LinkedGroup[] = [];
  let events: LinkedAppend[] = [];
  let records: string[] = [];
  const committed = (firstPosition: number): CommitterReply => {
    sound.committed(events);
    checkpointer?.grown(events);
    const commitMs = performance.now() - started - took.linkingMs - took.signingMs;
    const sizes = linked.map((group) => group?.length);
    const texts = events.map(({ text }) => text);
    return { kind: "committed", batch, sizes, texts, records, firstPosition, ...took, commitMs };
  };
  try {
    const store = await sound.writer();
    linked = await linker.link(groups, store);
    events = linked.flatMap((group) => group ?? []);
    took.linkingMs = performance.now() - started;
    records = events.map(({ text, signNextWith }) => {
      const record = signRecord(text);
      if (signNextWith) signRecord = signerOf(signNextWith);
      return record;
    });
    took.signingMs = performance.now() - started - took.linkingMs;
    if (events.length === 0) return committed(0);
    return committed(await store.append(events.map((event, i) => Object.assign(event, { record: records[i]! }))));
  } catch (error) {
    const found = await sound.failed(error, events);
    if ("position" in found) return committed(found.position);
    signRecord = signBefore;
    linker.reset();
    return { kind: "failed", batch, epoch: ++epoch, message: (error as Error).message, recorded: found.recorded };
  }
}

/** What another node has signed; whether it is taken is settled, and it concerns no batch of our own. */
async function replicate(request: number, events: readonly Append[]): Promise<CommitterReply> {
  const taken = (firstPosition: number): CommitterReply => {
    sound.committed(events);
    checkpointer?.grown(events);
    for (const { states } of events) linker.wrote(states);
    return { kind: "replicated", request, firstPosition };
  };
  try {
    return taken(await (await sound.writer()).append(events));
  } catch (error) {
    const found = await sound.failed(error, events);
    return "position" in found
      ? taken(found.position)
      : { kind: "replicated", request, failure: (error as Error).message };
  }
}

/** A write that changes nothing: a full disk or a lock refuses it as it would refuse evidence. */
async function probe(): Promise<CommitterReply> {
  try {
    await sound.recover();
    await sound.write((store) => store.putMeta("probed_at_ms", String(Date.now())));
    return { kind: "probed" };
  } catch (error) {
    const { message } = error as Error;
    // By its code, since only an operator's act leads out of it.
    return { kind: "probed", failure: error instanceof LogRolledBackError ? `${error.code}: ${message}` : message };
  }
}

/** Asked while there is nothing to commit. */
async function watch(): Promise<void> {
  const message = await sound.watch();
  if (message === undefined) return;
  linker.reset();
  reply({ kind: "failed", epoch: ++epoch, message, recorded: "no" });
}

async function answerCheckpoint(request: number): Promise<void> {
  const made = (await checkpointer?.publish()) ?? ({ kind: "checkpointed", streams: 0 } as const);
  reply({ ...made, request });
}

async function close(): Promise<void> {
  await checkpointer?.close();
  await sound.close();
  parentPort!.close();
}
