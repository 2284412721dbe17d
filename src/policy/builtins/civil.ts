// Days and dates of the proleptic Gregorian calendar, for any year that a number can hold, and time zones by Intl.
import { cached } from "./cache.ts";
import { BuiltinError, HaltError } from "./errors.ts";

export interface Civil {
  readonly year: number;
  /** 1 to 12. */
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
  readonly nanosecond: number;
}

export interface Zone {
  readonly name: string;
  /** Seconds east of UTC at an instant, in seconds since 1970. */
  readonly offsetAt: (seconds: number) => number;
}

const DAY_S = 86_400;
const NS_PER_S = 1_000_000_000n;

/** Days since 1970-01-01; months and days beyond theirs count on. */
export function daysOf(year: number, month: number, day: number): number {
  const months = year * 12 + month - 1;
  const [y, m] = [Math.floor(months / 12), (((months % 12) + 12) % 12) + 1];
  // Years begin in March here, so that the day of a leap year is the last.
  const shifted = m <= 2 ? y - 1 : y;
  const era = Math.floor(shifted / 400);
  const yearOfEra = shifted - era * 400;
  const dayOfYear = Math.floor((153 * (m + (m > 2 ? -3 : 9)) + 2) / 5);
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * 146_097 + dayOfEra - 719_468 + day - 1;
}

export function dateOf(days: number): { year: number; month: number; day: number } {
  const shifted = days + 719_468;
  const era = Math.floor(shifted / 146_097);
  const dayOfEra = shifted - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const marchMonth = Math.floor((5 * dayOfYear + 2) / 153);
  const month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9;
  return {
    year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0),
    month,
    day: dayOfYear - Math.floor((153 * marchMonth + 2) / 5) + 1,
  };
}

export const daysInMonth = (year: number, month: number): number => daysOf(year, month + 1, 1) - daysOf(year, month, 1);

export const weekdayOf = ({ year, month, day }: Civil): number => (((daysOf(year, month, day) + 4) % 7) + 7) % 7;

export const yearDayOf = ({ year, month, day }: Civil): number => daysOf(year, month, day) - daysOf(year, 1, 1) + 1;

/** What a clock in the zone shows at an instant, in nanoseconds since 1970. */
export function civilAt(ns: bigint, zone: Zone): Civil {
  const nanosecond = Number(((ns % NS_PER_S) + NS_PER_S) % NS_PER_S);
  const seconds = Number((ns - BigInt(nanosecond)) / NS_PER_S);
  const local = seconds + zone.offsetAt(seconds);
  const days = Math.floor(local / DAY_S);
  const rest = local - days * DAY_S;
  const [hour, minute] = [Math.floor(rest / 3600), Math.floor((rest % 3600) / 60)];
  return { ...dateOf(days), hour, minute, second: rest % 60, nanosecond };
}

/** The instant at which a clock in the zone shows it; where it never does, or twice, the one that Go chooses. */
export function instantOf(civil: Civil, zone: Zone): bigint {
  const { year, month, day, hour, minute, second, nanosecond } = civil;
  const local = daysOf(year, month, day) * DAY_S + hour * 3600 + minute * 60 + second;
  const seconds = local - zone.offsetAt(local - zone.offsetAt(local));
  return BigInt(seconds) * NS_PER_S + BigInt(nanosecond);
}

export const UTC: Zone = { name: "UTC", offsetAt: () => 0 };

/** Each part of a name begins with a capital; the host would take any case, and offsets too, which are no names. */
const ZONE_NAME = /^[A-Z][\w+-]*(?:\/[A-Z][\w+-]*)*$/;
const OFFSET = /^GMT(?:([+-])(\d\d):(\d\d)(?::(\d\d))?)?$/;
/** Dates of JavaScript end here. */
const INSTANT_S_MAX = 8.64e12;

const loaded = cached(200, (name): Zone => {
  let format: Intl.DateTimeFormat;
  try {
    if (!ZONE_NAME.test(name)) throw new RangeError();
    format = new Intl.DateTimeFormat("en-US", { timeZone: name, timeZoneName: "longOffset" });
  } catch {
    throw new BuiltinError(`unknown time zone ${name}`);
  }
  const resolved = format.resolvedOptions().timeZone;
  if (resolved !== name && resolved.toLowerCase() === name.toLowerCase())
    throw new BuiltinError(`unknown time zone ${name}`);
  return { name, offsetAt: (seconds) => offsetBy(format, seconds) };
});

function offsetBy(format: Intl.DateTimeFormat, seconds: number): number {
  const instant = Math.max(-INSTANT_S_MAX, Math.min(INSTANT_S_MAX, seconds)) * 1000;
  const shown = format.formatToParts(instant).find(({ type }) => type === "timeZoneName")?.value ?? "";
  const [whole, sign, hours = "0", minutes = "0", rest = "0"] = OFFSET.exec(shown) ?? [];
  if (whole === undefined) throw new HaltError(`the host shows an offset of ${shown}`);
  return (sign === "-" ? -1 : 1) * (Number(hours) * 3600 + Number(minutes) * 60 + Number(rest));
}

/** @throws BuiltinError where there is no zone of the name, HaltError for the host's own. */
export function zoneOf(name: string): Zone {
  if (name === "" || name === "UTC") return UTC;
  if (name === "Local") throw new HaltError("the zone Local is the host's, which is not in the input");
  return loaded(name);
}

/**
 * How the zone is called at an instant, as Go has it from the zone database; Intl knows most only as an offset.
 * @throws HaltError where it can't be known.
 */
export function abbreviationAt(zone: Zone, seconds: number): string {
  if (zone.name === "UTC") return "UTC";
  for (const locale of ["en-US", "en-GB", "en-AU", "en-IN", "en-ZA"]) {
    const format = new Intl.DateTimeFormat(locale, { timeZone: zone.name, timeZoneName: "short" });
    const shown = format.formatToParts(seconds * 1000).find(({ type }) => type === "timeZoneName")?.value ?? "";
    if (/^[A-Z]{3,5}$/.test(shown)) return shown;
  }
  throw new HaltError(`the abbreviation of ${zone.name} is not known here; use an offset, as -0700`);
}
