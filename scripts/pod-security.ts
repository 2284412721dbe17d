// Asks Kubernetes' own library what it says of its fixtures, and of pods at random, and writes it down for test/kubernetes/standard.test.ts. Needs Go ≥ 1.26.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { randomPods } from "../test/kubernetes/random-pods.ts";

const MODULE = "test/kubernetes/upstream";
const VERDICTS = `${MODULE}/verdicts.jsonl`;
const [RANDOM, SEED] = [300, 137];

const scratch = mkdtempSync(join(tmpdir(), "railgate-pod-security-"));
try {
  const pods = join(scratch, "pods.jsonl");
  const [judge, fixtures] = [
    join(scratch, "judge"),
    go("list", "-m", "-f", "{{.Dir}}", "k8s.io/pod-security-admission"),
  ];
  writeFileSync(
    pods,
    randomPods(RANDOM, SEED)
      .map((pod) => `${JSON.stringify(pod)}\n`)
      .join(""),
  );
  go("build", "-o", judge, ".");
  const run = spawnSync(judge, ["-fixtures", join(fixtures.trim(), "test/testdata"), "-pods", pods], {
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  if (run.status !== 0) throw new Error(run.stderr);
  writeFileSync(VERDICTS, run.stdout);
  console.log(`wrote ${VERDICTS}: ${run.stdout.trimEnd().split("\n").length} pods`);
} finally {
  rmSync(scratch, { recursive: true });
}

function go(...args: string[]): string {
  const run = spawnSync("go", args, {
    cwd: MODULE,
    encoding: "utf8",
    env: { ...process.env, GOFLAGS: "-mod=mod -buildvcs=false" },
  });
  if (run.status !== 0) throw new Error(run.error?.message ?? run.stderr);
  return run.stdout;
}
