// Times and durations as numbers, so that the law compares integers and never parses text.

const TIME = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9})\d*)?(?:Z|([+-])(\d\d):(\d\d))$/i;
const NUMBER = "(\\d{1,9}(?:[.,]\\d{1,9})?)";
const DURATION = new RegExp(
  `^P(?:${NUMBER}W|(?:${NUMBER}Y)?(?:${NUMBER}M)?(?:${NUMBER}D)?(?:T(?:${NUMBER}H)?(?:${NUMBER}M)?(?:${NUMBER}S)?)?)$`,
);
const DAY_S = 86_400;
/** Weeks, years, months, days, hours, minutes, seconds: in the order of the pattern. */
const UNITS_S = [7 * DAY_S, 365 * DAY_S, 30 * DAY_S, DAY_S, 3600, 60, 1];
const LATEST_MS = Date.UTC(9999, 11, 31, 23, 59, 59);

/**
 * Milliseconds since the epoch of an RFC 3339 time with zone, or undefined if it is none. Days and offsets must exist;
 * a leap second is refused, since the clocks that it would be compared with have none. Digits below the millisecond
 * are cut off.
 */
export function timeMs(text: string): number | undefined {
  const parts = TIME.exec(text);
  if (parts === null) return undefined;
  const [year, month, day, hour, minute, second] = [1, 2, 3, 4, 5, 6].map((n) => Number(parts[n])) as Six;
  if (month < 1 || month > 12 || day < 1 || day > daysIn(year, month)) return undefined;
  if (hour > 23 || minute > 59 || second > 59) return undefined;
  const [offsetHour, offsetMinute] = [Number(parts[9] ?? 0), Number(parts[10] ?? 0)];
  if (offsetHour > 23 || offsetMinute > 59) return undefined;
  const offsetMs = (offsetHour * 60 + offsetMinute) * 60_000 * (parts[8] === "-" ? -1 : 1);
  const fractionMs = Number((parts[7] ?? "").padEnd(3, "0").slice(0, 3));
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day); // not Date.UTC, which reads the years 0 to 99 as 1900 to 1999
  return date.setUTCHours(hour, minute, second, fractionMs) - offsetMs;
}

type Six = [number, number, number, number, number, number];

function daysIn(year: number, month: number): number {
  if (month !== 2) return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
}

/**
 * Seconds of an ISO 8601 duration, or undefined if it is none. A year counts as 365 days and a month as 30: a length
 * that depends on the calendar would make the same request mean different things on different days. The smallest part
 * given may have a fraction, after a point or a comma (ISO 8601-1 §5.5.2).
 */
export function durationS(text: string): number | undefined {
  const parts = DURATION.exec(text)?.slice(1);
  if (parts === undefined || text.endsWith("T")) return undefined;
  const last = parts.findLastIndex((part) => part !== undefined);
  if (last === -1 || parts.some((part, index) => index < last && part !== undefined && /[.,]/.test(part)))
    return undefined;
  return parts.reduce((sum, part, index) => sum + secondsOf(part ?? "0", UNITS_S[index]!), 0);
}

/** To the microsecond: a fraction such as 0.7 of an hour has no exact binary form. */
function secondsOf(part: string, unitS: number): number {
  const [whole, fraction = "0"] = part.split(/[.,]/);
  return Number(whole) * unitS + Math.round(Number(`0.${fraction}`) * unitS * 1e6) / 1e6;
}

/** RFC 3339 in UTC with whole seconds; what lies beyond the year 9999 is cut to its end. */
export function wholeSecondsUtc(ms: number): string {
  return `${new Date(Math.min(ms, LATEST_MS)).toISOString().slice(0, 19)}Z`;
}
