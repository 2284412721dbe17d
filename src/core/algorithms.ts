// The signature algorithms that tokens may be made with, and the keys that each takes: one table for whoever signs to us.

/** What of a JWK (RFC 7517) says what it is good for. */
export interface KeyUse {
  readonly kty?: unknown;
  readonly crv?: unknown;
  readonly use?: unknown;
  readonly key_ops?: unknown;
  readonly alg?: unknown;
}

/**
 * Asymmetric only: with a MAC, or none, whoever can verify could sign. `EdDSA` is Ed25519 by its older name (RFC 9864).
 * Sources: RFC 7518 §3.1, RFC 8037 §3.1, RFC 9864 §2.2.
 */
const ALGORITHMS: { readonly [alg: string]: { readonly kty: string; readonly crv?: string } } = {
  EdDSA: { kty: "OKP", crv: "Ed25519" },
  Ed25519: { kty: "OKP", crv: "Ed25519" },
  ES256: { kty: "EC", crv: "P-256" },
  ES384: { kty: "EC", crv: "P-384" },
  ES512: { kty: "EC", crv: "P-521" },
  PS256: { kty: "RSA" },
  PS384: { kty: "RSA" },
  PS512: { kty: "RSA" },
  RS256: { kty: "RSA" },
  RS384: { kty: "RSA" },
  RS512: { kty: "RSA" },
};

export const SIGNATURE_ALGORITHMS: readonly string[] = Object.keys(ALGORITHMS);

const sameKey = (alg: unknown, name: string): boolean =>
  alg === name || (alg === "EdDSA" && name === "Ed25519") || (alg === "Ed25519" && name === "EdDSA");

/** The algorithms whose signatures this key verifies; none for a key of another use or of a type unknown here. */
export function algorithmsOf({ kty, crv, use, key_ops, alg }: KeyUse): string[] {
  if (use !== undefined && use !== "sig") return [];
  if (key_ops !== undefined && !(Array.isArray(key_ops) && key_ops.includes("verify"))) return [];
  return SIGNATURE_ALGORITHMS.filter((name) => {
    const taken = ALGORITHMS[name]!;
    return (
      taken.kty === kty && (taken.crv === undefined || taken.crv === crv) && (alg === undefined || sameKey(alg, name))
    );
  });
}
