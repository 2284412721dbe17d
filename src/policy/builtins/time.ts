// time.*: on times that the policy passes, in nanoseconds since 1970; none asks a clock.
import { civilAt, instantOf, UTC, weekdayOf, type Zone, zoneOf, type Civil, daysInMonth } from "./civil.ts";
import { parseDuration } from "./durations.ts";
import { BuiltinError } from "./errors.ts";
import { NAMED, WEEKDAYS } from "./layout.ts";
import { array, type Builtins, integer, number, operandFault, text } from "./operands.ts";
import { formatTime } from "./time-format.ts";
import { parseTime } from "./time-parse.ts";
import { toInteger } from "./decimal.ts";
import { RegoNumber, type Value } from "./value.ts";

export const builtins: Builtins = {
  "time.add_date": (time, years, months, days) =>
    addDate(timeOf(time!), integer(years, 2), integer(months, 3), integer(days, 4)),
  "time.clock": (time) => {
    const { hour, minute, second } = shownAt(timeOf(time!));
    return numbers(hour, minute, second);
  },
  "time.date": (time) => {
    const { year, month, day } = shownAt(timeOf(time!));
    return numbers(year, month, day);
  },
  "time.diff": (one, other) => difference(timeOf(one!), timeOf(other!)),
  "time.format": (time) => {
    const { ns, zone, layout } = timeOf(time!);
    return formatTime(ns, zone, layout === "" ? NAMED["RFC3339Nano"]! : layoutOf(layout));
  },
  "time.parse_duration_ns": (duration) => RegoNumber.of(parseDuration(text(duration, 1))),
  "time.parse_ns": (layout, value) => nanoseconds(parseTime(layoutOf(text(layout, 1)), text(value, 2))),
  "time.parse_rfc3339_ns": (value) => nanoseconds(parseTime(NAMED["RFC3339"]!, text(value, 1))),
  "time.weekday": (time) => WEEKDAYS[weekdayOf(shownAt(timeOf(time!)))]!,
};

interface Time {
  readonly ns: bigint;
  readonly zone: Zone;
  readonly layout: string;
}

const INT64 = { min: -(2n ** 63n), max: 2n ** 63n - 1n };
/** Beyond any time that nanoseconds can say. */
const YEARS_MAX = 1_000_000;

const layoutOf = (layout: string): string => (Object.hasOwn(NAMED, layout) ? NAMED[layout]! : layout);
const numbers = (...values: number[]): Value => values.map((value) => RegoNumber.of(value));
const shownAt = ({ ns, zone }: Time): Civil => civilAt(ns, zone);

function nanoseconds(ns: bigint): RegoNumber {
  if (ns < INT64.min || ns > INT64.max) throw new BuiltinError("time outside of valid range");
  return RegoNumber.of(ns);
}

/** A number, or an array of number, zone and layout. */
function timeOf(operand: Value): Time {
  if (operand instanceof RegoNumber) return { ns: exactNs(operand), zone: UTC, layout: "" };
  if (!Array.isArray(operand) || operand.length === 0) throw operandFault(1, operand, "number", "array");
  const [time, zone = "", layout = ""] = array(operand, 1);
  return { ns: exactNs(number(time, 1)), zone: zoneOf(text(zone, 1)), layout: text(layout, 1) };
}

function exactNs(time: RegoNumber): bigint {
  const ns = toInteger(time.text);
  if (ns === undefined || ns < INT64.min || ns > INT64.max) throw new BuiltinError("timestamp too big");
  return ns;
}

function addDate(time: Time, years: number, months: number, days: number): RegoNumber {
  if (Math.abs(years) > YEARS_MAX || Math.abs(months) > 12 * YEARS_MAX || Math.abs(days) > 366 * YEARS_MAX)
    throw new BuiltinError("time outside of valid range");
  const civil = shownAt(time);
  const moved = { ...civil, year: civil.year + years, month: civil.month + months, day: civil.day + days };
  return nanoseconds(instantOf(moved, time.zone));
}

/** Years, months, days, hours, minutes and seconds from the earlier to the later, on the clock of the first's zone. */
function difference(one: Time, other: Time): Value {
  const [earlier, later] = (one.ns <= other.ns ? [one.ns, other.ns] : [other.ns, one.ns]).map((ns) =>
    civilAt(ns, one.zone),
  ) as [Civil, Civil];
  let [years, months, days] = [later.year - earlier.year, later.month - earlier.month, later.day - earlier.day];
  let [hours, minutes, seconds] = [
    later.hour - earlier.hour,
    later.minute - earlier.minute,
    later.second - earlier.second,
  ];
  if (seconds < 0) [seconds, minutes] = [seconds + 60, minutes - 1];
  if (minutes < 0) [minutes, hours] = [minutes + 60, hours - 1];
  if (hours < 0) [hours, days] = [hours + 24, days - 1];
  if (days < 0) [days, months] = [days + daysInMonth(earlier.year, earlier.month), months - 1];
  if (months < 0) [months, years] = [months + 12, years - 1];
  return numbers(years, months, days, hours, minutes, seconds);
}
