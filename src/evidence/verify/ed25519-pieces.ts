// Ed25519 (RFC 8032) over messages that are never in memory as a whole, which OpenSSL has no way to do: the manifest of a large export is one.
import { createHash, type KeyObject } from "node:crypto";
import { ed25519 } from "@noble/curves/ed25519.js";
import { equalBytes } from "../../core/bytes.ts";
import type { SignedBytes } from "./primitives.ts";

const { Point } = ed25519;
const POINT_BYTES = 32;
const SIGNATURE_BYTES = 64;

/**
 * Accepts exactly what OpenSSL 3.5 does, with which all other signatures are verified: R must be, byte for byte, the encoding of
 * [s]B − [h]A (without cofactor), s must be reduced, and neither R nor the key may be of small order.
 */
export function verifyEd25519Pieces(
  publicKey: Uint8Array,
  message: Iterable<Uint8Array>,
  signature: Uint8Array,
): boolean {
  if (publicKey.length !== POINT_BYTES || signature.length !== SIGNATURE_BYTES) return false;
  const [r, s] = [signature.subarray(0, POINT_BYTES), littleEndian(signature.subarray(POINT_BYTES))];
  if (s >= Point.Fn.ORDER) return false;
  const hash = createHash("sha512").update(r).update(publicKey);
  for (const piece of message) hash.update(piece);
  const h = littleEndian(hash.digest()) % Point.Fn.ORDER;
  try {
    const key = Point.fromBytes(publicKey, true);
    const computed = Point.BASE.multiplyUnsafe(s).subtract(key.multiplyUnsafe(h));
    return !key.isSmallOrder() && !computed.isSmallOrder() && equalBytes(computed.toBytes(), r);
  } catch {
    return false;
  }
}

/** The signature that OpenSSL would make: Ed25519 leaves no choice. It reads the message twice (RFC 8032 §5.1.6). */
export function signEd25519Pieces(privateKey: KeyObject, message: SignedBytes): Uint8Array {
  const seed = Buffer.from(privateKey.export({ format: "jwk" }).d!, "base64url");
  const { prefix, scalar, pointBytes } = ed25519.utils.getExtendedPublicKey(seed);
  const scalarOf = (...beginning: Uint8Array[]): bigint => {
    const hash = createHash("sha512");
    for (const part of beginning) hash.update(part);
    for (const piece of message.pieces()) hash.update(piece);
    return littleEndian(hash.digest()) % Point.Fn.ORDER;
  };
  const nonce = scalarOf(prefix);
  const r = Point.BASE.multiply(nonce).toBytes();
  const s = Point.Fn.create(nonce + scalarOf(r, pointBytes) * scalar);
  return Buffer.concat([r, Point.Fn.toBytes(s)]);
}

function littleEndian(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).reverse().toString("hex")}`);
}
