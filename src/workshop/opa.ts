// Finds the pinned OPA command line, or installs it.
// Looked for in $OPA, PATH and the user's cache (the project's, for a user without a home); then a release download checked against its published
// checksum; then `go install`, which Go checks against its checksum database.
import { spawnSync, type SpawnSyncReturns } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { RailgateError } from "../core/errors.ts";
import { toolEnvironment, toolPlaces } from "../node/config/config.ts";

/** The OPA command line is not here and could not be installed; the message names every place that was tried, and the cure. */
class OpaMissingError extends RailgateError {
  static override code = "opa_missing";
}

/** The one version that builds our bundles byte for byte. */
export const OPA_VERSION = "1.22.2";

const DOWNLOAD_TIMEOUT_MS = 60_000;

/** The user's own, since whoever can write there decides what is run; the project's, for a user without a home. */
function cacheDir(): string {
  let cache: string;
  try {
    cache = toolPlaces().cache ?? join(homedir(), ".cache");
    mkdirSync(cache, { recursive: true });
  } catch {
    cache = fileURLToPath(new URL("../../.cache", import.meta.url));
  }
  return join(cache, "railgate", `opa-${OPA_VERSION}`);
}

/**
 * OPA's command line lives for a second, and spends up to half of its processor time on collecting garbage that its end would
 * free: it may keep so much before it begins to.
 */
const WITHOUT_COLLECTING = { GOGC: "off", GOMEMLIMIT: "1GiB" };
const OUTPUT_BYTES_MAX = 1 << 28;

/** Runs the pinned OPA to its end. @param cwd default: this process's. @throws OpaMissingError */
export async function runOpa(
  args: readonly string[],
  given: { readonly cwd?: string; readonly input?: string } = {},
): Promise<SpawnSyncReturns<string>> {
  const opa = await ensureOpa();
  const env = toolEnvironment(WITHOUT_COLLECTING);
  return spawnSync(opa, args, { ...given, env, encoding: "utf8", maxBuffer: OUTPUT_BYTES_MAX });
}

let found: Promise<string> | undefined;

/**
 * Path of an OPA binary of exactly the pinned version, with WASM support; looked for once a process.
 * @param log is told of what takes long.
 * @throws OpaMissingError
 */
export function ensureOpa(log: (line: string) => void = (line) => console.error(line)): Promise<string> {
  return (found ??= find(log).catch((error: unknown) => {
    found = undefined;
    throw error;
  }));
}

async function find(log: (line: string) => void): Promise<string> {
  const tried: string[] = [];
  const { opa, path } = toolPlaces();
  const cached = join(cacheDir(), "opa");
  const candidates = [opa, ...path.split(delimiter).map((dir) => join(dir, "opa")), cached];
  for (const path of candidates) {
    if (!path || !existsSync(path)) continue;
    const problem = problemWith(path);
    if (problem === undefined) return path;
    tried.push(`${path}: ${problem}`);
  }
  for (const [name, install] of [
    ["download", download],
    ["go install", goInstall],
  ] as const) {
    const problem = (await install(cached, log)) ?? problemWith(cached);
    if (problem === undefined) return cached;
    tried.push(`${name}: ${problem}`);
  }
  throw new OpaMissingError(
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

/** @returns why it could not be had; undefined where it was. */
async function download(target: string, log: (line: string) => void): Promise<string | undefined> {
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
    mkdirSync(dirname(target), { recursive: true });
    const partial = `${target}.${process.pid}`;
    writeFileSync(partial, binary!);
    chmodSync(partial, 0o755);
    renameSync(partial, target);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

async function goInstall(target: string, log: (line: string) => void): Promise<string | undefined> {
  log(`Building OPA ${OPA_VERSION} with Go (a minute or two) …`);
  const bin = `${target}-bin.${process.pid}`;
  const run = spawnSync("go", ["install", "-tags", "opa_wasm", `github.com/open-policy-agent/opa@v${OPA_VERSION}`], {
    env: toolEnvironment({ GOBIN: bin }),
    encoding: "utf8",
  });
  if (run.status !== 0) return run.error?.message ?? run.stderr.trim().split("\n").at(-1);
  renameSync(join(bin, "opa"), target);
  rmSync(bin, { recursive: true });
  return undefined;
}
