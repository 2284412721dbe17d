// Builds bundles: policies to WASM, by OPA, the same bytes for the same sources.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { VERSION } from "../node/options.ts";
import { hashBundleFile } from "../policy/bundle-documents.ts";
import { readBundleFiles } from "../policy/bundle-files.ts";
import { PolicyError, readAnnotations } from "./annotations.ts";
import { ensureOpa } from "./opa.ts";

/** The law in Rego, as it comes with Railgate. */
const SHIPPED_POLICY = fileURLToPath(new URL("../../policy", import.meta.url));
const SIGNATURES = ".signatures.json";
/** Tests prove the policy, schemas check it, and capabilities bound it; none of them is part of it. */
const LEFT_OUT = ["*_test.rego", "schemas", "capabilities.json"];
const REVISION_DIGITS = 12;

/**
 * The unsigned bundle of the policies in `directory`, file by file; the same for the same policies, byte for byte.
 * Its entrypoints are the rules annotated as such. Its revision names the release and the content.
 * @throws PolicyError with what `opa build` said.
 */
export async function buildBundleFiles(directory = SHIPPED_POLICY): Promise<Map<string, Uint8Array>> {
  const { entrypoints } = await readAnnotations(directory);
  const work = mkdtempSync(join(tmpdir(), "railgate-bundle-"));
  try {
    const output = join(work, "bundle.tar.gz");
    const args = [
      "build",
      "--target",
      "wasm",
      "--capabilities",
      join(SHIPPED_POLICY, "capabilities.json"),
      "--output",
      output,
      "--bundle",
      ".",
    ];
    for (const entrypoint of entrypoints) args.push("--entrypoint", entrypoint);
    for (const pattern of LEFT_OUT) args.push("--ignore", pattern);
    const run = spawnSync(await ensureOpa(), args, { cwd: directory, encoding: "utf8" });
    if (run.status !== 0) throw new PolicyError(`opa build: ${(run.stderr + run.stdout).trim()}`);
    return withRevision(await readBundleFiles(readFileSync(output)));
  } finally {
    rmSync(work, { recursive: true });
  }
}

async function withRevision(files: Map<string, Uint8Array>): Promise<Map<string, Uint8Array>> {
  const manifest = JSON.parse(new TextDecoder().decode(files.get(".manifest"))) as object;
  const lines = [...files].map(async ([name, content]) => `${name} ${await hashBundleFile(name, content)}\n`);
  const hashes = (await Promise.all(lines)).sort();
  const revision = `${VERSION}-${createHash("sha256").update(hashes.join("")).digest("hex").slice(0, REVISION_DIGITS)}`;
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
