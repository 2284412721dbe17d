// RSA signatures with a public key: RSASSA-PKCS1-v1_5 and RSASSA-PSS (RFC 8017), on integers of any size.
import { unsigned } from "./der.ts";
import { HASHES } from "./hashes.ts";

export interface RsaKey {
  readonly modulus: bigint;
  readonly exponent: bigint;
}

type HashName = keyof typeof HASHES;

/** DigestInfo before the digest (RFC 8017 §9.2). */
const PREFIXES: { readonly [name in HashName]: string } = {
  SHA256: "3031300d060960864801650304020105000420",
  SHA384: "3041300d060960864801650304020205000430",
  SHA512: "3051300d060960864801650304020305000440",
};
/** Below, Go takes no key; above, a key would take longer than a decision may. */
const MODULUS_BITS = { min: 1024, max: 16_384 };
const EXPONENT_MAX = 2n ** 31n - 1n;

const byteLength = (value: bigint): number => Math.ceil(value.toString(16).length / 2);

function bytesOf(value: bigint, length: number): Uint8Array {
  const hex = value.toString(16).padStart(2 * length, "0");
  return Uint8Array.from({ length }, (_, i) => Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16));
}

/** The encoded message that a signature stands for; undefined where key or signature are out of bounds. */
function opened({ modulus, exponent }: RsaKey, signature: Uint8Array): Uint8Array | undefined {
  const bits = modulus.toString(2).length;
  if (bits < MODULUS_BITS.min || bits > MODULUS_BITS.max || exponent < 2n || exponent > EXPONENT_MAX) return undefined;
  if ((exponent & 1n) === 0n || (modulus & 1n) === 0n) return undefined;
  const length = byteLength(modulus);
  const number = unsigned(signature);
  if (signature.length !== length || number >= modulus) return undefined;
  let [result, base] = [1n, number];
  for (let rest = exponent; rest > 0n; rest >>= 1n) {
    if ((rest & 1n) === 1n) result = (result * base) % modulus;
    base = (base * base) % modulus;
  }
  return bytesOf(result, length);
}

export function verifyPkcs1(key: RsaKey, hash: HashName, message: Uint8Array, signature: Uint8Array): boolean {
  const encoded = opened(key, signature);
  if (encoded === undefined) return false;
  const info = [...PREFIXES[hash].matchAll(/../g)].map(([pair]) => Number.parseInt(pair, 16));
  const digestInfo = [...info, ...HASHES[hash](message)];
  const padding = encoded.length - digestInfo.length - 3;
  if (padding < 8) return false;
  const due = [0, 1, ...Array.from({ length: padding }, () => 0xff), 0, ...digestInfo];
  return due.every((byte, i) => encoded[i] === byte);
}

/** With a salt of any length, which is found. */
export function verifyPss(key: RsaKey, hash: HashName, message: Uint8Array, signature: Uint8Array): boolean {
  const opening = opened(key, signature);
  if (opening === undefined) return false;
  const bits = key.modulus.toString(2).length - 1;
  const length = Math.ceil(bits / 8);
  if (opening.length > length && opening[0] !== 0) return false;
  const encoded = opening.subarray(opening.length - length);
  const digest = HASHES[hash](message);
  const split = length - digest.length - 1;
  if (split < 1 || encoded.at(-1) !== 0xbc) return false;
  const unusedBits = 8 * length - bits;
  if (encoded[0]! >> (8 - unusedBits) !== 0) return false;
  const seed = encoded.subarray(split, split + digest.length);
  const masked = mask(hash, seed, split);
  const block = encoded.slice(0, split).map((byte, i) => byte ^ masked[i]!);
  block[0]! &= 0xff >> unusedBits;
  const one = block.findIndex((byte) => byte !== 0);
  if (one < 0 || block[one] !== 1) return false;
  const salt = block.subarray(one + 1);
  const due = HASHES[hash](Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, ...digest, ...salt]));
  return due.every((byte, i) => seed[i] === byte);
}

/** MGF1 (RFC 8017 §B.2.1). */
function mask(hash: HashName, seed: Uint8Array, length: number): Uint8Array {
  const bytes: number[] = [];
  for (let counter = 0; bytes.length < length; counter++)
    bytes.push(...HASHES[hash](Uint8Array.from([...seed, 0, 0, counter >> 8, counter & 0xff])));
  return Uint8Array.from(bytes.slice(0, length));
}
