// The command line as `npm start` and `npm run railgate` run it: built, and built anew where the sources have changed since.
import { ensureBin } from "./build.js";

// Before anything else: see src/cli/main.ts.
process.on("SIGUSR1", () => {});

if (!(await ensureBin())) {
  console.error("railgate: it is not built, and what builds it is not installed; npm ci does both");
  process.exit(3);
}
await import(new URL("../bin/cli/main.js", import.meta.url).href);
