// What an evaluation says, as JavaScript has it: sets as arrays in order, and no number that would be rounded.
import { jsonOf, parseValue } from "./builtins/text.ts";
import { decodeText } from "./builtins/utf8.ts";
import { RegoNumber, RegoObject, type RegoSet, type Value } from "./builtins/value.ts";

/** A number that JSON.parse might round: many digits, or an exponent. In a string it only costs the slower way. */
const LONG_NUMBER = /[[,:] ?-?\d(?:[\d.]{14,}\d|[\d.]*[eE])/;
const decoder = new TextDecoder();

const NONE = "set()";

/**
 * @param bytes a result set as `opa_eval` leaves it: Rego's text in UTF-8, a set of at most one `{"result": …}`.
 * @returns the result; undefined where there is none.
 * @throws Error where it holds a number beyond 2^53−1, with its place.
 */
export function readResult(bytes: Uint8Array): unknown {
  const text = decoder.decode(bytes);
  if (text === NONE) return undefined;
  if (!LONG_NUMBER.test(text)) {
    try {
      return (JSON.parse(text.slice(1, -1)) as { result: unknown }).result;
    } catch {
      // It holds a set, or keys that are no text.
    }
  }
  return plain(jsonOf(exactResult(bytes)!), "");
}

/** The same as Rego has it: sets as sets, keys of any kind, numbers of any size. */
export function exactResult(bytes: Uint8Array): Value | undefined {
  const [first] = (parseValue(decodeText(bytes)) as RegoSet).items() as RegoObject[];
  return first?.get("result");
}

function plain(value: Value, pointer: string): unknown {
  if (typeof value === "string") return value.toWellFormed();
  if (value instanceof RegoNumber) return exact(value.text, pointer);
  if (Array.isArray(value)) return value.map((item, i) => plain(item, `${pointer}/${i}`));
  if (!(value instanceof RegoObject)) return value;
  return Object.fromEntries(
    (value.entries() as [string, Value][]).map(([name, item]) => [
      name.toWellFormed(),
      plain(item, `${pointer}/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`),
    ]),
  );
}

function exact(text: string, pointer: string): number {
  const number = Number(text);
  if (Math.abs(number) <= Number.MAX_SAFE_INTEGER) return number;
  const place = pointer === "" ? "the result" : `${pointer} in the result`;
  throw new Error(`${place} is ${text.slice(0, 40)}, beyond 2^53−1`);
}
