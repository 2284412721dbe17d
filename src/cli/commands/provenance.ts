// `railgate provenance`: Sigstore bundles: which step fails, what they prove, and which are kept for an artifact.
import { readFileSync } from "node:fs";
import { Command } from "commander";
import type { KeptBundle, ProvenanceAnswer } from "../../core/schema/provenance.ts";
import {
  CannotRunError,
  EXIT,
  newCommand,
  nodeCommand,
  run,
  UsageError,
  type CommandContext,
  type ExitCode,
} from "../io/command.ts";
import { safe, type Output } from "../io/output.ts";

const ARTIFACT = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;

export function provenanceCommand(): Command {
  const provenance = new Command("provenance").description("where software comes from: Sigstore bundles");
  provenance.addCommand(
    newCommand("verify", "verify bundles by what the settings pin, offline; exit 0 only if all hold")
      .argument("<file...>", "bundles, JSON files; - for standard input")
      .option("--artifact <digest>", "what they must be about, such as sha256:<64 hex>")
      .action((files: string[], options: { artifact?: string }) =>
        run({ ...options }, (context) => verify(context, files, options.artifact)),
      ),
  );
  provenance.addCommand(
    nodeCommand("add", "have a bundle verified and kept, for whoever names its artifact later")
      .argument("<file>", "a bundle, a JSON file; - for standard input")
      .action((file: string, options: object) => run({ ...options }, (context) => add(context, file))),
  );
  provenance.addCommand(
    nodeCommand("show", "show the bundles that are kept for an artifact")
      .argument("<digest>", "the artifact's, such as sha256:<64 hex>")
      .action((digest: string, options: object) => run({ ...options }, (context) => show(context, digest))),
  );
  return provenance;
}

async function verify(
  { config, out }: CommandContext,
  files: readonly string[],
  artifact: string | undefined,
): Promise<ExitCode> {
  if (artifact !== undefined) checkDigest(artifact);
  const { verifyBundles } = await import("../../library/provenance.ts");
  const reports = readable(() => verifyBundles(config.trust, files, artifact));
  if (out.json) out.value({ ok: reports.every(({ ok }) => ok), bundles: reports });
  else
    for (const report of reports) {
      if (report.ok) out.line(`${out.colour.green("holds")}  ${safe(report.file)}`);
      else out.line(`${out.colour.red("fails")}  ${safe(report.file)}: at ${report.step}, ${safe(report.message)}`);
      if (report.ok) tell(out, report);
    }
  return reports.every(({ ok }) => ok) ? EXIT.done : EXIT.refused;
}

async function add(context: CommandContext, file: string): Promise<ExitCode> {
  const [{ withRailgate }, { ProvenanceRefusedError, RequestError }] = await Promise.all([
    import("../io/open.ts"),
    import("../../core/errors.ts"),
  ]);
  const { parseStrict } = await import("../../core/json.ts");
  const bundle = readable(() => parseStrict(readFileSync(file === "-" ? 0 : file)));
  const { out } = context;
  const added = await withRailgate(context, (railgate) => railgate.addProvenance(bundle)).catch((error: unknown) => {
    if (error instanceof ProvenanceRefusedError) return error;
    throw error instanceof RequestError ? new UsageError(error.message, { cause: error }) : error;
  });
  if (added instanceof ProvenanceRefusedError) {
    const { code, step, message } = added;
    if (out.json) out.value({ code, step, message });
    else out.line(`${out.colour.red("refused")}: at ${step}, ${safe(message)}`);
    return EXIT.refused;
  }
  if (out.json) out.value(added.answer);
  else {
    out.line(added.answer.stored ? "It holds, and is kept." : "It holds; this node keeps none.");
    tell(out, added.answer);
  }
  return EXIT.done;
}

async function show(context: CommandContext, digest: string): Promise<ExitCode> {
  checkDigest(digest);
  const [{ withRailgate }, { NotFoundError }] = await Promise.all([
    import("../io/open.ts"),
    import("../../core/errors.ts"),
  ]);
  const { out } = context;
  const found = await withRailgate(context, (railgate) => railgate.provenance(digest)).catch((error: unknown) => {
    if (error instanceof NotFoundError) return error;
    throw error;
  });
  if (found instanceof NotFoundError) {
    if (out.json) out.value({ code: found.code, message: found.message });
    else out.line(found.message);
    return EXIT.refused;
  }
  if (out.json) out.value(found.answer);
  else for (const item of found.answer.items) tellKept(out, item);
  return EXIT.done;
}

function tellKept(out: Output, item: KeptBundle): void {
  const holds = item.verified ? out.colour.green("holds") : out.colour.red(`fails at ${item.error}`);
  out.line(`${holds}  ${item.bundle_digest}`);
  if (item.verified) tell(out, item as Told);
}

type Told = Omit<ProvenanceAnswer, "bundle_digest" | "stored">;

function tell(
  out: Output,
  { subjects, issuer, subject, builder, source, predicate_type, level, signed_at }: Told,
): void {
  const rows: [string, string][] = [
    ["artifacts", subjects.join(", ")],
    ["signer", `${subject}, by ${issuer}`],
    ["builder", builder],
    ["source", source ?? "not said"],
    ["predicate", predicate_type],
    ["level", String(level)],
    ["signed at", signed_at],
  ];
  for (const [name, value] of rows) out.line(`  ${name.padEnd(10)} ${safe(value)}`);
}

function checkDigest(digest: string): void {
  if (!ARTIFACT.test(digest))
    throw new UsageError(`${JSON.stringify(digest)} is no digest such as sha256: and 64 lower-case hex digits`);
}

/** @throws CannotRunError a file is not there, or not JSON. */
function readable<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if ((error as { code?: string }).code === "config_invalid") throw error;
    throw new CannotRunError((error as Error).message, { cause: error });
  }
}
