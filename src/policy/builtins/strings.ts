// Builtins on text that WASM lacks: strings.*, indexof_n.
import { BuiltinError } from "./errors.ts";
import { type Builtins, integer, operandFault, text, texts } from "./operands.ts";
import { compareText, RegoNumber, RegoSet, type Value } from "./value.ts";

export const builtins: Builtins = {
  indexof_n: (base, search) => indexesOf(text(base, 1), text(search, 2)),
  "strings.any_prefix_match": (search, base) => anyPrefix(oneOrMore(search, 1), oneOrMore(base, 2)),
  "strings.any_suffix_match": (search, base) =>
    anyPrefix(oneOrMore(search, 1).map(reversed), oneOrMore(base, 2).map(reversed)),
  "strings.count": (search, substring) => RegoNumber.of(countOf(text(search, 1), text(substring, 2))),
  "strings.split_n": (search, delimiter, count) => splitN(text(search, 1), text(delimiter, 2), integer(count, 3)),
};

function oneOrMore(value: Value | undefined, position: number): readonly string[] {
  if (typeof value === "string") return [value];
  if (Array.isArray(value) || value instanceof RegoSet) return texts(value, position);
  throw operandFault(position, value ?? null, "string", "set", "array");
}

/** By code units backwards, which is as good as by characters: both sides are turned alike. */
const reversed = (value: string): string => [...value].reverse().join("");

/** Texts with a common prefix stand together when sorted, right behind it, so one look for each prefix is enough. */
function anyPrefix(search: readonly string[], prefixes: readonly string[]): boolean {
  const sorted = search.toSorted(compareText);
  return prefixes.some((prefix) => {
    let [low, high] = [0, sorted.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compareText(sorted[middle]!, prefix) < 0) low = middle + 1;
      else high = middle;
    }
    return sorted[low]?.startsWith(prefix) ?? false;
  });
}

/** Positions count characters, overlapping matches too. */
function indexesOf(base: string, search: string): Value {
  if (search === "") throw new BuiltinError("empty search character");
  const found: Value[] = [];
  let [characters, counted] = [0, 0];
  for (let at = base.indexOf(search); at >= 0; at = base.indexOf(search, at + 1)) {
    // Half of a pair is no beginning of a character.
    if (isLowHalf(base, at)) continue;
    for (; counted < at; counted++) if (!isLowHalf(base, counted)) characters++;
    found.push(RegoNumber.of(characters));
  }
  return found;
}

function isLowHalf(value: string, at: number): boolean {
  const [before, code] = [value.charCodeAt(at - 1), value.charCodeAt(at)];
  return code >= 0xdc00 && code <= 0xdfff && before >= 0xd800 && before <= 0xdbff;
}

/** As Go's strings.Count: not overlapping; of the empty text one more than there are characters. */
function countOf(search: string, substring: string): number {
  if (substring === "") return [...search].length + 1;
  let count = 0;
  for (let at = search.indexOf(substring); at >= 0; at = search.indexOf(substring, at + substring.length)) count++;
  return count;
}

/** The first `count` parts, or the last where it is negative; what is beyond them is left out. */
function splitN(search: string, delimiter: string, count: number): Value {
  const parts = delimiter === "" ? [...search] : search.split(delimiter);
  return count >= 0 ? parts.slice(0, count) : parts.slice(count);
}
