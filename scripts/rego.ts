// The Rego suite: format, strict check against the schemas, tests by OPA with full coverage, and the same tests in WASM, as the host evaluates it.
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readBundleFiles } from "../src/policy/bundle-files.ts";
import { DEFAULT_LIMITS, Evaluator } from "../src/policy/evaluator.ts";
import { runOpa } from "../src/workshop/opa.ts";

const POLICY = "policy";
const COVERAGE_PERCENT_MIN = 100;
/** For a single test; a busy machine has been seen to need more than the 5 s that OPA gives one. */
const TEST_S_MAX = 60;
const TIMEOUT = ["--timeout", `${TEST_S_MAX}s`];

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

/** What `opa test` says of a test: neither `fail` nor `error`, and it passed. */
interface TestResult {
  location: { file: string; row: number };
  package: string;
  name: string;
  fail?: boolean;
  skip?: boolean;
  error?: { message?: string };
}

async function run(...args: string[]): Promise<Run> {
  const { status, stdout, stderr } = await runOpa(args);
  return { ok: status === 0, output: `${stdout}${stderr}`.trim() };
}

/** Runs every check of the policies, prints what is wrong, and counts: each check one, each Rego test one for each target. */
export async function regoTests(): Promise<Count> {
  const counts = [
    check("formatted", unformatted(await run("fmt", "--list", `${POLICY}/railgate`, "examples/extensions"))),
    check(
      "strict, and true to the schemas",
      await run("check", "--strict", "--schema", `${POLICY}/schemas`, `${POLICY}/railgate`),
    ),
  ];
  const tests = await testsByOpa();
  counts.push(
    tested("rego", tests, tests.flatMap(faultOf)),
    tested("wasm", tests, await faultsInWasm(tests)),
    check(
      `covered by tests to ${COVERAGE_PERCENT_MIN} %`,
      uncovered(await run("test", ...TIMEOUT, "--bundle", POLICY, "--coverage")),
    ),
  );
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

/** @throws Error with what OPA said where the tests do not run at all. */
async function testsByOpa(): Promise<TestResult[]> {
  const { output } = await run("test", ...TIMEOUT, "--bundle", POLICY, "--format", "json");
  try {
    const results = JSON.parse(output) as TestResult[];
    if (results.length > 0) return results;
  } catch {
    // Said below.
  }
  throw new Error(`opa test: ${output}`);
}

function faultOf(test: TestResult): string[] {
  const { fail, skip, error } = test;
  return fail || skip || error ? [`${titleOf(test)}: ${skip ? "is skipped" : (error?.message ?? "fails")}`] : [];
}

const titleOf = ({ package: owner, name, location: { file, row } }: TestResult): string =>
  `${file}:${row}: ${owner}.${name}`;

/**
 * All of them compiled to one module, and each evaluated by the evaluator that decides in production: OPA's own engine compiles the law
 * anew for every test, in twenty times the time. @returns the tests that do not hold, and why.
 */
async function faultsInWasm(tests: readonly TestResult[]): Promise<string[]> {
  const pathOf = ({ package: owner, name }: TestResult) =>
    `${owner}.${name}`.replace(/^data\./, "").replaceAll(".", "/");
  const limits = { ...DEFAULT_LIMITS, evaluationMsMax: TEST_S_MAX * 1000 };
  const { wasm, data } = await compiled(tests.map(pathOf));
  const evaluator = await Evaluator.load(wasm, data, limits);
  return tests.flatMap((test) => {
    try {
      const value = evaluator.evaluate(pathOf(test), "");
      return value === true ? [] : [`${titleOf(test)}: is ${JSON.stringify(value)}, not true`];
    } catch (error) {
      return [`${titleOf(test)}: ${(error as Error).message}`];
    }
  });
}

const ENTRYPOINT = /^# entrypoint: true$/gm;

/**
 * The policies with their tests as one module. No rule of theirs is marked as an entrypoint there: beside those that are, `opa build`
 * takes the functions by which tests read them for documents, and refuses.
 */
async function compiled(entrypoints: readonly string[]): Promise<{ wasm: Uint8Array; data: object }> {
  const work = mkdtempSync(join(tmpdir(), "railgate-rego-"));
  try {
    const [folder, bundle] = [join(work, POLICY), join(work, "bundle.tar.gz")];
    cpSync(POLICY, folder, { recursive: true });
    for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" }))
      if (name.endsWith(".rego")) {
        const file = join(folder, name);
        writeFileSync(file, readFileSync(file, "utf8").replaceAll(ENTRYPOINT, "#"));
      }
    const leftOut = ["schemas", "capabilities.json"].flatMap((name) => ["--ignore", name]);
    const named = entrypoints.flatMap((path) => ["--entrypoint", path]);
    const built = await run("build", "--target", "wasm", "--output", bundle, ...leftOut, ...named, "--bundle", folder);
    if (!built.ok) throw new Error(`opa build: ${built.output}`);
    const files = await readBundleFiles(readFileSync(bundle));
    return {
      wasm: files.get("policy.wasm")!,
      data: JSON.parse(new TextDecoder().decode(files.get("data.json"))) as object,
    };
  } finally {
    rmSync(work, { recursive: true });
  }
}

/** @param faults one a test, of those that did not pass. */
function tested(target: string, tests: readonly TestResult[], faults: readonly string[]): Count {
  const [passed, failed] = [tests.length - faults.length, faults.length];
  console.log(
    `${failed === 0 ? "✔" : "✘"} tests of the policies, target ${target}: ${passed} passed, ${failed} failed`,
  );
  for (const fault of faults) console.log(fault);
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
