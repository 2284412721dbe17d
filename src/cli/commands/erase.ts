// `railgate erase`: erases the artifact of one event, for good and on record.
import type { Command } from "commander";
import { EXIT, nodeCommand, run, type CommandContext, type ExitCode } from "../io/command.ts";

type Options = { tenant: string; basis: string };

export function eraseCommand(): Command {
  return nodeCommand("erase", "erase an event's stored input and decision, on record; the event and every proof stand")
    .argument("<event_id>", "the event whose artifact is to go")
    .requiredOption("--tenant <id>", "whose event it is")
    .requiredOption("--basis <text>", "why; it becomes part of the evidence, so it must name no person")
    .action((eventId: string, options: Options) => run({ ...options }, (context) => erase(context, eventId, options)));
}

async function erase(context: CommandContext, eventId: string, { tenant, basis }: Options): Promise<ExitCode> {
  const { withRailgate } = await import("../io/open.ts");
  const { answer } = await withRailgate(context, (railgate) => railgate.erase(eventId, { tenant_id: tenant, basis }));
  const { out } = context;
  if (out.json) out.value({ erased: eventId, basis, event: answer.event, receipt: answer.receipt });
  else
    out.line(
      `The artifact of ${eventId} is erased, on record. Copies in backups and in exports that were given out are not.`,
    );
  return EXIT.done;
}
