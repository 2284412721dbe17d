// What the verifier needs of cryptography, brought from outside: node:crypto in Node, WebCrypto and a library in browsers.
import { sha256 as nobleSha256 } from "@noble/hashes/sha2.js";

/** SHA-256 of what comes in pieces. */
export interface Sha256Stream {
  update(data: Uint8Array): void;
  digest(): Uint8Array;
}

/** A message that need not be in memory as a whole. */
export interface SignedBytes {
  readonly length: number;
  /** From the start each time; each piece is good until the next. */
  pieces(): Iterable<Uint8Array>;
}

/** Longer messages are never in memory as a whole. */
export const WHOLE_BYTES_MAX = 8 * 1024 * 1024;

export const inOnePiece = (bytes: Uint8Array): SignedBytes => ({ length: bytes.length, pieces: () => [bytes] });

export function wholeOf(pieces: Iterable<Uint8Array>, length: number): Uint8Array {
  const whole = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

export interface Primitives {
  sha256(data: Uint8Array): Uint8Array;
  sha256Stream(): Sha256Stream;
  /** Ed25519 (RFC 8032). False, and never an exception, for keys and signatures of the wrong form. */
  verifyEd25519(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean | Promise<boolean>;
  /** The same of a long message that comes in pieces, accepting exactly the same. */
  verifyEd25519Pieces?(
    publicKey: Uint8Array,
    message: Iterable<Uint8Array>,
    signature: Uint8Array,
  ): boolean | Promise<boolean>;
}

const encoder = new TextEncoder();
const TEXT_BYTES = 64 * 1024;
/** A unit of UTF-16 takes three bytes at most. */
const UNIT_BYTES_MAX = 3;
const textBytes = new Uint8Array(TEXT_BYTES);

/** SHA-256 of a text in UTF-8. */
export function sha256OfText({ sha256 }: Primitives, text: string): Uint8Array {
  if (text.length * UNIT_BYTES_MAX > TEXT_BYTES) return sha256(encoder.encode(text));
  return sha256(textBytes.subarray(0, encoder.encodeInto(text, textBytes).written));
}

const imported = new Map<string, Promise<CryptoKey>>();
const KEYS_KEPT_MAX = 64;

/** For browsers, and wherever else there is WebCrypto with Ed25519. */
export const WEB_PRIMITIVES: Primitives = {
  sha256: (data) => nobleSha256(data),
  sha256Stream() {
    const hash = nobleSha256.create();
    return { update: (data) => void hash.update(data), digest: () => hash.digest() };
  },
  async verifyEd25519(publicKey, message, signature) {
    try {
      const key = await importKey(publicKey);
      return await crypto.subtle.verify(
        "Ed25519",
        key,
        signature as Uint8Array<ArrayBuffer>,
        message as Uint8Array<ArrayBuffer>,
      );
    } catch {
      return false;
    }
  },
};

function importKey(publicKey: Uint8Array): Promise<CryptoKey> {
  const name = publicKey.join();
  let key = imported.get(name);
  if (key === undefined) {
    if (imported.size >= KEYS_KEPT_MAX) imported.clear();
    key = crypto.subtle.importKey("raw", publicKey as Uint8Array<ArrayBuffer>, "Ed25519", false, ["verify"]);
    imported.set(name, key);
  }
  return key;
}
