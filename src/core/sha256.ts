// SHA-256 by node:crypto, and the Merkle hashing that rests on it: what runs in Node uses this, browsers bring their own.
import { hash } from "node:crypto";
import { treeHasher, type Sha256 } from "./merkle.ts";

export const sha256: Sha256 = (data) => hash("sha256", data, "buffer");

export const TREE_HASHER = treeHasher(sha256);

/** The leaf of a record in its stream's log: its ASCII bytes behind a zero (spec evidence §4, RFC 6962 §2.1). */
export function recordLeaf(record: string): Uint8Array {
  const leaf = Buffer.allocUnsafe(record.length + 1);
  leaf[0] = 0;
  leaf.write(record, 1, "latin1");
  return sha256(leaf);
}
