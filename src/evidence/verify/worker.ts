// A thread of the verifier: checks the chunks it is sent.
import { answerRequests } from "../../threads/threads.ts";
import { NODE_PRIMITIVES } from "./node-primitives.ts";
import type { PoolAnswer, PoolRequest, PoolRows } from "./pool.ts";
import { rowChecks } from "./row-checks.ts";

const checks = rowChecks(NODE_PRIMITIVES);

function check(request: PoolRequest): Promise<PoolRows> {
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
  async (request) => ({ rows: await check(request), memory: request.chunk.bytes.buffer as ArrayBuffer }),
  // Columns are handed over, not copied.
  ({ rows, memory }) => [
    memory,
    ...Object.values(rows).flatMap((column: unknown) =>
      ArrayBuffer.isView(column) ? [column.buffer as ArrayBuffer] : [],
    ),
  ],
);
