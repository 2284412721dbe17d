// Runs the pinned OPA command line with the arguments given, installing it where it is missing: `npm run opa -- <args>`.
import { spawnSync } from "node:child_process";
import { pathToFileURL } from "node:url";
import { PolicyError } from "../src/workshop/annotations.ts";
import { ensureOpa } from "../src/workshop/opa.ts";

export { ensureOpa };

/** Runs a script's work; what is wrong with a policy is told in lines of `file:line: what`, and exit 1. */
export async function reportingFaults(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    console.error(error.message);
    process.exitCode = 1;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  try {
    process.exitCode = spawnSync(await ensureOpa(), process.argv.slice(2), { stdio: "inherit" }).status ?? 1;
  } catch (error) {
    console.error((error as Error).message);
    process.exitCode = 3;
  }
}
