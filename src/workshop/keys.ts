// The keys that bundles are signed and verified with, from files as people have them: PEM, JWK, JWKS.
import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import { exportSPKI, importJWK, importSPKI, type CryptoKey, type JWK } from "jose";
import { algorithmsOf } from "../core/algorithms.ts";
import { RailgateError } from "../core/errors.ts";
import type { BundleKeys } from "../policy/policy.ts";
import type { BundleSigner } from "../policy/sign.ts";

/** A key file that holds no such key, or one that the algorithm does not take. */
class KeyFileError extends RailgateError {
  static override code = "used_wrongly";
}

/** A file that was named is not there, or cannot be read. */
class MissingFileError extends RailgateError {
  static override code = "cannot_run";
}

/** OPA signs with RS256 unless told otherwise; where the key is of another kind, what fits it is meant. */
const PREFERRED = ["RS256", "ES256", "ES384", "ES512", "EdDSA"];

/** @throws MissingFileError */
export function readInput(file: string): Uint8Array {
  try {
    return readFileSync(file);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new MissingFileError(code === "ENOENT" ? `there is no file ${file}` : `can't read ${file} (${code})`, {
      cause,
    });
  }
}

/**
 * A private key to sign bundles with.
 * @param file PEM (PKCS #8, PKCS #1, SEC 1) or a JWK.
 * @param algorithm a JWS algorithm; default: RS256 for an RSA key, else the one that the key is for.
 * @throws KeyFileError, MissingFileError
 */
export async function readSigningKey(
  file: string,
  algorithm: string | undefined,
): Promise<Pick<BundleSigner, "privateKey" | "algorithm">> {
  const jwk = jwkOf(file, keyObject(file, createPrivateKey, "private"));
  const name = chosen(file, jwk, algorithm);
  return { privateKey: (await importJWK(jwk, name)) as CryptoKey, algorithm: name };
}

/**
 * Keys that may have signed a bundle.
 * @param file a public key as PEM or JWK, a certificate, or a JWKS.
 * @param keyId what the one key is called; default: whatever the signature calls it.
 * @throws KeyFileError, MissingFileError
 */
export async function readVerificationKeys(
  file: string,
  algorithm: string | undefined,
  keyId: string | undefined,
): Promise<BundleKeys> {
  const set = jwksIn(readInput(file));
  if (set !== undefined) {
    if (set.some((jwk) => jwk["d"] !== undefined))
      throw new KeyFileError(`${file} holds private keys; give their public halves`);
    return { keys: set as JWK[] };
  }
  const jwk = jwkOf(file, keyObject(file, createPublicKey, "public"));
  const name = chosen(file, jwk, algorithm);
  const key = await exportSPKI(
    await importSPKI(
      createPublicKey({ key: jwk as never, format: "jwk" }).export({ type: "spki", format: "pem" }) as string,
      name,
      { extractable: true },
    ),
  );
  return { [keyId ?? DEFAULT_KEY_ID]: { key, algorithm: name } };
}

/** What OPA calls the key of `--verification-key`. */
export const DEFAULT_KEY_ID = "default";

function keyObject(file: string, create: (input: never) => KeyObject, half: string): KeyObject {
  const bytes = readInput(file);
  const text = Buffer.from(bytes).toString("utf8").trim();
  try {
    const input = text.startsWith("{") ? { key: JSON.parse(text) as object, format: "jwk" } : text;
    return create(input as never);
  } catch (cause) {
    const encrypted = /ENCRYPTED/.test(text) ? ", or it is encrypted: decrypt it first" : "";
    throw new KeyFileError(`${file} holds no ${half} key, in PEM or as a JWK${encrypted}`, { cause });
  }
}

function jwkOf(file: string, key: KeyObject): JWK {
  try {
    return key.export({ format: "jwk" }) as JWK;
  } catch (cause) {
    throw new KeyFileError(`${file} holds a key of a kind that signs no bundles`, { cause });
  }
}

function chosen(file: string, jwk: JWK, algorithm: string | undefined): string {
  const possible = algorithmsOf(jwk);
  const name = algorithm ?? PREFERRED.find((each) => possible.includes(each)) ?? possible[0];
  if (name === undefined) throw new KeyFileError(`${file} holds a key of a kind that signs no bundles`);
  if (!possible.includes(name))
    throw new KeyFileError(`${file} holds a key for ${possible.join(", ")}, not for ${name}`);
  return name;
}

function jwksIn(bytes: Uint8Array): { [member: string]: unknown }[] | undefined {
  try {
    const value = JSON.parse(Buffer.from(bytes).toString("utf8")) as { keys?: unknown };
    return Array.isArray(value.keys) ? (value.keys as { [member: string]: unknown }[]) : undefined;
  } catch {
    return undefined;
  }
}
