// The pinned public keys that tokens are verified with, by issuer.
import { calculateJwkThumbprint, importJWK, type CryptoKey, type JWK } from "jose";
import { algorithmsOf, SIGNATURE_ALGORITHMS } from "../core/algorithms.ts";
import { ConfigError } from "../core/errors.ts";

/** A pinned public key that a verified token was signed with. */
export type UsedKey = { issuer: string; thumbprint: string; jwk: JWK };

export type PinnedKey = { used: UsedKey; kid: string | undefined; byAlgorithm: ReadonlyMap<string, CryptoKey> };
export type Issuers = ReadonlyMap<string, readonly PinnedKey[]>;

const PUBLIC_MEMBERS = ["kty", "crv", "x", "y", "n", "e", "kid", "alg", "use"] as const;

/**
 * Imports the keys of each issuer. A key that can verify nothing here, for encryption or of an unknown type, is passed
 * over (RFC 7517 §5).
 * @param first the index of the first issuer in the setting. @throws ConfigError naming the setting, where an issuer has no other.
 */
export async function pin(
  issuers: readonly { issuer: string; jwks: readonly JWK[] }[],
  setting: string,
  first = 0,
): Promise<Issuers> {
  const pinned = new Map<string, PinnedKey[]>();
  for (const [index, { issuer, jwks }] of issuers.entries()) {
    const keys = (await Promise.all(jwks.map((jwk) => pinKey(issuer, jwk)))).filter((key) => key !== undefined);
    if (keys.length === 0)
      throw new ConfigError(
        `${setting}[${first + index}].jwks`,
        `no key for any of ${SIGNATURE_ALGORITHMS.join(", ")}`,
      );
    pinned.set(issuer, [...(pinned.get(issuer) ?? []), ...keys]);
  }
  return pinned;
}

/** @returns undefined where it can verify nothing here. */
export async function pinKey(issuer: string, given: JWK): Promise<PinnedKey | undefined> {
  const algorithms = algorithmsOf(given);
  if (algorithms.length === 0) return undefined;
  const jwk = Object.fromEntries(
    PUBLIC_MEMBERS.flatMap((name) => (given[name] === undefined ? [] : [[name, given[name]]])),
  ) as JWK;
  const { alg: _, ...material } = jwk;
  try {
    const imported = algorithms.map(async (name) => [name, (await importJWK(material, name)) as CryptoKey] as const);
    const byAlgorithm = new Map(await Promise.all(imported));
    return { used: { issuer, thumbprint: await calculateJwkThumbprint(jwk), jwk }, kid: jwk.kid, byAlgorithm };
  } catch {
    return undefined;
  }
}

/** RFC 7638; undefined for what is no key. */
export async function thumbprintOf(jwk: Record<string, unknown>): Promise<string | undefined> {
  try {
    return await calculateJwkThumbprint(jwk as JWK);
  } catch {
    return undefined;
  }
}
