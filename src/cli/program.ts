// The command line, `railgate`: which commands there are. Each loads what it needs when it is run, so that all start fast.
import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { EXIT } from "./io/command.ts";
import { bundleCommand } from "./commands/bundle.ts";
import { backupCommand, restoreCommand } from "./commands/backup.ts";
import { checkCommand } from "./commands/check.ts";
import { auditCommand } from "./commands/audit.ts";
import { completionCommand } from "./commands/completion.ts";
import { decideCommand } from "./commands/decide.ts";
import { doctorCommand } from "./commands/doctor.ts";
import { attestationCommand } from "./commands/attestation.ts";
import { challengeCommand } from "./commands/challenge.ts";
import { eraseCommand } from "./commands/erase.ts";
import { eventsCommand } from "./commands/events.ts";
import { exportCommand } from "./commands/export.ts";
import { initCommand } from "./commands/init.ts";
import { keysCommand } from "./commands/keys.ts";
import { provenanceCommand } from "./commands/provenance.ts";
import { meshCommand } from "./commands/mesh.ts";
import { nodeCommands } from "./commands/node.ts";
import { policyCommand } from "./commands/policy.ts";
import { replayCommand } from "./commands/replay.ts";
import { serveCommand } from "./commands/serve.ts";
import { showCommand } from "./commands/show.ts";
import { storeCommand } from "./commands/store.ts";
import { verifyCommand } from "./commands/verify.ts";
import { testCommand } from "./commands/test.ts";
import { tryCommand } from "./commands/try.ts";
import { lifecycleCommand, workloadsCommand } from "./commands/workloads.ts";

const EXIT_CODES = `
Exit codes: 0 done or admitted, 1 refused or failed verification, 2 used wrongly, 3 cannot run.
Settings come from opa.yaml, then RAILGATE_… variables, then flags: docs/configuration.md lists them.`;

function program(): Command {
  const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  const railgate = new Command("railgate")
    .description("Decides whether a workload may run, in which envelope and on which rail, and proves every decision.")
    .version(version, "-V, --version", "say which version this is")
    .helpCommand("help [command]", "say how a command is used")
    .configureHelp({ showGlobalOptions: false })
    .showSuggestionAfterError()
    .addHelpText("after", EXIT_CODES);
  for (const make of [
    serveCommand,
    decideCommand,
    auditCommand,
    workloadsCommand,
    lifecycleCommand,
    meshCommand,
    eventsCommand,
    showCommand,
    exportCommand,
    verifyCommand,
    replayCommand,
    initCommand,
    testCommand,
    tryCommand,
    checkCommand,
    bundleCommand,
    policyCommand,
    keysCommand,
    attestationCommand,
    provenanceCommand,
    nodeCommands,
    challengeCommand,
    eraseCommand,
    backupCommand,
    restoreCommand,
    storeCommand,
    doctorCommand,
  ])
    railgate.addCommand(make());
  railgate.addCommand(completionCommand(railgate));
  return withoutExit(railgate);
}

/** Commander ends the process with 1 on a mistake; ours is 2, once output is written. */
function withoutExit(command: Command): Command {
  command.exitOverride().helpOption("-h, --help", "say how this is used");
  command.configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, "railgate: ")) });
  command.commands.forEach(withoutExit);
  return command;
}

/** Runs the command that the process was given, and sets its exit code. */
export async function runCommandLine(): Promise<void> {
  // A reader that has seen enough (`railgate events | head`) is no error.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    process.exit();
  });
  process.on("uncaughtException", (error) => void failUnforeseen(error));
  try {
    await program().parseAsync();
  } catch (error) {
    if (!(error instanceof CommanderError)) await failUnforeseen(error);
    else {
      process.exitCode = error.exitCode === 0 ? EXIT.done : EXIT.usedWrongly;
      if (process.exitCode !== EXIT.done && process.argv.includes("--json"))
        process.stdout.write(
          `${JSON.stringify({ code: "used_wrongly", message: error.message.replace(/^error: /, "") })}\n`,
        );
    }
  }
}

/** Whatever nobody foresaw is one line too, and never an admission. */
async function failUnforeseen(error: unknown): Promise<never> {
  const { debugWanted } = await import("../node/config/config.ts");
  process.stderr.write(
    `railgate: ${error instanceof Error ? error.message : String(error)} (RAILGATE_LOG_LEVEL=debug shows where)\n`,
  );
  if (debugWanted() && error instanceof Error) process.stderr.write(`${error.stack}\n`);
  process.exit(EXIT.cannotRun);
}
