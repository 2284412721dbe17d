// Builds what runs without TypeScript: `dist/`, the package's modules with their types, and `bin/`, the command line in one file
// a thread, which starts several times faster. `npm ci` runs it (`prepare`); plain JavaScript, since it runs on any Node.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const BIN = "bin";
/** Each is loaded by its own URL: the command line's two steps, and the threads. */
const ENTRIES = /[\\/]src[\\/](?:cli[\\/](?:main|program)|.*(?:worker|committer))\.ts$/;
const STAMP = join(ROOT, BIN, ".built-from");
const DIST_STAMP = join(ROOT, "dist/.built-from");
/** What `bin/` is made of, besides the sources. */
const ALSO = ["package-lock.json", "scripts/build.js", "tsconfig.build.json"];

/** Builds what is not what the sources are now. @returns whether there is a package that can be used. */
export async function ensureBuilt() {
  const from = fingerprint();
  const current = existsSync(DIST_STAMP) && readFileSync(DIST_STAMP, "utf8") === from;
  return (current || buildDist(from)) && (await ensureBin());
}

/** Builds `bin/` where it is not what the sources are now. @returns whether there is one that can be run. */
export async function ensureBin() {
  const from = fingerprint();
  if (existsSync(STAMP) && readFileSync(STAMP, "utf8") === from) return true;
  return buildBin(from);
}

/** Names, sizes and times: whatever an edit, a checkout or an install changes. */
function fingerprint() {
  const lines = [...sources(), ...ALSO.map((name) => join(ROOT, name))].sort().map((file) => {
    const { size, mtimeMs } = statSync(file);
    return `${relative(ROOT, file)} ${size} ${mtimeMs}\n`;
  });
  return createHash("sha256").update(lines.join("")).digest("hex");
}

function sources() {
  return readdirSync(join(ROOT, "src"), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

/** @param {string} from what it is built from, see {@link fingerprint} */
async function buildBin(from) {
  const esbuild = await import("esbuild").catch(() => null);
  if (esbuild === null) return false;
  const { metafile, outputFiles } = await esbuild.build({
    absWorkingDir: ROOT,
    entryPoints: sources().filter((file) => ENTRIES.test(file)),
    outbase: "src",
    outdir: BIN,
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node24",
    // What esbuild makes of `using` in a loop forgets nothing: an error of one round is thrown again by the next. Node has it.
    supported: { using: true },
    legalComments: "none",
    logLevel: "warning",
    metafile: true,
    write: false,
    banner: { js: "const require = (name) => process.getBuiltinModule(name);" },
    plugins: [asBuilt],
  });
  for (const { path, contents } of outputFiles) write(path, contents);
  chmodSync(join(ROOT, BIN, "cli/main.js"), 0o755);
  write(join(ROOT, BIN, "THIRD-PARTY.txt"), licences(Object.keys(metafile.inputs)));
  write(STAMP, from);
  return true;
}

/**
 * In one step, so that whoever runs it meanwhile has the old file or the new one.
 * @param {string} path
 * @param {string | Uint8Array} contents
 */
function write(path, contents) {
  mkdirSync(dirname(path), { recursive: true });
  const partial = `${path}.${process.pid}`;
  writeFileSync(partial, contents);
  renameSync(partial, path);
}

/**
 * What bundling would otherwise change, or make slow.
 * @type {import("esbuild").Plugin}
 */
const asBuilt = {
  name: "as-built",
  setup(build) {
    // An import of node:http as an ES module touches all its exports, and so loads what none of ours uses.
    build.onResolve({ filter: /^node:/ }, ({ path, importer }) =>
      importer.endsWith("main.ts") ? { path, external: true } : { path, namespace: "builtin" },
    );
    build.onLoad({ filter: /./, namespace: "builtin" }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule("${path}")`,
    }));
    // Five times as large as all the rest, and loaded where a cluster is configured only.
    build.onResolve({ filter: /^@kubernetes\/client-node$/ }, ({ path }) => ({ path, external: true }));
    // Express brings a body parser that no route uses: `http/call/body.ts` reads bodies.
    build.onResolve({ filter: /^body-parser$/ }, () => ({ path: "body-parser", namespace: "unused" }));
    build.onLoad({ filter: /./, namespace: "unused" }, () => ({ contents: "module.exports = {}" }));
    // An entry that another one loads stays a file of its own.
    build.onResolve({ filter: /^\.\/program\.ts$/ }, () => ({ path: "./program.js", external: true }));
    // Files beside a module (threads, the default bundle) are found from where it would be, were it a file of its own.
    build.onLoad({ filter: /[\\/]src[\\/].*\.ts$/ }, ({ path }) => {
      const own = JSON.stringify(relative(join(ROOT, "src"), path).replaceAll("\\", "/").replace(/\.ts$/, ".js"));
      const here = `new URL(${own}, import.meta.url.slice(0, import.meta.url.lastIndexOf("/${BIN}/") + ${BIN.length + 2})).href`;
      return { loader: "ts", contents: readFileSync(path, "utf8").replaceAll("import.meta.url", here) };
    });
  },
};

/**
 * Of the packages that are part of `bin/`.
 * @param {string[]} inputs
 */
function licences(inputs) {
  const folders = new Set(inputs.flatMap((input) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0] ?? []));
  const notices = [...folders].sort().map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(join(ROOT, folder, "package.json"), "utf8"));
    const texts = readdirSync(join(ROOT, folder)).filter((file) => /^(licen[cs]e|copying|notice)/i.test(file));
    const text = texts.map((file) => readFileSync(join(ROOT, folder, file), "utf8").trim()).join("\n\n");
    return `${name} ${version}: ${license}\n\n${text}\n`;
  });
  return `Parts of other packages are in these files, under their own licences.\n\n${notices.join(`\n${"-".repeat(80)}\n\n`)}`;
}

/**
 * Modules and types, by the TypeScript compiler.
 * @param {string} from what it is built from, see {@link fingerprint}
 */
function buildDist(from) {
  const compiler = join(ROOT, "node_modules/typescript/bin/tsc");
  if (!existsSync(compiler)) return false;
  const { status } = spawnSync(process.execPath, [compiler, "-p", "tsconfig.build.json"], {
    cwd: ROOT,
    stdio: "inherit",
  });
  if (status !== 0) throw new Error("dist/ could not be built");
  removeLeftOver();
  write(DIST_STAMP, from);
  return true;
}

/** What sources that are gone left in `dist/` would be packed. */
function removeLeftOver() {
  const made = new Set(sources().map((file) => relative(join(ROOT, "src"), file).replace(/\.ts$/, "")));
  for (const entry of readdirSync(join(ROOT, "dist"), { recursive: true, withFileTypes: true })) {
    const file = join(entry.parentPath, entry.name);
    const module = relative(join(ROOT, "dist"), file).replace(/(?:\.d\.ts|\.js)(?:\.map)?$/, "");
    if (entry.isFile() && !made.has(module) && file !== DIST_STAMP) rmSync(file);
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  // Without the packages for developers nothing can be built, and `npm ci --omit=dev` must not fail for it.
  const from = fingerprint();
  const built = buildDist(from) && (await buildBin(from));
  if (!built) console.error("not built: the packages that build it are not installed");
}
