// The package as it is published: what is in it, what its types resolve to, and what it does on this Node and on an older one.
import { execFile, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { promisify } from "node:util";
import { createContext, Script } from "node:vm";
import { checkPackage, createPackageFromTarballData } from "@arethetypeswrong/core";
import test, { type Implementation } from "ava";
import { build } from "esbuild";
import { publint } from "publint";
import { ensureBuilt } from "../../scripts/build.js";
import type { VerifyReport } from "../../src/evidence/verify/index.ts";
import { loadBundle } from "../../src/policy/index.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const run = promisify(execFile);
const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
  version: string;
  dependencies: Record<string, string>;
};
const host = mkdtempSync(join(tmpdir(), "railgate-package-"));
const installed = join(host, "node_modules/railgate");
let tarball: Uint8Array;

/** An older Node of this machine's, where it has one. */
const older = (process.env["PATH"] ?? "")
  .split(delimiter)
  .map((dir) => join(dir, "node"))
  .find((node) => existsSync(node) && /^v2[0-3]\./.test(spawnSync(node, ["--version"], { encoding: "utf8" }).stdout));

function manifestOf(name: string): { readonly dependencies?: Record<string, string> } {
  return JSON.parse(readFileSync(join(ROOT, "node_modules", name, "package.json"), "utf8"));
}

/** Packed, and laid beside its dependencies and theirs as npm would. */
test.before(async () => {
  if (!(await ensureBuilt())) throw new Error("the package is not built, and what builds it is not installed");
  await run("npm", ["pack", "--ignore-scripts", "--silent", "--pack-destination", host], { cwd: ROOT });
  const file = join(host, `railgate-${manifest.version}.tgz`);
  tarball = new Uint8Array(readFileSync(file));
  mkdirSync(installed, { recursive: true });
  await run("tar", ["xzf", file, "-C", installed, "--strip-components=1"]);
  const dependencies = Object.keys(manifest.dependencies);
  const theirs = dependencies.flatMap((name) => Object.keys(manifestOf(name).dependencies ?? {}));
  for (const name of new Set([...dependencies, ...theirs])) {
    if (!existsSync(join(ROOT, "node_modules", name))) continue;
    mkdirSync(dirname(join(host, "node_modules", name)), { recursive: true });
    symlinkSync(join(ROOT, "node_modules", name), join(host, "node_modules", name));
  }
});

/** Decides, disposes, and has a thread of its own do the same on the same data. */
const HOST = `
  import { readFileSync } from "node:fs";
  import { isMainThread, parentPort, Worker } from "node:worker_threads";
  import { openRailgate } from "railgate";

  const own = await decide();
  if (isMainThread) {
    const thread = new Worker(new URL(import.meta.url));
    const its = await new Promise((resolve, reject) => thread.on("message", resolve).on("error", reject));
    console.log(JSON.stringify({ ...own, answers: [own.answer, its.answer] }));
  } else parentPort.postMessage(own);

  async function decide() {
    await using gate = await openRailgate({ dataDir: "hosted" });
    const request = new URL("node_modules/railgate/examples/requests/container-low-risk.json", import.meta.url);
    const { decision, event } = await gate.admit(JSON.parse(readFileSync(request, "utf8")));
    await using made = await gate.export({ tenant_id: event.tenant_id });
    const files = Buffer.concat(await Array.fromAsync(made.archive)).toString("base64");
    return { answer: [decision.outcome, event.sequence], files, jwks: await gate.jwks() };
  }`;

/** What {@link HOST} prints: what both answered, and the first's evidence. */
const inHosts = lazily(async () => {
  writeFileSync(join(host, "host.mjs"), HOST);
  return (await run(process.execPath, ["host.mjs"], { cwd: host, maxBuffer: 2 ** 24 })).stdout;
});

const IN_BROWSER = `
  import { loadBundle } from "railgate/policy";
  import { verifyExport } from "railgate/verify";
  globalThis.answer = async ({ bundle, keys, input, files, jwks }) => ({
    decision: (await loadBundle(bundle, { keys })).evaluate("railgate/admission/decision", input),
    report: await verifyExport(files, { jwks }),
  });`;

/** What a page has that the language has not, as far as it is needed. */
const WEB = [
  ...["Blob", "DecompressionStream", "ReadableStream", "TransformStream", "WebAssembly", "URL", "TextDecoder"],
  ...[
    "TextEncoder",
    "atob",
    "btoa",
    "crypto",
    "performance",
    "setTimeout",
    "clearTimeout",
    "structuredClone",
    "Uint8Array",
  ],
];

function lazily<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}

test("publint has nothing to say", async (t) => {
  const { messages } = await publint({ pack: { tarball: tarball.buffer as ArrayBuffer }, strict: true });
  t.deepEqual(messages, []);
});

