// The committer's thread: signs a batch, appends it with its state in one transaction, and says so; checkpoints follow. Nothing else writes the database.
import { createPrivateKey } from "node:crypto";
import { parentPort, workerData } from "node:worker_threads";
import { openWriter } from "../../store/open.ts";
import type { StoreWriter } from "../../store/store.ts";
import { Checkpointer } from "../log/checkpointer.ts";
import { recordSigner, type RecordSigner } from "./sign.ts";
import type { CommitterData, CommitterReply, CommitterRequest, RecordKey, UnsignedAppend } from "./messages.ts";

const { storePath, privateJwk, kid, log } = workerData as CommitterData;
let signRecord = signerOf({ privateJwk, kid });

let store: StoreWriter | undefined;
/** Batches linked before the last failure stand on events that never were; they are refused unread. */
let epoch = 0;
const checkpointer =
  log &&
  new Checkpointer(
    log,
    () => (store ??= openWriter(storePath)),
    (reply) => parentPort!.postMessage(reply),
  );

parentPort!.on("message", (request: CommitterRequest) => {
  if (request.kind === "close") return close();
  if (request.kind === "checkpoint") return answerCheckpoint(request.request);
  if (request.kind === "probe") return parentPort!.postMessage(probe());
  const stale = request.epoch < epoch;
  parentPort!.postMessage(
    stale ? failed(request.batch, "an earlier batch failed") : commit(request.batch, request.events),
  );
});

function signerOf(key: RecordKey): RecordSigner {
  return recordSigner(createPrivateKey({ key: key.privateJwk, format: "jwk" }), key.kid);
}

function commit(batch: number, events: readonly UnsignedAppend[]): CommitterReply {
  const signBefore = signRecord;
  try {
    const started = performance.now();
    const records = events.map(({ text, signNextWith }) => {
      const record = signRecord(text);
      if (signNextWith) signRecord = signerOf(signNextWith);
      return record;
    });
    const signed = performance.now();
    store ??= openWriter(storePath);
    const firstPosition = store.append(events.map((event, i) => ({ ...event, record: records[i]! })));
    checkpointer?.grown(events);
    return {
      kind: "committed",
      batch,
      records,
      firstPosition,
      signingMs: signed - started,
      commitMs: performance.now() - signed,
    };
  } catch (error) {
    epoch++;
    signRecord = signBefore;
    giveUpStore();
    return failed(batch, (error as Error).message);
  }
}

/** A write that changes nothing: a full disk or a lock refuses it as it would refuse evidence. */
function probe(): CommitterReply {
  try {
    store ??= openWriter(storePath);
    store.putMeta("probed_at_ms", String(Date.now()));
    return { kind: "probed" };
  } catch (error) {
    giveUpStore();
    return { kind: "probed", failure: (error as Error).message };
  }
}

/** After an I/O error the connection itself is suspect; the next batch opens a new one. */
function giveUpStore(): void {
  try {
    store?.close();
  } catch {
    // It is given up either way.
  }
  store = undefined;
}

function failed(batch: number, message: string): CommitterReply {
  return { kind: "failed", batch, epoch, message };
}

function answerCheckpoint(request: number): void {
  const reply: CommitterReply = checkpointer?.publish() ?? { kind: "checkpointed", streams: 0 };
  parentPort!.postMessage({ ...reply, request });
}

function close(): void {
  checkpointer?.close();
  giveUpStore();
  parentPort!.close();
}
