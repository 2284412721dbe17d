// Digests as they are written: `sha256:` and 64 lowercase hex digits.
import { DIGEST_BYTES } from "./tables.ts";

const DIGEST = /^sha256:[0-9a-f]{64}$/;
const PREFIX = "sha256:";
const NIBBLES = Uint8Array.from({ length: 128 }, (_, code) => (code >= 0x61 ? code - 0x57 : code - 0x30));
const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

export const isDigest = (value: unknown): value is string => typeof value === "string" && DIGEST.test(value);

/** The bytes of 64 lowercase hex digits, which are not checked again. */
export function hexBytes(hex: string, into = new Uint8Array(DIGEST_BYTES), offset = 0, start = 0): Uint8Array {
  for (let at = 0; at < DIGEST_BYTES; at++) {
    into[offset + at] = (NIBBLES[hex.charCodeAt(start + 2 * at)]! << 4) | NIBBLES[hex.charCodeAt(start + 2 * at + 1)]!;
  }
  return into;
}

/** The bytes of a digest; undefined where it is none. */
export function digestBytes(value: unknown): Uint8Array | undefined {
  return isDigest(value) ? hexBytes(value, undefined, 0, PREFIX.length) : undefined;
}

export function hexOf(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += HEX[byte]!;
  return text;
}

export const digestText = (bytes: Uint8Array): string => PREFIX + hexOf(bytes);
