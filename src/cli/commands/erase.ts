// `railgate erase`: erases the artifact of one event, for good and on record.
import type { Command } from "commander";
import { EXIT, newCommand, run, type Context, type ExitCode } from "../io/command.ts";

type Options = { tenant: string; basis: string };

export function eraseCommand(): Command {
  return newCommand("erase", "erase an event's stored input and decision, on record; the event and every proof stand", [
    "dataDir",
    "nodeId",
  ])
    .argument("<event_id>", "the event whose artifact is to go")
    .requiredOption("--tenant <id>", "whose event it is")
    .requiredOption("--basis <text>", "why; it becomes part of the evidence, so it must name no person")
    .action((eventId: string, options: Options) => run({ ...options }, (context) => erase(context, eventId, options)));
}

/** While a server runs, it alone writes; so it has to be stopped. */
async function erase({ config, out }: Context, eventId: string, { tenant, basis }: Options): Promise<ExitCode> {
  const [{ RailgateNode }, { nodeOptions }] = await Promise.all([
    import("../../node/open.ts"),
    import("../../node/config/options.ts"),
  ]);
  await using node = await RailgateNode.open(nodeOptions(config));
  await node.eraseArtifact(eventId, tenant, basis, "cli");
  if (out.json) out.value({ erased: eventId, basis });
  else
    out.line(
      `The artifact of ${eventId} is erased, on record. Copies in backups and in exports that were given out are not.`,
    );
  return EXIT.done;
}
