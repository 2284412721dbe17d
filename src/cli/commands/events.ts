// `railgate events`: what was recorded, read from the data directory, also while a server writes to it, or from a running node.
import { Option, type Command } from "commander";
import { RequestError } from "../../core/errors.ts";
import type { EvidenceEvent } from "../../core/schema/event.ts";
import type { EventsQuery } from "../../core/schema/queries.ts";
import type { RailgateReader } from "../../library/railgate.ts";
import { EXIT, nodeCommand, run, UsageError, whole, type CommandContext, type ExitCode } from "../io/command.ts";

const LIMIT_DEFAULT = 50;
const PAGE = 1000;

type Options = {
  tenant?: string;
  type?: string;
  outcome?: EventsQuery["outcome"];
  workload?: string;
  correlation?: string;
  since?: string;
  until?: string;
  order: "asc" | "desc";
  limit: number;
  follow?: boolean;
};
type Filters = Omit<EventsQuery, "order" | "limit" | "cursor">;

/** The flag that each member of the query comes from. */
const FLAGS: Readonly<Record<string, string>> = {
  tenant_id: "--tenant",
  event_type: "--type",
  workload_id: "--workload",
  correlation_id: "--correlation",
};

export function eventsCommand(): Command {
  return nodeCommand("events", "list what was recorded, newest first")
    .option("--tenant <id>", "only this tenant's")
    .option("--type <event_type>", "only this type, e.g. workload.refuse")
    .addOption(new Option("--outcome <outcome>", "only what came out so").choices(["accepted", "refused", "failed"]))
    .option("--workload <id>", "only about this workload")
    .option("--correlation <id>", "only with this correlation id")
    .option("--since <time>", "from this time on (RFC 3339), or since so long ago (PT1H)")
    .option("--until <time>", "before this time (RFC 3339), or before so long ago")
    .addOption(new Option("--order <order>", "newest or oldest first").choices(["desc", "asc"]).default("desc"))
    .option("--limit <n>", "at most so many", whole(1), LIMIT_DEFAULT)
    .option("-f, --follow", "show the last ones, then new ones as they are recorded, until interrupted")
    .action((options: Options) => run({ ...options }, (context) => listEvents(context, options)));
}

async function listEvents(context: CommandContext, options: Options): Promise<ExitCode> {
  const { out } = context;
  const [{ withReader }, filters, write] = await Promise.all([
    import("../io/open.ts"),
    readFilters(options),
    eventWriter(context),
  ]);
  const { order, limit } = options;
  try {
    return await withReader(context, async (reader) => {
      if (options.follow) return await follow(reader, filters, limit, write);
      const found = await upTo(reader, { ...filters, order }, limit);
      if (found.length === 0 && !out.json) out.note("No events match.");
      write(found);
      return EXIT.done;
    });
  } catch (error) {
    const [fault] = error instanceof RequestError ? error.errors : [];
    const flag = fault && FLAGS[fault.pointer.split("/").at(-1)!];
    throw flag === undefined ? error : new UsageError(`${flag}: ${fault!.message}`, { cause: error });
  }
}

async function readFilters(options: Options): Promise<Filters> {
  return {
    tenant_id: options.tenant,
    event_type: options.type as EventsQuery["event_type"],
    outcome: options.outcome,
    workload_id: options.workload,
    correlation_id: options.correlation,
    since: await readTime("--since", options.since),
    until: await readTime("--until", options.until),
  };
}

async function readTime(flag: string, text: string | undefined): Promise<string | undefined> {
  if (text === undefined) return undefined;
  const { durationS, timeMs } = await import("../../core/time.ts");
  const ago = durationS(text);
  const ms = ago === undefined ? timeMs(text) : Date.now() - ago * 1000;
  if (ms === undefined)
    throw new UsageError(
      `${flag}: ${JSON.stringify(text)} is neither an RFC 3339 time (2026-11-23T00:15:00Z) nor an ISO 8601 duration (PT1H)`,
    );
  return new Date(ms).toISOString();
}

async function upTo(reader: RailgateReader, query: EventsQuery, limit: number): Promise<EvidenceEvent[]> {
  const { allPages } = await import("../io/open.ts");
  return allPages((cursor) => reader.events({ ...query, limit: Math.min(PAGE, limit), cursor }), limit);
}

/** Goes on behind the newest that was shown, so that none is left out; what came behind it and was shown already is not shown again. */
async function follow(
  reader: RailgateReader,
  filters: Filters,
  limit: number,
  write: (events: readonly EvidenceEvent[]) => void,
): Promise<ExitCode> {
  const interrupted = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => interrupted.abort());
  const last = await upTo(reader, { ...filters, order: "desc" }, limit);
  write(last.toReversed());
  const from = last[0] ? { after: last[0].id } : { since: filters.since ?? new Date(0).toISOString() };
  const shown = new Set(last.map(({ id }) => id));
  for await (const event of reader.follow({ ...filters, ...from }, interrupted.signal))
    if (!shown.delete(event.id)) write([event]);
  return EXIT.done;
}

/** Writes events: each as it was signed, on a line of its own, or as rows under one heading. */
async function eventWriter({ out }: CommandContext): Promise<(events: readonly EvidenceEvent[]) => void> {
  if (!out.json) return (await import("../io/event-view.ts")).eventRows(out);
  const { canonicalJson } = await import("../../core/json.ts");
  return (events) => events.forEach((event) => out.line(canonicalJson(event)));
}
