// Public keys among the settings: PEM for bundles, JWKS for callers and for those whose word counts. None is fetched.
import { createPublicKey, X509Certificate, type KeyObject } from "node:crypto";
import { algorithmsOf, type KeyUse } from "../../core/algorithms.ts";
import { problemWithJwk } from "../../core/public-jwk.ts";
import { formatPath, type SettingPath } from "../../core/settings.ts";
import { fault, readFileOf, type Source } from "./source.ts";
import type { Jwks } from "./types.ts";

/** A shared secret proves to nobody else who signed, so no bundle is verified with one. */
export const isShared = (algorithm: string) => algorithm.startsWith("HS");
const KEY_TYPES: Readonly<Record<string, string>> = { RS: "rsa", PS: "rsa", ES: "ec" };

/** @returns the key as SPKI in PEM, whatever form it was given in. */
export function readPem(pem: string, algorithm: string, path: SettingPath, source: Source): string {
  if (pem.includes("PRIVATE KEY"))
    throw fault(source, path, "holds a private key; give the public one, and treat the private one as known to others");
  let key: KeyObject;
  try {
    key = createPublicKey(pem);
  } catch {
    throw fault(
      source,
      path,
      'must be a public key or certificate in PEM ("-----BEGIN …", its lines kept by YAML\'s "|")',
    );
  }
  if (key.asymmetricKeyType !== KEY_TYPES[algorithm.slice(0, 2)])
    throw fault(source, path, `is not a key for ${algorithm}; set algorithm to what it was made for`);
  return key.export({ type: "spki", format: "pem" }) as string;
}

/** Keys from a file or as they stand. Only local ones: nothing that decides may hang on a network. */
export function readJwks(given: unknown, path: SettingPath, source: Source): Jwks {
  if (typeof given === "string" && URL.canParse(given) && !given.startsWith("file:"))
    throw fault(source, path, "keys aren't fetched; save them to a file and name that");
  const jwks = typeof given === "string" ? parseJwks(readFileOf(given, path, source), path, source) : (given as Jwks);
  const keys = jwks.keys.filter((key, index) => {
    const problem = problemWithJwk(key);
    if (problem !== undefined) throw fault(source, path, `key ${index + 1} ${problem}`);
    const verifies = algorithmsOf(key as KeyUse).length > 0;
    // RFC 7517 §5: published sets hold keys for other ends, and of types that are not known yet.
    if (!verifies)
      source.notes.push(`key ${index + 1} of ${formatPath(path)} is passed over: it verifies no signature`);
    return verifies;
  });
  if (keys.length === 0) throw fault(source, path, "holds no key that verifies a signature");
  return { ...jwks, keys };
}

function parseJwks(text: string, path: SettingPath, source: Source): Jwks {
  try {
    const parsed: unknown = JSON.parse(text);
    if (Array.isArray((parsed as Jwks | null)?.keys)) return parsed as Jwks;
  } catch {
    // The parser's message quotes the file; what follows says enough.
  }
  throw fault(source, path, 'the file is no JWKS: a JSON object with a list "keys" (RFC 7517 §5)');
}

/** The PEM of a file of certificates. */
export function readRoots(name: string, path: SettingPath, source: Source): string {
  const pem = readFileOf(name, path, source);
  const found = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  try {
    if (found.map((each) => new X509Certificate(each)).length > 0) return pem;
  } catch {
    // Said below: the parser's words are about ASN.1.
  }
  throw fault(source, path, "the file holds no certificate in PEM form, or one that can't be read");
}
