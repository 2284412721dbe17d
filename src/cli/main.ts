#!/usr/bin/env node
// The command line's first step: can this Node run it, and where is what was compiled kept? Everything else is loaded after that.
import module from "node:module";
import { homedir } from "node:os";
import { join } from "node:path";
import { tooOld } from "../core/node-version.ts";

const CANNOT_RUN = 3;

// Otherwise this signal opens a debugger, to whoever can reach its port, in a process that holds private keys.
process.on("SIGUSR1", () => {});

/** Of the user's own, since whoever can write there decides what runs. A user without a home starts a little slower. */
function keepCompiled(): void {
  try {
    module.enableCompileCache?.(join(homedir(), ".cache", "railgate", "compiled"));
  } catch {
    // Neither $HOME nor an entry in the user database.
  }
}

// What is called first of what older versions lack would otherwise say so, and nobody would know what it meant.
const problem = tooOld(process.versions.node);
if (problem !== undefined) {
  process.stderr.write(`railgate: ${problem}\n`);
  process.exitCode = CANNOT_RUN;
} else {
  keepCompiled();
  const { runCommandLine } = await import("./program.ts");
  await runCommandLine();
}
