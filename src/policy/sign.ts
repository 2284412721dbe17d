// Signs bundles in OPA's format: a JWT that lists every file with its hash, in `.signatures.json`; and writes the archive.
import { gzipSync } from "node:zlib";
import { CompactSign, type CryptoKey } from "jose";
import { BundleError } from "../core/errors.ts";
import { hashBundleFile } from "./bundle-files.ts";

const SIGNATURES = ".signatures.json";
const BLOCK = 512;
const NAME_BYTES_MAX = 100;
const PREFIX_BYTES_MAX = 155;

export interface BundleSigner {
  readonly privateKey: CryptoKey;
  /** JWS algorithm, e.g. `ES256`. */
  readonly algorithm: string;
  /** How verifiers look the key up: OPA's `keyid`; an RFC 7638 thumbprint where the key is published as a JWKS. */
  readonly keyId: string;
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
  const payload = {
    files: unsigned.map(([name, content]) => ({ name, hash: hashBundleFile(name, content), algorithm: "SHA-256" })),
    keyid: signer.keyId,
    ...(signer.scope !== undefined && { scope: signer.scope }),
  };
  const token = await new CompactSign(new TextEncoder().encode(JSON.stringify(payload)))
    .setProtectedHeader({ alg: signer.algorithm, kid: signer.keyId, typ: "JWT" })
    .sign(signer.privateKey);
  return new Map([
    ...unsigned,
    [SIGNATURES, new TextEncoder().encode(`${JSON.stringify({ signatures: [token] }, null, 2)}\n`)],
  ]);
}

/**
 * A bundle's `.tar.gz`, the same bytes for the same files: no owners, no times, names sorted and with OPA's leading slash.
 * @throws BundleError `archive` where a name is too long for ustar.
 */
export function writeBundleFiles(files: ReadonlyMap<string, Uint8Array>): Uint8Array {
  const entries = [...files].sort(([a], [b]) => (a < b ? -1 : 1));
  const blocks = entries.flatMap(([name, content]) => [
    tarHeader(`/${name}`, content.length),
    content,
    new Uint8Array(-content.length & (BLOCK - 1)),
  ]);
  const archive = gzipSync(Buffer.concat([...blocks, new Uint8Array(2 * BLOCK)]), { level: 9 });
  // RFC 1952 §2.3.1: "unknown" in place of the operating system it was made on.
  archive[9] = 255;
  return archive;
}

/** POSIX ustar (IEEE Std 1003.1, pax, "ustar Interchange Format"). */
function tarHeader(path: string, size: number): Uint8Array {
  const header = Buffer.alloc(BLOCK);
  const [prefix, name] = splitPath(path);
  header.write(name, 0);
  header.write("0000644\0", 100);
  header.write("0000000\0", 108);
  header.write("0000000\0", 116);
  header.write(`${size.toString(8).padStart(11, "0")}\0`, 124);
  header.write("00000000000\0", 136);
  header.write("        0", 148);
  header.write("ustar\x0000", 257);
  header.write(prefix, 345);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return header;
}

function splitPath(path: string): [prefix: string, name: string] {
  if (Buffer.byteLength(path) <= NAME_BYTES_MAX) return ["", path];
  for (let cut = path.indexOf("/", 1); cut > 0; cut = path.indexOf("/", cut + 1)) {
    const [prefix, name] = [path.slice(0, cut), path.slice(cut + 1)];
    if (Buffer.byteLength(prefix) <= PREFIX_BYTES_MAX && Buffer.byteLength(name) <= NAME_BYTES_MAX)
      return [prefix, name];
  }
  throw new BundleError("archive", `the bundle cannot be written: ${path} is too long a name`);
}
