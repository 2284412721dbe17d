// Builds what runs without TypeScript: `dist/`, the package in few files with its types, and `bin/`, the command line in one file
// a thread; both start several times faster than a file a module. `npm ci` runs it (`prepare`); plain JavaScript, since it runs on any Node.
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
const DIST = "dist";
/** Each is loaded by its own URL: the command line's two steps, and the threads. */
const ENTRIES = /[\\/]src[\\/](?:cli[\\/](?:main|program)|.*(?:worker|committer))\.ts$/;
/** Threads of the library; those of `serve` are none of it. */
const THREADS = /[\\/]src[\\/](?!(?:cli|http)[\\/]).*(?:worker|committer)\.ts$/;
/** What `dist/` has of other packages: pure code in many small files, each of which costs its look-up at every start. */
const INLINED = /^(?:typebox|uuid|jose|@noble|@open-policy-agent\/opa-wasm)(?:\/|$)/;
/** Of these an import as an ES module touches all exports, and so loads what none of ours uses. */
const COSTLY = { [BIN]: /^node:/, [DIST]: /^node:http$/ };
const STAMP = join(ROOT, BIN, ".built-from");
const DIST_STAMP = join(ROOT, DIST, ".built-from");
/** What `bin/` is made of, besides the sources. */
const ALSO = ["package.json", "package-lock.json", "scripts/build.js", "tsconfig.build.json"];

/** Builds what is not what the sources are now. @returns whether there is a package that can be used. */
export async function ensureBuilt() {
  const from = fingerprint();
  const current = existsSync(DIST_STAMP) && readFileSync(DIST_STAMP, "utf8") === from;
  return (current || (await buildDist(from))) && (await ensureBin());
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
    plugins: [asBuilt(BIN), command],
  });
  for (const { path, text } of outputFiles) write(path, inAscii(path, text));
  chmodSync(join(ROOT, BIN, "cli/main.js"), 0o755);
  write(join(ROOT, BIN, "THIRD-PARTY.txt"), licences(Object.keys(metafile.inputs)));
  write(STAMP, from);
  return true;
}

/** Comments that esbuild leaves, members' of classes for the most part, stand on lines of their own. */
const COMMENT_LINE = /^\s*(?:\/\/|\/?\*)/;

/**
 * A module's text, in which comments may lose characters. With anything but ASCII in it a text takes V8 twice the memory, in each thread
 * that runs it; esbuild escapes what is in texts, and not what is in regular expressions and raw templates.
 * @param {string} path
 * @param {string} text
 * @throws {Error} something else than a comment is not ASCII.
 */
