// SHA-256 by node:crypto, and the Merkle hashing that rests on it: what runs in Node uses this, browsers bring their own.
import { hash } from "node:crypto";
import { HASH_BYTES, treeHasher, type Sha256, type TreeHasher } from "./merkle.ts";

const SLAB_BYTES = 32 * HASH_BYTES;
let slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
let used = 0;

/** As text that is written out: a buffer of its own for each hash takes twice the time, and as much again when it is collected. */
export const sha256: Sha256 = (data) => {
  if (used === SLAB_BYTES) [slab, used] = [Buffer.allocUnsafeSlow(SLAB_BYTES), 0];
  const at = used;
  slab.write(hash("sha256", data, "latin1"), at, "latin1");
  return new Uint8Array(slab.buffer, at, (used += HASH_BYTES) - at);
};

/** Where two hashes are put together to be hashed; a tree has as many nodes as leaves, so none gets memory of its own. */
const NODE = new Uint8Array(1 + 2 * HASH_BYTES).fill(1, 0, 1);

export const TREE_HASHER: TreeHasher = {
  ...treeHasher(sha256),
  node(left, right) {
    NODE.set(left, 1);
    NODE.set(right, 1 + HASH_BYTES);
    return sha256(NODE);
  },
};

/** The leaf of a record in its stream's log: its ASCII bytes behind a zero (spec evidence §4, RFC 6962 §2.1). */
export function recordLeaf(record: string): Uint8Array {
  if (record.length >= leaf.length) leaf = Buffer.alloc(2 * record.length);
  return sha256(leaf.subarray(0, 1 + leaf.write(record, 1, "latin1")));
}

/** Where a record is put behind a zero to be hashed. */
let leaf = Buffer.alloc(4096);
