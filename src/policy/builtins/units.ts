// units.parse and units.parse_bytes, by fractions of integers, so that 0.1 is a tenth.
import { type Fraction, roundedToBits, toFraction } from "./decimal.ts";
import { BuiltinError } from "./errors.ts";
import { type Builtins, text } from "./operands.ts";
import { RegoNumber } from "./value.ts";

export const builtins: Builtins = {
  "units.parse": (amount) => parseUnits(text(amount, 1)),
  "units.parse_bytes": (amount) => parseBytes(text(amount, 1)),
};

const LETTERS = "kmgtpe";
const EXPONENT_DIGITS_MAX = 6;
/** Of OPA's big floats. */
const MANTISSA_BITS = 64;
const FRACTION_DIGITS = 10;
/** 0.001 as a binary float, which is what OPA multiplies with. */
const MILLI: Fraction = exactFraction(0.001);

function exactFraction(value: number): Fraction {
  let [numerator, denominator] = [value, 1n];
  for (; !Number.isInteger(numerator); numerator *= 2) denominator *= 2n;
  return { numerator: BigInt(numerator), denominator };
}

function parseUnits(given: string): RegoNumber {
  const [amount, unit] = split(given.replaceAll('"', ""));
  const factor = siFactor(unit.slice(0, 1) + unit.slice(1).toLowerCase());
  const { numerator, denominator } = rational(amount);
  const [top, bottom] = [numerator * factor.numerator, denominator * factor.denominator];
  return new RegoNumber(top % bottom === 0n ? String(top / bottom) : fixed(top, bottom));
}

/** "m" is a thousandth, unlike "M"; other letters count in either case, but for the binary ones' second. */
function siFactor(unit: string): Fraction {
  if (unit === "m") return MILLI;
  const power = LETTERS.indexOf(unit.slice(0, 1).toLowerCase()) + 1;
  if (unit === "") return { numerator: 1n, denominator: 1n };
  if (power > 0 && unit.length === 1) return { numerator: 1000n ** BigInt(power), denominator: 1n };
  if (power > 0 && unit.slice(1) === "i") return { numerator: 1024n ** BigInt(power), denominator: 1n };
  throw new BuiltinError(`units.parse: unit ${unit} not recognized`);
}

/** With ten digits behind the point, halves away from zero. */
function fixed(top: bigint, bottom: bigint): string {
  const negative = top < 0n;
  const scaled = (negative ? -top : top) * 10n ** BigInt(FRACTION_DIGITS);
  const rounded = (scaled * 2n + bottom) / (bottom * 2n);
  const digits = String(rounded).padStart(FRACTION_DIGITS + 1, "0");
  const [whole, fraction] = [digits.slice(0, -FRACTION_DIGITS), digits.slice(-FRACTION_DIGITS)];
  return `${negative ? "-" : ""}${whole}.${fraction}`;
}

function parseBytes(given: string): RegoNumber {
  const [amount, unit] = split(given.toLowerCase().replaceAll('"', ""));
  const [, letter, binary] = /^(?:([kmgtpe])(i?)b?)?$/.exec(unit) ?? [];
  if (letter === undefined && unit !== "")
    throw new BuiltinError(`units.parse_bytes: byte unit ${unit} not recognized`);
  const factor = (binary === "i" ? 1024n : 1000n) ** BigInt(letter === undefined ? 0 : LETTERS.indexOf(letter) + 1);
  const float = roundedToBits(rational(amount), MANTISSA_BITS);
  const { numerator, denominator } = roundedToBits({ ...float, numerator: float.numerator * factor }, MANTISSA_BITS);
  return RegoNumber.of(numerator / denominator);
}

/** Go reads a sign, digits with a point somewhere, and an exponent. */
function rational(amount: string): Fraction {
  if (!/^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/.test(amount))
    throw new BuiltinError("could not parse amount to a number");
  return toFraction(amount);
}

/** The amount, with an exponent where one follows, and the unit. */
function split(given: string): [amount: string, unit: string] {
  if (given.includes(" ")) throw new BuiltinError("spaces not allowed in resource strings");
  const [, amount = ""] = /^((?:[\d.+-]|[eE][\d+-])*)/.exec(given) ?? [];
  if (amount === "") throw new BuiltinError("no amount provided");
  if ([...amount.matchAll(/[eE][+-]?(\d*)/g)].some(([, digits]) => digits!.length > EXPONENT_DIGITS_MAX))
    throw new BuiltinError("exponent too large");
  return [amount, given.slice(amount.length)];
}
