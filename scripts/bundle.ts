// Builds the default bundle: policies to WASM, signed with a key whose private half is then forgotten. `--check` says whether it is current.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { calculateJwkThumbprint, exportJWK, generateKeyPair } from "jose";
import { hashBundleFile } from "../src/policy/bundle-documents.ts";
import { readBundleFiles } from "../src/policy/bundle-files.ts";
import { signBundleFiles, writeBundleFiles } from "../src/policy/sign.ts";
import { deprecations, readAnnotations } from "./annotations.ts";
import { ensureOpa } from "./opa.ts";

const BUNDLE = "bundles/railgate.tar.gz";
const KEYS = "bundles/railgate.jwks.json";
const SIGNATURES = ".signatures.json";
const ALGORITHM = "ES256";
/** Tests prove the policy, schemas check it, and capabilities bound it; none of them is part of it. */
const LEFT_OUT = ["*_test.rego", "schemas", "capabilities.json"];
const REVISION_DIGITS = 12;

/**
 * The unsigned bundle of the policies in `directory`, file by file; the same for the same policies, byte for byte.
 * Its entrypoints are the rules annotated as such. Its revision names the release and the content.
 * @throws Error with what `opa build` said.
 */
export async function buildBundleFiles(directory = "policy"): Promise<Map<string, Uint8Array>> {
  const { entrypoints } = await readAnnotations(directory);
  const work = mkdtempSync(join(tmpdir(), "railgate-bundle-"));
  try {
    const output = join(work, "bundle.tar.gz");
    const args = [
      "build",
      "--target",
      "wasm",
      "--capabilities",
      resolve("policy/capabilities.json"),
      "--output",
      output,
      "--bundle",
      ".",
    ];
    for (const entrypoint of entrypoints) args.push("--entrypoint", entrypoint);
    for (const pattern of LEFT_OUT) args.push("--ignore", pattern);
    const run = spawnSync(await ensureOpa(), args, { cwd: directory, encoding: "utf8" });
    if (run.status !== 0) throw new Error(`opa build: ${run.stderr}${run.stdout}`);
    return withRevision(await readBundleFiles(readFileSync(output)));
  } finally {
    rmSync(work, { recursive: true });
  }
}

async function withRevision(files: Map<string, Uint8Array>): Promise<Map<string, Uint8Array>> {
  const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };
  const manifest = JSON.parse(new TextDecoder().decode(files.get(".manifest"))) as object;
  const lines = [...files].map(async ([name, content]) => `${name} ${await hashBundleFile(name, content)}\n`);
  const hashes = (await Promise.all(lines)).sort();
  const revision = `${version}-${createHash("sha256").update(hashes.join("")).digest("hex").slice(0, REVISION_DIGITS)}`;
  const sorted = [...files].sort(([a], [b]) => (a < b ? -1 : 1));
  return new Map(
    sorted.map(([name, content]) => [
      name,
      name === ".manifest" ? new TextEncoder().encode(`${JSON.stringify({ ...manifest, revision })}\n`) : content,
    ]),
  );
}

/** Names of files that are not the same in both, the signature aside. */
export function differing(a: ReadonlyMap<string, Uint8Array>, b: ReadonlyMap<string, Uint8Array>): string[] {
  const names = new Set([...a.keys(), ...b.keys()]);
  names.delete(SIGNATURES);
  return [...names]
    .filter(
      (name) =>
        Buffer.compare(a.get(name) ?? Buffer.alloc(0), b.get(name) ?? Buffer.alloc(0)) !== 0 ||
        a.has(name) !== b.has(name),
    )
    .sort();
}

/** Signs with a key made for this one bundle. Only its public half leaves this function. */
async function signOnce(files: Map<string, Uint8Array>): Promise<{ bundle: Uint8Array; jwks: object }> {
  const { privateKey, publicKey } = await generateKeyPair(ALGORITHM);
  const jwk = await exportJWK(publicKey);
  const kid = await calculateJwkThumbprint(jwk);
  const signed = await signBundleFiles(files, { privateKey, algorithm: ALGORITHM, keyId: kid });
  return { bundle: writeBundleFiles(signed), jwks: { keys: [{ ...jwk, kid, alg: ALGORITHM, use: "sig" }] } };
}

if (import.meta.main) {
  for (const use of deprecations()) console.error(use);
  const files = await buildBundleFiles();
  const committed =
    existsSync(BUNDLE) && existsSync(KEYS)
      ? await readBundleFiles(readFileSync(BUNDLE))
      : new Map<string, Uint8Array>();
  const changed = differing(files, committed);
  if (changed.length === 0) {
    console.log(`${BUNDLE} is current`);
  } else if (process.argv.includes("--check")) {
    console.error(`${BUNDLE} is not what the policies build; run \`npm run bundle\`. Different: ${changed.join(", ")}`);
    process.exitCode = 1;
  } else {
    const { bundle, jwks } = await signOnce(files);
    writeFileSync(BUNDLE, bundle);
    writeFileSync(KEYS, `${JSON.stringify(jwks, null, 2)}\n`);
    console.log(`wrote ${BUNDLE} and ${KEYS}`);
  }
}
