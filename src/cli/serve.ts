// `railgate serve`: a node behind HTTP.
import type { Command } from "commander";
import { EXIT, newCommand, run, type Context, type ExitCode } from "./command.ts";

export function serveCommand(): Command {
  return newCommand("serve", "decide over HTTP, until told to stop", ["dataDir", "listen", "logLevel", "nodeId", "upstreamUrl", "tlsCert", "tlsKey"])
    .action((options: object) => run({ ...options }, serve));
}

async function serve({ config }: Context): Promise<ExitCode> {
  return EXIT.cannotRun;
}
