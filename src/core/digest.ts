// Digests as they are written, `sha256:` and 64 lowercase hex digits, and the pointers made of them (spec evidence §1). In browsers too.

export const DIGEST_BYTES = 32;
/** How events are hashed: canonical JSON (RFC 8785), SHA-256. */
export const HASH_PROFILE = "ecs-hash-v1";
/** `SHA-256("[]")`: what a snapshot id is where there is nothing: no policy active, no authority used. */
export const EMPTY_SNAPSHOT = "sha256:4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945";

const PREFIX = "sha256:";
/** A digest as a regular expression has it; in lower case, as digests are compared as text. */
export const DIGEST_PATTERN = `${PREFIX}[0-9a-f]{64}`;
export const DIGEST_LENGTH = PREFIX.length + 2 * DIGEST_BYTES;
const DIGEST = new RegExp(`^${DIGEST_PATTERN}$`);
const POINTER_PREFIX = "eosc://evidence/";
const NIBBLES = Uint8Array.from({ length: 128 }, (_, code) => (code >= 0x61 ? code - 0x57 : code - 0x30));
const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

export const isDigest = (value: unknown): value is string => typeof value === "string" && DIGEST.test(value);

/** The hex digits of a digest. */
export const hexOfDigest = (digest: string): string => digest.slice(PREFIX.length);

/** The digest whose hex digits these are; joined, as a text that is still two takes `JSON.stringify` twice as long, whatever it stands in. */
export const digestOfHex = (hex: string): string => [PREFIX, hex].join("");

/** The digest whose bytes these are. */
export const digestText = (bytes: Uint8Array): string => PREFIX + hexOf(bytes);

/** The bytes of a digest; undefined where it is none. */
export function digestBytes(value: unknown): Uint8Array | undefined {
  return isDigest(value) ? hexBytes(value, undefined, 0, PREFIX.length) : undefined;
}

/** Where an artifact is, by its digest. */
export const pointerTo = (digest: string): string => POINTER_PREFIX + digest;

/** The digest that a pointer is made of; undefined where it is made of none. */
export function digestOfPointer(pointer: unknown): string | undefined {
  if (typeof pointer !== "string" || !pointer.startsWith(POINTER_PREFIX)) return undefined;
  const digest = pointer.slice(POINTER_PREFIX.length);
  return isDigest(digest) ? digest : undefined;
}

/** The bytes of 64 lowercase hex digits, which are not checked again. @param start where they begin in the text. */
export function hexBytes(hex: string, into = new Uint8Array(DIGEST_BYTES), offset = 0, start = 0): Uint8Array {
  for (let at = 0; at < DIGEST_BYTES; at++) {
    into[offset + at] = (NIBBLES[hex.charCodeAt(start + 2 * at)]! << 4) | NIBBLES[hex.charCodeAt(start + 2 * at + 1)]!;
  }
  return into;
}

export function hexOf(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += HEX[byte]!;
  return text;
}
