// `railgate test`: the tests of policies in a folder, by OPA and as the host evaluates them.
import type { Command } from "commander";
import type { TestReport } from "../../workshop/tests.ts";
import { author, authorCommand } from "../io/authoring.ts";
import { EXIT, type CommandContext, type ExitCode } from "../io/command.ts";
import { safe, type Output } from "../io/output.ts";

type Options = { run?: string; coverage?: boolean };

export function testCommand(): Command {
  return authorCommand("test", "run the tests of policies, by OPA and as WASM; exit 1 where one fails")
    .argument("[dir]", "the folder, or one that holds it as policy/", ".")
    .option("--run <pattern>", "only tests whose package and name match, as in `opa test`")
    .option("--coverage", "say which lines of the policies no test reaches")
    .action((dir: string, options: Options) => author(options, (context) => test(context, dir, options)));
}

async function test({ out }: CommandContext, dir: string, options: Options): Promise<ExitCode> {
  const [{ testPolicies }, { JoinedPolicies }] = await Promise.all([
    import("../../workshop/tests.ts"),
    import("../../workshop/folder.ts"),
  ]);
  using policies = new JoinedPolicies(dir, { tests: true });
  out.progress("testing");
  const report = await testPolicies(policies, options);
  out.progress("");
  if (out.json) out.value(report);
  else write(out, report);
  return report.ok ? EXIT.done : EXIT.refused;
}

function write(out: Output, { ok, passed, failed, tests, coverage }: TestReport): void {
  for (const { name, package: owner, file, line, opa, wasm, error } of tests) {
    if (opa !== "failed" && wasm !== "failed") continue;
    const where = [opa === "failed" ? "by OPA" : "", wasm === "failed" ? "as WASM" : ""].filter(Boolean).join(" and ");
    out.line(
      `${out.colour.red("failed")} ${where}  ${safe(owner)}.${safe(name)}  ${out.colour.dim(safe(`${file}:${line}`))}`,
    );
    if (error !== undefined) out.hanging("  ", safe(error));
  }
  for (const { file, percent, not_covered } of coverage?.files ?? []) {
    const lines = not_covered.map(([from, to]) => (from === to ? String(from) : `${from}-${to}`));
    out.line(
      `${String(percent).padStart(5)} %  ${safe(file)}${lines.length > 0 ? `  not reached: ${lines.join(", ")}` : ""}`,
    );
  }
  if (coverage) out.line(`${String(coverage.percent).padStart(5)} %  in all`);
  const summary = `${passed} passed, ${failed} failed${failed === 0 ? ", by OPA and as WASM" : ""}`;
  if (tests.length === 0) out.line(out.colour.red("There are no tests: rules named test_… in files …_test.rego."));
  else out.line(ok ? out.colour.green(summary) : out.colour.red(summary));
}
