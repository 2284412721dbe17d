// Signs bundles in OPA's format: a JWT that lists every file with its hash, in `.signatures.json`; and writes the archive.
import { CompactSign, type CryptoKey } from "jose";
import { ArchiveError } from "../archive/tar.ts";
import { tarGz } from "../archive/write.ts";
import { BundleError } from "../core/errors.ts";
import { hashBundleFile } from "./bundle-documents.ts";

const SIGNATURES = ".signatures.json";

export interface BundleSigner {
  readonly privateKey: CryptoKey;
  /** JWS algorithm, e.g. `ES256`. */
  readonly algorithm: string;
  /** How verifiers look the key up: OPA's `keyid`; an RFC 7638 thumbprint where the key is published as a JWKS. Absent: they know. */
  readonly keyId?: string | undefined;
  /** OPA's `signing.scope`, if any. */
  readonly scope?: string;
}

/**
 * The files with a signature over all of them; one that was there is replaced.
 * Format: OPA documentation, "Bundle signature format".
 */
export async function signBundleFiles(
  files: ReadonlyMap<string, Uint8Array>,
  signer: BundleSigner,
): Promise<Map<string, Uint8Array>> {
  const unsigned = [...files].filter(([name]) => name !== SIGNATURES);
  const algorithm = "SHA-256";
  const payload = {
    files: await Promise.all(
      unsigned.map(async ([name, content]) => ({
        name,
        hash: await hashBundleFile(name, content, algorithm),
        algorithm,
      })),
    ),
    ...(signer.keyId !== undefined && { keyid: signer.keyId }),
    ...(signer.scope !== undefined && { scope: signer.scope }),
  };
  const token = await new CompactSign(new TextEncoder().encode(JSON.stringify(payload)))
    .setProtectedHeader({
      alg: signer.algorithm,
      ...(signer.keyId !== undefined && { kid: signer.keyId }),
      typ: "JWT",
    })
    .sign(signer.privateKey);
  return new Map([
    ...unsigned,
    [SIGNATURES, new TextEncoder().encode(`${JSON.stringify({ signatures: [token] }, null, 2)}\n`)],
  ]);
}

/**
 * A bundle's `.tar.gz`, the same bytes for the same files: names sorted and with OPA's leading slash.
 * @throws BundleError `archive` where a name is too long for ustar.
 */
export function writeBundleFiles(files: ReadonlyMap<string, Uint8Array>): Uint8Array {
  const entries = [...files].sort(([a], [b]) => (a < b ? -1 : 1));
  try {
    return tarGz(entries.map(([name, content]) => [`/${name}`, content]));
  } catch (error) {
    if (!(error instanceof ArchiveError)) throw error;
    throw new BundleError("archive", `the bundle cannot be written: ${error.message}`, { cause: error });
  }
}