test("its types are what an importer gets", async (t) => {
  const result = await checkPackage(createPackageFromTarballData(tarball));
  // It is ECMAScript modules alone, so what is asked of CommonJS and of the resolution before `exports` has no answer.
  const problems = (result.types === false ? [] : result.problems).filter(
    (each) => !("resolutionKind" in each) || !["node10", "node16-cjs"].includes(each.resolutionKind),
  );
  t.truthy(result.types);
  t.deepEqual(problems, []);
});

const CONSUMER = `
  import { openRailgate } from "railgate";
  import { connectRailgate } from "railgate/client";
  import { loadBundle, type Policy } from "railgate/policy";
  import { verifyExport, type VerifyReport } from "railgate/verify";
  type Request = Parameters<ReturnType<typeof connectRailgate>["admit"]>[0];
  export async function admit(request: Request): Promise<string> {
    await using gate = await openRailgate({ dataDir: "./data" });
    const { decision, receipt } = await gate.admit(request);
    return decision.outcome === "accepted" ? receipt : decision.refusals.map(({ code }) => code).join();
  }
  export const policy = (bytes: Uint8Array): Promise<Policy> => loadBundle(bytes, { keys: { keys: [] } });
  export const report = (files: Uint8Array): Promise<VerifyReport> => verifyExport(files, { jwks: { keys: [] } });`;

/** As bundlers' templates have it, everything strict; and the declarations of others are held to it as well. */
const STRICT = {
  ...{ strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, skipLibCheck: false },
  ...{ target: "es2022", lib: ["es2023", "esnext.disposable", "dom"], types: ["node"], noEmit: true },
  // Dependencies are laid beside by links here; whose types they find is what lies beside them.
  ...{ module: "esnext", moduleResolution: "bundler", preserveSymlinks: true },
};

/** Compiles {@link CONSUMER} in a folder. @returns what the compiler has to say. */
async function compiled(folder: string, compiler: string): Promise<string> {
  writeFileSync(join(folder, "host.ts"), CONSUMER);
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions: STRICT, files: ["host.ts"] }));
  return run(process.execPath, [compiler, "-p", folder], { maxBuffer: 2 ** 24 }).then(
    ({ stdout }) => stdout,
    (error: Error & { stdout: string }) => error.stdout || error.message,
  );
}

test("strict TypeScript with a bundler's resolution has nothing to say of its types", async (t) => {
  t.timeout(600_000);
  const folder = join(host, "strict");
  mkdirSync(join(folder, "node_modules/@types"), { recursive: true });
  for (const name of ["@types/node", "undici-types"])
    symlinkSync(join(ROOT, "node_modules", name), join(folder, "node_modules", name));
  t.is(await compiled(folder, join(ROOT, "node_modules/typescript/bin/tsc")), "");
});

/** The oldest that is supported, where it is named; half a minute of processor, most of it for the declarations of others. */
const OLDER_COMPILER = process.env["RAILGATE_TYPESCRIPT"];
const olderCompiler: Implementation<[]> = async (t) => {
  t.timeout(1_200_000);
  const folder = join(host, "older");
  mkdirSync(folder);
  writeFileSync(join(folder, "package.json"), "{}");
  // Newer types of Node.js are for newer compilers alone.
  const packages = [`typescript@${OLDER_COMPILER}`, "@types/node@22"];
  const install = run("npm", ["install", "--ignore-scripts", "--no-audit", "--no-fund", ...packages], { cwd: folder });
  await t.notThrowsAsync(install, `${packages.join(" and ")} cannot be had from npm's registry: nothing was tried`);
  t.is(await compiled(folder, join(folder, "node_modules/typescript/bin/tsc")), "");
};
if (OLDER_COMPILER !== undefined) test("an older TypeScript has nothing to say either", olderCompiler);

test("source maps carry their sources, and nothing of tests or secrets is in it", (t) => {
  const files = readdirSync(installed, { recursive: true }) as string[];
  const maps = files.filter((file) => file.endsWith(".js.map"));
  const own = new Set<string>();
  for (const file of maps) {
    const { sources, sourcesContent } = JSON.parse(readFileSync(join(installed, file), "utf8"));
    t.is(sourcesContent?.length, sources.length, file);
    for (const source of sources as string[]) if (source.includes("/src/")) own.add(source.replace(/^[./]+/, ""));
  }
  // Several modules are in one file.
  t.true(own.size > 100);
  t.deepEqual(
    files.filter((file) => /(?:^|\/)(?:src|test|data|node_modules)(?:\/|$)|\.(?:db|jwk|pem)$/.test(file)),
    [],
  );
});

test("links of its pages end at pages that it has", (t) => {
  const dead: string[] = [];
  for (const name of ["README.md", ...readdirSync(join(installed, "docs")).map((file) => `docs/${file}`)]) {
    if (!name.endsWith(".md")) continue;
    for (const [, target] of readFileSync(join(installed, name), "utf8").matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g))
      if (!existsSync(join(installed, name, "..", target!))) dead.push(`${name} links to ${target}`);
  }
  t.deepEqual(dead, []);
});

