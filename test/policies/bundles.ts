// Signed bundles for tests: the shipped law with another manifest or other data, and policies of others.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { calculateJwkThumbprint, exportJWK, exportSPKI, generateKeyPair, type CryptoKey, type JWK } from "jose";
import { readBundleFiles } from "../../src/policy/bundle-files.ts";
import { buildBundleFiles } from "../../src/workshop/build.ts";
import { signBundleFiles, writeBundleFiles } from "../../src/policy/sign.ts";

export interface TestSigner {
  readonly privateKey: CryptoKey;
  readonly algorithm: string;
  readonly keyId: string;
  readonly keys: { readonly keys: readonly JWK[] };
  /** For OPA's `keys`. */
  readonly pem: string;
}

export async function makeSigner(): Promise<TestSigner> {
  const { privateKey, publicKey } = await generateKeyPair("ES256", { extractable: true });
  const jwk = await exportJWK(publicKey);
  const keyId = await calculateJwkThumbprint(jwk);
  return {
    privateKey,
    algorithm: "ES256",
    keyId,
    keys: { keys: [{ ...jwk, kid: keyId, alg: "ES256" }] },
    pem: await exportSPKI(publicKey),
  };
}

const shipped = await readBundleFiles(readFileSync("bundles/railgate.tar.gz"));

export interface BundleChanges {
  readonly revision?: string;
  readonly sequence?: number;
  /** RFC 3339. */
  readonly expires?: string;
  readonly roots?: readonly string[];
  /** Replaces files of the bundle. */
  readonly files?: (files: Map<string, Uint8Array>) => void;
}

/** The shipped law, changed and signed; without a signer it is not signed. */
export async function lawBundle(signer: TestSigner | null, changes: BundleChanges = {}): Promise<Uint8Array> {
  const { revision = "", sequence, expires, roots } = changes;
  const files = new Map(shipped);
  files.delete(".signatures.json");
  const manifest = JSON.parse(Buffer.from(files.get(".manifest")!).toString()) as object;
  const railgate = { ...(sequence !== undefined && { sequence }), ...(expires !== undefined && { expires }) };
  const changed = { ...manifest, revision, ...(roots && { roots }), metadata: { railgate } };
  files.set(".manifest", Buffer.from(JSON.stringify(changed)));
  changes.files?.(files);
  return writeBundleFiles(signer === null ? files : await signBundleFiles(files, signer));
}

/** The shipped law under another root: the same WASM, about something else as far as a node can tell. */
export const elsewhere = (signer: TestSigner, root: string, revision = "elsewhere"): Promise<Uint8Array> =>
  lawBundle(signer, { revision, roots: [root] });

/** Changes `data.railgate.settings`. */
export const changedSettings =
  (change: (settings: any) => void): NonNullable<BundleChanges["files"]> =>
  (files) => {
    const data = JSON.parse(Buffer.from(files.get("data.json")!).toString()) as { railgate: { settings: object } };
    change(data.railgate.settings);
    files.set("data.json", Buffer.from(JSON.stringify(data)));
  };

/** The shipped law built anew, with a text replaced in one of its files. */
export async function lawlessFiles(
  file: string,
  from: RegExp,
  to: string,
): Promise<NonNullable<BundleChanges["files"]>> {
  const directory = mkdtempSync(join(tmpdir(), "railgate-lawless-"));
  try {
    cpSync(new URL("../../policy/", import.meta.url).pathname, directory, {
      recursive: true,
      filter: (path) => !path.endsWith("_test.rego"),
    });
    const path = join(directory, "railgate", file);
    const text = readFileSync(path, "utf8");
    if (!from.test(text)) throw new Error(`${file} has no ${from}`);
    writeFileSync(path, text.replace(from, to));
    const built = await buildBundleFiles(directory);
    return (files) => files.set("policy.wasm", built.get("policy.wasm")!);
  } finally {
    rmSync(directory, { recursive: true });
  }
}
