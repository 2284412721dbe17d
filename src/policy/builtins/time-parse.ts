// Times read by a layout of Go's, as strictly and as leniently as time.Parse does.
import { daysInMonth, daysOf, dateOf, instantOf, UTC } from "./civil.ts";
import { BuiltinError } from "./errors.ts";
import { type Chunk, chunksOf, type Field, MONTHS, WEEKDAYS } from "./layout.ts";

interface Parts {
  year: number;
  month: number | undefined;
  day: number | undefined;
  yearDay: number | undefined;
  hour: number;
  minute: number;
  second: number;
  nanosecond: number;
  half: "am" | "pm" | undefined;
  /** Seconds east of UTC. */
  offset: number | undefined;
}

/** @returns nanoseconds since 1970. @throws BuiltinError */
export function parseTime(layout: string, value: string): bigint {
  return new Parser(layout, value).instant();
}

class Parser {
  #rest: string;
  readonly #value: string;
  readonly #layout: string;
  readonly #parts: Parts = {
    year: 0,
    month: undefined,
    day: undefined,
    yearDay: undefined,
    hour: 0,
    minute: 0,
    second: 0,
    nanosecond: 0,
    half: undefined,
    offset: undefined,
  };

  constructor(layout: string, value: string) {
    this.#layout = layout;
    this.#value = value;
    this.#rest = value;
  }

  instant(): bigint {
    const chunks = chunksOf(this.#layout);
    for (const [i, chunk] of chunks.entries()) {
      if ("literal" in chunk) this.#skip(chunk.literal);
      else if ("fraction" in chunk) this.#fraction(chunk);
      else {
        this.#field(chunk.field);
        // A fraction may follow seconds though the layout has none.
        const next = chunks[i + 1];
        if (
          chunk.field.endsWith("5") &&
          chunk.field !== "15" &&
          !(next && "fraction" in next) &&
          /^[.,]\d/.test(this.#rest)
        )
          this.#fraction({ fraction: 0, trimmed: true });
      }
    }
    if (this.#rest !== "") this.#fail(": extra text");
    return this.#made();
  }

  #fail(why = ""): never {
    throw new BuiltinError(`parsing time ${JSON.stringify(this.#value)} as ${JSON.stringify(this.#layout)}${why}`);
  }

  /** A blank of the layout stands for any number of them. */
  #skip(literal: string): void {
    for (let at = 0; at < literal.length; at++) {
      if (literal[at] === " ") {
        if (this.#rest !== "" && this.#rest[0] !== " ") this.#fail();
        while (literal[at + 1] === " ") at++;
        this.#rest = this.#rest.replace(/^ +/, "");
      } else {
        if (this.#rest[0] !== literal[at]) this.#fail();
        this.#rest = this.#rest.slice(1);
      }
    }
  }

  #take(pattern: RegExp): string {
    const [token] = pattern.exec(this.#rest) ?? [];
    if (token === undefined) this.#fail();
    this.#rest = this.#rest.slice(token!.length);
    return token!;
  }

  #number(digits: "1" | "2" | "3", max: number, what: string, min = 0): number {
    const pattern = { "1": /^\d\d?/, "2": /^\d\d/, "3": /^\d\d\d/ }[digits];
    const number = Number(this.#take(pattern));
    if (number < min || number > max) this.#fail(`: ${what} out of range`);
    return number;
  }

  #name(names: readonly string[], length?: number): number {
    const lower = this.#rest.toLowerCase();
    const index = names.findIndex((name) => lower.startsWith(name.slice(0, length).toLowerCase()));
    if (index < 0) this.#fail();
    this.#rest = this.#rest.slice(names[index]!.slice(0, length).length);
    return index;
  }

  #fraction({ fraction, trimmed }: Extract<Chunk, { fraction: number }>): void {
    if (trimmed && !/^[.,]\d/.test(this.#rest)) return;
    const digits = this.#take(trimmed ? /^[.,]\d+/ : new RegExp(`^[.,]\\d{${fraction}}`)).slice(1);
    this.#parts.nanosecond = Number(digits.slice(0, 9).padEnd(9, "0"));
  }

  #field(field: Field): void {
    const parts = this.#parts;
    switch (field) {
      case "2006":
        parts.year = Number(this.#take(/^\d{4}/));
        break;
      case "06": {
        const year = Number(this.#take(/^\d\d/));
        parts.year = year >= 69 ? year + 1900 : year + 2000;
        break;
      }
      case "January":
        parts.month = this.#name(MONTHS) + 1;
        break;
      case "Jan":
        parts.month = this.#name(MONTHS, 3) + 1;
        break;
      case "1":
      case "01":
        parts.month = this.#number(field === "1" ? "1" : "2", 12, "month", 1);
        break;
      case "Monday":
        this.#name(WEEKDAYS);
        break;
      case "Mon":
        this.#name(WEEKDAYS, 3);
        break;
      case "2":
      case "_2":
      case "02":
        if (field === "_2") this.#rest = this.#rest.replace(/^ /, "");
        parts.day = this.#number(field === "02" ? "2" : "1", 99, "day");
        break;
      case "__2":
      case "002":
        if (field === "__2") this.#rest = this.#rest.replace(/^ {1,2}/, "");
        parts.yearDay = field === "002" ? this.#number("3", 999, "day") : Number(this.#take(/^\d{1,3}/));
        break;
      default:
        this.#clock(field);
    }
  }

  #clock(field: Field): void {
    const parts = this.#parts;
    switch (field) {
      case "15":
        parts.hour = this.#number("1", 23, "hour");
        break;
      case "3":
      case "03":
        parts.hour = this.#number(field === "3" ? "1" : "2", 12, "hour");
        break;
      case "4":
      case "04":
        parts.minute = this.#number(field === "4" ? "1" : "2", 59, "minute");
        break;
      case "5":
      case "05":
        parts.second = this.#number(field === "5" ? "1" : "2", 59, "second");
        break;
      case "PM":
        parts.half = this.#take(/^[AP]M/).toLowerCase() as "am" | "pm";
        break;
      case "pm":
        parts.half = this.#take(/^[ap]m/) as "am" | "pm";
        break;
      case "MST":
        if (this.#rest.startsWith("UTC")) {
          this.#rest = this.#rest.slice(3);
          parts.offset = 0;
        } else this.#take(ABBREVIATION);
        break;
      default:
        parts.offset = this.#offset(field);
    }
  }

  #offset(field: Field): number {
    if (field.startsWith("Z") && this.#rest.startsWith("Z")) {
      this.#rest = this.#rest.slice(1);
      return 0;
    }
    const shape = field
      .slice(1)
      .replace("07", "(\\d\\d)")
      .replace(/(:?)00/, "$1(\\d\\d)")
      .replace(/(:?)00/, "$1(\\d\\d)");
    const token = this.#take(new RegExp(`^[+-]${shape}`));
    const [hours = 0, minutes = 0, seconds = 0] = token.slice(1).match(/\d\d/g)!.map(Number);
    if (hours > 24) this.#fail(": time zone offset hour out of range");
    if (minutes > 60) this.#fail(": time zone offset minute out of range");
    if (seconds > 60) this.#fail(": time zone offset second out of range");
    return (token.startsWith("-") ? -1 : 1) * (hours * 3600 + minutes * 60 + seconds);
  }

  #made(): bigint {
    const { year, yearDay, half, offset, nanosecond, minute, second } = this.#parts;
    let { month, day, hour } = this.#parts;
    if (half === "pm" && hour < 12) hour += 12;
    else if (half === "am" && hour === 12) hour = 0;
    if (yearDay !== undefined) {
      if (yearDay < 1 || yearDay > daysOf(year + 1, 1, 1) - daysOf(year, 1, 1))
        this.#fail(": day-of-year out of range");
      const date = dateOf(daysOf(year, 1, yearDay));
      if (month !== undefined && month !== date.month) this.#fail(": day-of-year does not match month");
      if (day !== undefined && day !== date.day) this.#fail(": day-of-year does not match day");
      [month, day] = [date.month, date.day];
    }
    month ??= 1;
    day ??= 1;
    if (day < 1 || day > daysInMonth(year, month)) this.#fail(": day out of range");
    return (
      instantOf({ year, month, day, hour, minute, second, nanosecond }, UTC) - BigInt(offset ?? 0) * 1_000_000_000n
    );
  }
}

/** What may be the abbreviation of a zone, which says nothing of its offset, not even "GMT+3": three to five letters, or an offset. */
const ABBREVIATION =
  /^(?:ChST|MeST|GMT[+-](?:2[0-3]|1\d|\d)(?!\d)|GMT|WITA|[+-](?:2[0-3]|1\d|0?\d)(?!\d)|[A-Z]{4}T(?![A-Z])|[A-Z]{3}T(?![A-Z])|[A-Z]{3}(?![A-Z]))/;
