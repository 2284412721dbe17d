// Runs every suite: style (Biome, Knip), types, Rego (`opa test`), host (ava). `npm test`; `npm test -- style|types|rego|ava` for one of them.
// The last line is `N passed, N failed` over all suites; a suite that cannot run counts as a failure.
import { spawn } from "node:child_process";
import { regoTests } from "./rego.ts";

interface Count {
  passed: number;
  failed: number;
}

const suites: { [name: string]: () => Promise<Count> } = { style, types, rego: regoTests, ava };

/** Is every file formatted, within the rules of biome.json, and used (knip.json)? `npm run format` mends the format. */
async function style(): Promise<Count> {
  return checks([
    ["biome", ["format", "."]],
    ["biome", ["lint", "--error-on-warnings", "."]],
    ["knip", []],
  ]);
}

/** Does every file have the types it claims? */
async function types(): Promise<Count> {
  return checks([["tsc", ["--noEmit"]]]);
}

/** Each command is a check, passed when it ends well. */
async function checks(commands: readonly [command: string, args: string[]][]): Promise<Count> {
  const count: Count = { passed: 0, failed: 0 };
  for (const [command, args] of commands) {
    const { status } = await run(command, args);
    count[status === 0 ? "passed" : "failed"]++;
  }
  return count;
}

async function ava(): Promise<Count> {
  const { status, output } = await run("ava", [], {
    // What was compiled for one process or thread is there for the next.
    NODE_COMPILE_CACHE: "node_modules/.cache/railgate-tests",
    // Hundreds of short runs of OPA, half of whose time goes to freeing what ends with them.
    GOGC: "off",
    GOMEMLIMIT: "1GiB",
  });
  const count = (what: string) => Number(new RegExp(`^\\s*(\\d+) ${what}`, "m").exec(output)?.[1] ?? 0);
  const failed =
    count("tests? failed") +
    count("uncaught exceptions?") +
    count("unhandled rejections?") +
    count("test files? (?:was|were) not run");
  // Its summary leaves out what passed when something failed.
  const passed = output.match(/^\s*✔ /gm)?.length ?? 0;
  return { passed, failed: status === 0 ? failed : Math.max(failed, 1) };
}

/** A suite that says nothing for so long hangs. ava's own limit ends with the longest `t.timeout` of any test that has begun. */
const SILENT_MS_MAX = 5 * 60_000;
const INTERRUPTED_MS_MAX = 20_000;

/** Runs a command of ours, showing what it says and keeping it. One that hangs is interrupted, on which ava lists the tests that have not ended. */
function run(
  command: string,
  args: string[],
  env: Record<string, string> = {},
): Promise<{ status: number; output: string }> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, ...env } });
    let output = "";
    const silent = setTimeout(() => {
      console.error(`${command} has said nothing for ${SILENT_MS_MAX / 60_000} minutes, and is ended`);
      child.kill("SIGINT");
      setTimeout(() => {
        child.kill("SIGKILL");
        // What it started may hold on to its output.
        child.stdout.destroy();
      }, INTERRUPTED_MS_MAX).unref();
    }, SILENT_MS_MAX);
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      process.stdout.write(text);
      silent.refresh();
    });
    child.on("error", (error) => resolve({ status: 1, output: error.message }));
    child.on("close", (code) => {
      clearTimeout(silent);
      resolve({ status: code ?? 1, output });
    });
  });
}

const wanted = process.argv.slice(2);
const unknown = wanted.find((name) => !Object.hasOwn(suites, name));
if (unknown !== undefined) {
  console.error(`There is no suite "${unknown}"; there are ${Object.keys(suites).join(", ")}.`);
  process.exit(2);
}
const total: Count = { passed: 0, failed: 0 };
for (const [name, suite] of Object.entries(suites)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  console.log(`\n── ${name}`);
  const count = await suite().catch((error: Error) => {
    console.error(error.message);
    return { passed: 0, failed: 1 };
  });
  console.log(`${name}: ${count.passed} passed, ${count.failed} failed`);
  total.passed += count.passed;
  total.failed += count.failed;
}
console.log(`\n${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed === 0 && total.passed > 0 ? 0 : 1;
