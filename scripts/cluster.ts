// Has a real API server ask Railgate, and kubectl ask the API server: `npm run -s cluster` (test/cluster). Apart from `npm test`, since etcd and
// kube-apiserver must be there: in the folder CLUSTER_BIN, or built by Go ≥ 1.26, which takes minutes and a gigabyte of modules the first time.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { binaries } from "../test/cluster/binaries.ts";
import { CHECKS } from "../test/cluster/checks.ts";
import { Lab } from "../test/cluster/lab.ts";

const dir = mkdtempSync(join(tmpdir(), "railgate-cluster-"));
let lab: Lab | undefined;
let [passed, failed] = [0, 0];
try {
  lab = await Lab.open(await binaries(process.env), dir);
  for (const [what, holds] of CHECKS)
    try {
      await holds(lab);
      passed++;
      console.log(`ok      ${what}`);
    } catch (error) {
      failed++;
      console.log(`FAILED  ${what}\n        ${(error as Error).message.replaceAll("\n", "\n        ")}`);
    }
} catch (error) {
  failed++;
  console.error((error as Error).message);
} finally {
  await lab?.close();
  if (failed === 0) rmSync(dir, { recursive: true });
  else console.error(`logs and data: ${dir}`);
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
