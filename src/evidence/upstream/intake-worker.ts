// The thread that checks what other nodes send: unpacking, reading and verifying cost the deciding thread nothing.
import { promisify } from "node:util";
import { workerData } from "node:worker_threads";
import { gunzip, zstdDecompress } from "node:zlib";
import { RequestError } from "../../core/errors.ts";
import { parser } from "../../core/request.ts";
import { ReplicationSchema, type Replication } from "../../core/schema/replication.ts";
import { openReader } from "../../store/open.ts";
import type { StoreReader } from "../../store/store.ts";
import { answerRequests } from "../../threads/threads.ts";
import { checkBatch } from "./check.ts";
import { KeyRing } from "./key-ring.ts";
import { findConflicts } from "./conflicts.ts";
import { whyForbidden } from "./senders.ts";
import type { IntakeData, IntakeReply, IntakeRequest, OfferedRecords } from "./messages.ts";

const { storePath, ownIds, nodes } = workerData as IntakeData;
const parse = parser(ReplicationSchema);
const utf8 = new TextDecoder("utf-8", { fatal: true });

const UNPACK = {
  gzip: promisify(gunzip),
  zstd: promisify(zstdDecompress),
} as const;

let store: StoreReader | undefined;

answerRequests<IntakeRequest, IntakeReply>(async (request) => {
  store ??= await openReader(storePath);
  return request.kind === "offer" ? offered(request, store) : await findConflicts(store, request.after, request.ownId);
});

async function offered(offer: OfferedRecords, reader: StoreReader): Promise<IntakeReply> {
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

async function unpacked({ bytes, encoding, bytesMax }: OfferedRecords): Promise<Uint8Array> {
  return encoding === "identity" ? bytes : UNPACK[encoding](bytes, { maxOutputLength: bytesMax });
}

function unreadable(error: unknown, bytesMax: number): IntakeReply {
  if (error instanceof RequestError) return { unreadable: { status: 422, faults: error.errors } };
  const tooLarge = (error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE";
  const message = tooLarge ? `larger than ${bytesMax} bytes` : `can't be read: ${(error as Error).message}`;
  return { unreadable: { status: tooLarge ? 413 : 400, faults: [{ pointer: "", message }] } };
}
