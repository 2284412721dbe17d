// sprintf: Go's fmt.Sprintf over what OPA hands to it: integers, floats and text, all else as OPA prints it.
import { HaltError } from "./errors.ts";
import { floatText } from "./floats.ts";
import { array, type Builtins, text } from "./operands.ts";
import { printValue, quoteForGo } from "./text.ts";
import { encodeText } from "./utf8.ts";
import { RegoNumber, type Value } from "./value.ts";

export const builtins: Builtins = { sprintf: (format, values) => sprintf(text(format, 1), array(values, 2)) };

type Argument =
  | { readonly type: "int64" | "*big.Int"; readonly value: bigint }
  | { readonly type: "float64"; readonly value: number }
  | { readonly type: "string"; readonly value: string };

interface Spec {
  readonly minus: boolean;
  readonly plus: boolean;
  readonly sharp: boolean;
  readonly space: boolean;
  readonly zero: boolean;
  readonly width: number | undefined;
  readonly precision: number | undefined;
}

/** A width or a precision, with what Go says of it where it is none, and whether "[n]" stands right before what comes next. */
interface Parsed {
  readonly number: number | undefined;
  readonly fault: string;
  readonly afterIndex: boolean;
}

const CHARACTERS_MAX = 16 * 1024 * 1024;
/** Of a width or a precision, as in Go. */
const NUMBER_MAX = 1_000_000;
const INT64 = { min: -(2n ** 63n), max: 2n ** 63n - 1n };

function argumentOf(value: Value): Argument {
  if (typeof value === "string") return { type: "string", value };
  if (!(value instanceof RegoNumber)) return { type: "string", value: printValue(value) };
  if (value.isInteger) {
    const integer = BigInt(value.text);
    return { type: integer >= INT64.min && integer <= INT64.max ? "int64" : "*big.Int", value: integer };
  }
  const float = Number(value.text);
  return Number.isFinite(float) ? { type: "float64", value: float } : { type: "string", value: value.text };
}

/** One run over a format; the argument that is next, and whether any was named by its number. */
class Run {
  readonly #format: string;
  readonly #arguments: readonly Argument[];
  #at = 0;
  #next = 0;
  #reordered = false;
  #goodIndex = true;

  constructor(format: string, values: readonly Value[]) {
    this.#format = format;
    this.#arguments = values.map(argumentOf);
  }

  result(): string {
    let result = "";
    while (this.#at < this.#format.length) {
      const percent = this.#format.indexOf("%", this.#at);
      result += this.#format.slice(this.#at, percent < 0 ? undefined : percent);
      if (percent < 0) break;
      this.#at = percent + 1;
      result += this.#directive();
      if (result.length > CHARACTERS_MAX) throw new HaltError(`sprintf makes more than ${CHARACTERS_MAX} characters`);
    }
    return result + this.#extra();
  }

  #extra(): string {
    if (this.#reordered || this.#next >= this.#arguments.length) return "";
    const rest = this.#arguments.slice(this.#next).map((argument) => `${argument.type}=${plain(argument)}`);
    return `%!(EXTRA ${rest.join(", ")})`;
  }

