// Finds the pinned OPA command line, or installs it; run directly, it passes its arguments on to OPA.
// Looked for in $OPA, PATH and the user's cache (the project's, for a user without a home); then a release download checked against its published
// checksum; then `go install`, which Go checks against its checksum database.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { pathToFileURL } from "node:url";

/** The one version that builds our bundles byte for byte. */
export const OPA_VERSION = "1.22.2";

const DOWNLOAD_TIMEOUT_MS = 60_000;

const cacheDir = join(userCache(), "railgate", `opa-${OPA_VERSION}`);

function userCache(): string {
  try {
    const cache = process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache");
    mkdirSync(cache, { recursive: true });
    return cache;
  } catch {
    return join(import.meta.dirname, "..", ".cache");
  }
}

/**
 * Path of an OPA binary of exactly {@link OPA_VERSION} with WASM support.
 * @throws Error naming every place that was tried, and the cure.
 */
export async function ensureOpa(log: (line: string) => void = (line) => console.error(line)): Promise<string> {
  const tried: string[] = [];
  const candidates = [
    process.env["OPA"],
    ...(process.env["PATH"] ?? "").split(delimiter).map((dir) => join(dir, "opa")),
    join(cacheDir, "opa"),
  ];
  for (const path of candidates) {
    if (!path || !existsSync(path)) continue;
    const problem = problemWith(path);
    if (problem === undefined) return path;
    tried.push(`${path}: ${problem}`);
  }
  mkdirSync(cacheDir, { recursive: true });
  for (const install of [download, goInstall]) {
    const failure = await install(log);
    const problem = failure ?? problemWith(join(cacheDir, "opa"));
    if (problem === undefined) return join(cacheDir, "opa");
    tried.push(`${install.name}: ${problem}`);
  }
  throw new Error(
    [
      `The OPA command line ${OPA_VERSION} could not be had:`,
      ...tried.map((line) => `  ${line}`),
      `Install it, put it on PATH or name it in $OPA, or install Go ≥ 1.26 so that it can be built.`,
    ].join("\n"),
  );
}

function problemWith(path: string): string | undefined {
  const run = spawnSync(path, ["version"], { encoding: "utf8" });
  if (run.status !== 0) return `does not run (${run.error?.message ?? `exit ${run.status}`})`;
  if (!run.stdout.includes(`Version: ${OPA_VERSION}\n`))
    return `is ${/Version: (\S+)/.exec(run.stdout)?.[1]}, not ${OPA_VERSION}`;
  if (!run.stdout.includes("WebAssembly: available")) return "was built without WebAssembly (-tags opa_wasm)";
  return undefined;
}

async function download(log: (line: string) => void): Promise<string | undefined> {
  const os = { linux: "linux", darwin: "darwin" }[process.platform as string];
  const arch = { x64: "amd64", arm64: "arm64" }[process.arch as string];
  if (!os || !arch) return `no release for ${process.platform}/${process.arch}`;
  const url = `https://github.com/open-policy-agent/opa/releases/download/v${OPA_VERSION}/opa_${os}_${arch}`;
  try {
    log(`Fetching OPA ${OPA_VERSION} …`);
    const signal = AbortSignal.timeout(DOWNLOAD_TIMEOUT_MS);
    const [binary, checksum] = await Promise.all(
      [url, `${url}.sha256`].map(async (u) => {
        const response = await fetch(u, { signal });
        if (!response.ok) throw new Error(`${u}: HTTP ${response.status}`);
        return Buffer.from(await response.arrayBuffer());
      }),
    );
    const digest = createHash("sha256").update(binary!).digest("hex");
    if (!checksum!.toString().startsWith(digest)) return `checksum of ${url} does not match the published one`;
    const partial = join(cacheDir, `opa.${process.pid}`);
    writeFileSync(partial, binary!);
    chmodSync(partial, 0o755);
    renameSync(partial, join(cacheDir, "opa"));
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

async function goInstall(log: (line: string) => void): Promise<string | undefined> {
  log(`Building OPA ${OPA_VERSION} with Go (a minute or two) …`);
  const bin = join(cacheDir, `bin.${process.pid}`);
  const run = spawnSync("go", ["install", "-tags", "opa_wasm", `github.com/open-policy-agent/opa@v${OPA_VERSION}`], {
    env: { ...process.env, GOBIN: bin },
    encoding: "utf8",
  });
  if (run.status !== 0) return run.error?.message ?? run.stderr.trim().split("\n").at(-1);
  renameSync(join(bin, "opa"), join(cacheDir, "opa"));
  rmSync(bin, { recursive: true });
  return undefined;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  try {
    process.exitCode = spawnSync(await ensureOpa(), process.argv.slice(2), { stdio: "inherit" }).status ?? 1;
  } catch (error) {
    console.error((error as Error).message);
    process.exitCode = 3;
  }
}
