// `railgate check`: policies of a folder, tried on requests made at random.
import { Option, type Command } from "commander";
import type { CheckReport, Property } from "../../workshop/check.ts";
import { author } from "../io/authoring.ts";
import {
  CannotRunError,
  EXIT,
  newCommand,
  UsageError,
  whole,
  type CommandContext,
  type ExitCode,
} from "../io/command.ts";
import { safe } from "../io/output.ts";

type Options = { atLeast?: "railgate"; runs: number; seed?: number; at?: string; output: string };

const RUNS = 2000;
const SEEDS = 2 ** 31;
const COUNTEREXAMPLE = "counterexample.json";

const SAYS: Record<Property, string> = {
  decides: "always a decision",
  rail: "never a lower rail than the shipped law's",
  at_least: "never weaker than the shipped law",
};

export function checkCommand(): Command {
  return newCommand("check", "try policies on generated requests; exit 1 and a request file where one shows a fault", [
    "settings",
  ])
    .argument("[dir]", "the folder, or one that holds it as policy/", ".")
    .addOption(
      new Option("--at-least <law>", "never weaker than this law: what it refuses is refused").choices(["railgate"]),
    )
    .option("--runs <n>", "how many requests to make", whole(1), RUNS)
    .option("--seed <n>", "make the same requests again, which the last run printed", whole(0))
    .option("--at <time>", "decide as at this time (RFC 3339; default: now)")
    .option("-o, --output <file>", "where a counterexample is written", COUNTEREXAMPLE)
    .action((dir: string, options: Options) => author(options, (context) => check(context, dir, options)));
}

async function check(context: CommandContext, dir: string, options: Options): Promise<ExitCode> {
  const { out, config } = context;
  const [{ checkByRequests }, { JoinedPolicies }, { timeMs }] = await Promise.all([
    import("../../workshop/check.ts"),
    import("../../workshop/folder.ts"),
    import("../../core/time.ts"),
  ]);
  const nowMs = options.at === undefined ? Date.now() : timeMs(options.at);
  if (nowMs === undefined)
    throw new UsageError(
      `--at: ${JSON.stringify(options.at)} is no RFC 3339 time with zone, such as 2026-11-23T00:15:00Z`,
    );
  const seed = options.seed ?? Math.floor(Math.random() * SEEDS);
  using policies = new JoinedPolicies(dir);
  out.progress("checking");
  const { counterexample, ...report } = await checkByRequests(policies, config, {
    atLeast: options.atLeast !== undefined,
    runs: options.runs,
    seed,
    nowMs,
  });
  out.progress("");
  if (counterexample) await write(options.output, counterexample.request);
  if (out.json)
    out.value({ ...report, ...(counterexample && { counterexample: { file: options.output, ...counterexample } }) });
  else tell(context, report, counterexample, { output: options.output, dir });
  return report.ok ? EXIT.done : EXIT.refused;
}

async function write(file: string, request: object): Promise<void> {
  const { writeFileSync } = await import("node:fs");
  try {
    writeFileSync(file, `${JSON.stringify(request, null, 2)}\n`);
  } catch (cause) {
    throw new CannotRunError(`can't write ${file} (${(cause as NodeJS.ErrnoException).code})`, { cause });
  }
}

function tell(
  { out }: CommandContext,
  { ok, runs, admitted, properties, seed, at }: Omit<CheckReport, "counterexample">,
  counterexample: CheckReport["counterexample"],
  { output, dir }: { readonly output: string; readonly dir: string },
): void {
  const said = properties.map((property) => SAYS[property]).join(", ");
  if (ok) out.line(out.colour.green(`${runs} requests, ${admitted} of them admitted: ${said}.`));
  else out.line(out.colour.red(`Not so: ${counterexample ? SAYS[counterexample.property] : said}.`));
  if (counterexample) {
    out.line(`On the request in ${safe(output)} ${safe(counterexample.message)}.`);
    out.line(`railgate try ${safe(output)} --policy ${safe(dir)} --at ${at} shows it.`);
  }
  out.line(out.colour.dim(`Again: --seed ${seed} --at ${at}`));
}
