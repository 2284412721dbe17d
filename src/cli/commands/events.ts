// `railgate events`: what was recorded, read from the data directory, also while a server writes to it.
import { setTimeout as sleep } from "node:timers/promises";
import { InvalidArgumentError, Option, type Command } from "commander";
import type { EventQuery, StoreReader, StoredEvent } from "../../store/store.ts";
import { EXIT, newCommand, run, UsageError, type Context, type ExitCode } from "../io/command.ts";
import { columnWidths, row, safe } from "../io/output.ts";

const LIMIT_DEFAULT = 50;
const PAGE = 1000;
const FOLLOW_MS = 250;

type Options = {
  tenant?: string;
  type?: string;
  outcome?: string;
  workload?: string;
  correlation?: string;
  since?: string;
  until?: string;
  order: "asc" | "desc";
  limit: number;
  follow?: boolean;
};

export function eventsCommand(): Command {
  return newCommand("events", "list what was recorded, newest first")
    .option("--tenant <id>", "only this tenant's")
    .option("--type <event_type>", "only this type, e.g. workload.refuse")
    .addOption(new Option("--outcome <outcome>", "only what came out so").choices(["accepted", "refused", "failed"]))
    .option("--workload <id>", "only about this workload")
    .option("--correlation <id>", "only with this correlation id")
    .option("--since <time>", "from this time on (RFC 3339), or since so long ago (PT1H)")
    .option("--until <time>", "before this time (RFC 3339), or before so long ago")
    .addOption(new Option("--order <order>", "newest or oldest first").choices(["desc", "asc"]).default("desc"))
    .option("--limit <n>", "at most so many", positive, LIMIT_DEFAULT)
    .option("-f, --follow", "show the last ones, then new ones as they are recorded, until interrupted")
    .action((options: Options) => run({ ...options }, (context) => listEvents(context, options)));
}

function positive(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError("It must be a whole number, 1 or more.");
  return Number(text);
}

async function listEvents(context: Context, options: Options): Promise<ExitCode> {
  const [{ openForReading }, rows] = await Promise.all([import("../io/reading.ts"), eventWriter(context)]);
  const query = await readQuery(options);
  using store = openForReading(context.config.dataDir);
  if (options.follow) return await follow(store, query, rows);
  const found = upTo(store, query);
  if (found.length === 0 && !context.out.json) context.out.note("No events match.");
  rows(found);
  return EXIT.done;
}

async function readQuery(options: Options): Promise<EventQuery> {
  return {
    tenant_id: options.tenant,
    event_type: options.type,
    outcome: options.outcome,
    workload_id: options.workload,
    correlation_id: options.correlation,
    since_ms: await readTime("--since", options.since),
    until_ms: await readTime("--until", options.until),
    order: options.order,
    limit: options.limit,
  };
}

async function readTime(flag: string, text: string | undefined): Promise<number | undefined> {
  if (text === undefined) return undefined;
  const { durationS, timeMs } = await import("../../core/time.ts");
  const ago = durationS(text);
  const ms = ago === undefined ? timeMs(text) : Date.now() - ago * 1000;
  if (ms === undefined)
    throw new UsageError(
      `${flag}: ${JSON.stringify(text)} is neither an RFC 3339 time (2026-11-23T00:15:00Z) nor an ISO 8601 duration (PT1H)`,
    );
  return ms;
}

/** As many as wanted, a page at a time, so that a page's memory is all that is needed. */
function upTo(store: StoreReader, query: EventQuery): StoredEvent[] {
  const found: StoredEvent[] = [];
  while (found.length < query.limit) {
    const page = store.events({
      ...query,
      limit: Math.min(PAGE, query.limit - found.length),
      after: found.at(-1)?.position,
    });
    found.push(...page);
    if (page.length < PAGE) break;
  }
  return found;
}

async function follow(store: StoreReader, query: EventQuery, rows: (events: StoredEvent[]) => void): Promise<ExitCode> {
  const interrupted = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => interrupted.abort());
  let last = store.events({ order: "desc", limit: 1 })[0]?.position ?? 0;
  rows(
    upTo(store, { ...query, order: "desc" })
      .filter(({ position }) => position <= last)
      .reverse(),
  );
  while (!interrupted.signal.aborted) {
    const news = store.events({ ...query, order: "asc", limit: PAGE, after: last });
    last = news.at(-1)?.position ?? last;
    rows(news);
    if (news.length < PAGE) await sleep(FOLLOW_MS, undefined, { signal: interrupted.signal }).catch(() => {});
  }
  return EXIT.done;
}

type Listed = {
  occurred_at: string;
  event_type: string;
  outcome: string;
  subject?: string;
  refusal_reason_code?: string;
  details?: { error_code?: string; workload_id?: string };
};

/** Writes events: each as it was signed, on a line of its own, or as rows under one heading. */
async function eventWriter({ out }: Context): Promise<(events: StoredEvent[]) => void> {
  const { eventTextOf } = await import("../../core/event.ts");
  if (out.json) return (events) => events.forEach(({ record }) => out.line(eventTextOf(record)));
  const heading = ["TIME", "TYPE", "OUTCOME", "WORKLOAD", "CODE"];
  let widths: number[] | undefined;
  return (events) => {
    const cells = events.map(({ record }) => cellsOf(JSON.parse(eventTextOf(record)) as Listed));
    if (cells.length === 0) return;
    if (widths === undefined) {
      widths = columnWidths([heading, ...cells]);
      out.line(out.colour.bold(row(heading, widths)));
    }
    for (const line of cells) out.line(row([line[0]!, line[1]!, outcome(line[2]!), ...line.slice(3)], widths));
  };
  function outcome(text: string): string {
    return text === "accepted" ? out.colour.green(text) : out.colour.red(text);
  }
}

function cellsOf(event: Listed): string[] {
  const workload = event.details?.workload_id ?? (event.event_type.startsWith("workload.") ? event.subject : undefined);
  return [
    event.occurred_at,
    event.event_type,
    event.outcome,
    workload ?? "-",
    event.refusal_reason_code ?? event.details?.error_code ?? "-",
  ].map(safe);
}
