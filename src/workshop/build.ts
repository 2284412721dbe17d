// Builds bundles: policies to WASM, by OPA, the same bytes for the same sources.
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { VERSION } from "../node/options.ts";
import { hashBundleFile } from "../policy/bundle-documents.ts";
import { readBundleFiles } from "../policy/bundle-files.ts";
import { PolicyError, type Annotations, type PolicyFault } from "./annotations.ts";
import { catalogueOf } from "./catalogue.ts";
import { checkExtensions } from "./extensions.ts";
import { JoinedPolicies, readJsonObject, SHIPPED_POLICY, writeJson } from "./folder.ts";
import { runOpa } from "./opa.ts";
import { PolicyReader } from "./reader.ts";

const MANIFEST = ".manifest";
const SIGNATURES = ".signatures.json";
const CATALOGUE = "railgate/catalogue/data.json";
/** Tests prove the policy, schemas check it, and capabilities bound it; none of them is part of it. */
const LEFT_OUT = ["*_test.rego", "schemas", "capabilities.json"];
const REVISION_DIGITS = 12;

export interface BuildOptions {
  /** Beside those that METADATA marks, as `acme/api/allow`. */
  readonly entrypoints?: readonly string[];
  /** Default: the release and a digest of the content. */
  readonly revision?: string | undefined;
  /** By which newer and older are told apart; default: the manifest's. */
  readonly sequence?: number | undefined;
  /** RFC 3339: from then on the policy is stale. */
  readonly expires?: string | undefined;
}

export interface Built {
  /** Unsigned, by name. */
  readonly files: Map<string, Uint8Array>;
  /** What should be written otherwise. */
  readonly deprecations: readonly PolicyFault[];
}

/**
 * The unsigned bundle of policies, file by file; the same for the same policies and options, byte for byte. Its catalogue says
 * what each code means and where its rules stand.
 * @throws PolicyError what is wrong with them, by file and line.
 */
export async function buildPolicies(policies: JoinedPolicies, options: BuildOptions = {}): Promise<Built> {
  try {
    const { annotations, deprecations } = await checkPolicies(policies);
    writeManifest(policies, annotations, options);
    const entrypoints = [...new Set([...annotations.entrypoints, ...(options.entrypoints ?? [])])];
    if (entrypoints.length === 0)
      throw new PolicyError(
        "no entrypoint: mark a rule with `# entrypoint: true` in its METADATA, or name one with -e",
      );
    const files = await readBundleFiles(await compile(policies.directory, entrypoints));
    return { files: await withRevision(files, options.revision), deprecations };
  } catch (error) {
    throw policies.told(error);
  }
}

/** The unsigned bundle of the policies in a folder, and of no others. @throws PolicyError */
export async function buildBundleFiles(directory?: string): Promise<Map<string, Uint8Array>> {
  using policies = new JoinedPolicies(directory, { standalone: true });
  return (await buildPolicies(policies)).files;
}

/** What METADATA says of policies; writes their catalogue. @throws PolicyError an extension that the host would not recognise. */
export async function checkPolicies(
  policies: JoinedPolicies,
  reader = new PolicyReader(policies.directory),
): Promise<{ annotations: Annotations; deprecations: readonly PolicyFault[] }> {
  const annotations = await reader.annotations();
  const deprecations = await checkExtensions(annotations, (file) => reader.parse(file));
  const named = (path: string): string => path.slice(policies.directory.length + 1);
  const catalogue = catalogueOf(annotations.rules);
  const rows = Object.entries(catalogue).map(([code, row]) => {
    const sharing = annotations.rules.filter((rule) => rule.code === code);
    const places = Map.groupBy(sharing, ({ rule }) => rule);
    return [
      code,
      {
        ...row,
        places: Object.fromEntries(
          [...places].sort().map(([rule, all]) => [rule, all.map(({ file, row: line }) => `${named(file)}:${line}`)]),
        ),
      },
    ];
  });
  if (rows.length > 0) writeJson(join(policies.directory, CATALOGUE), Object.fromEntries(rows));
  return { annotations, deprecations };
}

