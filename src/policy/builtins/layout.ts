// Layouts of Go's time package: what stands for what in "Mon Jan 2 15:04:05 MST 2006".

export type Field =
  | "January"
  | "Jan"
  | "1"
  | "01"
  | "Monday"
  | "Mon"
  | "2"
  | "_2"
  | "02"
  | "__2"
  | "002"
  | "15"
  | "3"
  | "03"
  | "4"
  | "04"
  | "5"
  | "05"
  | "2006"
  | "06"
  | "PM"
  | "pm"
  | "MST"
  | "Z0700"
  | "Z070000"
  | "Z07"
  | "Z07:00"
  | "Z07:00:00"
  | "-0700"
  | "-070000"
  | "-07"
  | "-07:00"
  | "-07:00:00";

export type Chunk =
  | { readonly literal: string }
  | { readonly field: Field }
  /** A fraction of a second: so many digits, or as many as there are. */
  | { readonly fraction: number; readonly trimmed: boolean };

export const MONTHS = [
  ...["January", "February", "March", "April", "May", "June"],
  ...["July", "August", "September", "October", "November", "December"],
] as const;
export const WEEKDAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"] as const;

/** Longer ones first; "Jan" and "Mon" are no fields before a small letter; a year after a blank is no day. */
const FIELD =
  /January|Jan(?![a-z])|Monday|Mon(?![a-z])|MST|0[1-6]|002|15|1|2006|_(?=2006)|_2|__2|2|3|4|5|PM|pm|[-Z]07(?:0000|:00:00|00|:00)?|[.,](0+|9+)(?!\d)/g;

export function chunksOf(layout: string): Chunk[] {
  const chunks: Chunk[] = [];
  const literal = (text: string) => text !== "" && chunks.push({ literal: text });
  let from = 0;
  for (const match of layout.matchAll(FIELD)) {
    const [token, digits] = match;
    if (token === "_") continue;
    literal(layout.slice(from, match.index));
    if (digits === undefined) chunks.push({ field: token as Field });
    else chunks.push({ fraction: digits.length, trimmed: digits.startsWith("9") });
    from = match.index + token.length;
  }
  literal(layout.slice(from));
  return chunks;
}

/** Layouts that have a name. */
export const NAMED: { readonly [name: string]: string } = {
  ANSIC: "Mon Jan _2 15:04:05 2006",
  UnixDate: "Mon Jan _2 15:04:05 MST 2006",
  RubyDate: "Mon Jan 02 15:04:05 -0700 2006",
  RFC822: "02 Jan 06 15:04 MST",
  RFC822Z: "02 Jan 06 15:04 -0700",
  RFC850: "Monday, 02-Jan-06 15:04:05 MST",
  RFC1123: "Mon, 02 Jan 2006 15:04:05 MST",
  RFC1123Z: "Mon, 02 Jan 2006 15:04:05 -0700",
  RFC3339: "2006-01-02T15:04:05Z07:00",
  RFC3339Nano: "2006-01-02T15:04:05.999999999Z07:00",
};
