// The Rego suite: format, strict check against the schemas, tests by OPA with full coverage, and the same tests in WASM.
import { runOpa } from "../src/workshop/opa.ts";

const COVERAGE_PERCENT_MIN = 100;
/** For a single test; a busy machine has been seen to need more than the 5 s that OPA gives one. */
const TIMEOUT = ["--timeout", "60s"];

interface Count {
  passed: number;
  failed: number;
}

interface CoverageReport {
  coverage: number;
  files: Record<string, { not_covered?: { start: { row: number }; end: { row: number } }[] }>;
}

interface Run {
  ok: boolean;
  output: string;
}

/** Runs every check of the policies, prints what is wrong, and counts: each check one, each Rego test one for each target. */
export async function regoTests(): Promise<Count> {
  const run = async (...args: string[]): Promise<Run> => {
    const { status, stdout, stderr } = await runOpa(args);
    return { ok: status === 0, output: `${stdout}${stderr}`.trim() };
  };
  const counts = [
    check("formatted", unformatted(await run("fmt", "--list", "policy/railgate", "examples/extensions"))),
    check(
      "strict, and true to the schemas",
      await run("check", "--strict", "--schema", "policy/schemas", "policy/railgate"),
    ),
    tested("rego", await run("test", ...TIMEOUT, "--bundle", "policy")),
    tested("wasm", await run("test", ...TIMEOUT, "--bundle", "policy", "--target", "wasm")),
    check(
      `covered by tests to ${COVERAGE_PERCENT_MIN} %`,
      uncovered(await run("test", ...TIMEOUT, "--bundle", "policy", "--coverage")),
    ),
  ];
  return counts.reduce((sum, { passed, failed }) => ({ passed: sum.passed + passed, failed: sum.failed + failed }));
}

function check(name: string, { ok, output }: Run): Count {
  console.log(`${ok ? "✔" : "✘"} policies are ${name}`);
  if (!ok) console.log(output);
  return { passed: ok ? 1 : 0, failed: ok ? 0 : 1 };
}

/** `opa fmt --list` names the files that are not formatted, and exits 0. */
function unformatted({ ok, output }: Run): Run {
  return { ok: ok && output === "", output };
}

function tested(target: string, { ok, output }: Run): Count {
  const count = (what: string) => Number(new RegExp(`^${what}: (\\d+)/`, "m").exec(output)?.[1] ?? 0);
  const passed = count("PASS");
  const failed = ok && passed > 0 ? 0 : Math.max(count("FAIL") + count("ERROR"), 1);
  console.log(`${failed === 0 ? "✔" : "✘"} opa test, target ${target}: ${passed} passed, ${failed} failed`);
  if (failed > 0) console.log(output);
  return { passed, failed };
}

function uncovered({ output }: Run): Run {
  let report: CoverageReport;
  try {
    report = JSON.parse(output) as CoverageReport;
  } catch {
    return { ok: false, output };
  }
  const lines = Object.entries(report.files).flatMap(([file, { not_covered }]) =>
    (not_covered ?? []).map(({ start }) => `${file}:${start.row} is not covered`),
  );
  return { ok: lines.length === 0 && report.coverage >= COVERAGE_PERCENT_MIN, output: lines.join("\n") };
}
