// Values as they are answered and recorded: OPA's JSON of them in canonical form, no number rounded; and what lies within them.
import { decimalKey } from "./builtins/decimal.ts";
import { goJson, jsonOf } from "./builtins/text.ts";
import { equal, RegoNumber, RegoObject, RegoSet, type Value } from "./builtins/value.ts";

/** As deep as any document that is read. */
const DEPTH_MAX = 64;

/**
 * The JSON that OPA makes of a value, in canonical form (RFC 8785): sets are arrays in order, keys that are no text are their JSON.
 * Numbers that a double holds are written as RFC 8785 says; all others as they are, since rounding them would not be exact.
 * @throws RangeError it nests deeper than 64 levels.
 */
export function canonicalAnswer(value: Value): string {
  return write(value, 0);
}

function write(value: Value, depth: number): string {
  if (depth > DEPTH_MAX) throw new RangeError(`nests deeper than ${DEPTH_MAX} levels`);
  if (typeof value === "string") return quote(value);
  if (value instanceof RegoNumber) return numberText(value.text);
  if (value instanceof RegoObject) {
    const members = new Map(value.entries().map(([key, of]) => [nameOf(key), of]));
    const names = [...members.keys()].sort();
    return `{${names.map((name) => `${quote(name)}:${write(members.get(name)!, depth + 1)}`).join(",")}}`;
  }
  const items = value instanceof RegoSet ? value.items() : value;
  return Array.isArray(items) ? `[${items.map((item) => write(item as Value, depth + 1)).join(",")}]` : String(items);
}

const nameOf = (key: Value): string => (typeof key === "string" ? key : goJson(jsonOf(key)));

/** Half a surrogate pair is no character; Go writes U+FFFD in its place. */
const quote = (text: string): string => JSON.stringify(text.toWellFormed());

function numberText(text: string): string {
  const double = Number(text);
  if (Math.abs(double) > Number.MAX_SAFE_INTEGER) return text;
  const shortest = String(double);
  return decimalKey(shortest) === decimalKey(text) ? shortest : text;
}

/**
 * What lies at a path within a value, as OPA reads a reference: an array by place, an object by key, a set by what it holds.
 * A part of the path that is a whole number is one (OPA v1/util `Atoi64`).
 * @returns undefined where nothing does.
 */
export function valueAt(value: Value, path: readonly string[]): Value | undefined {
  let found: Value | undefined = value;
  for (const part of path) {
    if (found === undefined) return undefined;
    const whole = WHOLE.exec(part)?.[1];
    found = memberOf(found, whole === undefined ? part : RegoNumber.of(BigInt(whole)));
  }
  return found;
}

const WHOLE = /^([+-]?\d{1,19})(?:\.0*)?$/;

function memberOf(value: Value, key: string | RegoNumber): Value | undefined {
  if (value instanceof RegoObject) return value.get(key);
  if (value instanceof RegoSet) return value.items().find((item) => equal(item, key));
  return Array.isArray(value) && typeof key !== "string" ? (value[Number(key.text)] as Value | undefined) : undefined;
}
