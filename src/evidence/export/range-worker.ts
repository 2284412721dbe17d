// A thread of an export: reads the pages that it is sent.
import { answerRequests } from "../../threads/threads.ts";
import type { RangeAnswer } from "./range-pool.ts";
import { readRange, type RangePage } from "./range-rows.ts";

answerRequests<RangePage, RangeAnswer>(
  (page) => ({ rows: readRange(page), spent: page.artifacts.buffer }),
  ({ rows: { events, segment, leaves, hashLeaves, pointers, artifacts }, spent }) => [
    // Records lie in the memory that events lie in.
    ...[events, segment, leaves, hashLeaves, pointers, artifacts].map(({ buffer }) => buffer),
    spent,
  ],
);