/**
 * @param leftOut patterns of files. @returns the bundle as OPA wrote it. @throws PolicyError with what it said.
 */
export async function compile(
  directory: string,
  entrypoints: readonly string[],
  leftOut: readonly string[] = LEFT_OUT,
): Promise<Uint8Array> {
  const work = mkdtempSync(join(tmpdir(), "railgate-bundle-"));
  try {
    const output = join(work, "bundle.tar.gz");
    const capabilities = join(SHIPPED_POLICY, "capabilities.json");
    const args = ["build", "--target", "wasm", "--capabilities", capabilities, "--output", output, "--bundle", "."];
    for (const entrypoint of entrypoints) args.push("--entrypoint", entrypoint);
    for (const pattern of leftOut) args.push("--ignore", pattern);
    const run = await runOpa(args, { cwd: directory });
    if (run.status !== 0) throw new PolicyError(`opa build: ${(run.stderr + run.stdout).trim()}`);
    return readFileSync(output);
  } finally {
    rmSync(work, { recursive: true });
  }
}

type Manifest = {
  readonly roots?: readonly string[];
  readonly metadata?: { readonly railgate?: { readonly settings_schema?: unknown } };
};

const manifestIn = (folder: string | undefined): Manifest =>
  folder !== undefined && existsSync(join(folder, MANIFEST)) ? readJsonObject(join(folder, MANIFEST)) : {};

/** What a bundle of the policies would ask of settings, see `requireSettings`. @throws PolicyError a manifest is no JSON. */
export const settingsSchemaOf = (policies: JoinedPolicies): unknown =>
  (policies.standalone ? [policies.folder] : [policies.folder, SHIPPED_POLICY])
    .map((folder) => manifestIn(folder).metadata?.railgate?.settings_schema)
    .find((schema) => schema !== undefined);

/** The author's own over the law's; its roots cover all that is there. */
function writeManifest(policies: JoinedPolicies, { files }: Annotations, { sequence, expires }: BuildOptions): void {
  const [given, law] = [manifestIn(policies.folder), policies.standalone ? {} : manifestIn(SHIPPED_POLICY)];
  const tops = [...files.keys(), ...policies.authored.map((name) => name.replaceAll("/", "."))].map(
    (name) => name.split(".")[0]!,
  );
  const below = [...new Set(tops)].filter((name) => name !== "" && name !== "data").sort();
  const roots = given.roots ?? [...new Set([...(law.roots ?? []), ...below])].sort();
  const railgate = {
    ...law.metadata?.railgate,
    ...given.metadata?.railgate,
    ...(sequence !== undefined && { sequence }),
    ...(expires !== undefined && { expires }),
  };
  const metadata = { ...law.metadata, ...given.metadata, ...(Object.keys(railgate).length > 0 && { railgate }) };
  writeJson(join(policies.directory, MANIFEST), {
    ...law,
    ...given,
    roots,
    ...(Object.keys(metadata).length > 0 && { metadata }),
  });
}

async function withRevision(
  files: Map<string, Uint8Array>,
  given: string | undefined,
): Promise<Map<string, Uint8Array>> {
  const manifest = JSON.parse(new TextDecoder().decode(files.get(MANIFEST))) as object;
  const lines = [...files].map(async ([name, content]) => `${name} ${await hashBundleFile(name, content)}\n`);
  const hashes = (await Promise.all(lines)).sort();
  const digest = createHash("sha256").update(hashes.join("")).digest("hex");
  const revision = given ?? `${VERSION}-${digest.slice(0, REVISION_DIGITS)}`;
  const sorted = [...files].sort(([a], [b]) => (a < b ? -1 : 1));
  return new Map(
    sorted.map(([name, content]) => [
      name,
      name === MANIFEST ? new TextEncoder().encode(`${JSON.stringify({ ...manifest, revision })}\n`) : content,
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
