// Runs the pinned OPA command line with the arguments given, installing it where it is missing: `npm run opa -- <args>`.
import { spawnSync } from "node:child_process";
import { pathToFileURL } from "node:url";
import { ensureOpa } from "../src/workshop/opa.ts";

export { ensureOpa };

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  try {
    process.exitCode = spawnSync(await ensureOpa(), process.argv.slice(2), { stdio: "inherit" }).status ?? 1;
  } catch (error) {
    console.error((error as Error).message);
    process.exitCode = 3;
  }
}
