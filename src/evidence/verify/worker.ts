// A thread of the verifier: checks the chunks it is sent.
import { answerRequests } from "../../threads/threads.ts";
import { NODE_PRIMITIVES } from "./node-primitives.ts";
import type { PoolRequest } from "./pool.ts";
import { checkEvents, checkRecords, type EventRows, type RecordRows } from "./rows.ts";

answerRequests<PoolRequest, EventRows | RecordRows>(
  (request) =>
    request.kind === "events"
      ? checkEvents(request.chunk, NODE_PRIMITIVES)
      : checkRecords(request.chunk, request.keys, NODE_PRIMITIVES),
  // Columns are handed over, not copied.
  (rows) =>
    Object.values(rows).flatMap((column: unknown) =>
      ArrayBuffer.isView(column) ? [column.buffer as ArrayBuffer] : [],
    ),
);
