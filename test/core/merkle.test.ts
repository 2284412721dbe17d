// Merkle trees against RFC 6962's definitions taken literally, against its reference vectors, and against every flipped bit.
import { hash } from "node:crypto";
import test from "ava";
import fc from "fast-check";
import { concatBytes, fromHex, toHex } from "../../src/core/bytes.ts";
import { isPowerOfTwo, provenRoots, verifyConsistency, verifyInclusion } from "../../src/core/merkle-verify.ts";
import {
  appendLeaf,
  consistencyProof,
  EMPTY_FRONTIER,
  inclusionProof,
  readFrontier,
  rootAt,
  rootOf,
  rootOfDigests,
  rootOfLeaves,
  treeHasher,
  type NodeReader,
} from "../../src/core/merkle.ts";

const sha256 = (data: Uint8Array): Uint8Array => hash("sha256", data, "buffer");
const hasher = treeHasher(sha256);
const seed = Number(process.env["FC_SEED"] ?? Date.now() % 2 ** 31);
console.log(`fast-check seed ${seed} (repeat with FC_SEED=${seed})`);
const SIZE_MAX = 300;
const leaves = Array.from({ length: SIZE_MAX }, (_, i) => new TextEncoder().encode(`leaf ${i}`));

/** RFC 6962 §2.1, word for word; kept, since every proof asks for the same ones. */
const known = new Map<string, Uint8Array>();
function mth(begin: number, end: number): Uint8Array {
  const key = `${begin}-${end}`;
  const kept = known.get(key);
  if (kept) return kept;
  const n = end - begin;
  let made: Uint8Array;
  if (n === 0) made = sha256(new Uint8Array());
  else if (n === 1) made = sha256(concatBytes(Uint8Array.of(0), leaves[begin]!));
  else {
    let k = 1;
    while (k * 2 < n) k *= 2;
    made = sha256(concatBytes(Uint8Array.of(1), mth(begin, begin + k), mth(begin + k, end)));
  }
  known.set(key, made);
  return made;
}

/** RFC 6962 §2.1.1. */
function path(m: number, begin: number, end: number): Uint8Array[] {
  const n = end - begin;
  if (n === 1) return [];
  let k = 1;
  while (k * 2 < n) k *= 2;
  return m < k
    ? [...path(m, begin, begin + k), mth(begin + k, end)]
    : [...path(m - k, begin + k, end), mth(begin, begin + k)];
}

/** RFC 6962 §2.1.2. */
function subproof(m: number, begin: number, end: number, whole: boolean): Uint8Array[] {
  const n = end - begin;
  if (m === n) return whole ? [] : [mth(begin, end)];
  let k = 1;
  while (k * 2 < n) k *= 2;
  return m <= k
    ? [...subproof(m, begin, begin + k, whole), mth(begin + k, end)]
    : [...subproof(m - k, begin + k, end, false), mth(begin, begin + k)];
}

