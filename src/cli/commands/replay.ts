// `railgate replay`: decides again what was decided, with the policy of then, or with a candidate to see what it would change.
import type { Command } from "commander";
import type { DecisionChange, ReplayReport } from "../../library/replay.ts";
import { EXIT, newCommand, run, UsageError, type CommandContext, type ExitCode } from "../io/command.ts";
import { safe, type Output } from "../io/output.ts";

type Options = { bundle?: string; failOnChange?: boolean };

const SHOWN_MAX = 50;

export function replayCommand(): Command {
  return newCommand(
    "replay",
    "decide again what was decided, and compare; exit 0 if every decision follows from its policy and input",
    [],
  )
    .argument("<export|db>", "an export (folder, .tar.gz, .tar), a data directory, or its railgate.db")
    .option("--bundle <file>", "show what this policy would have decided otherwise; it may be unsigned")
    .option("--fail-on-change", "with --bundle, exit 1 if it would have changed any decision")
    .action((path: string, options: Options) => run(options, (context) => replay(context, path, options)));
}

async function replay({ out }: CommandContext, path: string, { bundle, failOnChange }: Options): Promise<ExitCode> {
  if (failOnChange && bundle === undefined) throw new UsageError("--fail-on-change needs --bundle");
  const { replayAll } = await import("../../library/replay.ts");
  const report = await replayAll(path, {
    bundle,
    progress: (decisions) => out.progress(`${decisions} decisions replayed`),
  });
  out.progress("");
  if (out.json) out.value(report);
  else write(out, report);
  return report.ok && !(failOnChange && report.changed.length > 0) ? EXIT.done : EXIT.refused;
}

function write(out: Output, report: ReplayReport): void {
  const { decisions, reproduced, host_refused, erased, mismatches, changed, candidate } = report;
  if (changed.length > 0) writeChanges(out, changed);
  if (mismatches.length > 0) {
    out.table(
      ["SEQUENCE", "STREAM", "EVENT", "PROBLEM"],
      mismatches
        .slice(0, SHOWN_MAX)
        .map((each) => [String(each.sequence), each.chain_id, each.event_id, safe(each.problem)]),
    );
    out.line();
  }
  const parts = [
    `${decisions} decisions`,
    `${reproduced} ${candidate === null ? "reached again, byte for byte" : "as before"}`,
    ...(candidate === null ? [] : [`${changed.length} changed`]),
    ...(host_refused.total > 0
      ? [
          `${host_refused.total} refused by the host since no policy could decide (${host_refused.decides_now} it could decide now)`,
        ]
      : []),
    ...(erased > 0 ? [`${erased} artifacts erased`] : []),
    `${mismatches.length} ${candidate === null ? "not reached again" : "not comparable"}`,
  ];
  out.line(parts.join(", "));
  out.line(
    report.ok
      ? out.colour.green(candidate === null ? "Every decision follows from its policy and input." : "Compared.")
      : out.colour.red("Not all of it could be reached again."),
  );
}

function writeChanges(out: Output, changed: readonly DecisionChange[]): void {
  const groups = Map.groupBy(changed, ({ change, rules }) => `${change}\n${rules.join(", ")}`);
  const rows = [...groups].map(([name, members]) => [
    ...name.split("\n"),
    String(members.length),
    members
      .slice(0, 3)
      .map(({ sequence }) => sequence)
      .join(", ") + (members.length > 3 ? ", …" : ""),
  ]);
  out.table(
    ["CHANGE", "BY", "DECISIONS", "SEQUENCES"],
    rows.sort((a, b) => (a[0]! + a[1]! < b[0]! + b[1]! ? -1 : 1)).map((cells) => cells.map(safe)),
  );
  out.line();
}
