// Which names of artifacts are pinned: a digest, or an image reference that ends in one.
import { DIGEST_LENGTH, DIGEST_PATTERN, isDigest } from "./digest.ts";

// The grammar of image references, github.com/distribution/reference: [host[:port]/]path[:tag]@digest.
const LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?";
const HOST = `(?:${LABEL}(?:\\.${LABEL})*|\\[[0-9a-fA-F:]+\\])(?::[0-9]+)?`;
const COMPONENT = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*";
const NAME = `(?:${HOST}/)?${COMPONENT}(?:/${COMPONENT})*`;
const TAG = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}";

const PINNED_REFERENCE = new RegExp(`^(${NAME})(?::${TAG})?@${DIGEST_PATTERN}$`);

const NAME_LENGTH_MAX = 255;
/** Name, tag and digest; bounds what is searched. */
const REFERENCE_LENGTH_MAX = NAME_LENGTH_MAX + 1 + 128 + 1 + DIGEST_LENGTH;

/** Whether an image reference names one image for ever. What is no reference by the grammar is not pinned. */
export function pinnedReference(reference: string): boolean {
  if (reference.length > REFERENCE_LENGTH_MAX) return false;
  return (PINNED_REFERENCE.exec(reference)?.[1]?.length ?? Infinity) <= NAME_LENGTH_MAX;
}

export const pinnedDigest = (digest: string): boolean => isDigest(digest);