export function inAscii(path, text) {
  const lines = text.split("\n");
  for (const [i, line] of lines.entries()) {
    if (COMMENT_LINE.test(line)) lines[i] = line.replaceAll(/[^\0-\x7f]/gu, "?");
    else if (/[^\0-\x7f]/.test(line))
      throw new Error(
        `${relative(ROOT, path)}:${i + 1}: not ASCII, to be written as \\u…: ${line.trim().slice(0, 200)}`,
      );
  }
  return lines.join("\n");
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
 * @param {"bin" | "dist"} folder where the files are built to
 * @returns {import("esbuild").Plugin}
 */
const asBuilt = (folder) => ({
  name: "as-built",
  setup(build) {
    build.onResolve({ filter: COSTLY[folder] }, ({ path, importer }) =>
      importer.endsWith("main.ts") ? { path, external: true } : { path, namespace: "builtin" },
    );
    build.onLoad({ filter: /./, namespace: "builtin" }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule("${path}")`,
    }));
    // OPA's SDK hosts nothing that asks its host for a builtin (docs/decisions/0150), and its own bring a reader of YAML.
    build.onResolve({ filter: /^\.\/builtins\/index$/ }, ({ path, importer }) =>
      /[\\/]opa-wasm[\\/]/.test(importer) ? { path, namespace: "unused" } : undefined,
    );
    build.onLoad({ filter: /./, namespace: "unused" }, () => ({ contents: "module.exports = {}" }));
    // Files beside a module (threads, the default bundle) are found from where it would be, were it a file of its own.
    build.onLoad({ filter: /[\\/]src[\\/].*\.ts$/ }, ({ path }) => {
      const own = JSON.stringify(relative(join(ROOT, "src"), path).replaceAll("\\", "/").replace(/\.ts$/, ".js"));
      const here = `new URL(${own}, import.meta.url.slice(0, import.meta.url.lastIndexOf("/${folder}/") + ${folder.length + 2})).href`;
      return { loader: "ts", contents: readFileSync(path, "utf8").replaceAll("import.meta.url", here) };
    });
  },
});

/**
 * What holds for the command line.
 * @type {import("esbuild").Plugin}
 */
const command = {
  name: "command",
  setup(build) {
    // Five times as large as all the rest, and loaded where a cluster is configured only.
    build.onResolve({ filter: /^@kubernetes\/client-node$/ }, ({ path }) => ({ path, external: true }));
    // Express brings a body parser that no route uses: `http/call/body.ts` reads bodies.
    build.onResolve({ filter: /^body-parser$/ }, () => ({ path: "body-parser", namespace: "unused" }));
    // An entry that another one loads stays a file of its own.
    build.onResolve({ filter: /^\.\/program\.ts$/ }, () => ({ path: "./program.js", external: true }));
  },
};

/**
 * Of the packages that are part of what is built.
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
 * The package: its entries with what they share in chunks, its threads in a file each, and types by the TypeScript compiler.
 * @param {string} from what it is built from, see {@link fingerprint}
 */
async function buildDist(from) {
  const compiler = join(ROOT, "node_modules/typescript/bin/tsc");
  const esbuild = existsSync(compiler) ? await import("esbuild").catch(() => null) : null;
  if (esbuild === null) return false;
  /** @param {string[]} entryPoints @param {import("esbuild").BuildOptions} options */
  const build = (entryPoints, options) =>
    esbuild.build({
      ...options,
      absWorkingDir: ROOT,
      entryPoints,
      outbase: "src",
      outdir: DIST,
      bundle: true,
      format: "esm",
      platform: "node",
      target: "es2024",
      // As above; and nothing that is for browsers, or for a Node without it, uses it (a test runs them there).
      supported: { using: true },
      sourcemap: true,
      legalComments: "none",
      logLevel: "warning",
      metafile: true,
      write: false,
      plugins: [asBuilt(DIST), dependencies],
    });
  const entries = await build(exported(), { splitting: true, chunkNames: "chunks/[hash]" });
  const threads = await build(
    sources().filter((file) => THREADS.test(file)),
    {},
  );
  const made = [...entries.outputFiles, ...threads.outputFiles];
  for (const { path, text } of made) write(path, path.endsWith(".js") ? inAscii(path, text) : text);
  const inputs = { ...entries.metafile.inputs, ...threads.metafile.inputs };
  write(join(ROOT, DIST, "THIRD-PARTY.txt"), licences(Object.keys(inputs)));
  const { status } = spawnSync(process.execPath, [compiler, "-p", "tsconfig.build.json"], {
    cwd: ROOT,
    stdio: "inherit",
  });
  if (status !== 0) throw new Error("dist/ could not be built");
  removeLeftOver(made.map(({ path }) => path));
  write(DIST_STAMP, from);
  return true;
}

/** Sources of what package.json exports, whatever the condition. */
function exported() {
  const { exports } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  const targets = Object.values(exports).flatMap((target) => Object.values(target));
  const modules = targets.filter((target) => target.startsWith(`./${DIST}/`) && target.endsWith(".js"));
  return [...new Set(modules)].map((target) => `src/${target.slice(`./${DIST}/`.length, -".js".length)}.ts`);
}

/**
 * Of `dist/`: packages that it depends on are imported, not part of it, but for those that are {@link INLINED}.
 * @type {import("esbuild").Plugin}
 */
const dependencies = {
  name: "dependencies",
  setup(build) {
    build.onResolve({ filter: /^[^./]/ }, ({ path, kind }) =>
      kind === "entry-point" || INLINED.test(path) || path.startsWith("node:") ? undefined : { path, external: true },
    );
  },
};

/**
 * What was built of sources that are gone would be packed.
 * @param {string[]} built
 */
function removeLeftOver(built) {
  const made = new Set(built);
  const typed = new Set(sources().map((file) => relative(join(ROOT, "src"), file).replace(/\.ts$/, ".d.ts")));
  for (const entry of readdirSync(join(ROOT, DIST), { recursive: true, withFileTypes: true })) {
    const file = join(entry.parentPath, entry.name);
    const stays = made.has(file) || typed.has(relative(join(ROOT, DIST), file)) || entry.name === "THIRD-PARTY.txt";
    if (entry.isFile() && !stays && file !== DIST_STAMP) rmSync(file);
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  // Without the packages for developers nothing can be built, and `npm ci --omit=dev` must not fail for it.
  const from = fingerprint();
  const built = (await buildDist(from)) && (await buildBin(from));
  if (!built) console.error("not built: the packages that build it are not installed");
}
