// Public keys that a policy brings, from PEM (certificate or SPKI) and JWK (RFC 7517), and signatures by them (RFC 7518, RFC 8032).
import { ed25519 } from "@noble/curves/ed25519.js";
import { p256, p384, p521 } from "@noble/curves/nist.js";
import { hmac } from "@noble/hashes/hmac.js";
import { decodeBase64Url } from "./base64.ts";
import { cached } from "./cache.ts";
import { bits, elements, objectId, pemBlock, positiveInteger, sequence, unsigned, type Element } from "./der.ts";
import { BuiltinError } from "./errors.ts";
import { HASHES } from "./hashes.ts";
import { type RsaKey, verifyPkcs1, verifyPss } from "./rsa.ts";
import { parseJson } from "./text.ts";
import { RegoObject, type Value } from "./value.ts";

const CURVES = { "P-256": p256, "P-384": p384, "P-521": p521 };
type CurveName = keyof typeof CURVES;

type PublicKey =
  | { readonly type: "RSA"; readonly key: RsaKey }
  | { readonly type: "EC"; readonly curve: CurveName; readonly point: Uint8Array }
  | { readonly type: "Ed25519"; readonly point: Uint8Array }
  | { readonly type: "secret"; readonly bytes: Uint8Array }
  /** A private key, or of a kind that verifies nothing here. */
  | { readonly type: "other" };

export interface VerificationKey {
  readonly algorithm: string;
  readonly id: string;
  readonly key: PublicKey;
}

