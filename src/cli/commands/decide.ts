// `railgate decide`: one admission request, decided here, or by the server that holds the data directory.
import { admission } from "../../gate/commands/admission.ts";
import { hostCaller } from "../../core/caller.ts";
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import { RequestError, StoreLockedError, type RequestFault } from "../../core/errors.ts";
import type { Decision } from "../../core/schema/decision.ts";
import type { EvidenceEvent } from "../../core/schema/event.ts";
import type { AdmissionRequest } from "../../core/schema/request.ts";
import { CannotRunError, EXIT, newCommand, run, UsageError, type Context, type ExitCode } from "../io/command.ts";
import type { Document } from "../io/document.ts";
import { safe, type Output } from "../io/output.ts";

const ANSWER_MS_MAX = 30_000;
/** How long to wait for a data directory whose holder can't be asked. */
const HELD_MS_MAX = 10_000;
const HELD_CHECK_MS = 50;

type Options = { dryRun?: boolean; at?: string };
/** `event` and `receipt` are absent from a dry run; `decidedBy` is the server that was asked. */
type Answer = { decision: Decision; event?: EvidenceEvent; receipt?: string; decidedBy?: string };

export function decideCommand(): Command {
  return newCommand("decide", "decide an admission request; exit 0 if admitted, 1 if refused")
    .argument("<request>", "the request, a JSON or YAML file, or - for standard input")
    .option("--dry-run", "decide without recording anything: no store, no evidence, no admission")
    .option("--at <time>", "with --dry-run, decide as at this time (RFC 3339)")
    .action((file: string, options: Options) => run(options, (context) => decide(context, file, options)));
}

async function decide(context: Context, file: string, options: Options): Promise<ExitCode> {
  const atMs = await readAt(options);
  const [{ readDocument }, { parseAdmissionRequest }] = await Promise.all([
    import("../io/document.ts"),
    import("../../core/request.ts"),
  ]);
  const document = await readDocument(file, context.config.limits.bodyBytesMax);
  refuseManifests(document.value);
  const request = parseAdmissionRequest(document.value);
  const answer = options.dryRun ? await dryRun(context, request, atMs) : await admit(context, request, document);
  await write(context, answer, request);
  return answer.decision.outcome === "accepted" ? EXIT.done : EXIT.refused;
}

async function readAt({ at, dryRun }: Options): Promise<number> {
  if (at === undefined) return Date.now();
  if (!dryRun) throw new UsageError("--at needs --dry-run: evidence bears the time at which it was made");
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

async function dryRun({ config, out }: Context, request: AdmissionRequest, atMs: number): Promise<Answer> {
  const { dryRun } = await import("./dry-run.ts");
  return { decision: { ...(await dryRun(config, request, atMs, failed(out))), dry_run: true } };
}

/** Evidenced, by this process if it can have the data directory, else by the server that has it. */
async function admit({ config, out }: Context, request: AdmissionRequest, document: Document): Promise<Answer> {
  const [{ RailgateNode }, { nodeOptions }, { readHolder }] = await Promise.all([
    import("../../node/open.ts"),
    import("../../node/config/options.ts"),
    import("../../store/lock.ts"),
  ]);
  const giveUpAt = performance.now() + HELD_MS_MAX;
  for (;;) {
    try {
      await using node = await RailgateNode.open({ ...nodeOptions(config), observe: { policyFailed: failed(out) } });
      out.progress("");
      const caller = hostCaller("cli");
      const [admitted] = await node.gate.run([admission(request, caller)], { caller });
      const { outcome, event, receipt } = admitted!;
      const { decision } = outcome;
      return { decision, event, receipt };
    } catch (error) {
      if (!(error instanceof StoreLockedError)) throw error;
      const url = readHolder(config.dataDir)?.url;
      if (url !== undefined) return askServer(url, document.bytes);
      // One that doesn't listen may be another command, done in a moment, or a server that is only starting.
      if (performance.now() > giveUpAt) throw error;
      out.progress("waiting for another process to let go of the data directory…");
      await sleep(HELD_CHECK_MS);
    }
  }
}

/** The cause of a POL-01 or POL-03. A caller over HTTP isn't told it; whoever runs this command may see the policy anyway. */
const failed = (out: Output) => (problem: string) =>
  out.note(`railgate: the policy could not decide: ${safe(problem)}`);

async function askServer(url: string, body: Uint8Array): Promise<Answer> {
  const response = await post(new URL("/v1/admissions", url), body);
  const answer = (await response.json().catch(() => ({}))) as Partial<Answer> & {
    code?: string;
    detail?: string;
    errors?: RequestFault[];
  };
  if (response.ok && answer.decision) return { ...answer, decision: answer.decision, decidedBy: url };
  if (answer.errors && (response.status === 400 || response.status === 413 || response.status === 422))
    throw new RequestError(response.status, answer.errors);
  const why =
    response.status === 401 || response.status === 403
      ? "wants callers to authenticate; send the request to it over HTTP with your credentials"
      : `answered ${response.status}${answer.detail === undefined ? "" : `: ${answer.detail}`}`;
  throw new CannotRunError(`the server at ${url}, which holds the data directory, ${why}`);
}

async function post(url: URL, body: Uint8Array): Promise<Response> {
  try {
    const headers = { "content-type": "application/json", accept: "application/json" };
    return await fetch(url, {
      method: "POST",
      headers,
      body: body as Uint8Array<ArrayBuffer>,
      redirect: "error",
      signal: AbortSignal.timeout(ANSWER_MS_MAX),
    });
  } catch (cause) {
    const reason = (cause as { cause?: { code?: string } }).cause?.code ?? (cause as Error).message;
    throw new CannotRunError(
      `the server at ${url.origin}, which holds the data directory, can't be asked (${reason}); stop it, or use another data directory (--data-dir)`,
      { cause },
    );
  }
}

async function write({ out }: Context, answer: Answer, request: AdmissionRequest): Promise<void> {
  const { decidedBy, event, receipt, decision } = answer;
  if (out.json) return out.value({ decision, ...(event && { event }), ...(receipt && { receipt }) });
  const { writeDecision } = await import("../io/explain.ts");
  writeDecision(out, decision, request);
  out.line();
  if (event === undefined) out.line(out.colour.yellow("Dry run: nothing was recorded, so nothing is admitted."));
  else
    out.labelled("Receipt", `event ${event.id}, number ${event.sequence} of ${event.chain_id}`, 0, "Envelope".length);
  if (decidedBy !== undefined) out.note(`Decided by the server at ${decidedBy}, which holds the data directory.`);
}
