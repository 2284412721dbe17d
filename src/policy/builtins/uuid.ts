// uuid.parse: what a UUID says of itself (RFC 9562; versions 1 and 2 in full, as OPA has them).
import { type Builtins, text } from "./operands.ts";
import { RegoNumber, RegoObject, type Value } from "./value.ts";

export const builtins: Builtins = { "uuid.parse": (uuid) => parseUuid(text(uuid, 1)) };

const HEX = "[0-9a-fA-F]";
const PLAIN = `(${HEX}{8})-(${HEX}{4})-(${HEX}{4})-(${HEX}{4})-(${HEX}{12})`;
/** Plain, as a URN, in braces of any kind, or without dashes. */
const FORMS = [
  new RegExp(`^(?:[uU][rR][nN]:[uU][uU][iI][dD]:)?${PLAIN}$`),
  new RegExp(`^[^]${PLAIN}[^]$`),
  new RegExp(`^(${HEX}{8})(${HEX}{4})(${HEX}{4})(${HEX}{4})(${HEX}{12})$`),
];
/** From 15 October 1582 to 1970, in units of 100 ns. */
const GREGORIAN_TO_UNIX = 122_192_928_000_000_000n;
const DOMAINS = ["Person", "Group", "Org"];

function parseUuid(given: string): Value | undefined {
  const hex = FORMS.map((form) => form.exec(given))
    .find((match) => match !== null)
    ?.slice(1)
    .join("")
    .toLowerCase();
  if (hex === undefined) return undefined;
  const bytes = Array.from({ length: 16 }, (_, i) => Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16));
  const version = bytes[6]! >> 4;
  const members: [string, Value][] = [
    ["version", RegoNumber.of(version)],
    ["variant", variant(bytes[8]!)],
  ];
  if (version === 1 || version === 2) members.push(...ofTime(bytes));
  if (version === 2)
    members.push(["id", RegoNumber.of(Number.parseInt(hex.slice(0, 8), 16))], ["domain", domain(bytes[9]!)]);
  return new RegoObject(members);
}

function variant(byte: number): string {
  if ((byte & 0xc0) === 0x80) return "RFC4122";
  if ((byte & 0xe0) === 0xc0) return "Microsoft";
  return (byte & 0xe0) === 0xe0 ? "Future" : "Reserved";
}

const domain = (byte: number): string => DOMAINS[byte] ?? `Domain${byte}`;

function ofTime(bytes: readonly number[]): [string, Value][] {
  const hex = (from: number, to: number) => bytes.slice(from, to).map((byte) => byte.toString(16).padStart(2, "0"));
  const ticks = BigInt(`0x${hex(6, 8).join("")}${hex(4, 6).join("")}${hex(0, 4).join("")}`) & ((1n << 60n) - 1n);
  const sequence = ((bytes[8]! & 0x3f) << 8) | bytes[9]!;
  return [
    ["time", RegoNumber.of(BigInt.asIntN(64, (ticks - GREGORIAN_TO_UNIX) * 100n))],
    ["nodeid", hex(10, 16).join("-")],
    ["macvariables", `${bytes[10]! & 2 ? "local" : "global"}:${bytes[10]! & 1 ? "multicast" : "unicast"}`],
    ["clocksequence", RegoNumber.of(sequence)],
  ];
}
