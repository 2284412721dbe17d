// Reads proofs.json: an inclusion proof for each record, all of them held against each other as they come.
import type { Checkpoint } from "../../core/note.ts";
import { type ReadingContext, drain, Enough, EXCESS_MAX, streamJson } from "./context.ts";
import type { Events } from "./events.ts";
import { parseJson } from "./json-stream.ts";
import { RangeInclusion } from "./merkle.ts";
import { fromBase64url } from "./rows.ts";

export interface Proofs {
  readonly count: number;
  readonly treeSize: unknown;
  readonly inclusion: RangeInclusion;
}

export const FILE = "proofs.json";
const HASH_LENGTH = 44;

/** @returns undefined where there is nothing that they could be proofs of. */
export async function readProofs(
  { findings, primitives, scratch }: ReadingContext,
  body: AsyncIterable<Uint8Array>,
  checkpoint: Checkpoint | undefined,
  events: Events | undefined,
): Promise<Proofs | undefined> {
  const { first, count = 0 } = events ?? {};
  if (checkpoint === undefined || first === undefined || count === 0 || first + count > checkpoint.size) {
    await drain(body);
    return undefined;
  }
  const inclusion = new RangeInclusion(primitives.sha256, scratch, base64Hash, {
    from: first,
    to: first + count - 1,
    size: checkpoint.size,
  });
  let proofs = 0;
  let treeSize: unknown;
  const fault = (message: string, index: number): void => findings.fault("inclusion", message, { file: FILE, index });
  const take = (json: Uint8Array): void => {
    const index = proofs++;
    if (index > count + EXCESS_MAX) throw new Enough();
    if (index >= count) return;
    const { sequence, hashes } = (parseJson(json) ?? {}) as { sequence?: unknown; hashes?: unknown };
    if (sequence !== first + index || !Array.isArray(hashes)) return fault("it is no proof for this record", index);
    const problem = inclusion.put(first + index, hashes);
    if (problem !== undefined) fault(problem, index);
  };
  await streamJson(findings, "inclusion", FILE, body, { proofs: "array" }, ([name], json) => {
    if (name === "proofs") take(json);
    else if (name === "tree_size") treeSize = parseJson(json);
  });
  return { count: proofs, treeSize, inclusion };
}

/** A hash in standard base64, written in the one way that encodes it (RFC 4648 §4). */
function base64Hash(text: string): Uint8Array | undefined {
  if (text.length !== HASH_LENGTH || !text.endsWith("=") || text.includes("-") || text.includes("_")) return undefined;
  return fromBase64url(text.slice(0, -1).replaceAll("+", "-").replaceAll("/", "_"));
}
