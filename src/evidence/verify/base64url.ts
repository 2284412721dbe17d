// Base64 as the verifier reads it (RFC 4648): what is written in the one way that encodes its bytes, and nothing else.

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const NONE = 0xff;
/** Set in no value that a character stands for. */
const INVALID = 0xc0;
const URL_VALUES = valuesOf(`${LETTERS}-_`);
const STANDARD_VALUES = valuesOf(`${LETTERS}+/`);
const encoder = new TextEncoder();

function valuesOf(alphabet: string): Uint8Array {
  const values = new Uint8Array(256).fill(NONE);
  for (let value = 0; value < alphabet.length; value++) values[alphabet.charCodeAt(value)] = value;
  return values;
}

/** The bytes of unpadded base64url; undefined unless it is written in the one way that encodes them (RFC 4648 §3.5). */
export const fromBase64url = (text: string): Uint8Array | undefined => decodeBase64url(encoder.encode(text));

/**
 * The same of characters as bytes.
 * @param into where the bytes go if there is room; they are then good until it is used again.
 */
export function decodeBase64url(chars: Uint8Array, into?: Uint8Array): Uint8Array | undefined {
  return decoded(chars, URL_VALUES, into);
}

/** The 32 bytes of a hash in standard base64 with its padding (RFC 4648 §4); undefined for any other text. */
export function fromBase64Hash(text: string): Uint8Array | undefined {
  if (text.length !== HASH_CHARS + 1 || text.charCodeAt(HASH_CHARS) !== PADDING) return undefined;
  for (let at = 0; at < HASH_CHARS; at++) hashChars[at] = Math.min(text.charCodeAt(at), NONE);
  return decoded(hashChars, STANDARD_VALUES);
}

const HASH_CHARS = 43;
const PADDING = 0x3d;
const hashChars = new Uint8Array(HASH_CHARS);

function decoded(chars: Uint8Array, values: Uint8Array, into?: Uint8Array): Uint8Array | undefined {
  const rest = chars.length % 4;
  if (rest === 1) return undefined;
  const whole = chars.length - rest;
  const length = (whole / 4) * 3 + Math.max(0, rest - 1);
  const bytes = into !== undefined && into.length >= length ? into.subarray(0, length) : new Uint8Array(length);
  let seen = 0;
  let to = 0;
  for (let at = 0; at < whole; at += 4) {
    const a = values[chars[at]!]!;
    const b = values[chars[at + 1]!]!;
    const c = values[chars[at + 2]!]!;
    const d = values[chars[at + 3]!]!;
    seen |= a | b | c | d;
    bytes[to] = (a << 2) | (b >> 4);
    bytes[to + 1] = (b << 4) | (c >> 2);
    bytes[to + 2] = (c << 6) | d;
    to += 3;
  }
  if (rest > 0) {
    const [a, b] = [values[chars[whole]!]!, values[chars[whole + 1]!]!];
    const c = rest === 3 ? values[chars[whole + 2]!]! : 0;
    const spare = rest === 3 ? c & 3 : b & 15;
    seen |= a | b | c | (spare === 0 ? 0 : NONE);
    bytes[to++] = (a << 2) | (b >> 4);
    if (rest === 3) bytes[to++] = (b << 4) | (c >> 2);
  }
  return (seen & INVALID) === 0 ? bytes : undefined;
}
