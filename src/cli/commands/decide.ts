// `railgate decide`: one admission request, decided by the node that holds the data directory, or by the one at `--url`.
import type { Command } from "commander";
import type { Decision, DryRun } from "../../core/schema/decision.ts";
import type { ReviewAnswer } from "../../core/kubernetes/answer.ts";
import type { EvidenceEvent } from "../../core/schema/event.ts";
import type { AdmissionRequest } from "../../core/schema/request.ts";
import { EXIT, nodeCommand, run, UsageError, type CommandContext, type ExitCode } from "../io/command.ts";
import { safe, type Output } from "../io/output.ts";

type Options = { dryRun?: boolean; at?: string };
/** `event` and `receipt` are absent from a dry run, which has `problem`; `by` is the server that was asked for the data directory. */
type Decided = {
  decision: Decision;
  event?: EvidenceEvent;
  receipt?: string;
  problem?: string | undefined;
  by?: string | undefined;
};

export function decideCommand(): Command {
  return nodeCommand("decide", "decide an admission request; exit 0 if admitted, 1 if refused")
    .argument("<request>", "the request or a Kubernetes manifest, a JSON or YAML file, or - for standard input")
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
  if (isManifest(value)) return decideManifest(context, value, options, atMs);
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

const isManifest = (value: unknown): value is object =>
  typeof value === "object" && value !== null && "apiVersion" in value && "kind" in value;

/** A Kubernetes manifest, as an API server would have it reviewed. */
async function decideManifest(
  context: CommandContext,
  manifest: object,
  options: Options,
  atMs: number,
): Promise<ExitCode> {
  const { out } = context;
  const review = await reviewOf(manifest, options.dryRun === true);
  const { response } =
    options.dryRun && !context.config.server
      ? await judgedHere(context, manifest, atMs)
      : await reviewed(context, review);
  if (out.json) out.value(response);
  else writeReview(out, response);
  return response.allowed ? EXIT.done : EXIT.refused;
}

async function reviewed(context: CommandContext, review: object): Promise<ReviewAnswer> {
  const { withRailgate } = await import("../io/open.ts");
  const { answer, by } = await withRailgate(context, (railgate) => railgate.review(review));
  if (by !== undefined) context.out.note(`Decided by ${by}, which holds the data directory.`);
  return answer;
}

/** With the settings and nothing else. */
async function judgedHere({ config, out }: CommandContext, manifest: object, atMs: number): Promise<ReviewAnswer> {
  const [{ manifestJudge }, { answer, podAnswer }] = await Promise.all([
    import("../../library/manifests.ts"),
    import("../../core/kubernetes/answer.ts"),
  ]);
  const failed = (problem: string) => out.note(`railgate: the policy could not decide: ${safe(problem)}`);
  const judge = await manifestJudge(config, {}, atMs, failed);
  const judged = await judge.judge(manifest);
  if (judged === undefined) return answer({ uid: "", allowed: true });
  return podAnswer("", { name: judged.name, kind: judged.kind, group: "" }, judged.decision, undefined);
}

async function reviewOf(object: object, dryRun: boolean): Promise<object> {
  const [{ randomUUID }, { groupOf }] = await Promise.all([
    import("node:crypto"),
    import("../../core/kubernetes/objects.ts"),
  ]);
  const { apiVersion, kind, metadata } = object as { apiVersion: unknown; kind: unknown; metadata?: Named };
  const [group, version] = [groupOf(String(apiVersion)), String(apiVersion).split("/").at(-1)!];
  return {
    apiVersion: "admission.k8s.io/v1",
    kind: "AdmissionReview",
    request: {
      uid: randomUUID(),
      operation: "CREATE",
      kind: { group, version, kind: String(kind) },
      resource: { group, version, resource: `${String(kind).toLowerCase()}s` },
      ...(typeof metadata?.name === "string" && { name: metadata.name }),
      ...(typeof metadata?.namespace === "string" && { namespace: metadata.namespace }),
      object,
      dryRun,
    },
  };
}

type Named = { readonly name?: unknown; readonly namespace?: unknown };

function writeReview(
  out: Output,
  { allowed, status, warnings = [], auditAnnotations }: ReviewAnswer["response"],
): void {
  out.line(allowed ? out.colour.green(out.colour.bold("Allowed")) : out.colour.red(out.colour.bold("Refused")));
  if (status !== undefined) for (const line of status.message.split("\n")) out.line(safe(line));
  for (const warning of warnings) out.line(`${out.colour.yellow("Warning")}  ${safe(warning)}`);
  out.line();
  const eventId = auditAnnotations?.["event-id"];
  if (eventId === undefined) out.line(out.colour.yellow("Nothing was recorded, so nothing is admitted."));
  else out.labelled("Receipt", `event ${eventId}`);
}

/** By the running node that was named, else here, with the settings and nothing else. */
async function dryRun(context: CommandContext, request: AdmissionRequest, atMs: number): Promise<Decided> {
  const { problem, ...decision } = await dryRunOf(context, request, atMs);
  if (problem !== undefined) context.out.note(`railgate: the policy could not decide: ${safe(problem)}`);
  return { decision: { ...decision, dry_run: true }, problem };
}

async function dryRunOf(context: CommandContext, request: AdmissionRequest, atMs: number): Promise<DryRun> {
  const { config } = context;
  if (config.server) {
    const { withRailgate } = await import("../io/open.ts");
    return (await withRailgate(context, (railgate) => railgate.dryRun(request))).answer;
  }
  const { dryRun } = await import("../../library/dry-run.ts");
  return dryRun(config, request, atMs);
}

async function admit(context: CommandContext, request: AdmissionRequest): Promise<Decided> {
  const { withRailgate } = await import("../io/open.ts");
  const { answer, by } = await withRailgate(context, (railgate) => railgate.admit(request));
  const { decision, event, receipt } = answer;
  return { decision, event, receipt, by };
}

async function write(
  { out }: CommandContext,
  { decision, event, receipt, problem, by }: Decided,
  request: unknown,
): Promise<void> {
  if (out.json) {
    const evidence = { ...(event && { event }), ...(receipt && { receipt }) };
    return out.value({ decision, ...evidence, ...(problem !== undefined && { problem }) });
  }
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
