// Floats as Go's strconv.FormatFloat writes them, rounded to even where JavaScript's own would round up.

/** @param precision digits: behind the point for `e` and `f`, significant ones for `g`; -1 as few as tell the number apart. */
export function floatText(value: number, format: "e" | "E" | "f" | "g" | "G", precision: number): string {
  if (format === "f") return precision < 0 ? plainDigits(value) : fixed(value, precision);
  if (format === "e" || format === "E") return exponential(value, precision, format);
  const shortest = precision < 0;
  const digits = shortest ? undefined : Math.max(precision, 1);
  const [mantissa, power] = (digits === undefined ? value.toExponential() : rounded(value, digits - 1)).split("e");
  const significant = mantissa!.replace(".", "").replace(/0+$/, "") || "0";
  const exponent = Number(power);
  if (exponent < -4 || exponent >= limitOf(digits, significant.length, exponent))
    return written(significant, exponent, format === "G" ? "E" : "e");
  return placed(significant, exponent);
}

const SHORTEST_LIMIT = 6;

/** The exponent from which on `g` is written as `e`; a number that is no longer than its digits is written out. */
function limitOf(digits: number | undefined, significant: number, exponent: number): number {
  if (digits === undefined) return SHORTEST_LIMIT;
  return digits > significant && significant > exponent ? significant : digits;
}

/** `d.ddd` × 10^n as e+nn. */
function written(significant: string, exponent: number, mark: string): string {
  const mantissa = significant.length > 1 ? `${significant[0]}.${significant.slice(1)}` : significant;
  return `${mantissa}${mark}${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;
}

function placed(significant: string, exponent: number): string {
  if (exponent < 0) return `0.${"0".repeat(-exponent - 1)}${significant}`;
  if (significant.length <= exponent + 1) return significant.padEnd(exponent + 1, "0");
  return `${significant.slice(0, exponent + 1)}.${significant.slice(exponent + 1)}`;
}

const plainDigits = (value: number): string => {
  const [mantissa, power] = value.toExponential().split("e");
  return placed(mantissa!.replace(".", ""), Number(power));
};

function exponential(value: number, precision: number, mark: string): string {
  const [mantissa, power] = (precision < 0 ? value.toExponential() : rounded(value, precision)).split("e");
  const exponent = Number(power);
  return `${mantissa}${mark}${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;
}

/** As toExponential, with as many digits as asked for. */
function rounded(value: number, digits: number): string {
  if (value === 0) return `0${digits > 0 ? `.${"0".repeat(digits)}` : ""}e+0`;
  const exponent = Number(value.toExponential().split("e")[1]);
  const scaled = String(scaledToEven(value, digits - exponent));
  const shifted = scaled.length > digits + 1 ? exponent + 1 : exponent;
  const kept = scaled.slice(0, digits + 1);
  return `${kept[0]}${digits > 0 ? `.${kept.slice(1)}` : ""}e${shifted}`;
}

function fixed(value: number, digits: number): string {
  const scaled = String(scaledToEven(value, digits)).padStart(digits + 1, "0");
  return digits === 0 ? scaled : `${scaled.slice(0, -digits)}.${scaled.slice(-digits)}`;
}

/** value × 10^power, to the nearest integer, halves to even. */
function scaledToEven(value: number, power: number): bigint {
  let [numerator, denominator] = [value, 1n];
  for (; !Number.isInteger(numerator); numerator *= 2) denominator *= 2n;
  let top = BigInt(numerator);
  if (power >= 0) top *= 10n ** BigInt(power);
  else denominator *= 10n ** BigInt(-power);
  const [quotient, twice] = [top / denominator, (top % denominator) * 2n];
  return twice > denominator || (twice === denominator && (quotient & 1n) === 1n) ? quotient + 1n : quotient;
}