export const ALGORITHMS = [
  ...["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
  ...["ES256", "ES384", "ES512", "HS256", "HS384", "HS512", "EdDSA"],
] as const;
export type Algorithm = (typeof ALGORITHMS)[number];

export const isAlgorithm = (name: string): name is Algorithm => (ALGORITHMS as readonly string[]).includes(name);

const OIDS = { rsa: "1.2.840.113549.1.1.1", ec: "1.2.840.10045.2.1", ed25519: "1.3.101.112" };
const CURVE_OIDS: { readonly [oid: string]: CurveName | undefined } = {
  "1.2.840.10045.3.1.7": "P-256",
  "1.3.132.0.34": "P-384",
  "1.3.132.0.35": "P-521",
};
/** The context-specific tag of a certificate's version. */
const VERSION_TAG = 0xa0;

/** The keys of a PEM certificate, a PEM public key, a JWK or a JWKS. @throws BuiltinError where it is none of them. */
export const keysOf = cached(100, (text): readonly VerificationKey[] => {
  const pem = pemBlock(text);
  if (pem === undefined) return jwksOf(text);
  if (pem.rest.length > 0) throw new BuiltinError("extra data after a PEM certificate block");
  if (pem.type === "CERTIFICATE") return [unnamed(certificateKey(pem.bytes))];
  if (pem.type === "PUBLIC KEY") return [unnamed(spkiKey(elements(pem.bytes)[0]))];
  throw new BuiltinError("failed to extract a Key from the PEM certificate");
});

const unnamed = (key: PublicKey): VerificationKey => ({ algorithm: "", id: "", key });

function certificateKey(der: Uint8Array): PublicKey {
  const [certificate, ...more] = elements(der);
  if (more.length > 0) throw new BuiltinError("failed to parse a PEM certificate: trailing data");
  const fields = sequence(sequence(certificate)[0]);
  // serial number, signature, issuer, validity, subject, and then the key
  return spkiKey(fields[fields[0]?.tag === VERSION_TAG ? 6 : 5]);
}

function spkiKey(spki: Element | undefined): PublicKey {
  const [algorithm, key] = sequence(spki);
  const [oid, parameters] = sequence(algorithm);
  switch (objectId(oid)) {
    case OIDS.rsa: {
      const [modulus, exponent] = sequence(elements(bits(key))[0]);
      return { type: "RSA", key: { modulus: positiveInteger(modulus), exponent: positiveInteger(exponent) } };
    }
    case OIDS.ec: {
      const curve = CURVE_OIDS[objectId(parameters)];
      return curve === undefined ? { type: "other" } : onCurve(curve, bits(key));
    }
    case OIDS.ed25519:
      return { type: "Ed25519", point: bits(key) };
    default:
      return { type: "other" };
  }
}

function onCurve(curve: CurveName, point: Uint8Array): PublicKey {
  try {
    CURVES[curve].Point.fromBytes(point);
  } catch {
    throw new BuiltinError("x509: failed to unmarshal elliptic curve point");
  }
  return { type: "EC", curve, point };
}

function jwksOf(text: string): VerificationKey[] {
  const document = parseJson(text);
  if (!(document instanceof RegoObject)) throw new BuiltinError("failed to parse a JWK key (set)");
  const keys = document.get("keys");
  const jwks = keys === undefined ? [document] : keys;
  if (!Array.isArray(jwks)) throw new BuiltinError("failed to parse a JWK key (set): keys is no list");
  return (jwks as Value[]).flatMap((jwk) => {
    if (!(jwk instanceof RegoObject)) throw new BuiltinError("failed to parse a JWK key (set)");
    const [algorithm, id] = [textMember(jwk, "alg"), textMember(jwk, "kid")];
    const key = jwkKey(jwk);
    return algorithm !== "" && !isAlgorithm(algorithm) ? [] : [{ algorithm, id, key }];
  });
}

function textMember(jwk: RegoObject, name: string): string {
  const member = jwk.get(name) ?? "";
  if (typeof member !== "string") throw new BuiltinError(`failed to parse a JWK key (set): ${name} is no text`);
  return member;
}

function bytesMember(jwk: RegoObject, name: string): Uint8Array {
  const member = textMember(jwk, name);
  if (member === "") throw new BuiltinError(`failed to parse a JWK key (set): required field ${name} is missing`);
  return decodeBase64Url(member);
}

function jwkKey(jwk: RegoObject): PublicKey {
  const isPrivate = jwk.has("d");
  switch (textMember(jwk, "kty")) {
    case "RSA": {
      const key = { modulus: unsigned(bytesMember(jwk, "n")), exponent: unsigned(bytesMember(jwk, "e")) };
      return isPrivate ? { type: "other" } : { type: "RSA", key };
    }
    case "EC": {
      const curve = textMember(jwk, "crv");
      const [x, y] = [bytesMember(jwk, "x"), bytesMember(jwk, "y")];
      if (!Object.hasOwn(CURVES, curve)) throw new BuiltinError(`invalid curve algorithm ${curve}`);
      const size = CURVES[curve as CurveName].Point.Fp.BYTES;
      const point = Uint8Array.from([4, ...padded(x, size), ...padded(y, size)]);
      return isPrivate ? { type: "other" } : onCurve(curve as CurveName, point);
    }
    case "OKP": {
      const point = bytesMember(jwk, "x");
      return isPrivate || textMember(jwk, "crv") !== "Ed25519" ? { type: "other" } : { type: "Ed25519", point };
    }
    case "oct":
      return { type: "secret", bytes: bytesMember(jwk, "k") };
    default:
      throw new BuiltinError("failed to parse a JWK key (set): invalid key type");
  }
}

function padded(bytes: Uint8Array, size: number): number[] {
  return [...Array.from({ length: Math.max(0, size - bytes.length) }, () => 0), ...bytes];
}

const HASH_NAMES = { 256: "SHA256", 384: "SHA384", 512: "SHA512" } as const;
const hashNameOf = (algorithm: Algorithm) => HASH_NAMES[algorithm.slice(2) as unknown as keyof typeof HASH_NAMES];
/** Each algorithm's own curve, which is due where RFC 7518 is followed; OPA's older functions take any. */
const OWN_CURVES: { readonly [algorithm: string]: CurveName } = { ES256: "P-256", ES384: "P-384", ES512: "P-521" };

/** @param strict only the algorithm's own curve counts. @returns false where the key is of another kind. */
export function verifies(
  algorithm: Algorithm,
  key: PublicKey,
  message: Uint8Array,
  signature: Uint8Array,
  strict: boolean,
): boolean {
  if (algorithm === "EdDSA") return key.type === "Ed25519" && verifiesEd25519(key.point, message, signature);
  const name = hashNameOf(algorithm);
  switch (algorithm.slice(0, 2)) {
    case "RS":
      return key.type === "RSA" && verifyPkcs1(key.key, name, message, signature);
    case "PS":
      return key.type === "RSA" && verifyPss(key.key, name, message, signature);
    case "ES":
      return (
        key.type === "EC" &&
        (!strict || OWN_CURVES[algorithm] === key.curve) &&
        verifiesEcdsa(key, HASHES[name](message), signature, strict)
      );
    default:
      return key.type === "secret" && sameBytes(hmac(HASHES[name], key.bytes, message), signature);
  }
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (const [i, byte] of a.entries()) difference |= byte ^ b[i]!;
  return difference === 0;
}

function verifiesEd25519(point: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  try {
    return ed25519.verify(signature, message, point, { zip215: false });
  } catch {
    return false;
  }
}

function verifiesEcdsa(
  { curve, point }: { readonly curve: CurveName; readonly point: Uint8Array },
  digest: Uint8Array,
  signature: Uint8Array,
  strict: boolean,
): boolean {
  const size = CURVES[curve].Point.Fn.BYTES;
  const half = Math.floor(signature.length / 2);
  if (strict && signature.length !== 2 * size) return false;
  const [r, s] = [unsigned(signature.subarray(0, half)), unsigned(signature.subarray(half))];
  const hex = [r, s].map((number) => number.toString(16).padStart(2 * size, "0")).join("");
  if (hex.length !== 4 * size) return false;
  const compact = Uint8Array.from({ length: 2 * size }, (_, i) => Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16));
  try {
    return CURVES[curve].verify(compact, digest, point, { prehash: false, lowS: false, format: "compact" });
  } catch {
    return false;
  }
}
