// A thread of the verifier: checks the chunks it is sent.
import { parentPort } from "node:worker_threads";
import { NODE_PRIMITIVES } from "./node-primitives.ts";
import type { PoolReply, PoolRequest } from "./pool.ts";
import { checkEvents, checkRecords } from "./rows.ts";

parentPort!.on("message", async (request: PoolRequest) => {
  let reply: PoolReply;
  // Columns are handed over, not copied.
  let columns: ArrayBuffer[] = [];
  try {
    const rows =
      request.kind === "events"
        ? checkEvents(request.chunk, NODE_PRIMITIVES)
        : await checkRecords(request.chunk, request.keys, NODE_PRIMITIVES);
    reply = { job: request.job, rows };
    columns = Object.values(rows).flatMap((column: unknown) =>
      ArrayBuffer.isView(column) ? [column.buffer as ArrayBuffer] : [],
    );
  } catch (error) {
    reply = { job: request.job, error: (error as Error).message };
  }
  parentPort!.postMessage(reply, columns);
});
