// Checks what other nodes send, and finds where they differ: unpacks, reads and verifies, and writes nothing.
import { gunzip, zstdDecompress } from "node:zlib";
import { RequestError } from "../../core/errors.ts";
import { parser } from "../../core/request.ts";
import { ReplicationSchema, type Replication } from "../../core/schema/replication.ts";
import { openReader } from "../../store/open.ts";
import type { StoreReader } from "../../store/store.ts";
import { checkBatch, readBatch, type Batch, type ReadBatch } from "./check.ts";
import { KeyRing } from "./key-ring.ts";
import { findConflicts } from "./conflicts.ts";
import { whyForbidden } from "./senders.ts";
import type { IntakeData, IntakeReply, IntakeRequest, OfferedRecords, OfferReply, ReadReply } from "./messages.ts";
import type { Refused } from "./record.ts";

const parse = parser(ReplicationSchema);
const utf8 = new TextDecoder("utf-8", { fatal: true });

/** What was offered, until it is settled. */
interface Offered {
  readonly offer: OfferedRecords;
  readonly body: Replication;
  readonly read: ReadBatch | Refused;
}

/** @returns what answers requests over a store, which is opened for the first of them. */
export function recordChecker(data: IntakeData): (request: IntakeRequest) => Promise<IntakeReply> {
  let store: StoreReader | undefined;
  const offers = new Map<number, Offered>();
  return async (request) => {
    store ??= await openReader(data.storePath);
    if (request.kind === "conflicts") return findConflicts(store, request.after, request.ownId);
    if (request.kind === "settle") {
      const offered = offers.get(request.offer);
      offers.delete(request.offer);
      if (!offered) throw new Error("nothing was offered by that number");
      return settled(offered, store, data, request.nowMs);
    }
    const offered = await readOffer(request, store, data);
    if (!("read" in offered)) return offered;
    offers.set(request.offer, offered);
    return {};
  };
}

async function readOffer(offer: OfferedRecords, store: StoreReader, data: IntakeData): Promise<Offered | ReadReply> {
  let body: Replication;
  try {
    body = parse(JSON.parse(utf8.decode(await unpacked(offer))));
  } catch (error) {
    return unreadable(error, offer.bytesMax);
  }
  return { offer, body, read: await readBatch(await batchOf(offer, body, store, data, offer.nowMs)) };
}

async function settled(
  { offer, body, read }: Offered,
  store: StoreReader,
  data: IntakeData,
  nowMs: number,
): Promise<OfferReply> {
  const verdict = "kind" in read ? read : await checkBatch(await batchOf(offer, body, store, data, nowMs), read);
  const size = (await store.log.stream(offer.chainId))?.size ?? 0;
  return { verdict, size, checkpoint: body.checkpoint, superseded: body.superseded };
}

async function batchOf(
  { chainId, sender, firstUse }: OfferedRecords,
  body: Replication,
  store: StoreReader,
  { ownIds, nodes }: IntakeData,
  nowMs: number,
): Promise<Batch> {
  return {
    chainId,
    body,
    ring: new KeyRing(await store.keys(), nodes, nowMs),
    store,
    firstUse,
    forbidden: (nodeId) => whyForbidden(nodeId, { chainId, sender, ownIds, nodes }),
  };
}

function unpacked({ bytes, encoding, bytesMax }: OfferedRecords): Promise<Uint8Array> {
  if (encoding === "identity") return Promise.resolve(bytes);
  return new Promise((resolve, reject) => {
    const done = (error: Error | null, whole: Uint8Array) => (error ? reject(error) : resolve(whole));
    if (encoding === "gzip") gunzip(bytes, { maxOutputLength: bytesMax }, done);
    else zstdDecompress(bytes, { maxOutputLength: bytesMax }, done);
  });
}

function unreadable(error: unknown, bytesMax: number): ReadReply {
  if (error instanceof RequestError) return { unreadable: { status: 422, faults: error.errors } };
  const tooLarge = (error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE";
  const message = tooLarge ? `larger than ${bytesMax} bytes` : `can't be read: ${(error as Error).message}`;
  return { unreadable: { status: tooLarge ? 413 : 400, faults: [{ pointer: "", message }] } };
}
