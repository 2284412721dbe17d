// Has schemathesis (PyPI) hold a running node to its own OpenAPI description: `npm run -s contract -- [examples an operation, default 30]`.
// Apart from `npm test`, since it needs Python and, the first time, its package index: it is installed into the project's `.cache`.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "../src/node/config/config.ts";
import { serve } from "../src/http/server.ts";

const VERSION = "4.32.5";
const VENV = ".cache/schemathesis";
const EXAMPLES_DEFAULT = "30";
/** A stream that never ends, and an archive that no generator makes. */
const LEFT_OUT = ["^/v1/events$", "^/v1/verify$"];

const program = join(VENV, "bin/schemathesis");
if (!existsSync(program)) {
  await run("python3", ["-m", "venv", VENV]);
  await run(join(VENV, "bin/pip"), ["install", "--quiet", `schemathesis==${VERSION}`]);
}
const scratch = mkdtempSync(join(tmpdir(), "railgate-contract-"));
writeFileSync(join(scratch, "opa.yaml"), JSON.stringify({ railgate: { listen: "127.0.0.1:0", log_level: "silent" } }));
const served = await serve(loadConfig({ env: {}, cwd: scratch }), { signals: false, logTo: process.stderr });
try {
  const args = ["--config-file", "test/contract/schemathesis.toml", "run", `${served.url}/openapi.json`];
  args.push("--max-examples", process.argv[2] ?? EXAMPLES_DEFAULT, "--phases", "examples,coverage,fuzzing");
  for (const path of LEFT_OUT) args.push("--exclude-path-regex", path);
  await run(program, args);
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
} finally {
  await served.close();
  rmSync(scratch, { recursive: true });
}

function run(command: string, args: readonly string[]): Promise<void> {
  const child = spawn(command, args, { stdio: "inherit" });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => (code === 0 ? resolve() : reject(new Error(`${command} ended with ${code}`))));
  });
}
