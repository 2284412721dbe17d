// `railgate try`: a request decided by policies as they lie in a folder, with which rules fired, on what, and which nearly did.
import type { Command } from "commander";
import type { AdmissionRequest } from "../../core/schema/request.ts";
import type { Fired, Nearly } from "../../workshop/explain.ts";
import type { Trial, Tried } from "../../workshop/trial.ts";
import { author } from "../io/authoring.ts";
import { EXIT, newCommand, UsageError, type CommandContext, type ExitCode } from "../io/command.ts";
import { safe, type Output } from "../io/output.ts";

type Options = { policy?: string; watch?: boolean; at?: string };

const VALUE_LENGTH_MAX = 120;

export function tryCommand(): Command {
  return newCommand(
    "try",
    "decide a request by policies as they lie in a folder, and say which rules fired, on what, and which nearly did",
    ["settings"],
  )
    .argument("<request>", "the request, a JSON or YAML file, or - for standard input")
    .option(
      "--policy <dir>",
      "policies of your own, joined to the law (default: ./policy if there is one, else the law alone)",
    )
    .option("--watch", "try it again whenever the request, the settings or the policies change")
    .option("--at <time>", "decide as at this time (RFC 3339; default: now)")
    .action((file: string, options: Options) => author(options, (context) => tryOut(context, file, options)));
}

async function tryOut(context: CommandContext, file: string, options: Options): Promise<ExitCode> {
  const { config, out } = context;
  const nowMs = await timeOf(options.at);
  if (options.watch && file === "-") throw new UsageError("--watch needs a file: standard input is read once");
  const read = await requestReader(context, file);
  const request = options.watch ? undefined : await read();
  const [{ Trial }, { folderHere }] = await Promise.all([
    import("../../workshop/trial.ts"),
    import("../../workshop/folder.ts"),
  ]);
  using trial = new Trial(config, options.policy ?? folderHere(), config.settings);
  if (request === undefined) return await watch(context, trial, { file, read, nowMs });
  const tried = await trial.run(request, nowMs());
  write(out, tried, request);
  return tried.decision.outcome === "accepted" ? EXIT.done : EXIT.refused;
}

async function timeOf(at: string | undefined): Promise<() => number> {
  if (at === undefined) return Date.now;
  const { timeMs } = await import("../../core/time.ts");
  const atMs = timeMs(at);
  if (atMs === undefined)
    throw new UsageError(`--at: ${JSON.stringify(at)} is no RFC 3339 time with zone, such as 2026-11-23T00:15:00Z`);
  return () => atMs;
}

async function requestReader({ config }: CommandContext, file: string): Promise<() => Promise<AdmissionRequest>> {
  const [{ readDocument }, { parseAdmissionRequest }] = await Promise.all([
    import("../io/document.ts"),
    import("../../core/request.ts"),
  ]);
  return async () => parseAdmissionRequest((await readDocument(file, config.limits.bodyBytesMax)).value);
}

interface Watched {
  readonly file: string;
  readonly read: () => Promise<AdmissionRequest>;
  readonly nowMs: () => number;
}

/** Until it is told to stop. What is wrong meanwhile is said, and mended by whoever edits. */
async function watch({ config, out }: CommandContext, trial: Trial, { file, read, nowMs }: Watched): Promise<ExitCode> {
  const { onChange } = await import("../../workshop/watch.ts");
  const watched = [file, ...(config.settings ? [config.settings] : [])];
  await onChange(watched, trial.policies.folder, async () => {
    const started = performance.now();
    try {
      const request = await read();
      const tried = await trial.run(request, nowMs());
      write(out, tried, request);
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      const { message, code } = error as Error & { code?: string };
      if (out.json) out.value({ code, message });
      else for (const line of message.split("\n")) out.line(out.colour.red(safe(line)));
    }
    if (out.json) return;
    out.line(out.colour.dim(`${Math.round(performance.now() - started)} ms. Waiting for changes; Ctrl-C ends it.`));
    out.line();
  });
  return EXIT.done;
}

function write(out: Output, { decision, fired, nearly, problem }: Tried, request: AdmissionRequest): void {
  if (out.json) return out.value({ decision, fired, nearly, ...(problem !== undefined && { problem }) });
  const { workload_id, tenant_id } = request.workload;
  const verdict = decision.outcome === "accepted" ? out.colour.green("Admitted") : out.colour.red("Refused");
  out.line(`${verdict}  ${out.colour.bold(safe(workload_id))} of tenant ${safe(tenant_id)}`);
  const { declared, required } = decision.envelope;
  out.line(`${declared === null ? "no envelope" : safe(declared)} declared, ${required ?? "nothing"} required`);
  if (problem !== undefined) out.line(out.colour.red(`The policy could not decide: ${safe(problem)}`));
  decision.refusals.forEach(({ message }, i) => writeFired(out, fired[i], message));
  for (const each of nearly) writeNearly(out, each);
}

function writeFired(out: Output, fired: Fired | undefined, message: string): void {
  if (fired === undefined) return;
  out.line();
  out.line(`${out.colour.red(safe(fired.rule))}  ${safe(fired.code)}  ${out.colour.dim(safe(placeOf(fired)))}`);
  out.hanging("  ", safe(message));
  for (const [pointer, value] of Object.entries(fired.values)) {
    const text = safe(JSON.stringify(value));
    out.line(
      `  ${safe(pointer)} = ${text.length > VALUE_LENGTH_MAX ? `${text.slice(0, VALUE_LENGTH_MAX - 1)}…` : text}`,
    );
  }
}

function writeNearly(out: Output, { because, ...nearly }: Nearly): void {
  out.line();
  out.line(
    `${out.colour.yellow("Nearly")} ${safe(nearly.rule)}  ${safe(nearly.code)}  ${out.colour.dim(safe(placeOf(nearly)))}`,
  );
  out.hanging("  ", safe(because));
}

const placeOf = ({ file, line }: { file: string; line: number }): string => (file === "" ? "" : `${file}:${line}`);
