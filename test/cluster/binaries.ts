// etcd, kube-apiserver and kubectl: those in the folder CLUSTER_BIN, else built once into .cache/cluster from the versions in go.mod. Needs Go ≥ 1.26.
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";

const [, VERSION, MAJOR, MINOR] = /k8s\.io\/kubernetes (v(\d+)\.(\d+)\.\d+)/.exec(
  readFileSync(join(import.meta.dirname, "go.mod"), "utf8"),
) as unknown as [string, string, string, string];
const SOURCES: { readonly [name: string]: string } = {
  etcd: "go.etcd.io/etcd/server/v3",
  kubectl: "k8s.io/kubernetes/cmd/kubectl",
  "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
};
/** Else the API server takes itself for v0.0.0 and cannot tell which features it has. */
const SET = "-X k8s.io/component-base/version.git";
const LDFLAGS = `${SET}Version=${VERSION} ${SET}Major=${MAJOR} ${SET}Minor=${MINOR}`;

/**
 * @returns the folder that has all three.
 * @throws Error one of them is neither there nor can be built.
 */
export async function binaries(env: NodeJS.ProcessEnv): Promise<string> {
  const given = env["CLUSTER_BIN"];
  const missing = (folder: string) => Object.keys(SOURCES).filter((name) => !existsSync(join(folder, name)));
  if (given !== undefined) {
    if (missing(given).length > 0) throw new Error(`CLUSTER_BIN has no ${missing(given).join(", ")}`);
    return given;
  }
  const cache = join(import.meta.dirname, "../../.cache/cluster", VERSION);
  mkdirSync(cache, { recursive: true });
  for (const name of missing(cache)) {
    console.log(`building ${name}; this takes minutes, once`);
    await build(SOURCES[name]!, join(cache, name));
  }
  return cache;
}

async function build(source: string, to: string): Promise<void> {
  const child = spawn("go", ["build", "-trimpath", "-ldflags", LDFLAGS, "-o", `${to}.new`, source], {
    cwd: import.meta.dirname,
    stdio: "inherit",
    env: { ...process.env, CGO_ENABLED: "0", GOFLAGS: "-mod=readonly -buildvcs=false" },
  });
  await new Promise<void>((resolve, reject) => {
    child.on("error", (error: NodeJS.ErrnoException) =>
      reject(new Error(`go cannot be run (${error.code}); this check needs Go ≥ 1.26, or CLUSTER_BIN`)),
    );
    child.on("close", (code) => (code === 0 ? resolve() : reject(new Error(`go build ${source} ended with ${code}`))));
  });
  renameSync(`${to}.new`, to);
}
