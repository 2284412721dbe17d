// A thread of the verifier: checks the chunks it is sent.
import { answerRequests } from "../../threads/threads.ts";
import { NODE_PRIMITIVES } from "./node-primitives.ts";
import type { PoolAnswer, PoolRequest } from "./pool.ts";
import { rowChecks } from "./row-checks.ts";

const checks = rowChecks(NODE_PRIMITIVES);

function answer(request: PoolRequest): Promise<PoolAnswer> {
  switch (request.kind) {
    case "events":
      return checks.events(request.chunk);
    case "records":
      return checks.records(request.chunk, request.keys);
    case "segment":
      return checks.segment(request.chunk);
    case "proofs":
      return checks.proofs(request.chunk, request.range);
  }
}

answerRequests<PoolRequest, PoolAnswer>(
  answer,
  // Columns are handed over, not copied.
  (rows) =>
    Object.values(rows).flatMap((column: unknown) =>
      ArrayBuffer.isView(column) ? [column.buffer as ArrayBuffer] : [],
    ),
);
