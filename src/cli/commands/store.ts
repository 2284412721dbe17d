// `railgate store copy`: a node's whole store into another, verified record by record, while it runs or not.
import { Command } from "commander";
import { counted } from "../../core/counted.ts";
import { EXIT, newCommand, run, UsageError, type CommandContext, type ExitCode } from "../io/command.ts";
import { safe } from "../io/output.ts";

type Options = { from: string; to: string; cutOver?: boolean; dataDir?: string };

export function storeCommand(): Command {
  return new Command("store").description("the database that a node keeps everything in").addCommand(copyCommand());
}

function copyCommand(): Command {
  return newCommand("copy", "copy a store into an empty one, every record verified; goes on where it was interrupted")
    .requiredOption("--from <store>", "the source: a data directory, or the URL of a PostgreSQL; its nodes may run")
    .requiredOption("--to <store>", "the target, which holds nothing, or an interrupted copy: either as well")
    .option("--cut-over", "stop the source's node, copy what it added, and let it start there no more")
    .action((options: Options) => run({ ...options }, (context) => copy(context, options)));
}

async function copy({ out }: CommandContext, { from, to, cutOver, dataDir }: Options): Promise<ExitCode> {
  if (cutOver && from.includes("://"))
    throw new UsageError("--cut-over stops the node of a data directory; stop those that share a server by yourself");
  const { copyStore } = await import("../../library/store-copy.ts");
  const copied = await copyStore({
    from,
    to,
    dataDir,
    cutOver,
    nowMs: Date.now(),
    progress: ({ phase, events, of }) => out.progress(`${phase} ${events} of ${counted(of, "event")}…`),
  });
  out.progress("");
  if (out.json) out.value(copied);
  else {
    out.line(
      `Copied ${counted(copied.events, "event")} from ${safe(copied.from)} to ${safe(copied.to)}: both are alike.`,
    );
    if (!copied.finished)
      out.note(
        "The source's node runs on. Say it again with --cut-over to stop it and to copy what it adds until then.",
      );
  }
  return EXIT.done;
}
