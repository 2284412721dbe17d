// What plain scalars of YAML are, as go-yaml takes them: 1.2, with the octals of 1.1.
import { RegoNumber, type Value } from "./value.ts";

export const WORDS: { readonly [word: string]: Value } = Object.fromEntries([
  ...["true", "True", "TRUE"].map((word) => [word, true]),
  ...["false", "False", "FALSE"].map((word) => [word, false]),
  ...["", "~", "null", "Null", "NULL"].map((word) => [word, null]),
]) as { [word: string]: Value };
export const NO_JSON = /^(?:\.nan|\.NaN|\.NAN|[+-]?\.(?:inf|Inf|INF))$/;
const POINT_FIRST = /^\.\d+(?:_\d+)*(?:[eE][-+]?\d+(?:_\d+)*)?$/;
const FLOAT = /^[-+]?(?:\.\d+|\d+(?:\.\d*)?)(?:[eE][-+]?\d+)?$/;
const [SIGNED_MIN, SIGNED_MAX, UNSIGNED_MAX] = [-(2n ** 63n), 2n ** 63n - 1n, 2n ** 64n - 1n];

/** Is it text where nothing quotes it? Times aside, which go-yaml takes for times when it writes, and OPA for text when it reads. */
export const isPlainText = (text: string): boolean =>
  !Object.hasOwn(WORDS, text) && !NO_JSON.test(text) && !(/^[+\-.\d]/.test(text) && numberOf(text) !== undefined);

/** @returns undefined: it is text. */
export function numberOf(plain: string): RegoNumber | undefined {
  // What begins with a point goes to strconv.ParseFloat as it is, which takes `_` between digits alone.
  const written = plain.startsWith(".") && !POINT_FIRST.test(plain) ? plain : plain.replaceAll("_", "");
  const integer = integerOf(written);
  if (integer !== undefined) return RegoNumber.of(integer);
  const float = FLOAT.test(written) ? Number(written) : Number.NaN;
  return Number.isFinite(float) ? new RegoNumber(Object.is(float, -0) ? "-0" : String(float)) : undefined;
}

/** Of 64 bits; undefined for all else. */
export function integerOf(written: string): bigint | undefined {
  // go-yaml takes a sign behind the base as well, and in front of the whole.
  const [, binary, behind, few] = /^(0b(?=.[01]+$)|0o(?=.[0-7]+$))([+-])(\d+)$/.exec(written) ?? [];
  if (binary !== undefined) return within(`${binary}${few}`, behind, SIGNED_MAX);
  const [, sign, prefix = "", digits] = /^([+-]?)(0[xXoObB]?)?([\da-fA-F]*)$/.exec(written) ?? [];
  if (digits === undefined || (digits === "" && prefix !== "0")) return undefined;
  const base = { "": "", "0": "0o", "0x": "0x", "0o": "0o", "0b": "0b" }[prefix.toLowerCase()]!;
  const valid = { "": /^\d+$/, "0o": /^[0-7]+$/, "0x": /./, "0b": /^[01]+$/ }[base]!;
  if (!valid.test(digits || "0")) return undefined;
  return within(base + (digits || "0"), sign, sign === "+" ? SIGNED_MAX : UNSIGNED_MAX);
}

function within(literal: string, sign: string | undefined, max: bigint): bigint | undefined {
  const number = BigInt(literal) * (sign === "-" ? -1n : 1n);
  return number < SIGNED_MIN || number > max ? undefined : number;
}
