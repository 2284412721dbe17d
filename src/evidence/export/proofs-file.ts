// The inclusion proofs of an export: one for each record of the range, tying it to the checkpoint.
import { setImmediate } from "node:timers/promises";
import { equalBytes } from "../../core/bytes.ts";
import { parseCheckpoint, parseNote } from "../../core/note.ts";
import type { TransparencyLog } from "../log/log.ts";
import { RangeProofs } from "../log/range-proofs.ts";
import type { PageStore, Rows } from "../verify/pages.ts";
import type { Range } from "./source.ts";
import { StagedFile } from "./staged-file.ts";

/** Others get their turn after so many. */
const AT_ONCE = 256;

/** @param leaves hashes of the range's records. @throws Error they are not those that the checkpoint is over. */
export async function proofsFile(
  log: TransparencyLog,
  { chainId, from, to }: Range,
  { size, note }: { readonly size: number; readonly note: string },
  leaves: Rows,
  { staging, pages }: { readonly staging: string; readonly pages: PageStore },
): Promise<ReturnType<StagedFile["end"]>> {
  const proofs = new RangeProofs({
    from,
    to,
    size,
    leaves,
    pages,
    firstProof: await log.inclusionProof(chainId, from, size),
    lastProof: await log.inclusionProof(chainId, to, size),
  });
  const root = parseCheckpoint(parseNote(note)?.text ?? "")?.root;
  if (!root || !equalBytes(root, proofs.root))
    throw new Error(`the records of ${chainId} are not those that its checkpoint of ${size} is over`);
  const file = new StagedFile(staging, "proofs.json");
  file.write('{"proofs":[');
  for (let sequence = from; sequence <= to; sequence++) {
    if ((sequence - from) % AT_ONCE === 0) await setImmediate();
    const hashes = `"${proofs.of(sequence).join('","')}"`;
    file.write(`${sequence === from ? "" : ","}{"hashes":[${hashes === '""' ? "" : hashes}],"sequence":${sequence}}`);
  }
  file.write(`],"tree_size":${size}}`);
  return file.end();
}
