// Checks what other nodes send, and finds where they differ: unpacks, reads and verifies, and writes nothing.
import { gunzip, zstdDecompress } from "node:zlib";
import { RequestError } from "../../core/errors.ts";
import { parser } from "../../core/request.ts";
import { ReplicationSchema, type Replication } from "../../core/schema/replication.ts";
import { openReader } from "../../store/open.ts";
import type { StoreReader } from "../../store/store.ts";
import { checkBatch } from "./check.ts";
import { KeyRing } from "./key-ring.ts";
import { findConflicts } from "./conflicts.ts";
import { whyForbidden } from "./senders.ts";
import type { IntakeData, IntakeReply, IntakeRequest, OfferedRecords } from "./messages.ts";

const parse = parser(ReplicationSchema);
const utf8 = new TextDecoder("utf-8", { fatal: true });

/** @returns what answers requests over a store, which is opened for the first of them. */
export function recordChecker(data: IntakeData): (request: IntakeRequest) => Promise<IntakeReply> {
  let store: StoreReader | undefined;
  return async (request) => {
    store ??= await openReader(data.storePath);
    return request.kind === "offer"
      ? offered(request, store, data)
      : await findConflicts(store, request.after, request.ownId);
  };
}

async function offered(
  offer: OfferedRecords,
  reader: StoreReader,
  { ownIds, nodes }: IntakeData,
): Promise<IntakeReply> {
  let body: Replication;
  try {
    body = parse(JSON.parse(utf8.decode(await unpacked(offer))));
  } catch (error) {
    return unreadable(error, offer.bytesMax);
  }
  const { chainId, sender, firstUse, nowMs } = offer;
  const verdict = await checkBatch({
    chainId,
    body,
    ring: new KeyRing(await reader.keys(), nodes, nowMs),
    store: reader,
    firstUse,
    forbidden: (nodeId) => whyForbidden(nodeId, { chainId, sender, ownIds, nodes }),
  });
  const size = (await reader.log.stream(chainId))?.size ?? 0;
  return { verdict, size, checkpoint: body.checkpoint, superseded: body.superseded };
}

function unpacked({ bytes, encoding, bytesMax }: OfferedRecords): Promise<Uint8Array> {
  if (encoding === "identity") return Promise.resolve(bytes);
  return new Promise((resolve, reject) => {
    const done = (error: Error | null, whole: Uint8Array) => (error ? reject(error) : resolve(whole));
    if (encoding === "gzip") gunzip(bytes, { maxOutputLength: bytesMax }, done);
    else zstdDecompress(bytes, { maxOutputLength: bytesMax }, done);
  });
}

function unreadable(error: unknown, bytesMax: number): IntakeReply {
  if (error instanceof RequestError) return { unreadable: { status: 422, faults: error.errors } };
  const tooLarge = (error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE";
  const message = tooLarge ? `larger than ${bytesMax} bytes` : `can't be read: ${(error as Error).message}`;
  return { unreadable: { status: tooLarge ? 413 : 400, faults: [{ pointer: "", message }] } };
}
