// The node's signing keys, one for each role: made at first start, private file mode 0600, never logged (spec evidence §5).
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { calculateJwkThumbprint } from "jose";
import { RailgateError } from "../core/errors.ts";
import type { KeyRow } from "../store/store.ts";
import { writeDurably } from "./files.ts";

/** The private key that the database names is not there; signing with another would break the stream's key history. */
export class KeyError extends RailgateError {
  static override code = "key_unavailable";
}

export interface SigningKey {
  readonly kid: string;
  readonly privateKey: KeyObject;
  /** Public JWK with `kid`, `alg`, `use`. */
  readonly publicJwk: { readonly [member: string]: unknown; readonly kid: string };
}

/** What a key signs: events, checkpoints of this node's log, or cosignatures of others'. */
export type KeyRole = KeyRow["role"];

/** Where a node's private key for a role lies. */
export function keyFile(dataDir: string, role: KeyRole): string {
  return join(dataDir, "keys", `${role}.jwk`);
}

/** Where a node's private event key lies. */
export function eventKeyFile(dataDir: string): string {
  return keyFile(dataDir, "event");
}

/** See {@link loadKey}. */
export async function loadEventKey(dataDir: string, mayCreate: boolean): Promise<SigningKey> {
  return loadKey(dataDir, "event", mayCreate);
}

/**
 * Reads the node's key for a role, or makes it where `mayCreate`.
 * @throws KeyError when the file is missing but was signed with before, or is no Ed25519 private JWK.
 */
export async function loadKey(dataDir: string, role: KeyRole, mayCreate: boolean): Promise<SigningKey> {
  const file = keyFile(dataDir, role);
  if (!existsSync(file)) {
    if (!mayCreate) {
      throw new KeyError(`${file} is missing, but this node has signed with it; restore the file from its backup`);
    }
    const { privateKey } = generateKeyPairSync("ed25519");
    writeDurably(file, `${JSON.stringify(privateKey.export({ format: "jwk" }))}\n`, 0o600);
  }
  return signingKey(readPrivateKey(file));
}

async function signingKey(privateKey: KeyObject): Promise<SigningKey> {
  const jwk = createPublicKey(privateKey).export({ format: "jwk" });
  const kid = await calculateJwkThumbprint(jwk as { kty: string });
  return { kid, privateKey, publicJwk: { ...jwk, kid, alg: "EdDSA", use: "sig" } };
}

function readPrivateKey(file: string): KeyObject {
  let key: KeyObject;
  try {
    key = createPrivateKey({ key: JSON.parse(readFileSync(file, "utf8")), format: "jwk" });
  } catch {
    // The cause could quote the key, so it is not passed on.
    throw new KeyError(`${file} holds no private key in JWK form`);
  }
  if (key.asymmetricKeyType !== "ed25519") throw new KeyError(`${file} holds a key that is not Ed25519`);
  return key;
}
