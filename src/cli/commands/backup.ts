// `railgate backup` and `railgate restore`: the whole of a node in one file, made while it runs, and put into an empty data directory.
import type { Command } from "commander";
import { saysNothing } from "../../core/text.ts";
import { EXIT, newCommand, run, UsageError, type CommandContext, type ExitCode } from "../io/command.ts";
import { safe } from "../io/output.ts";

export function backupCommand(): Command {
  return newCommand("backup", "write database and keys into one file, verified, while the node runs or not")
    .requiredOption("--out <file>", "a new file; it holds private keys")
    .action((options: { out: string }) => run({ ...options }, (context) => backup(context, options.out)));
}

async function backup({ config, out }: CommandContext, file: string): Promise<ExitCode> {
  if (config.server)
    throw new UsageError(
      "a backup holds private keys, and is made where they are: name the data directory (--data-dir)",
    );
  mustBeInDirectory(config, "is backed up as PostgreSQL is: pg_dump, or a base backup with its archive of writes");
  const { makeBackup } = await import("../../library/backup.ts");
  const { dataDir, nodeId } = config;
  const progress = (doing: string) => out.progress(doing);
  const made = await makeBackup({ dataDir, nodeId, out: file, nowMs: Date.now(), progress });
  out.progress("");
  if (out.json) out.value(made);
  else {
    out.line(
      `Backed up ${safe(made.node_id)}: ${count(made.events, "event")} in ${count(made.streams, "stream")}, verified, to ${made.path}.`,
    );
    out.note("It holds private keys. Keep it where only who may sign for the node can read it.");
  }
  return EXIT.done;
}

export function restoreCommand(): Command {
  return newCommand("restore", "put a backup into an empty data directory; its node goes on under another id")
    .argument("<file>", "what railgate backup wrote")
    .option("--reason <text>", "why, for the record: the node is opened once, and is ready to be served")
    .action((file: string, options: { reason?: string }) =>
      run({ ...options }, (context) => restore(context, file, options.reason)),
    );
}

async function restore({ config, out }: CommandContext, file: string, reason: string | undefined): Promise<ExitCode> {
  if (reason !== undefined && saysNothing(reason))
    throw new UsageError("--reason needs one; it becomes part of the evidence");
  mustBeInDirectory(
    config,
    "is restored as PostgreSQL is, and no backup of a data directory goes into it by this command",
  );
  const { restoreBackup } = await import("../../library/backup.ts");
  const progress = (doing: string) => out.progress(doing);
  const restored = await restoreBackup({ path: file, dataDir: config.dataDir, nowMs: Date.now(), progress });
  out.progress("");
  const goesOnAs = reason === undefined ? undefined : await goOn(config, reason);
  if (out.json) out.value({ ...restored, ...(goesOnAs !== undefined && { goes_on_as: goesOnAs }) });
  else {
    const { node_id, made_at, events, streams, data_dir } = restored;
    out.line(
      `Restored ${safe(node_id)} as of ${made_at} to ${data_dir}: ${count(events, "event")} in ${count(streams, "stream")}, verified.`,
    );
    out.line(
      goesOnAs === undefined
        ? 'Its first start must say why: railgate serve --after-restore "why"'
        : `It goes on as ${safe(goesOnAs)}, with new keys; that is on record.`,
    );
  }
  return EXIT.done;
}

/** @throws UsageError what is kept lies in a database that nodes share. */
function mustBeInDirectory({ store, dataDir }: CommandContext["config"], how: string): void {
  if (store === undefined) return;
  throw new UsageError(
    `railgate.store.url: the database ${how}. Keys and checkpoints of this node lie in ${dataDir}: copy that folder beside it (docs/scale.md)`,
  );
}

/** @returns the node's id from now on. */
async function goOn(config: CommandContext["config"], reason: string): Promise<string> {
  const [{ openRailgate }, { nodeOptions }] = await Promise.all([
    import("../../library/index.ts"),
    import("../../node/config/options.ts"),
  ]);
  await using railgate = await openRailgate({ ...nodeOptions(config), afterRestore: reason }, "cli");
  return railgate.figures.nodeId;
}

const count = (n: number, of: string): string => `${n} ${of}${n === 1 ? "" : "s"}`;
