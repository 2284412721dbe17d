// `railgate show`: an export as a person reads it, or one event with what was asked, what came of it, and what proves it.
import type { Command } from "commander";
import type { Shown } from "../../library/shown.ts";
import {
  CannotRunError,
  EXIT,
  nodeCommand,
  run,
  UsageError,
  type CommandContext,
  type ExitCode,
} from "../io/command.ts";

type Options = { event?: string; tenant?: string };

const EVENT_ID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/;
const ROWS_AT_ONCE = 200;

export function showCommand(): Command {
  return nodeCommand("show", "read an export, a line an event; or one event, with its request, refusals and proofs")
    .argument("<export|event>", "an export (folder, .tar.gz, .tar), or the id of an event of the node")
    .option("--event <id|number>", "of the export, this event")
    .option("--tenant <id>", "whose event it is")
    .action((what: string, options: Options) => run({ ...options }, (context) => show(context, what, options)));
}

async function show(context: CommandContext, what: string, { event, tenant }: Options): Promise<ExitCode> {
  const { exportedEvent, isThere } = await import("../../library/exports.ts");
  if (isThere(what)) {
    if (event === undefined) return list(context, what);
    const shown = await exportedEvent(what, event);
    if (shown === undefined) throw new UsageError(`the export ${what} has no event ${event}`);
    return page(context, shown);
  }
  if (!EVENT_ID.test(what)) {
    if (/[./]/.test(what)) throw new CannotRunError(`there is no file or folder ${what}`);
    throw new UsageError(`${what} is neither an export nor the id of an event`);
  }
  const [{ lookUp }, { withReader }] = await Promise.all([import("../../library/shown.ts"), import("../io/open.ts")]);
  return page(context, await withReader(context, (reader) => lookUp(reader, what, tenant)));
}

async function list({ out }: CommandContext, path: string): Promise<ExitCode> {
  const [{ exportedEvents }, { eventRows }] = await Promise.all([
    import("../../library/exports.ts"),
    import("../io/event-view.ts"),
  ]);
  const rows = eventRows(out);
  let waiting = [];
  for await (const event of exportedEvents(path)) {
    if (out.json) out.value(event);
    else waiting.push(event);
    if (waiting.length < ROWS_AT_ONCE) continue;
    rows(waiting);
    waiting = [];
  }
  rows(waiting);
  return EXIT.done;
}

/** Exit 1 where a proof fails. */
async function page({ out }: CommandContext, shown: Shown): Promise<ExitCode> {
  const [{ proofsOf, told }, { writeEvent }] = await Promise.all([
    import("../../library/shown.ts"),
    import("../io/event-view.ts"),
  ]);
  const [said, proofs] = [await told(shown), proofsOf(shown)];
  const { event, record, inclusion } = shown;
  if (out.json) out.value({ event, record, inclusion, ...said, proofs });
  else writeEvent(out, shown, said, proofs);
  return proofs.some(({ holds }) => holds === false) ? EXIT.refused : EXIT.done;
}
