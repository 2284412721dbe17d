// hex.*, urlquery.*, uri.*, base64url.encode_no_pad.
import { BuiltinError } from "./errors.ts";
import { type Builtins, object, text } from "./operands.ts";
import { jsonOf } from "./text.ts";
import { parseUri, unescape } from "./uri.ts";
import { decodeText, encodeText } from "./utf8.ts";
import { compareText, RegoObject, type Value } from "./value.ts";

export const builtins: Builtins = {
  "base64url.encode_no_pad": (value) =>
    binary(encodeText(text(value, 1)))
      .replaceAll("+", "-")
      .replaceAll("/", "_")
      .replaceAll("=", ""),
  "hex.decode": (value) => fromHex(text(value, 1)),
  "hex.encode": (value) => hexOf(encodeText(text(value, 1))),
  "uri.is_valid": (value) => typeof value === "string" && value !== "" && isUri(value),
  "uri.parse": (value) => new RegoObject(Object.entries(parseUri(text(value, 1)))),
  "urlquery.decode": (value) => queryUnescape(text(value, 1)),
  "urlquery.decode_object": (value) => parseQuery(text(value, 1)),
  "urlquery.encode": (value) => queryEscape(text(value, 1)),
  "urlquery.encode_object": (value) => encodeQuery(object(value, 1)),
};

function binary(bytes: Uint8Array): string {
  let characters = "";
  for (const byte of bytes) characters += String.fromCharCode(byte);
  return btoa(characters);
}

export function hexOf(bytes: Uint8Array): string {
  let hex = "";
  for (const byte of bytes) hex += byte.toString(16).padStart(2, "0");
  return hex;
}

function fromHex(hex: string): string {
  if (hex.length % 2 !== 0 || /[^\da-fA-F]/.test(hex)) throw new BuiltinError("encoding/hex: invalid text");
  return decodeText(
    Uint8Array.from({ length: hex.length / 2 }, (_, i) => Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16)),
  );
}

function isUri(value: string): boolean {
  try {
    parseUri(value);
    return true;
  } catch (error) {
    if (error instanceof BuiltinError) return false;
    throw error;
  }
}

/** As Go's url.QueryEscape: a space is a plus, and only letters, digits and `-_.~` stay. */
function queryEscape(value: string): string {
  let escaped = "";
  for (const byte of encodeText(value)) {
    const character = String.fromCharCode(byte);
    if (/[\w.~-]/.test(character)) escaped += character;
    else escaped += character === " " ? "+" : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return escaped;
}

const queryUnescape = (value: string): string => unescape(value.replaceAll("+", " "));

function parseQuery(query: string): Value {
  const values = new Map<string, string[]>();
  for (const pair of query.split("&")) {
    if (pair.includes(";")) throw new BuiltinError("invalid semicolon separator in query");
    if (pair === "") continue;
    const at = pair.indexOf("=");
    const name = queryUnescape(at < 0 ? pair : pair.slice(0, at));
    values.set(name, [...(values.get(name) ?? []), at < 0 ? "" : queryUnescape(pair.slice(at + 1))]);
  }
  return new RegoObject(values);
}

/** Names in order, as url.Values.Encode has them. */
function encodeQuery(values: RegoObject): string {
  const pairs = (jsonOf(values) as RegoObject).entries().map(([name, value]) => {
    const items = Array.isArray(value) ? (value as Value[]) : [value];
    if (!items.every((item) => typeof item === "string"))
      throw new BuiltinError("operand 1 values must be string, array[string], or set[string]");
    return [name as string, items as string[]] as const;
  });
  return pairs
    .toSorted(([a], [b]) => compareText(a, b))
    .flatMap(([name, items]) => items.map((item) => `${queryEscape(name)}=${queryEscape(item)}`))
    .join("&");
}