const read: NodeReader = (level, index) => mth(index * 2 ** level, (index + 1) * 2 ** level);
const leafHash = (index: number): Uint8Array => mth(index, index + 1);
const hexes = (hashes: readonly Uint8Array[]): string[] => hashes.map(toHex);
const same = (a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean => Buffer.concat(a).equals(Buffer.concat(b));

/** Each copy of the hashes with one bit turned. */
function* flipped(hashes: readonly Uint8Array[]): Generator<Uint8Array[]> {
  for (let bit = 0; bit < hashes.length * 256; bit++) {
    const copy = hashes.map((hash) => Uint8Array.from(hash));
    copy[Math.floor(bit / 256)]![Math.floor((bit % 256) / 8)]! ^= 1 << (bit % 8);
    yield copy;
  }
}

/** The leaves and roots that certificate-transparency implementations share. */
const VECTOR_LEAVES = [
  "",
  "00",
  "10",
  "2021",
  "3031",
  "40414243",
  "5051525354555657",
  "606162636465666768696a6b6c6d6e6f",
].map((hex) => fromHex(hex)!);
const VECTOR_ROOTS = [
  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
  "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
  "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
  "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
  "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
  "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
  "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
  "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
  "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

test("the reference vectors", (t) => {
  for (const [size, root] of VECTOR_ROOTS.entries())
    t.is(toHex(rootOfLeaves(hasher, VECTOR_LEAVES.slice(0, size))), root);
  const node: NodeReader = (level, index) =>
    rootOfLeaves(hasher, VECTOR_LEAVES.slice(index * 2 ** level, (index + 1) * 2 ** level));
  t.deepEqual(hexes(inclusionProof(hasher, node, 0, 1)), []);
  t.deepEqual(hexes(inclusionProof(hasher, node, 0, 8)), [
    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
  ]);
  t.deepEqual(hexes(inclusionProof(hasher, node, 5, 8)), [
    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
  ]);
  t.deepEqual(hexes(consistencyProof(hasher, node, 6, 8)), [
    "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
  ]);
  t.deepEqual(hexes(consistencyProof(hasher, node, 2, 5)), [
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
  ]);
});

test(`roots of every size up to ${SIZE_MAX}, appended or read`, (t) => {
  let frontier = EMPTY_FRONTIER;
  for (let size = 0; size <= SIZE_MAX; size++) {
    t.is(toHex(rootOf(hasher, frontier)), toHex(mth(0, size)));
    t.deepEqual(hexes(readFrontier(read, size).roots), hexes(frontier.roots));
    t.is(toHex(rootAt(hasher, read, size)), toHex(mth(0, size)));
    if (size < SIZE_MAX) frontier = appendLeaf(hasher, frontier, leafHash(size));
  }
});

test("subtrees are told once, when they are whole", (t) => {
  let frontier = EMPTY_FRONTIER;
  for (let size = 0; size < SIZE_MAX; size++) {
    const perfect: [number, string][] = [];
    frontier = appendLeaf(hasher, frontier, leafHash(size), (level, hash) => perfect.push([level, toHex(hash)]));
    const wanted: [number, string][] = [];
    for (let level = 1; (size + 1) % 2 ** level === 0; level++)
      wanted.push([level, toHex(mth(size + 1 - 2 ** level, size + 1))]);
    t.deepEqual(perfect, wanted);
  }
});

test(`inclusion of every leaf in every tree up to ${SIZE_MAX}`, (t) => {
  let different = 0;
  let refused = 0;
  for (let size = 1; size <= SIZE_MAX; size++) {
    for (let index = 0; index < size; index++) {
      const proof = inclusionProof(hasher, read, index, size);
      if (!same(proof, path(index, 0, size))) different++;
      if (!verifyInclusion(hasher, { leafHash: leafHash(index), index, size, root: mth(0, size) }, proof)) refused++;
    }
  }
  t.is(different, 0);
  t.is(refused, 0);
});

test(`consistency of every two sizes up to ${SIZE_MAX}`, (t) => {
  let different = 0;
  let refused = 0;
  for (let to = 0; to <= SIZE_MAX; to++) {
    for (let from = 0; from <= to; from++) {
      const proof = consistencyProof(hasher, read, from, to);
      if (!same(proof, from === 0 ? [] : subproof(from, 0, to, true))) different++;
      if (
        !verifyConsistency(
          hasher,
          { from: { size: from, root: mth(0, from) }, to: { size: to, root: mth(0, to) } },
          proof,
        )
      )
        refused++;
    }
  }
  t.is(different, 0);
  t.is(refused, 0);
});

test("every bit of an inclusion proof counts, and so do its length and the index", (t) => {
  let accepted = 0;
  for (let size = 1; size <= 10; size++) {
    for (let index = 0; index < size; index++) {
      const claim = { leafHash: leafHash(index), index, size, root: mth(0, size) };
      const proof = inclusionProof(hasher, read, index, size);
      for (const [leaf, root, ...rest] of flipped([claim.leafHash, claim.root, ...proof])) {
        if (verifyInclusion(hasher, { ...claim, leafHash: leaf!, root: root! }, rest)) accepted++;
      }
      for (const wrong of [
        proof.slice(1),
        proof.slice(0, -1),
        [...proof, leafHash(0)],
        [leafHash(0), ...proof],
        [...proof].reverse(),
      ]) {
        if (!same(wrong, proof) && verifyInclusion(hasher, claim, wrong)) accepted++;
      }
      for (let other = -1; other <= size + 1; other++)
        if (other !== index && verifyInclusion(hasher, { ...claim, index: other }, proof)) accepted++;
    }
  }
  t.is(accepted, 0);
});

test("every bit of a consistency proof counts, and so does its length", (t) => {
  let accepted = 0;
  for (let to = 1; to <= 10; to++) {
    for (let from = 0; from <= to; from++) {
      const claim = { from: { size: from, root: mth(0, from) }, to: { size: to, root: mth(0, to) } };
      const proof = consistencyProof(hasher, read, from, to);
      for (const [a, b, ...rest] of flipped([claim.from.root, claim.to.root, ...proof])) {
        // The empty tree is the beginning of any: there the larger root is not tied to anything.
        if (from === 0 && same([a!], [claim.from.root])) continue;
        if (verifyConsistency(hasher, { from: { size: from, root: a! }, to: { size: to, root: b! } }, rest)) accepted++;
      }
      for (const wrong of [proof.slice(1), proof.slice(0, -1), [...proof, leafHash(0)], [leafHash(0), ...proof]]) {
        if (wrong.length !== proof.length && verifyConsistency(hasher, claim, wrong)) accepted++;
      }
    }
  }
  t.is(accepted, 0);
});

test("sizes and hashes of no form are refused, not thrown", (t) => {
  const root = mth(0, 4);
  for (const size of [-1, 0.5, Number.NaN, 2 ** 53, Infinity]) {
    t.false(verifyInclusion(hasher, { leafHash: leafHash(0), index: 0, size, root }, []));
    t.false(verifyInclusion(hasher, { leafHash: leafHash(0), index: size, size: 4, root }, []));
    t.false(verifyConsistency(hasher, { from: { size, root }, to: { size: 4, root } }, []));
    t.throws(() => inclusionProof(hasher, read, size, 4), { instanceOf: RangeError });
    t.throws(() => consistencyProof(hasher, read, size, 4), { instanceOf: RangeError });
  }
  t.throws(() => consistencyProof(hasher, read, 5, 4), { instanceOf: RangeError });
  t.throws(() => inclusionProof(hasher, read, 4, 4), { instanceOf: RangeError });
  t.false(verifyInclusion(hasher, { leafHash: leafHash(0).subarray(1), index: 0, size: 1, root: leafHash(0) }, []));
  t.false(
    verifyConsistency(
      hasher,
      { from: { size: 1, root: leafHash(0) }, to: { size: 4, root } },
      Array.from({ length: 1000 }, () => root),
    ),
  );
});

test("random trees: proofs hold, a flipped bit does not, and proofs bind the root that they start from", (t) => {
  const sizes = fc.tuple(fc.integer({ min: 1, max: SIZE_MAX }), fc.integer({ min: 0, max: SIZE_MAX * 1000 }), fc.nat());
  t.notThrows(() =>
    fc.assert(
      fc.property(sizes, ([size, number, bit]) => {
        const index = number % size;
        const proof = inclusionProof(hasher, read, index, size);
        const claim = { leafHash: leafHash(index), index, size, root: mth(0, size) };
        const broken = [...proof, claim.root].map((hash) => Uint8Array.from(hash));
        const at = bit % (broken.length * 256);
        broken[Math.floor(at / 256)]![Math.floor((at % 256) / 8)]! ^= 1 << (at % 8);
        const root = broken.pop()!;
        const from = index + 1;
        const roots = provenRoots(
          hasher,
          { size: from, root: mth(0, from) },
          size,
          consistencyProof(hasher, read, from, size),
        );
        return (
          verifyInclusion(hasher, claim, proof) &&
          !verifyInclusion(hasher, { ...claim, root }, broken) &&
          (from === size || (toHex(roots!.from) === toHex(mth(0, from)) && toHex(roots!.to) === toHex(mth(0, size))))
        );
      }),
      { seed, numRuns: 2000 },
    ),
  );
});

test("a tree larger than 2^32 proves with whole numbers", (t) => {
  // All leaves alike, so that every perfect subtree of a level has the same hash.
  const level: Uint8Array[] = [hasher.leaf(new Uint8Array())];
  for (let i = 1; i < 53; i++) level.push(hasher.node(level[i - 1]!, level[i - 1]!));
  const alike: NodeReader = (at) => level[at]!;
  for (const size of [2 ** 32 + 1, 2 ** 40 - 1, 2 ** 53 - 1, 2 ** 48 + 2 ** 47 + 5]) {
    const root = rootAt(hasher, alike, size);
    for (const index of [0, 1, 2 ** 31 + 1, size - 2, size - 1]) {
      t.true(
        verifyInclusion(hasher, { leafHash: level[0]!, index, size, root }, inclusionProof(hasher, alike, index, size)),
      );
      const from = { size: index + 1, root: rootAt(hasher, alike, index + 1) };
      t.true(verifyConsistency(hasher, { from, to: { size, root } }, consistencyProof(hasher, alike, index + 1, size)));
    }
  }
});

test("powers of two", (t) => {
  t.deepEqual([0, 1, 2, 3, 4, 6, 8, 2 ** 40, 2 ** 40 + 1].filter(isPowerOfTwo), [1, 2, 4, 8, 2 ** 40]);
});

test("the root over event hashes is over their 32 bytes", (t) => {
  const digests = ["a", "b", "c"].map((text) => `sha256:${hash("sha256", text)}`);
  t.is(
    rootOfDigests(hasher, digests),
    `sha256:${toHex(
      rootOfLeaves(
        hasher,
        digests.map((digest) => Buffer.from(digest.slice(7), "hex")),
      ),
    )}`,
  );
  t.is(rootOfDigests(hasher, []), `sha256:${VECTOR_ROOTS[0]}`);
  for (const wrong of ["sha256:00", digests[0]!.slice(7), digests[0]!.toUpperCase()])
    t.throws(() => rootOfDigests(hasher, [wrong]), { instanceOf: RangeError });
});
