// Times written by a layout of Go's.
import { abbreviationAt, civilAt, type Civil, weekdayOf, yearDayOf, type Zone } from "./civil.ts";
import { chunksOf, type Field, MONTHS, WEEKDAYS } from "./layout.ts";

/** @param ns since 1970. */
export function formatTime(ns: bigint, zone: Zone, layout: string): string {
  const civil = civilAt(ns, zone);
  const seconds = Number(ns / 1_000_000_000n);
  return chunksOf(layout)
    .map((chunk, i, chunks) => {
      if ("literal" in chunk) return chunk.literal;
      if ("fraction" in chunk) return fraction(civil.nanosecond, chunk, separator(layout, chunks, i));
      return chunk.field === "MST" ? abbreviationAt(zone, seconds) : field(chunk.field, civil, zone.offsetAt(seconds));
    })
    .join("");
}

/** A fraction keeps the point or comma that the layout has. */
function separator(layout: string, chunks: ReturnType<typeof chunksOf>, index: number): string {
  let at = 0;
  for (const chunk of chunks.slice(0, index)) at += lengthOf(chunk);
  return layout[at]!;
}

function lengthOf(chunk: ReturnType<typeof chunksOf>[number]): number {
  if ("literal" in chunk) return chunk.literal.length;
  return "field" in chunk ? chunk.field.length : chunk.fraction + 1;
}

function fraction(
  ns: number,
  { fraction: digits, trimmed }: { fraction: number; trimmed: boolean },
  mark: string,
): string {
  const shown = String(ns).padStart(9, "0").slice(0, digits);
  const kept = trimmed ? shown.replace(/0+$/, "") : shown.padEnd(digits, "0");
  return kept === "" ? "" : mark + kept;
}

const two = (value: number, pad = "0"): string => String(value).padStart(2, pad);

function year4(year: number): string {
  return (year < 0 ? "-" : "") + String(Math.abs(year)).padStart(4, "0");
}

const FIELDS: { readonly [field in Exclude<Field, "MST" | `${"-" | "Z"}${string}`>]: (civil: Civil) => string } = {
  January: ({ month }) => MONTHS[month - 1]!,
  Jan: ({ month }) => MONTHS[month - 1]!.slice(0, 3),
  "1": ({ month }) => String(month),
  "01": ({ month }) => two(month),
  Monday: (civil) => WEEKDAYS[weekdayOf(civil)]!,
  Mon: (civil) => WEEKDAYS[weekdayOf(civil)]!.slice(0, 3),
  "2": ({ day }) => String(day),
  _2: ({ day }) => two(day, " "),
  "02": ({ day }) => two(day),
  __2: (civil) => String(yearDayOf(civil)).padStart(3, " "),
  "002": (civil) => String(yearDayOf(civil)).padStart(3, "0"),
  "15": ({ hour }) => two(hour),
  "3": ({ hour }) => String(hour % 12 || 12),
  "03": ({ hour }) => two(hour % 12 || 12),
  "4": ({ minute }) => String(minute),
  "04": ({ minute }) => two(minute),
  "5": ({ second }) => String(second),
  "05": ({ second }) => two(second),
  "2006": ({ year }) => year4(year),
  "06": ({ year }) => two(Math.max(year, 0) % 100),
  PM: ({ hour }) => (hour >= 12 ? "PM" : "AM"),
  pm: ({ hour }) => (hour >= 12 ? "pm" : "am"),
};

function field(name: Exclude<Field, "MST">, civil: Civil, offsetS: number): string {
  if (!name.startsWith("-") && !name.startsWith("Z")) return FIELDS[name as keyof typeof FIELDS](civil);
  if (name.startsWith("Z") && offsetS === 0) return "Z";
  const minutes = Math.trunc(offsetS / 60);
  const [hours, rest, seconds] = [Math.abs(Math.trunc(minutes / 60)), Math.abs(minutes % 60), Math.abs(offsetS % 60)];
  const colon = name.includes(":") ? ":" : "";
  const parts = [hours, ...(name.length > 3 ? [rest] : []), ...(name.length > 6 ? [seconds] : [])];
  return (offsetS < 0 && (minutes < 0 || offsetS < 0) ? "-" : "+") + parts.map((part) => two(part)).join(colon);
}
