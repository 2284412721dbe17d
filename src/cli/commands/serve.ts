// `railgate serve`: a node behind HTTP.
import type { Command } from "commander";
import { EXIT, newCommand, run, UsageError, type CommandContext, type ExitCode } from "../io/command.ts";
import { saysNothing } from "../../core/text.ts";

export function serveCommand(): Command {
  return newCommand("serve", "decide over HTTP, until told to stop", [
    "dataDir",
    "listen",
    "logLevel",
    "nodeId",
    "settings",
    "upstreamUrl",
    "tlsCert",
    "tlsKey",
  ])
    .option(
      "--after-restore <reason>",
      "once, after a restore: go on under another node id, with new keys; it is recorded why",
    )
    .option("--wait", "where another process holds this node's id in a shared store, wait for its lease to end")
    .action(({ afterRestore, wait, ...options }: { afterRestore?: string; wait?: boolean }) =>
      run(options, (context) => serve(context, afterRestore, wait)),
    );
}

const LEFT_MS_MAX = 500;

/** What it logs is JSON lines either way; a person at a terminal is told where to look as well. */
async function serve(
  { config, out }: CommandContext,
  afterRestore: string | undefined,
  wait?: boolean,
): Promise<ExitCode> {
  if (afterRestore !== undefined && saysNothing(afterRestore))
    throw new UsageError("--after-restore needs a reason; it becomes part of the evidence");
  const { boundYoungGeneration } = await import("../io/memory.ts");
  boundYoungGeneration();
  const { serve } = await import("../../http/server.ts");
  const served = await serve(config, { afterRestore, ...(wait && { wait }) });
  out.progress(
    `Railgate listens on ${served.url}; its interface is described at ${served.url}/docs. Ctrl-C ends it.\n`,
  );
  await served.closed;
  // What is left of the log that nobody takes must not keep the process.
  setTimeout(() => process.exit(), LEFT_MS_MAX).unref();
  return EXIT.done;
}
