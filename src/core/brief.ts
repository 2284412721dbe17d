// What a caller or a policy made long, cut to what an event has room for; the whole of it stands in the artifact (spec evidence §1).
import { must } from "./invariant.ts";

/** A word or a name. A report reference has room for all that a report may say. */
const WORD_CHARS_MAX = 256;
export const REFERENCE_CHARS_MAX = 4096;
const POINTER_CHARS_MAX = 1024;

/** With an event's other members, it fits the 48,000 bytes that a record has room for. */
const DETAILS_BYTES_MAX = 40_000;
const BYTES_PER_CHAR_MAX = 3;

/** The text, or its beginning and an ellipsis. */
export function brief(text: string, charsMax = WORD_CHARS_MAX): string {
  return text.length <= charsMax ? text : `${text.slice(0, charsMax - 1).toWellFormed()}…`;
}

/** As `brief`, where nothing may have been said. */
export function briefly(text: string | null, charsMax?: number): string | null {
  return text === null ? null : brief(text, charsMax);
}

/** The pointer, or that of the nearest place around it that is short enough. */
export function briefPointer(pointer: string): string {
  if (pointer.length <= POINTER_CHARS_MAX) return pointer;
  return pointer.slice(0, Math.max(0, pointer.lastIndexOf("/", POINTER_CHARS_MAX)));
}

/** How often each of them comes. */
export function countOf(codes: readonly string[]): { readonly [code: string]: number } {
  const counts = new Map<string, number>();
  for (const code of codes) counts.set(code, (counts.get(code) ?? 0) + 1);
  return Object.fromEntries(counts);
}

/**
 * What a caller can make long is cut before; what remains is the policy's own.
 * @throws InvariantError INV-EVENT-FITS: the policy says more than can be put on record.
 */
export function mustFit(details: object): void {
  const { length } = JSON.stringify(details);
  must(
    "INV-EVENT-FITS",
    length <= DETAILS_BYTES_MAX / BYTES_PER_CHAR_MAX ||
      new TextEncoder().encode(JSON.stringify(details)).length <= DETAILS_BYTES_MAX,
    "the policy's answer is larger than an event has room for",
  );
}
