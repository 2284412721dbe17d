// How long a process of a host's own takes to have a node: import and open of the built package, by turns on a new directory and on one
// that is there.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureBuilt } from "../scripts/build.js";

const ROUNDS = 11;
const BUILT = new URL("../dist/embed/index.js", import.meta.url).href;
const PROCESS = `
  const begun = performance.now();
  const { openRailgate } = await import(${JSON.stringify(BUILT)});
  const imported = performance.now();
  const gate = await openRailgate({ dataDir: process.argv[2] });
  const opened = performance.now();
  const { user, system } = process.cpuUsage();
  await gate.close();
  console.log(JSON.stringify([imported - begun, opened - imported, opened - begun, (user + system) / 1000]));`;

if (!(await ensureBuilt())) throw new Error("the package is not built, and what builds it is not installed");
const directory = mkdtempSync(join(tmpdir(), "railgate-start-"));
const runs: Record<"new" | "existing", number[][]> = { new: [], existing: [] };
try {
  writeFileSync(join(directory, "host.mjs"), PROCESS);
  start("existing");
  for (let round = 0; round < ROUNDS; round++) {
    runs.new.push(start(`new-${round}`));
    runs.existing.push(start("existing"));
  }
} finally {
  rmSync(directory, { recursive: true });
}
for (const [name, each] of Object.entries(runs)) {
  const [imported, opened, both, processor] = [0, 1, 2, 3].map((column) => median(each.map((run) => run[column]!)));
  console.log(
    `${name} directory: import ${imported} ms, open ${opened} ms, together ${both} ms; processor ${processor} ms`,
  );
}

function start(name: string): number[] {
  const out = execFileSync(process.execPath, [join(directory, "host.mjs"), join(directory, name)]);
  return JSON.parse(out.toString()) as number[];
}

function median(values: number[]): string {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!.toFixed(0);
}
