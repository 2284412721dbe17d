// Reads proofs.json: an inclusion proof for each record, all of them held against each other as they come.
import type { Checkpoint } from "../../core/note.ts";
import { inOrder } from "./chunks.ts";
import { type ReadingContext, drain, EXCESS_MAX, jsonChunks, takeFaults } from "./context.ts";
import type { Events } from "./events.ts";
import { RangeInclusion } from "./inclusion.ts";
import { parseJson } from "./json-stream.ts";
import type { ProofRows } from "./proof-rows.ts";

export interface Proofs {
  readonly count: number;
  readonly treeSize: unknown;
  readonly inclusion: RangeInclusion;
}

export const FILE = "proofs.json";

/** @returns undefined where there is nothing that they could be proofs of. */
export async function readProofs(
  { findings, primitives, scratch, checker }: ReadingContext,
  body: AsyncIterable<Uint8Array>,
  checkpoint: Checkpoint | undefined,
  events: Events | undefined,
): Promise<Proofs | undefined> {
  const { first, count = 0 } = events ?? {};
  if (checkpoint === undefined || first === undefined || count === 0 || first + count > checkpoint.size) {
    await drain(body);
    return undefined;
  }
  const range = { from: first, to: first + count - 1, size: checkpoint.size };
  const inclusion = new RangeInclusion(primitives.sha256, scratch, range);
  let proofs = 0;
  let stopped = false;
  let treeSize: unknown;
  const take = (chunk: ProofRows): void => {
    if (stopped) return;
    takeFaults(findings, chunk.faults, FILE);
    if (chunk.problem !== undefined) findings.fault("inclusion", chunk.problem, { file: FILE });
    inclusion.take(chunk.leaf, chunk.levels, chunk.contradictions);
    proofs += chunk.count;
    stopped = chunk.problem !== undefined || proofs > count + EXCESS_MAX;
  };
  const member = ([name]: readonly string[], json: Uint8Array): void => {
    if (name === "tree_size") treeSize = parseJson(json);
  };
  const chunks = jsonChunks(
    { findings, check: "inclusion", file: FILE, memory: checker.memory },
    body,
    "proofs",
    member,
    () => stopped,
  );
  await inOrder(chunks, (chunk) => checker.proofs(chunk, range), take);
  return { count: proofs, treeSize, inclusion };
}
