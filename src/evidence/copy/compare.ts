// Whether two stores hold the same evidence, read from both anew: records, artifacts and trees (spec replicas §9).
import { equalBytes } from "../../core/bytes.ts";
import { rootAt } from "../../core/merkle.ts";
import { TREE_HASHER } from "../../core/sha256.ts";
import { nodesOfTiles, overTiles } from "../../core/tiles.ts";
import type { CopySource } from "../../store/store.ts";
import type { Sides } from "./records.ts";

const PAGE = 256;

export interface UnlikePlace {
  readonly chain_id: string;
  /** The first place in the stream that differs. */
  readonly sequence: number;
}

/**
 * Compares every stream, and erases in the copy what the source has erased meanwhile.
 * @param progress is told how many events were compared.
 * @returns where they differ; undefined where they do not.
 */
export async function compareRecords(
  { source, target, copied }: Sides,
  progress: (events: number) => void,
): Promise<UnlikePlace | undefined> {
  const theirs = await source.log.streams();
  for (const { chain_id, size } of await copied.log.streams())
    if (!theirs.some((stream) => stream.chain_id === chain_id)) return { chain_id, sequence: size - 1 };
  for (const { chain_id, size } of theirs) {
    for (let at = 0; at < size; at += PAGE) {
      const to = Math.min(size, at + PAGE);
      const [left, right] = [await source.log.records(chain_id, at, to), await copied.log.records(chain_id, at, to)];
      const other = left.findIndex((record, i) => record !== right[i]);
      if (other >= 0 || right.length !== left.length) return { chain_id, sequence: at + Math.max(other, 0) };
      const [theirs, ours] = [
        await source.log.artifacts(chain_id, at, to),
        await copied.log.artifacts(chain_id, at, to),
      ];
      const missing = [...theirs].find(([sequence, bytes]) => !isHeld(ours.get(sequence), bytes));
      if (missing) return { chain_id, sequence: missing[0] };
      const erased = [...ours.keys()]
        .filter((sequence) => !theirs.has(sequence))
        .map((sequence) => ({ chain_id, sequence }));
      if (erased.length > 0) await target.putRows({ erased });
      progress(to - at);
    }
    const [left, right] = [await treeRoot(source, chain_id, size), await treeRoot(copied, chain_id, size)];
    if (!equalBytes(left, right)) return { chain_id, sequence: size - 1 };
  }
  return undefined;
}

const isHeld = (held: Uint8Array | undefined, bytes: Uint8Array): boolean =>
  held !== undefined && equalBytes(held, bytes);

const treeRoot = ({ log }: CopySource, chainId: string, size: number): Promise<Uint8Array> =>
  overTiles(
    (level, n) => log.tile(chainId, level, n),
    (tile) => rootAt(TREE_HASHER, nodesOfTiles(TREE_HASHER, tile), size),
  );
