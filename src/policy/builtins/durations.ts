// Durations as time.ParseDuration reads them, with OPA's days, weeks and years.
import { BuiltinError } from "./errors.ts";

const NANOSECONDS: { readonly [unit: string]: bigint } = {
  ns: 1n,
  us: 1000n,
  µs: 1000n,
  μs: 1000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
};
const HOURS: { readonly [unit: string]: number } = { d: 24, w: 7 * 24, y: 365 * 24 };
const SEGMENT = /(\d*)(?:\.(\d*))?([^\d.]+)/y;
const MAX = 2n ** 63n;

/** @returns nanoseconds. @throws BuiltinError */
export function parseDuration(given: string): bigint {
  const invalid = (): BuiltinError => new BuiltinError(`time: invalid duration ${JSON.stringify(given)}`);
  const [, sign, text] = /^([+-]?)(.*)$/s.exec(given)!;
  if (text === "0") return 0n;
  let [total, at] = [0n, 0];
  while (at < text!.length) {
    SEGMENT.lastIndex = at;
    const [whole, digits = "", fraction = "", unit = ""] = SEGMENT.exec(text!) ?? [];
    if (whole === undefined || digits + fraction === "") throw invalid();
    total += segment(digits, fraction, unit) ?? raise(invalid());
    if (total > MAX) throw invalid();
    at += whole.length;
  }
  if (text === "") throw invalid();
  if (sign === "-") return -total;
  if (total === MAX) throw invalid();
  return total;
}

function raise(error: Error): never {
  throw error;
}

/** Go adds a fraction as a float of its unit, and OPA makes hours of the longer units as a float first. */
function segment(digits: string, fraction: string, unit: string): bigint | undefined {
  const hours = HOURS[unit];
  if (hours !== undefined) {
    const [whole = "0", part = ""] = shownPlain(Number(`${digits || "0"}.${fraction || "0"}`) * hours).split(".");
    return segment(whole, part, "h");
  }
  const scale = NANOSECONDS[unit];
  if (scale === undefined) return undefined;
  return BigInt(digits || "0") * scale + fractionOf(fraction, scale);
}

function fractionOf(fraction: string, scale: bigint): bigint {
  let [digits, divisor] = [0n, 1];
  // Digits beyond an int64 are dropped, as Go drops them.
  for (const digit of fraction) {
    const longer = digits * 10n + BigInt(digit);
    if (digits > (MAX - 1n) / 10n || longer > MAX) break;
    digits = longer;
    divisor *= 10;
  }
  return BigInt(Math.trunc(Number(digits) * (Number(scale) / divisor)));
}

/** Without an exponent. */
const shownPlain = (value: number): string =>
  Number.isInteger(value) ? String(BigInt(value)) : value < 1e-6 ? value.toFixed(20) : String(value);
