// `railgate replay`: decides again what was decided, with the policy of then, or with a candidate to see what it would change.
import type { Command } from "commander";
import { counted } from "../../core/counted.ts";
import type { DecisionChange, ReplayReport } from "../../library/replay.ts";
import { EXIT, newCommand, run, UsageError, type CommandContext, type ExitCode } from "../io/command.ts";
import { safe, type Output } from "../io/output.ts";

type Options = { bundle?: string; failOnChange?: boolean; csv?: boolean };

const SHOWN_MAX = 50;

export function replayCommand(): Command {
  return newCommand(
    "replay",
    "decide again what was decided, and compare; exit 0 if every decision follows from its policy and input",
    [],
  )
    .argument("<export|db>", "an export (folder, .tar.gz, .tar), a data directory, or its railgate.db")
    .option("--bundle <file>", "show what this policy would have decided otherwise; it may be unsigned")
    .option("--csv", "with --bundle, every decision that would change as a line of comma-separated values")
    .option("--fail-on-change", "with --bundle, exit 1 if it would have changed any decision")
    .action((path: string, options: Options) => run(options, (context) => replay(context, path, options)));
}

async function replay(
  { out }: CommandContext,
  path: string,
  { bundle, failOnChange, csv }: Options,
): Promise<ExitCode> {
  if (path.includes("://"))
    throw new UsageError("replay reads files; write them from the database first: railgate export --out <dir>");
  if (failOnChange && bundle === undefined) throw new UsageError("--fail-on-change needs --bundle");
  if (csv && bundle === undefined) throw new UsageError("--csv needs --bundle");
  if (csv && out.json) throw new UsageError("--csv and --json are two forms of the same; give one");
  const { boundYoungGeneration, YOUNG_BYTES_OF_AUDIT } = await import("../io/memory.ts");
  boundYoungGeneration(YOUNG_BYTES_OF_AUDIT);
  const { replayAll } = await import("../../library/replay.ts");
  const report = await replayAll(path, {
    bundle,
    progress: (decisions) => out.progress(`${counted(decisions, "decision")} replayed`),
  });
  out.progress("");
  if (out.json) out.value(report);
  else if (csv) writeCsv(out, report.changed);
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
    counted(decisions, "decision"),
    `${reproduced} ${candidate === null ? "reached again, byte for byte" : "as before"}`,
    ...(candidate === null ? [] : [`${changed.length} changed`]),
    ...(host_refused.total > 0
      ? [
          `${host_refused.total} refused by the host since no policy could decide (${host_refused.decides_now} it could decide now)`,
        ]
      : []),
    ...(erased > 0 ? [`${counted(erased, "artifact")} erased`] : []),
    `${mismatches.length} ${candidate === null ? "not reached again" : "not comparable"}`,
  ];
  out.line(parts.join(", "));
  out.line(
    report.ok
      ? out.colour.green(candidate === null ? followed(erased) : "Compared.")
      : out.colour.red("Not all of it could be reached again."),
  );
}

/** Nothing is said of decisions whose artifact is not there any more. */
const followed = (erased: number): string =>
  `Every decision${erased > 0 ? " whose artifact was retained" : ""} follows from its policy and input.`;

/** How many by rule, then which workloads; a person reads the first ones, and a program all of them (`--json`, `--csv`). */
function writeChanges(out: Output, changed: readonly DecisionChange[]): void {
  const groups = Map.groupBy(changed, ({ change, rules }) => `${change}\n${rules.join(", ")}`);
  const rows = [...groups].map(([name, members]) => [...name.split("\n"), String(members.length)]);
  rows.sort((a, b) => (a[0]! + a[1]! < b[0]! + b[1]! ? -1 : 1));
  out.table(
    ["CHANGE", "BY", "DECISIONS"],
    rows.map((cells) => cells.map(safe)),
  );
  out.line();
  out.table(
    ["TENANT", "WORKLOAD", "CHANGE", "NUMBER", "STREAM", "BY"],
    changed
      .slice(0, SHOWN_MAX)
      .map(({ tenant_id, workload_id, change, sequence, chain_id, rules }) =>
        [tenant_id, workload_id ?? "", change, String(sequence), chain_id, rules.join(", ")].map(safe),
      ),
  );
  if (changed.length > SHOWN_MAX) out.line(`… and ${changed.length - SHOWN_MAX} more: --json and --csv list all.`);
  out.line();
}

const COLUMNS = ["change", "tenant_id", "workload_id", "rules", "chain_id", "sequence", "event_id"] as const;

function writeCsv(out: Output, changed: readonly DecisionChange[]): void {
  out.line(COLUMNS.join(","));
  for (const each of changed)
    out.line(
      COLUMNS.map((name) => csvCell(name === "rules" ? each.rules.join(" ") : String(each[name] ?? ""))).join(","),
    );
}

/** RFC 4180. What a spreadsheet would take for a formula is text to it with an apostrophe in front. */
function csvCell(text: string): string {
  const shown = safe(text);
  const cell = /^[=+\-@]/.test(shown) ? `'${shown}` : shown;
  return /[",\n\r']/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
}