test("installed, its command and its examples run", async (t) => {
  const { stdout } = await run(process.execPath, [join(installed, "bin/cli/main.js"), "--version"], { cwd: host });
  t.is(stdout.trim(), manifest.version);
  for (const [example, says] of [
    ["embed.ts", /: accepted, least rail level/],
    ["evaluate.ts", /: refused/],
  ] as const) {
    // Node does not strip types below node_modules: a person copies an example, and its files beside it.
    const copy = mkdtempSync(join(host, "copy-"));
    await run("cp", ["-r", join(installed, "examples"), join(installed, "bundles"), copy]);
    t.regex((await run(process.execPath, [join(copy, "examples", example)], { cwd: copy })).stdout, says);
  }
});

test("a host closes by `await using`, and one in a worker thread takes over its directory", async (t) => {
  const { answers } = JSON.parse(await inHosts()) as { answers: unknown };
  // Between them is the export, which is on record too.
  t.deepEqual(answers, [
    ["accepted", 0],
    ["accepted", 2],
  ]);
});

test("a host may be what `node --eval` is given", async (t) => {
  const script = `
    import { openRailgate } from "railgate";
    await using gate = await openRailgate({ dataDir: "evaluated" });
    console.log((await gate.events()).items.length);`;
  t.is((await run(process.execPath, ["--input-type=module", "--eval", script], { cwd: host })).stdout, "2\n");
});

test("bundled for browsers, policy and verification need nothing of Node's and answer the same", async (t) => {
  const { outputFiles, metafile } = await build({
    stdin: { contents: IN_BROWSER, resolveDir: host },
    bundle: true,
    platform: "browser",
    format: "iife",
    write: false,
    metafile: true,
    logLevel: "silent",
  });
  t.deepEqual(Object.values(metafile.outputs)[0]!.imports, []);
  const at = (name: string) => readFileSync(join(installed, name));
  const request: unknown = JSON.parse(at("examples/requests/container-low-risk.json").toString());
  const { files, jwks } = JSON.parse(await inHosts()) as { files: string; jwks: object };
  const [bundle, keys] = [at("bundles/railgate.tar.gz"), JSON.parse(at("bundles/railgate.jwks.json").toString())];
  const input = { request, facts: {}, context: {} };
  const page = createContext(Object.fromEntries(WEB.map((name) => [name, Reflect.get(globalThis, name)]))) as {
    answer: (given: object) => Promise<{ decision: Record<string, unknown>; report: VerifyReport }>;
  };
  new Script(outputFiles[0]!.text).runInContext(page);
  const { decision, report } = await page.answer({ bundle, keys, input, files: Buffer.from(files, "base64"), jwks });
  const here = (await loadBundle(bundle, { keys })).evaluate("railgate/admission/decision", input);
  t.deepEqual(JSON.parse(JSON.stringify(decision)), here);
  t.is(decision["outcome"], "refused");
  t.true(report.ok, JSON.stringify(report.checks));
});

const onOlder = older === undefined ? test.skip : test;

onOlder("an older Node is told which is needed, by the command and by the library", async (t) => {
  const needed = /^railgate: this is Node\.js 2\d\.\d+\.\d+, and Railgate needs 24 or newer; [^\n]*\n$/;
  const main = join(installed, "bin/cli/main.js");
  const error = (await t.throwsAsync(run(older!, [main, "serve"], { cwd: host }))) as Error & Record<string, unknown>;
  t.is(error["code"], 3);
  t.regex(error["stderr"] as string, needed);
  const script = `import { openRailgate } from "railgate"; await openRailgate().catch((error) => console.log(error.code, error.message))`;
  const { stdout } = await run(older!, ["--input-type=module", "--eval", script], { cwd: host });
  t.regex(stdout, /^railgate_error this is Node\.js 2.* needs 24 or newer/);
});

onOlder("evaluation and verification run on an older Node", async (t) => {
  const script = `
    import { readFileSync } from "node:fs";
    import { loadBundle } from "railgate/policy";
    import { verifyExport } from "railgate/verify";
    const at = (name) => readFileSync(new URL("./node_modules/railgate/bundles/" + name, "file://" + process.cwd() + "/"));
    const policy = await loadBundle(at("railgate.tar.gz"), { keys: JSON.parse(at("railgate.jwks.json")) });
    console.log(policy.evaluate("railgate/admission/decision", { request: {}, facts: {}, context: {} }).outcome, typeof verifyExport);`;
  const { stdout } = await run(older!, ["--input-type=module", "--eval", script], { cwd: host });
  t.is(stdout, "refused function\n");
});
