// Whether two stores hold the same evidence, read from both anew: records, artifacts and trees (spec replicas §9).
import { equalBytes } from "../../core/bytes.ts";
import { rootAt } from "../../core/merkle.ts";
import { TREE_HASHER } from "../../core/sha256.ts";
import { nodesOfTiles, overTiles } from "../../core/tiles.ts";
import type { CopySource, StreamRow } from "../../store/store.ts";
import type { CopiedRange } from "./checking.ts";
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
  { source, target, copied, threads }: Sides,
  progress: (events: number) => void,
): Promise<UnlikePlace | undefined> {
  const theirs = await source.log.streams();
  for (const { chain_id, size } of await copied.log.streams())
    if (!theirs.some((stream) => stream.chain_id === chain_id)) return { chain_id, sequence: size - 1 };
  const compared = threads.inOrder(rangesOf(theirs), async (range) => ({ range, ...(await threads.compare(range)) }));
  for await (const { range, unlike, erased } of compared) {
    const { chain_id, from, to } = range;
    if (unlike !== undefined) return { chain_id, sequence: unlike };
    if (erased.length > 0) await target.putRows({ erased: erased.map((sequence) => ({ chain_id, sequence })) });
    progress(to - from);
  }
  for (const { chain_id, size } of theirs) {
    const [left, right] = [await treeRoot(source, chain_id, size), await treeRoot(copied, chain_id, size)];
    if (!equalBytes(left, right)) return { chain_id, sequence: size - 1 };
  }
  return undefined;
}

function* rangesOf(streams: readonly StreamRow[]): Generator<CopiedRange> {
  for (const { chain_id, size } of streams)
    for (let from = 0; from < size; from += PAGE) yield { chain_id, from, to: Math.min(size, from + PAGE) };
}

const treeRoot = ({ log }: CopySource, chainId: string, size: number): Promise<Uint8Array> =>
  overTiles(
    (level, n) => log.tile(chainId, level, n),
    (tile) => rootAt(TREE_HASHER, nodesOfTiles(TREE_HASHER, tile), size),
  );
