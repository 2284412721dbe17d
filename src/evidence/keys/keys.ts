// The node's signing keys, one for each role: made at first start, private file mode 0600, never logged (spec evidence §5).
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { existsSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { calculateJwkThumbprint } from "jose";
import { KeyError } from "../../core/errors.ts";
import type { KeyRow } from "../../store/store.ts";
import { syncDir, writeDurably } from "../../store/files.ts";

export interface SigningKey {
  readonly kid: string;
  readonly privateKey: KeyObject;
  /** Public JWK with `kid`, `alg`, `use`. */
  readonly publicJwk: { readonly [member: string]: unknown; readonly kid: string };
}

/** Where an event key comes from that the node does not make itself; `name` is for messages. */
export type KeySource = { readonly name: string } & ({ readonly directory: string } | { readonly read: () => string });

/**
 * A private key that was given: from a folder the one with this thumbprint, or the only one where none is named.
 * @throws KeyError, which never quotes the key.
 */
export async function loadGivenKey(source: KeySource, kid?: string): Promise<SigningKey> {
  const keys = await givenKeys(source);
  const fitting = kid === undefined ? keys : keys.filter((key) => key.kid === kid);
  if (fitting.length === 1) return fitting[0]!;
  if (kid !== undefined) throw new KeyError(`${source.name} does not hold the key ${kid}`);
  throw new KeyError(`${source.name} holds ${keys.length} keys, and nothing says which is to be used first`);
}

async function givenKeys(source: KeySource): Promise<SigningKey[]> {
  return "read" in source
    ? [await signingKey(parsePrivateKey(source.read(), source.name))]
    : keysInFolder(source.directory);
}

async function keysInFolder(folder: string): Promise<SigningKey[]> {
  let names: string[];
  try {
    names = readdirSync(folder)
      .filter((name) => name.endsWith(".jwk"))
      .sort();
  } catch (cause) {
    throw new KeyError(`the folder ${folder} cannot be read (${(cause as NodeJS.ErrnoException).code})`, { cause });
  }
  return Promise.all(names.map((name) => signingKey(readPrivateKey(join(folder, name)))));
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

/** Where a new key waits until what names it is on record: a rotation, or a restore. */
export function nextKeyFile(dataDir: string, kid: string, role: KeyRole = "event"): string {
  return join(dataDir, "keys", `${role}-${kid}.jwk`);
}

/** A given key that was never used; of several, none can be chosen. @throws KeyError */
export async function freshKey(source: KeySource, used: readonly string[]): Promise<SigningKey> {
  const fresh = (await givenKeys(source)).filter(({ kid }) => !used.includes(kid));
  if (fresh.length === 1) return fresh[0]!;
  throw new KeyError(
    `after a restore the node signs with a new key, and ${source.name} holds ${fresh.length} that it has not used; give it one`,
  );
}

/** Makes a new key, and writes it down beside the one in use. Nothing is signed with it before {@link adoptKey}. */
export async function makeNextKey(dataDir: string, role: KeyRole = "event"): Promise<SigningKey> {
  const key = await signingKey(generateKeyPairSync("ed25519").privateKey);
  writeDurably(
    nextKeyFile(dataDir, key.kid, role),
    `${JSON.stringify(key.privateKey.export({ format: "jwk" }))}\n`,
    0o600,
  );
  return key;
}

/**
 * Puts the key that the database names in its place, after a rotation or a restore that is on record: it takes over the file,
 * and the private half of the one before it is gone. New keys that nothing on record names are given up.
 * @param kid the key in use, as the database has it.
 */
export function adoptKey(dataDir: string, kid: string, role: KeyRole = "event"): void {
  const folder = join(dataDir, "keys");
  if (!existsSync(folder)) return;
  const next = nextKeyFile(dataDir, kid, role);
  const isNext = (name: string) => name.startsWith(`${role}-`) && name.endsWith(".jwk");
  if (!readdirSync(folder).some(isNext)) return;
  if (existsSync(next)) renameSync(next, keyFile(dataDir, role));
  for (const name of readdirSync(folder)) if (isNext(name)) rmSync(join(folder, name));
  syncDir(folder);
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
  try {
    return parsePrivateKey(readFileSync(file, "utf8"), file);
  } catch (error) {
    if (error instanceof KeyError) throw error;
    throw new KeyError(`${file} cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
}

/** @param place where it comes from, for messages. */
function parsePrivateKey(text: string, place: string): KeyObject {
  let key: KeyObject;
  try {
    key = text.trimStart().startsWith("-----BEGIN")
      ? createPrivateKey(text)
      : createPrivateKey({ key: JSON.parse(text), format: "jwk" });
  } catch {
    // The cause could quote the key, so it is not passed on.
    throw new KeyError(`${place} holds no private key in JWK form`);
  }
  if (key.asymmetricKeyType !== "ed25519") throw new KeyError(`${place} holds a key that is not Ed25519`);
  return key;
}
