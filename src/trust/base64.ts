// Base64 (RFC 4648, either alphabet, with or without padding) inside claims: bytes, and text where they are some.

const BASE64 = /^(?:[A-Za-z0-9+/]+={0,2}|[A-Za-z0-9_-]+={0,2})$/;
const utf8 = new TextDecoder("utf-8", { fatal: true });

/** @returns undefined for what is no base64; `text` is undefined where the bytes are none in UTF-8. */
export function base64(encoded: string): { readonly bytes: Uint8Array; readonly text: string | undefined } | undefined {
  if (!BASE64.test(encoded)) return undefined;
  const bytes = Buffer.from(encoded, "base64");
  // What was left over at the end would be another spelling of the same bytes.
  if (bytes.toString("base64url") !== encoded.replace(/=+$/, "").replaceAll("+", "-").replaceAll("/", "_"))
    return undefined;
  try {
    return { bytes, text: utf8.decode(bytes) };
  } catch {
    return { bytes, text: undefined };
  }
}
