// Base64 as Go decodes it: line breaks are skipped, padding is due, and bits that are left over do not matter.
import { BuiltinError } from "./errors.ts";

export function decodeBase64(given: string): Uint8Array {
  const text = given.replaceAll(/[\r\n]/g, "");
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) throw new BuiltinError("illegal base64 data");
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

/** The URL's alphabet; without padding too. */
export function decodeBase64Url(given: string): Uint8Array {
  if (/[+/]/.test(given)) throw new BuiltinError("illegal base64 data");
  const short = given.endsWith("=") ? 0 : (4 - (given.length % 4)) % 4;
  if (short === 3) throw new BuiltinError(`illegal base64url string: ${given.slice(0, 100)}`);
  return decodeBase64(given.replaceAll("-", "+").replaceAll("_", "/") + "=".repeat(short));
}
