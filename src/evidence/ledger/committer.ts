// The committer's thread: signs a batch, appends it with its state in one transaction, and says so; checkpoints follow. Nothing else writes the database.
import { createPrivateKey } from "node:crypto";
import { parentPort, workerData } from "node:worker_threads";
import { LogRolledBackError } from "../../core/errors.ts";
import { Checkpointer } from "../log/checkpointer.ts";
import { recordSigner, type RecordSigner } from "./sign.ts";
import { SoundStore } from "./sound.ts";
import type { Append } from "../../store/store.ts";
import type { CommitterData, CommitterReply, CommitterRequest, RecordKey, UnsignedAppend } from "./messages.ts";

const { storePath, place, unsettled = [], privateJwk, kid, log } = workerData as CommitterData;
let signRecord = signerOf({ privateJwk, kid });

/** Batches linked before the last failure stand on events that never were; they are refused unread. */
let epoch = 0;
const sound = new SoundStore({ path: storePath, place, unsettled, checkpointer: () => checkpointer });
const checkpointer: Checkpointer | undefined =
  log &&
  new Checkpointer(
    log,
    (work) => sound.write(work),
    (reply) => parentPort!.postMessage(reply),
  );

parentPort!.on("message", (request: CommitterRequest) => {
  switch (request.kind) {
    case "close":
      return close();
    case "checkpoint":
      return answerCheckpoint(request.request);
    case "replicate":
      return parentPort!.postMessage(replicate(request.request, request.events));
    case "probe":
      return void probe().then((reply) => parentPort!.postMessage(reply));
    case "watch":
      return watch();
    case "commit": {
      const { batch, events } = request;
      const reply: CommitterReply =
        request.epoch < epoch
          ? { kind: "failed", batch, epoch, message: "an earlier batch failed", recorded: "no" }
          : commit(batch, events);
      return parentPort!.postMessage(reply);
    }
  }
});

function signerOf(key: RecordKey): RecordSigner {
  return recordSigner(createPrivateKey({ key: key.privateJwk, format: "jwk" }), key.kid);
}

function commit(batch: number, events: readonly UnsignedAppend[]): CommitterReply {
  const signBefore = signRecord;
  const started = performance.now();
  let signed = started;
  let records: string[] = [];
  const committed = (firstPosition: number): CommitterReply => {
    sound.committed(events);
    checkpointer?.grown(events);
    return {
      kind: "committed",
      batch,
      records,
      firstPosition,
      signingMs: signed - started,
      commitMs: performance.now() - signed,
    };
  };
  try {
    const store = sound.writer();
    records = events.map(({ text, signNextWith }) => {
      const record = signRecord(text);
      if (signNextWith) signRecord = signerOf(signNextWith);
      return record;
    });
    signed = performance.now();
    return committed(store.append(events.map((event, i) => ({ ...event, record: records[i]! }))));
  } catch (error) {
    const found = sound.failed(error, events);
    if ("position" in found) return committed(found.position);
    signRecord = signBefore;
    return { kind: "failed", batch, epoch: ++epoch, message: (error as Error).message, recorded: found.recorded };
  }
}

/** What another node has signed; whether it is taken is settled, and it concerns no batch of our own. */
function replicate(request: number, events: readonly Append[]): CommitterReply {
  const taken = (firstPosition: number): CommitterReply => {
    sound.committed(events);
    checkpointer?.grown(events);
    return { kind: "replicated", request, firstPosition };
  };
  try {
    return taken(sound.writer().append(events));
  } catch (error) {
    const found = sound.failed(error, events);
    return "position" in found
      ? taken(found.position)
      : { kind: "replicated", request, failure: (error as Error).message };
  }
}

/** A write that changes nothing: a full disk or a lock refuses it as it would refuse evidence. */
async function probe(): Promise<CommitterReply> {
  try {
    await sound.recover();
    sound.write((store) => store.putMeta("probed_at_ms", String(Date.now())));
    return { kind: "probed" };
  } catch (error) {
    const { message } = error as Error;
    // By its code, since only an operator's act leads out of it.
    return { kind: "probed", failure: error instanceof LogRolledBackError ? `${error.code}: ${message}` : message };
  }
}

/** Asked while there is nothing to commit. */
function watch(): void {
  const message = sound.watch();
  if (message === undefined) return;
  parentPort!.postMessage({ kind: "failed", epoch: ++epoch, message, recorded: "no" } satisfies CommitterReply);
}

function answerCheckpoint(request: number): void {
  const reply: CommitterReply = checkpointer?.publish() ?? { kind: "checkpointed", streams: 0 };
  parentPort!.postMessage({ ...reply, request });
}

function close(): void {
  checkpointer?.close();
  sound.close();
  parentPort!.close();
}
