// Tiles: addresses, widths, bundles, and a tree that grows tile by tile and can be read back at any size.
import { hash } from "node:crypto";
import test from "ava";
import { toHex } from "../../src/core/bytes.ts";
import {
  appendLeaf,
  consistencyProof,
  EMPTY_FRONTIER,
  inclusionProof,
  rootAt,
  rootOf,
  treeHasher,
} from "../../src/core/merkle.ts";
import { verifyConsistency, verifyInclusion } from "../../src/core/merkle-verify.ts";
import {
  entryBundle,
  nodesOfTiles,
  parseEntryBundle,
  parseTilePath,
  tilePath,
  tileWidthAt,
  TreeTail,
  type TileReader,
} from "../../src/core/tiles.ts";

const hasher = treeHasher((data) => hash("sha256", data, "buffer"));

test("addresses: the specification's examples, there and back", (t) => {
  const addresses: [string, Parameters<typeof tilePath>[0]][] = [
    ["tile/0/000", { level: 0, n: 0, width: 256 }],
    ["tile/0/x001/067", { level: 0, n: 1067, width: 256 }],
    ["tile/3/x001/x234/067", { level: 3, n: 1_234_067, width: 256 }],
    ["tile/entries/x001/x234/067.p/8", { level: "entries", n: 1_234_067, width: 8 }],
    ["tile/63/999.p/255", { level: 63, n: 999, width: 255 }],
  ];
  for (const [path, name] of addresses) {
    t.is(tilePath(name), path);
    t.deepEqual(parseTilePath(path), name);
  }
});

test("an address has one spelling", (t) => {
  for (const path of [
    "tile/0/0",
    "tile/0/0000",
    "tile/00/000",
    "tile/64/000",
    "tile/-1/000",
    "tile/0/x000/001",
    "tile/0/001/002",
    "tile/0/x001",
    "tile/0/000.p/0",
    "tile/0/000.p/256",
    "tile/0/000.p/01",
    "tile/0/000.p/",
    "tile/data/000",
    "tile/0/000/",
    "/tile/0/000",
    "tile/0/X001/002",
    "tile/0/+01",
    "tile/entries/x999/x999/x999/x999/x999/999",
  ])
    t.is(parseTilePath(path), undefined, path);
});

test("widths: a tree of 70,000 and one of 256, as the specification has them", (t) => {
  t.deepEqual([tileWidthAt(0, 272, 70_000), tileWidthAt(0, 273, 70_000), tileWidthAt(0, 274, 70_000)], [256, 112, 0]);
  t.deepEqual(
    [tileWidthAt(1, 0, 70_000), tileWidthAt(1, 1, 70_000), tileWidthAt(2, 0, 70_000), tileWidthAt(3, 0, 70_000)],
    [256, 17, 1, 0],
  );
  t.deepEqual([tileWidthAt(0, 0, 256), tileWidthAt(1, 0, 256)], [256, 1]);
});

test("bundles, there and back; cut short they are none; too long an entry has no place", (t) => {
  const entries = [new Uint8Array(), Uint8Array.of(1, 2, 3), new Uint8Array(65_535).fill(7)];
  const bundle = entryBundle(entries);
  t.deepEqual(parseEntryBundle(bundle)!.map(toHex), entries.map(toHex));
  t.is(parseEntryBundle(bundle.subarray(0, -1)), undefined);
  t.is(parseEntryBundle(Uint8Array.of(0)), undefined);
  t.throws(() => entryBundle([new Uint8Array(65_536)]), { instanceOf: RangeError });
});

test("a tree of 70,000 grows into the tiles that it should have, and reads back at any size", (t) => {
  const size = 70_000;
  const checked = new Set([1, 2, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 69_999, size]);
  const tiles = new Map<string, Uint8Array>();
  const roots = new Map<number, Uint8Array>();
  const tail = TreeTail.empty(hasher);
  let frontier = EMPTY_FRONTIER;
  const leafOf = (index: number) => hasher.leaf(Buffer.from(String(index)));
  for (let i = 0; i < size; i++) {
    for (const grown of tail.append(leafOf(i))) {
      const name = `${grown.level}/${grown.n}`;
      tiles.set(name, "tile" in grown ? grown.tile : Buffer.concat([tiles.get(name) ?? new Uint8Array(), grown.hash]));
    }
    frontier = appendLeaf(hasher, frontier, leafOf(i));
    if (!checked.has(i + 1)) continue;
    roots.set(i + 1, rootOf(hasher, frontier));
    t.is(toHex(tail.root), toHex(roots.get(i + 1)!));
  }
  t.is([...tiles.keys()].filter((name) => name.startsWith("0/")).length, 273);
  t.deepEqual(
    [
      tiles.get("1/0")!.length / 32,
      tiles.get("1/1")!.length / 32,
      tiles.get("2/0")!.length / 32,
      tail.partial.length / 32,
    ],
    [256, 17, 1, 112],
  );

  const read: TileReader = (level, n) => tiles.get(`${level}/${n}`) ?? tail.partial;
  const node = nodesOfTiles(hasher, read);
  for (const [at, root] of roots) {
    t.is(toHex(rootAt(hasher, node, at)), toHex(root));
    t.is(toHex(TreeTail.read(hasher, read, at).root), toHex(root));
    const index = Math.floor(at / 2);
    t.true(
      verifyInclusion(
        hasher,
        { leafHash: leafOf(index), index, size: at, root },
        inclusionProof(hasher, node, index, at),
      ),
    );
    t.true(
      verifyConsistency(
        hasher,
        { from: { size: at, root }, to: { size, root: tail.root } },
        consistencyProof(hasher, node, at, size),
      ),
    );
  }
  const reopened = TreeTail.read(hasher, read, size);
  t.deepEqual([reopened.size, toHex(reopened.partial)], [size, toHex(tail.partial)]);
  for (let i = size; i < size + 300; i++) t.deepEqual(reopened.append(leafOf(i)), tail.append(leafOf(i)));
  t.is(toHex(reopened.root), toHex(tail.root));
});
