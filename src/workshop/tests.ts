// Runs the tests of policies twice: by OPA, and compiled to WASM.
import { join } from "node:path";
import { PolicyError } from "./annotations.ts";
import { checkPolicies } from "./build.ts";
import { SHIPPED_POLICY, type JoinedPolicies } from "./folder.ts";
import { runOpa } from "./opa.ts";

/** `not_run`: it is skipped (`todo_test_…`). */
export type TestOutcome = "passed" | "failed" | "not_run";

export interface TestResult {
  readonly name: string;
  /** Without `data.`. */
  readonly package: string;
  readonly file: string;
  readonly line: number;
  readonly opa: TestOutcome;
  readonly wasm: TestOutcome;
  /** Why it failed, where that is known. */
  readonly error?: string;
}

export interface FileCoverage {
  readonly file: string;
  readonly percent: number;
  /** Lines that no test reaches, from and to. */
  readonly not_covered: readonly (readonly [number, number])[];
}

export interface TestReport {
  readonly ok: boolean;
  readonly passed: number;
  readonly failed: number;
  readonly tests: readonly TestResult[];
  /** Of the author's files, tests aside; absent where it was not asked for, or a test failed. */
  readonly coverage?: { readonly percent: number; readonly files: readonly FileCoverage[] };
}

export interface TestOptions {
  /** Only tests whose name matches (RE2). */
  readonly run?: string | undefined;
  readonly coverage?: boolean | undefined;
}

/** For a single test; a busy machine has been seen to need more than the 5 s that OPA gives one. */
const TIMEOUT = "60s";
const LEFT_OUT = ["schemas", "capabilities.json"];

interface OpaResult {
  readonly location: { readonly file: string; readonly row: number };
  readonly package: string;
  readonly name: string;
  readonly fail?: boolean;
  readonly skip?: boolean;
  readonly error?: { readonly message?: string };
}

/** @param policies joined with their tests. @throws PolicyError they cannot be tested. */
export async function testPolicies(policies: JoinedPolicies, options: TestOptions = {}): Promise<TestReport> {
  try {
    await checkPolicies(policies);
    await checkBuiltins(policies.directory);
    const [byOpa, byWasm] = [
      await run(policies.directory, options, "rego"),
      await run(policies.directory, options, "wasm"),
    ];
    const wasm = new Map(byWasm.map((result) => [idOf(result), result]));
    const tests = byOpa.map((result): TestResult => {
      const other = wasm.get(idOf(result));
      const message = result.error?.message ?? other?.error?.message;
      return {
        name: result.name,
        package: result.package.replace(/^data\./, ""),
        file: policies.shown(result.location.file),
        line: result.location.row,
        opa: outcomeOf(result),
        wasm: other ? outcomeOf(other) : "failed",
        ...(message !== undefined && { error: message }),
      };
    });
    const failed = tests.filter(({ opa, wasm }) => opa === "failed" || wasm === "failed").length;
    const passed = tests.filter(({ opa, wasm }) => opa === "passed" && wasm === "passed").length;
    const ok = failed === 0 && passed > 0;
    const coverage = options.coverage && ok ? await coverageOf(policies, options) : undefined;
    return { ok, passed, failed, tests, ...(coverage && { coverage }) };
  } catch (error) {
    throw policies.told(error);
  }
}

/** OPA tests with all the builtins that it has itself; what is tested is to run with those of the host. @throws PolicyError */
async function checkBuiltins(directory: string): Promise<void> {
  const args = ["check", "--capabilities", join(SHIPPED_POLICY, "capabilities.json"), "--bundle", "."];
  for (const pattern of [...LEFT_OUT, "*_test.rego"]) args.push("--ignore", pattern);
  const { status, stdout, stderr } = await runOpa(args, { cwd: directory });
  if (status !== 0) throw new PolicyError(`opa check: ${(stderr + stdout).trim()}`);
}

const idOf = ({ package: owner, name, location }: OpaResult): string => `${owner}.${name}:${location.row}`;

const outcomeOf = ({ skip, fail, error }: OpaResult): TestOutcome =>
  skip ? "not_run" : fail || error ? "failed" : "passed";

async function opaTest(directory: string, run: string | undefined, more: readonly string[]): Promise<string> {
  const args = ["test", "--bundle", ".", "--timeout", TIMEOUT, "--format", "json", ...more];
  for (const pattern of LEFT_OUT) args.push("--ignore", pattern);
  if (run !== undefined) args.push("--run", run);
  const { stdout, stderr } = await runOpa(args, { cwd: directory });
  if (!/^\s*(?:[[{]|null)/.test(stdout) || stderr !== "")
    throw new PolicyError(`opa test: ${(stderr + stdout).trim()}`);
  return stdout;
}

async function run(directory: string, { run: pattern }: TestOptions, target: "rego" | "wasm"): Promise<OpaResult[]> {
  const read = JSON.parse(await opaTest(directory, pattern, ["--target", target])) as OpaResult[] | object | null;
  if (Array.isArray(read)) return read;
  if (read === null) return [];
  throw new PolicyError(`opa test: ${JSON.stringify(read)}`);
}

type Range = { readonly start: { readonly row: number }; readonly end: { readonly row: number } };
type Coverage = {
  readonly files: {
    readonly [file: string]: { readonly covered?: readonly Range[]; readonly not_covered?: readonly Range[] };
  };
};

async function coverageOf(
  policies: JoinedPolicies,
  { run }: TestOptions,
): Promise<NonNullable<TestReport["coverage"]>> {
  const { files } = JSON.parse(await opaTest(policies.directory, run, ["--coverage"])) as Coverage;
  const own = Object.entries(files).filter(
    ([file]) => !file.endsWith("_test.rego") && (policies.folder === undefined || policies.authored.includes(file)),
  );
  let [all, reached] = [0, 0];
  const told = own.map(([file, { covered = [], not_covered: missing = [] }]) => {
    const [c, m] = [linesIn(covered), linesIn(missing)];
    all += c + m;
    reached += c;
    return {
      file: policies.shown(file),
      percent: percent(c, c + m),
      not_covered: missing.map(({ start, end }) => [start.row, end.row] as const),
    };
  });
  return { percent: percent(reached, all), files: told.sort((a, b) => (a.file < b.file ? -1 : 1)) };
}

const linesIn = (ranges: readonly Range[]): number =>
  ranges.reduce((sum, { start, end }) => sum + end.row - start.row + 1, 0);

/** With one decimal; only what is whole is 100. */
const percent = (part: number, whole: number): number => (whole === 0 ? 100 : Math.floor((part / whole) * 1000) / 10);
