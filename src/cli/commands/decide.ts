// `railgate decide`: one admission request, decided by the node that holds the data directory, or by the one at `--url`.
import type { Command } from "commander";
import type { Decision } from "../../core/schema/decision.ts";
import type { EvidenceEvent } from "../../core/schema/event.ts";
import type { AdmissionRequest } from "../../core/schema/request.ts";
import { EXIT, nodeCommand, run, UsageError, type CommandContext, type ExitCode } from "../io/command.ts";
import { safe } from "../io/output.ts";

type Options = { dryRun?: boolean; at?: string };
/** `event` and `receipt` are absent from a dry run; `by` is the server that was asked for the data directory. */
type Decided = { decision: Decision; event?: EvidenceEvent; receipt?: string; by?: string | undefined };

export function decideCommand(): Command {
  return nodeCommand("decide", "decide an admission request; exit 0 if admitted, 1 if refused")
    .argument("<request>", "the request, a JSON or YAML file, or - for standard input")
    .option("--dry-run", "decide without recording anything: no store, no evidence, no admission")
    .option("--at <time>", "with --dry-run, decide as at this time (RFC 3339)")
    .action((file: string, options: Options) => run({ ...options }, (context) => decide(context, file, options)));
}

async function decide(context: CommandContext, file: string, options: Options): Promise<ExitCode> {
  const atMs = await readAt(context, options);
  const [{ readDocument }, { parseAdmissionRequest }] = await Promise.all([
    import("../io/document.ts"),
    import("../../core/request.ts"),
  ]);
  const { value } = await readDocument(file, context.config.limits.bodyBytesMax);
  refuseManifests(value);
  const request = parseAdmissionRequest(value);
  const decided = options.dryRun ? await dryRun(context, request, atMs) : await admit(context, request);
  await write(context, decided, request);
  return decided.decision.outcome === "accepted" ? EXIT.done : EXIT.refused;
}

async function readAt({ config }: CommandContext, { at, dryRun }: Options): Promise<number> {
  if (at === undefined) return Date.now();
  if (!dryRun) throw new UsageError("--at needs --dry-run: evidence bears the time at which it was made");
  if (config.server) throw new UsageError("--at is for a dry run here; a running node decides as of now");
  const { timeMs } = await import("../../core/time.ts");
  const atMs = timeMs(at);
  if (atMs === undefined)
    throw new UsageError(`--at: ${JSON.stringify(at)} is no RFC 3339 time with zone, such as 2026-11-23T00:15:00Z`);
  return atMs;
}

function refuseManifests(value: unknown): void {
  if (typeof value !== "object" || value === null || !("apiVersion" in value) || !("kind" in value)) return;
  throw new UsageError("this is a Kubernetes manifest; give the admission request of the workload");
}

/** By the running node that was named, else here, with the settings and nothing else. */
async function dryRun(context: CommandContext, request: AdmissionRequest, atMs: number): Promise<Decided> {
  const { config, out } = context;
  if (config.server) {
    const { withRailgate } = await import("../io/open.ts");
    const { answer } = await withRailgate(context, (railgate) => railgate.dryRun(request));
    return { decision: { ...answer, dry_run: true } };
  }
  const { dryRun } = await import("../../library/dry-run.ts");
  const failed = (problem: string) => out.note(`railgate: the policy could not decide: ${safe(problem)}`);
  return { decision: { ...(await dryRun(config, request, atMs, failed)), dry_run: true } };
}

async function admit(context: CommandContext, request: AdmissionRequest): Promise<Decided> {
  const { withRailgate } = await import("../io/open.ts");
  const { answer, by } = await withRailgate(context, (railgate) => railgate.admit(request));
  const { decision, event, receipt } = answer;
  return { decision, event, receipt, by };
}

async function write(
  { out }: CommandContext,
  { decision, event, receipt, by }: Decided,
  request: unknown,
): Promise<void> {
  if (out.json) return out.value({ decision, ...(event && { event }), ...(receipt && { receipt }) });
  const [{ writeDecision }, { writeReceipt }] = await Promise.all([
    import("../io/explain.ts"),
    import("../io/answer.ts"),
  ]);
  writeDecision(out, decision, request);
  out.line();
  if (event === undefined) out.line(out.colour.yellow("Dry run: nothing was recorded, so nothing is admitted."));
  else writeReceipt(out, { event }, "Envelope".length);
  if (by !== undefined) out.note(`Decided by ${by}, which holds the data directory.`);
}
