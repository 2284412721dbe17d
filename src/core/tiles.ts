// A Merkle tree cut into tiles of 256 hashes (https://c2sp.org/tlog-tiles): paths, widths, entry bundles, and appending.
import { concatBytes } from "./bytes.ts";
import {
  appendLeaf,
  EMPTY_FRONTIER,
  HASH_BYTES,
  readFrontier,
  rootOf,
  type Frontier,
  type NodeReader,
  type TreeHasher,
} from "./merkle.ts";

/** Hashes in a full tile; a tile spans this many of the level below. */
export const TILE_WIDTH = 256;
/** Tree levels between two tile levels. */
const TILE_HEIGHT = 8;
const TILE_LEVEL_MAX = 63;
/** An entry's length is written in two bytes. */
export const ENTRY_BYTES_MAX = 65_535;

/** One tile, or one bundle of the entries under a tile of level 0. A width below 256 means a partial one. */
export interface TileName {
  readonly level: number | "entries";
  readonly n: number;
  readonly width: number;
}

/** `tile/<L>/<N>[.p/<W>]`: 1234067 is `x001/x234/067`. */
export function tilePath({ level, n, width }: TileName): string {
  const digits = String(n);
  const groups = digits.padStart(Math.ceil(digits.length / 3) * 3, "0").match(/\d{3}/g)!;
  const place = groups.map((group, i) => (i < groups.length - 1 ? `x${group}` : group)).join("/");
  return `tile/${level}/${place}${width < TILE_WIDTH ? `.p/${width}` : ""}`;
}

const PATH = /^tile\/(entries|0|[1-9]\d?)\/((?:x\d{3}\/)*\d{3})(?:\.p\/([1-9]\d{0,2}))?$/;

/** @returns undefined unless the path is written exactly as {@link tilePath} would, so one tile has one address. */
export function parseTilePath(path: string): TileName | undefined {
  const [, level, place, width] = PATH.exec(path) ?? [];
  if (level === undefined || place === undefined) return undefined;
  const name: TileName = {
    level: level === "entries" ? level : Number(level),
    n: Number(place.replaceAll(/[x/]/g, "")),
    width: width === undefined ? TILE_WIDTH : Number(width),
  };
  if (name.level !== "entries" && name.level > TILE_LEVEL_MAX) return undefined;
  return Number.isSafeInteger(name.n) && tilePath(name) === path ? name : undefined;
}

/** How many hashes of a tile a tree of this size has: 0 to 256. */
export function tileWidthAt(level: number, n: number, size: number): number {
  const hashes = Math.floor(size / TILE_WIDTH ** level);
  return Math.max(0, Math.min(TILE_WIDTH, hashes - n * TILE_WIDTH));
}

/** Entries, each behind its length as two bytes, big-endian. @throws RangeError when one is too long. */
export function entryBundle(entries: readonly Uint8Array[]): Uint8Array {
  return concatBytes(
    ...entries.flatMap((entry) => {
      if (entry.length > ENTRY_BYTES_MAX)
        throw new RangeError(`an entry of ${entry.length} bytes has no place in a bundle`);
      return [Uint8Array.of(entry.length >> 8, entry.length & 0xff), entry];
    }),
  );
}

/** The entries of a bundle; undefined where it is none. */
export function parseEntryBundle(bundle: Uint8Array): Uint8Array[] | undefined {
  const entries: Uint8Array[] = [];
  for (let at = 0; at < bundle.length; ) {
    if (at + 2 > bundle.length) return undefined;
    const end = at + 2 + bundle[at]! * 256 + bundle[at + 1]!;
    if (end > bundle.length) return undefined;
    entries.push(bundle.subarray(at + 2, end));
    at = end;
  }
  return entries;
}

/** The hashes of a tile that the tree has so far, full or not; only asked for tiles that have the hash that is needed. */
export type TileReader = (level: number, n: number) => Uint8Array;

/**
 * Works over tiles that come in a moment: where the work needs one that is not at hand, it is read, and the work begins again.
 * @param work pure; a tree needs a few tiles, however large it is.
 */
export async function overTiles<T>(
  read: (level: number, n: number) => Promise<Uint8Array>,
  work: (tile: TileReader) => T,
): Promise<T> {
  const tiles = new Map<string, Uint8Array>();
  for (;;) {
    let missing: readonly [level: number, n: number] | undefined;
    const tile: TileReader = (level, n) => {
      const known = tiles.get(`${level}/${n}`);
      if (known) return known;
      missing = [level, n];
      throw new Error(`the tile ${level}/${n} is to be read`);
    };
    try {
      return work(tile);
    } catch (error) {
      if (!missing) throw error;
    }
    tiles.set(missing.join("/"), await read(...missing));
  }
}

