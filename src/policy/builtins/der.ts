// DER, as far as keys and certificates need it (X.690), and the PEM around it (RFC 7468 as Go reads it).
import { decodeBase64 } from "./base64.ts";
import { BuiltinError } from "./errors.ts";

export interface Element {
  readonly tag: number;
  readonly content: Uint8Array;
  /** With tag and length. */
  readonly whole: Uint8Array;
}

const TAG = { INTEGER: 0x02, BIT_STRING: 0x03, OID: 0x06, SEQUENCE: 0x30 } as const;

const broken = (): BuiltinError => new BuiltinError("malformed DER");

/** The elements that follow one another. @throws BuiltinError where they are not whole. */
export function elements(bytes: Uint8Array): Element[] {
  const found: Element[] = [];
  for (let at = 0; at < bytes.length; ) {
    const [tag, first] = [bytes[at]!, bytes[at + 1]];
    if (first === undefined || (tag & 0x1f) === 0x1f) throw broken();
    let [length, start] = [first, at + 2];
    if (first >= 0x80) {
      const size = first & 0x7f;
      if (size === 0 || size > 4) throw broken();
      length = bytes.subarray(start, start + size).reduce((sum, byte) => sum * 256 + byte, 0);
      start += size;
    }
    if (start + length > bytes.length) throw broken();
    found.push({ tag, content: bytes.subarray(start, start + length), whole: bytes.subarray(at, start + length) });
    at = start + length;
  }
  return found;
}

/** The elements of a sequence. @throws BuiltinError where it is none. */
export function sequence(element: Element | undefined): Element[] {
  if (element?.tag !== TAG.SEQUENCE) throw broken();
  return elements(element.content);
}

export function objectId(element: Element | undefined): string {
  if (element?.tag !== TAG.OID) throw broken();
  const parts: number[] = [];
  let part = 0;
  for (const byte of element.content) {
    part = part * 128 + (byte & 0x7f);
    if (byte >= 0x80) continue;
    parts.push(part);
    part = 0;
  }
  const [first = 0, ...rest] = parts;
  return [Math.min(Math.floor(first / 40), 2), first - 40 * Math.min(Math.floor(first / 40), 2), ...rest].join(".");
}

export function unsigned(bytes: Uint8Array): bigint {
  let hex = "0";
  for (const byte of bytes) hex += byte.toString(16).padStart(2, "0");
  return BigInt(`0x${hex}`);
}

export function positiveInteger(element: Element | undefined): bigint {
  if (element?.tag !== TAG.INTEGER || element.content.length === 0 || element.content[0]! >= 0x80) throw broken();
  return unsigned(element.content);
}

/** The bytes of a bit string that has no bits left over. */
export function bits(element: Element | undefined): Uint8Array {
  if (element?.tag !== TAG.BIT_STRING || element.content[0] !== 0) throw broken();
  return element.content.subarray(1);
}

const PEM = /-----BEGIN ([^\n]*?)-----[ \t]*\r?\n([^]*?)\n?-----END \1-----[ \t]*(?:\r?\n|$)/;

/** The first block of PEM, and what follows it; undefined where there is none. */
export function pemBlock(text: string): { type: string; bytes: Uint8Array; rest: string } | undefined {
  const match = PEM.exec(text);
  if (match === null || (match.index > 0 && text[match.index - 1] !== "\n")) return undefined;
  const [whole, type, body] = match;
  try {
    const bytes = decodeBase64(body!.replaceAll(/[ \t\r\n]/g, ""));
    return { type: type!, bytes, rest: text.slice(match.index + whole.length) };
  } catch {
    return undefined;
  }
}
