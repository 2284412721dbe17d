// Checking Merkle proofs, by the iterative algorithms of RFC 9162 §2.1.3.2 and §2.1.4.2: other code than what makes them.
import { equalBytes } from "./bytes.ts";
import { HASH_BYTES, type TreeHasher } from "./merkle.ts";

/** More hashes than a proof over 2^53 leaves can have. */
export const PROOF_LENGTH_MAX = 63;

/** What is proven: this leaf is number `index` of the tree with that size and root. */
export interface InclusionClaim {
  readonly leafHash: Uint8Array;
  readonly index: number;
  readonly size: number;
  readonly root: Uint8Array;
}

/** What is proven: the tree `to` begins with all of the tree `from`. */
export interface ConsistencyClaim {
  readonly from: { readonly size: number; readonly root: Uint8Array };
  readonly to: { readonly size: number; readonly root: Uint8Array };
}

/** Whether the proof proves the claim (RFC 9162 §2.1.3.2). Never throws, whatever the proof. */
export function verifyInclusion(
  hasher: TreeHasher,
  { leafHash, index, size, root }: InclusionClaim,
  proof: readonly Uint8Array[],
): boolean {
  if (!areHashes([leafHash, root, ...proof]) || !isSize(size) || !isSize(index) || index >= size) return false;
  let place = index;
  let last = size - 1;
  let hash = leafHash;
  for (const sibling of proof) {
    if (last === 0) return false;
    if (place % 2 === 1 || place === last) {
      hash = hasher.node(sibling, hash);
      while (place % 2 === 0 && place !== 0) [place, last] = [half(place), half(last)];
    } else {
      hash = hasher.node(hash, sibling);
    }
    [place, last] = [half(place), half(last)];
  }
  return last === 0 && equalBytes(hash, root);
}

/** Whether the proof proves the claim (RFC 9162 §2.1.4.2; an empty tree is the beginning of any). Never throws. */
export function verifyConsistency(
  hasher: TreeHasher,
  { from, to }: ConsistencyClaim,
  proof: readonly Uint8Array[],
): boolean {
  if (!areHashes([from.root, to.root, ...proof]) || !isSize(from.size) || !isSize(to.size) || from.size > to.size)
    return false;
  if (from.size === 0)
    return (
      proof.length === 0 && equalBytes(from.root, hasher.empty) && (to.size > 0 || equalBytes(to.root, hasher.empty))
    );
  if (from.size === to.size) return proof.length === 0 && equalBytes(from.root, to.root);
  const roots = provenRoots(hasher, from, to.size, proof);
  return roots !== undefined && equalBytes(roots.from, from.root) && equalBytes(roots.to, to.root);
}

/**
 * The roots at both sizes that a consistency proof leads to; undefined where it has not the form of one.
 * Where `to` is the root of a signed checkpoint and `from` is not that of another, the two are proof of a fork:
 * the proof's hashes are bound by the larger root.
 */
export function provenRoots(
  hasher: TreeHasher,
  from: { readonly size: number; readonly root: Uint8Array },
  toSize: number,
  proof: readonly Uint8Array[],
): { from: Uint8Array; to: Uint8Array } | undefined {
  if (from.size === 0 || from.size >= toSize) return undefined;
  // A tree that is one perfect subtree is not in the proof, since the verifier has its root.
  const path = isPowerOfTwo(from.size) ? [from.root, ...proof] : proof;
  const [first, ...rest] = path;
  if (first === undefined || rest.length > PROOF_LENGTH_MAX) return undefined;
  let [place, last] = [from.size - 1, toSize - 1];
  while (place % 2 === 1) [place, last] = [half(place), half(last)];
  let [fromHash, toHash] = [first, first];
  for (const sibling of rest) {
    if (last === 0) return undefined;
    if (place % 2 === 1 || place === last) {
      fromHash = hasher.node(sibling, fromHash);
      toHash = hasher.node(sibling, toHash);
      while (place % 2 === 0 && place !== 0) [place, last] = [half(place), half(last)];
    } else {
      toHash = hasher.node(toHash, sibling);
    }
    [place, last] = [half(place), half(last)];
  }
  return last === 0 ? { from: fromHash, to: toHash } : undefined;
}

/** Whether a tree of this size is one perfect subtree. */
export function isPowerOfTwo(size: number): boolean {
  let rest = size;
  while (rest > 1 && rest % 2 === 0) rest /= 2;
  return rest === 1;
}

const half = (value: number): number => Math.floor(value / 2);
const isSize = (value: number): boolean => Number.isSafeInteger(value) && value >= 0;
const areHashes = (hashes: readonly Uint8Array[]): boolean =>
  hashes.length <= PROOF_LENGTH_MAX + 3 && hashes.every((hash) => hash.length === HASH_BYTES);