  #directive(): string {
    this.#goodIndex = true;
    this.#reordered = false;
    const flags = this.#flags();
    const wide = this.#width(this.#index());
    const precise = this.#precision(wide.afterIndex);
    if (!precise.afterIndex) this.#index();
    const minus = flags.includes("-") || (wide.number ?? 0) < 0;
    return (
      wide.fault +
      precise.fault +
      this.#verb({
        minus,
        zero: flags.includes("0") && !minus,
        plus: flags.includes("+"),
        sharp: flags.includes("#"),
        space: flags.includes(" "),
        width: wide.number === undefined ? undefined : Math.abs(wide.number),
        precision: precise.number,
      })
    );
  }

  /** @param afterIndex whether "[n]" stands before it, which must then be for a "*". */
  #width(afterIndex: boolean): Parsed {
    if (this.#take("*")) {
      const number = this.#number();
      return { number, fault: number === undefined ? "%!(BADWIDTH)" : "", afterIndex: false };
    }
    const number = this.#digits();
    if (afterIndex && number !== undefined) this.#goodIndex = false;
    return { number, fault: "", afterIndex };
  }

  #precision(afterIndex: boolean): Parsed {
    if (!this.#take(".")) return { number: undefined, fault: "", afterIndex };
    if (afterIndex) this.#goodIndex = false;
    const indexed = this.#index();
    if (!this.#take("*")) return { number: this.#digits() ?? 0, fault: "", afterIndex: indexed };
    const number = this.#number();
    const good = number !== undefined && number >= 0;
    return { number: good ? number : undefined, fault: good ? "" : "%!(BADPREC)", afterIndex: false };
  }

  #verb(spec: Spec): string {
    const verb = [...this.#format.slice(this.#at, this.#at + 2)][0];
    if (verb === undefined) return "%!(NOVERB)";
    this.#at += verb.length;
    if (verb === "%") return "%";
    if (!this.#goodIndex) return `%!${verb}(BADINDEX)`;
    const argument = this.#arguments[this.#next++];
    if (argument === undefined) return `%!${verb}(MISSING)`;
    // For "v" a plus asks for the names of members, which nothing here has.
    return formatted(argument, verb, verb === "v" ? { ...spec, plus: false } : spec);
  }

  #flags(): string {
    let flags = "";
    while ("+-# 0".includes(this.#format[this.#at] ?? "x")) flags += this.#format[this.#at++]!;
    return flags;
  }

  #take(token: string): boolean {
    if (this.#format[this.#at] !== token) return false;
    this.#at++;
    return true;
  }

  #digits(): number | undefined {
    const pattern = /\d+/y;
    pattern.lastIndex = this.#at;
    const [digits] = pattern.exec(this.#format) ?? [];
    if (digits === undefined) return undefined;
    // Go looks before it takes the next digit.
    const tooLarge = Number(digits.slice(0, -1)) > NUMBER_MAX;
    this.#at = tooLarge ? this.#format.length : this.#at + digits.length;
    return tooLarge ? undefined : Number(digits);
  }

  /** "[3]": the argument that comes next. @returns whether there was one. */
  #index(): boolean {
    if (this.#format[this.#at] !== "[") return false;
    this.#reordered = true;
    const close = this.#format.indexOf("]", this.#at);
    const inner = close < 0 ? undefined : this.#format.slice(this.#at + 1, close);
    this.#at = close < 0 ? this.#at + 1 : close + 1;
    const index = inner !== undefined && /^\d+$/.test(inner) ? Number(inner) - 1 : -1;
    if (index < 0 || index >= this.#arguments.length) {
      this.#goodIndex = false;
      return inner !== undefined;
    }
    this.#next = index;
    return true;
  }

  /** A width or precision from the arguments. */
  #number(): number | undefined {
    const argument = this.#arguments[this.#next];
    if (argument === undefined) return undefined;
    this.#next++;
    if (argument.type !== "int64") return undefined;
    const number = Number(argument.value);
    return Math.abs(number) > NUMBER_MAX ? undefined : number;
  }
}

const sprintf = (format: string, values: readonly Value[]): string => new Run(format, values).result();

const NO_FLAGS: Spec = {
  minus: false,
  plus: false,
  sharp: false,
  space: false,
  zero: false,
  width: undefined,
  precision: undefined,
};

const plain = (argument: Argument): string => formatted(argument, "v", NO_FLAGS);

function formatted(argument: Argument, verb: string, spec: Spec): string {
  if (verb === "T") return textAs(argument.type, "s", spec)!;
  if (verb === "v" && spec.sharp && argument.type !== "float64")
    return padded(argument.type === "string" ? quoteForGo(argument.value) : String(argument.value), spec);
  const shown =
    argument.type === "string"
      ? textAs(argument.value, verb, spec)
      : argument.type === "float64"
        ? floatAs(argument.value, verb, spec)
        : integerAs(argument.value, verb, spec, argument.type === "*big.Int");
  // With the flags of the directive, as Go does.
  return shown ?? `%!${verb}(${argument.type.replace("*", "")}=${formatted(argument, "v", { ...spec, sharp: false })})`;
}

function padded(shown: string, { width, minus, zero }: Spec, withZeros = false): string {
  const missing = (width ?? 0) - [...shown].length;
  if (missing <= 0) return shown;
  if (minus) return shown + " ".repeat(missing);
  return (zero && withZeros ? "0" : " ").repeat(missing) + shown;
}

function textAs(value: string, verb: string, spec: Spec): string | undefined {
  const { precision } = spec;
  const cut = (text: string) => (precision === undefined ? text : [...text].slice(0, precision).join(""));
  switch (verb) {
    case "v":
    case "s":
      return padded(cut(value), spec, true);
    case "q":
      return padded(quotedText(cut(value), spec), spec, true);
    case "x":
    case "X":
      return padded(hex(encodeText(value).slice(0, precision), verb, spec), spec, true);
    default:
      return undefined;
  }
}

function hex(bytes: Uint8Array, verb: "x" | "X", { space, sharp }: Spec): string {
  const pairs = [...bytes].map((byte) => byte.toString(16).padStart(2, "0"));
  const joined = space ? pairs.join(sharp ? " 0x" : " ") : pairs.join("");
  const whole = sharp && pairs.length > 0 ? `0x${joined}` : joined;
  return verb === "X" ? whole.toUpperCase() : whole;
}

const BASES: { readonly [verb: string]: number } = { v: 10, d: 10, b: 2, o: 8, O: 8, x: 16, X: 16 };
const PREFIXES: { readonly [verb: string]: string } = { b: "0b", x: "0x", X: "0X" };

function integerAs(value: bigint, verb: string, spec: Spec, big: boolean): string | undefined {
  if (!big && (verb === "c" || verb === "q" || verb === "U")) return characterAs(value, verb, spec);
  // Go's big integers take "s" for "v".
  const base = BASES[big && verb === "s" ? "d" : verb];
  if (base === undefined) return undefined;
  const { precision } = spec;
  let digits = (value < 0n ? -value : value).toString(base);
  if (verb === "X") digits = digits.toUpperCase();
  if (precision === 0 && value === 0n) return " ".repeat(spec.width ?? 0);
  digits = digits.padStart(precision ?? 0, "0");
  const sign = value < 0n ? "-" : spec.plus ? "+" : spec.space ? " " : "";
  if (spec.sharp && (verb === "o" || verb === "O") && !digits.startsWith("0")) digits = `0${digits}`;
  const prefix = verb === "O" ? "0o" : spec.sharp ? (PREFIXES[verb] ?? "") : "";
  // Go's integers count zeros without the prefix, its big ones with it.
  const room = (spec.width ?? 0) - sign.length - (big ? prefix.length : 0);
  if (spec.zero && precision === undefined) digits = digits.padStart(room, "0");
  return padded(sign + prefix + digits, spec);
}

function characterAs(value: bigint, verb: string, spec: Spec): string {
  const valid = value >= 0n && value <= 0x10ffffn && !(value >= 0xd800n && value <= 0xdfffn);
  const character = String.fromCodePoint(valid ? Number(value) : 0xfffd);
  if (verb === "c") return padded(character, spec, true);
  if (verb === "q") return padded(quotedCharacter(character, spec.plus), spec, true);
  const digits = BigInt.asUintN(64, value).toString(16).toUpperCase();
  const code = `U+${digits.padStart(Math.max(4, spec.precision ?? 0), "0")}`;
  return padded(spec.sharp && valid && PRINTABLE.test(character) ? `${code} '${character}'` : code, spec);
}

const PRINTABLE = /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$/u;

function quotedText(value: string, { sharp, plus }: Spec): string {
  if (sharp && !/[`\0-\x08\x0a-\x1f\x7f\ufeff]/.test(value)) return `\`${value}\``;
  return plus ? inAscii(quoteForGo(value)) : quoteForGo(value);
}

function quotedCharacter(character: string, ascii: boolean): string {
  if (character === "'") return "'\\''";
  if (character === '"') return `'"'`;
  const quoted = `'${quoteForGo(character).slice(1, -1)}'`;
  return ascii ? inAscii(quoted) : quoted;
}

const inAscii = (text: string): string =>
  text.replaceAll(/[^\0-\x7f]/gu, (character) => {
    const code = character.codePointAt(0)!.toString(16);
    return character.length > 1 ? `\\U${code.padStart(8, "0")}` : `\\u${code.padStart(4, "0")}`;
  });

function floatAs(value: number, verb: string, spec: Spec): string | undefined {
  const format = verb === "v" ? "g" : verb === "F" ? "f" : verb;
  if (format === "x" || format === "X" || format === "b")
    throw new HaltError(`sprintf does not write floats as %${verb} here`);
  if (!"eEfgG".includes(format)) return undefined;
  const { sharp, precision } = spec;
  if (sharp) throw new HaltError(`sprintf does not write floats as %#${verb} here`);
  const digits = floatText(Math.abs(value), format as "e", precision ?? (format.toLowerCase() === "g" ? -1 : 6));
  const sign = value < 0 || Object.is(value, -0) ? "-" : spec.plus ? "+" : spec.space ? " " : "";
  if (!spec.zero) return padded(sign + digits, spec);
  return sign + digits.padStart((spec.width ?? 0) - sign.length, "0");
}