/** Hashes of perfect subtrees, from tiles. */
export function nodesOfTiles(hasher: TreeHasher, tile: TileReader): NodeReader {
  return (level, index) => {
    const below = level % TILE_HEIGHT;
    const first = index * 2 ** below;
    const n = Math.floor(first / TILE_WIDTH);
    const hashes = tile((level - below) / TILE_HEIGHT, n);
    const offset = (first - n * TILE_WIDTH) * HASH_BYTES;
    return foldUp(hasher, hashes.subarray(offset, offset + 2 ** below * HASH_BYTES));
  };
}

/** The root of 2^k hashes. */
function foldUp(hasher: TreeHasher, hashes: Uint8Array): Uint8Array {
  if (hashes.length <= HASH_BYTES) return hashes;
  const middle = hashes.length / 2;
  return hasher.node(foldUp(hasher, hashes.subarray(0, middle)), foldUp(hasher, hashes.subarray(middle)));
}

/** What appending a leaf adds to the tiles: a whole tile of leaf hashes, or one more hash at a level above. */
export type TileGrowth =
  | { readonly level: 0; readonly n: number; readonly tile: Uint8Array }
  | { readonly level: number; readonly n: number; readonly hash: Uint8Array };

/** The end of a tree: its frontier, and the leaf hashes of the tile that is not full yet. Bounded, whatever the tree's size. */
export class TreeTail {
  readonly #hasher: TreeHasher;
  #frontier: Frontier;
  /** Room for leaf hashes; `#width` of them are there. */
  #leaves: Uint8Array;
  #width: number;

  private constructor(hasher: TreeHasher, frontier: Frontier, partial: Uint8Array) {
    this.#hasher = hasher;
    this.#frontier = frontier;
    this.#leaves = Uint8Array.from(partial);
    this.#width = partial.length / HASH_BYTES;
  }

  static empty(hasher: TreeHasher): TreeTail {
    return new TreeTail(hasher, EMPTY_FRONTIER, new Uint8Array(0));
  }

  /** The end of a tree whose tiles can be read. */
  static read(hasher: TreeHasher, tile: TileReader, size: number): TreeTail {
    const width = size % TILE_WIDTH;
    const partial =
      width === 0 ? new Uint8Array(0) : tile(0, Math.floor(size / TILE_WIDTH)).subarray(0, width * HASH_BYTES);
    return new TreeTail(hasher, readFrontier(nodesOfTiles(hasher, tile), size), partial);
  }

  get size(): number {
    return this.#frontier.size;
  }

  get root(): Uint8Array {
    return rootOf(this.#hasher, this.#frontier);
  }

  /** Leaf hashes of the tile that is not full yet. */
  get partial(): Uint8Array {
    return this.#leaves.slice(0, this.#width * HASH_BYTES);
  }

  /** Appends a leaf hash. @returns what has to be stored with it; mostly nothing. */
  append(leaf: Uint8Array): TileGrowth[] {
    const growth: TileGrowth[] = [];
    this.#keep(leaf);
    if (this.#width === TILE_WIDTH) {
      growth.push({ level: 0, n: Math.floor(this.size / TILE_WIDTH), tile: this.#leaves });
      this.#leaves = new Uint8Array(0);
      this.#width = 0;
    }
    this.#frontier = appendLeaf(this.#hasher, this.#frontier, leaf, (level, hash) => {
      if (level % TILE_HEIGHT !== 0) return;
      const index = (this.size + 1) / 2 ** level - 1;
      growth.push({ level: level / TILE_HEIGHT, n: Math.floor(index / TILE_WIDTH), hash });
    });
    return growth;
  }

  /** Room doubles, so that streams of a few events take little memory. */
  #keep(leaf: Uint8Array): void {
    const at = this.#width * HASH_BYTES;
    if (at === this.#leaves.length) {
      const room = new Uint8Array(Math.min(Math.max(2 * at, 8 * HASH_BYTES), TILE_WIDTH * HASH_BYTES));
      room.set(this.#leaves);
      this.#leaves = room;
    }
    this.#leaves.set(leaf, at);
    this.#width++;
  }
}
