// In which order yaml.marshal writes the members of an object: go-yaml's.
import { HaltError } from "./errors.ts";

const [DIGIT, LETTER] = [/\p{Nd}/u, /\p{L}/u];
/** Go's tables are those of Unicode 15.0, in which these were no letters yet. */
const LETTERS_SINCE =
  /[\u088f\u0c5c\u0cdc\u1c89\u1c8a\ua7cb-\ua7cf\ua7d2\ua7d4\ua7da-\ua7dc\ua7f1\u{2ebf0}-\u{2ee5d}]/u;
const IDEOGRAPHS = { from: 0x20000, to: 0x323af };
/** Beyond it a number in a key overflows in Go, and which key comes first depends on the others. */
const NUMBER_MAX = 2n ** 63n - 1n;

const codeOf = (rune: string): number => rune.codePointAt(0)!;

const isDigit = (rune: string): boolean => DIGIT.test(rune) && isOld(rune);
const isLetter = (rune: string): boolean => LETTER.test(rune) && !LETTERS_SINCE.test(rune) && isOld(rune);

/** @throws HaltError letters and digits of scripts that few write: which of them are new is not known here. */
function isOld(rune: string): true {
  const code = codeOf(rune);
  if (code <= 0xffff || (code >= IDEOGRAPHS.from && code <= IDEOGRAPHS.to)) return true;
  throw new HaltError(`yaml.marshal cannot order keys by ${rune} here`);
}

/**
 * go-yaml's order of keys, in which `a2` comes before `a10`.
 * @throws HaltError where Go's own order depends on what is not known here, or on chance.
 */
export function byNumbers(a: readonly string[], b: readonly string[]): number {
  let digits = false;
  for (let i = 0; i < a.length && i < b.length; i++) {
    const [left, right] = [a[i]!, b[i]!];
    if (left === right) {
      digits = isDigit(left);
      continue;
    }
    const [isLeft, isRight] = [isLetter(left), isLetter(right)];
    if (isLeft && isRight) return codeOf(left) - codeOf(right);
    if (isLeft || isRight) return (digits ? isLeft : isRight) ? -1 : 1;
    const start = (left === "0" || right === "0") && numberBefore(a, i) ? 1n : 0n;
    const [one, other] = [numberAt(a, i, start), numberAt(b, i, start)];
    if (one.value !== other.value) return one.value < other.value ? -1 : 1;
    return one.end - other.end || codeOf(left) - codeOf(right);
  }
  return a.length - b.length;
}

/** Is there a digit other than 0 in the number that ends before? */
function numberBefore(runes: readonly string[], at: number): boolean {
  for (let i = at - 1; i >= 0 && isDigit(runes[i]!); i--) if (runes[i] !== "0") return true;
  return false;
}

function numberAt(runes: readonly string[], at: number, start: bigint): { value: bigint; end: number } {
  let [value, end] = [start, at];
  for (; end < runes.length && isDigit(runes[end]!); end++) value = value * 10n + BigInt(codeOf(runes[end]!) - 0x30);
  if (value > NUMBER_MAX) throw new HaltError("yaml.marshal cannot order keys by numbers of more than 64 bits here");
  return { value, end };
}
