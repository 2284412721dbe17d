// Conditional requests on what has a revision: ETag, If-Match and If-None-Match (RFC 9110 §8.8.3, §13.1).
import type { IncomingHttpHeaders } from "node:http";
import { RequestError } from "../../core/errors.ts";

const TAG = /^(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"$/;

/** The entity tag of a revision. */
export const etagOf = (revision: number): string => `"${revision}"`;

/**
 * The condition that a command's headers set on the revision it is decided on; undefined where they set none.
 * @throws RequestError 422 for what is no list of entity tags.
 */
export function expectedRevision(headers: IncomingHttpHeaders): ((revision: number) => boolean) | undefined {
  const match = readTags(headers, "if-match");
  const noneMatch = readTags(headers, "if-none-match");
  if (match === undefined && noneMatch === undefined) return undefined;
  return (revision) =>
    (match === undefined || isAmong(match, revision)) && (noneMatch === undefined || !isAmong(noneMatch, revision));
}

/** Whether the caller of a read has this revision already. */
export function isKnown(headers: IncomingHttpHeaders, revision: number): boolean {
  const tags = readTags(headers, "if-none-match");
  return (
    tags !== undefined &&
    isAmong(
      tags.map((tag) => tag.replace(/^W\//, "")),
      revision,
    )
  );
}

/** Strong comparison: a weak tag matches nothing. What does not exist has revision 0 and no tag. */
function isAmong(tags: readonly string[], revision: number): boolean {
  return revision > 0 && (tags.includes("*") || tags.includes(etagOf(revision)));
}

function readTags(headers: IncomingHttpHeaders, name: "if-match" | "if-none-match"): string[] | undefined {
  const text = headers[name];
  if (text === undefined) return undefined;
  const tags = text.split(",").map((tag) => tag.trim());
  const isList = text.trim() === "*" || tags.every((tag) => TAG.test(tag));
  if (!isList)
    throw new RequestError(422, [{ pointer: `/headers/${name}`, message: 'must be * or entity tags, such as "7"' }]);
  return tags;
}
