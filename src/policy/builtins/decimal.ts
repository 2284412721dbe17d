// Decimal numbers by their text, exactly: compared, keyed and turned into fractions of integers, with bounds on what an exponent may cost.
import { BuiltinError, HaltError } from "./errors.ts";

/** `digits` × 10^`exponent`. */
interface Decimal {
  readonly digits: bigint;
  readonly exponent: number;
}

/** A fraction, not in lowest terms: `numerator` / `denominator`, the latter positive. */
export interface Fraction {
  readonly numerator: bigint;
  readonly denominator: bigint;
}

/** Digits that a number may have once it is written out. */
const DIGITS_MAX = 100_000;
const NUMBER = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?$/;

/** @throws BuiltinError where the text is no decimal number. */
function parseDecimal(text: string): Decimal {
  const [, sign, whole = "", fraction = "", exponent = "0"] = NUMBER.exec(text) ?? [];
  if (sign === undefined || whole + fraction === "") throw new BuiltinError(`${text.slice(0, 40)} is not a number`);
  const digits = BigInt(whole + fraction);
  return { digits: sign === "-" ? -digits : digits, exponent: Number(exponent) - fraction.length };
}

/** The same text for numbers of the same value. */
export function decimalKey(text: string): string {
  if (/^-?(?:0|[1-9]\d{0,14})$/.test(text)) return text === "-0" ? "0" : text;
  const { digits, exponent } = parseDecimal(text);
  if (digits === 0n) return "0";
  const written = String(digits);
  const significant = written.replace(/0+$/, "");
  const power = exponent + written.length - significant.length;
  return power >= 0 && power < 22 ? significant + "0".repeat(power) : `${significant}e${power}`;
}

export function compareDecimals(a: string, b: string): number {
  const [left, right] = [Number(a), Number(b)];
  if (left !== right && !(Math.abs(left) === Infinity && Math.abs(right) === Infinity)) return left < right ? -1 : 1;
  if (Number.isSafeInteger(left) && /^-?\d+$/.test(a) && /^-?\d+$/.test(b)) return 0;
  const [x, y] = [parseDecimal(a), parseDecimal(b)];
  if (x.digits === 0n || y.digits === 0n)
    return Number(x.digits > 0n) - Number(x.digits < 0n) || Number(y.digits < 0n) - Number(y.digits > 0n);
  const [m, n] = [magnitude(x), magnitude(y)];
  const sign = x.digits < 0n ? -1 : 1;
  if (sign !== (y.digits < 0n ? -1 : 1)) return sign;
  if (m !== n) return m < n ? -sign : sign;
  const least = Math.min(x.exponent, y.exponent);
  const [p, q] = [x.digits * 10n ** BigInt(x.exponent - least), y.digits * 10n ** BigInt(y.exponent - least)];
  return p < q ? -1 : Number(p > q);
}

/** Where the first digit stands. */
const magnitude = ({ digits, exponent }: Decimal): number => String(digits < 0n ? -digits : digits).length + exponent;

/** @throws BuiltinError where it is no number, HaltError where its exponent would make it too long. */
export function toFraction(text: string): Fraction {
  const { digits, exponent } = parseDecimal(text);
  if (digits !== 0n && Math.abs(exponent) > DIGITS_MAX)
    throw new HaltError("a number has an exponent too large to compute with");
  if (digits === 0n) return { numerator: 0n, denominator: 1n };
  return exponent >= 0
    ? { numerator: digits * 10n ** BigInt(exponent), denominator: 1n }
    : { numerator: digits, denominator: 10n ** BigInt(-exponent) };
}

/** The integer that the text stands for, `1.0` and `1e2` too; undefined for a fraction. */
export function toInteger(text: string): bigint | undefined {
  if (/^-?\d+$/.test(text)) return BigInt(text);
  const { numerator, denominator } = toFraction(text);
  return numerator % denominator === 0n ? numerator / denominator : undefined;
}

const bitLength = (value: bigint): number => value.toString(2).length;

/** The nearest number with a mantissa of `bits` bits, ties to even, as Go's big.Float rounds; as a fraction. */
export function roundedToBits({ numerator, denominator }: Fraction, bits: number): Fraction {
  if (numerator === 0n) return { numerator, denominator: 1n };
  const magnitude = numerator < 0n ? -numerator : numerator;
  // Scaled so that the quotient has two bits more than are kept, or three.
  const shift = BigInt(bits + 2 - (bitLength(magnitude) - bitLength(denominator)));
  const [top, bottom] = shift >= 0n ? [magnitude << shift, denominator] : [magnitude, denominator << -shift];
  const quotient = top / bottom;
  const extra = BigInt(bitLength(quotient) - bits);
  const [kept, cut, half] = [quotient >> extra, quotient & ((1n << extra) - 1n), 1n << (extra - 1n)];
  const beyond = top % bottom !== 0n;
  const up = cut > half || (cut === half && (beyond || (kept & 1n) === 1n));
  const mantissa = (up ? kept + 1n : kept) * (numerator < 0n ? -1n : 1n);
  const power = extra - shift;
  return power >= 0n
    ? { numerator: mantissa << power, denominator: 1n }
    : { numerator: mantissa, denominator: 1n << -power };
}
