// `railgate export`: a tenant's evidence with all that is needed to verify it, made here, or by the server that holds the data directory.
import { createWriteStream, existsSync, rmSync } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ReadableStream } from "node:stream/web";
import { InvalidArgumentError, type Command } from "commander";
import { ExportIncompleteError, StoreLockedError } from "../../core/errors.ts";
import type { ExportRequest } from "../../evidence/export/export.ts";
import { CannotRunError, EXIT, newCommand, run, UsageError, type Context, type ExitCode } from "../io/command.ts";
import { safe } from "../io/output.ts";

type Options = { tenant: string; profile?: string; out: string; from?: number; to?: number; chain?: string };
type Written = {
  export_id?: string;
  events?: number;
  from_sequence?: number;
  to_sequence?: number;
  manifest_digest?: string;
  path: string;
};
type Refused = { code: string; message: string; missing: readonly string[] };

export function exportCommand(): Command {
  return newCommand("export", "write a tenant's evidence as a folder, or as one file if the name ends in .tar.gz")
    .requiredOption("--tenant <id>", "whose evidence")
    .option("--profile <id>", "the evidence profile that it must satisfy (default: the node's)")
    .requiredOption("--out <path>", "a new folder, or a new file whose name ends in .tar.gz")
    .option("--from <sequence>", "the first event (default 0)", sequence)
    .option("--to <sequence>", "the last event (default: the newest)", sequence)
    .option("--chain <chain_id>", "the stream (default: the tenant's on this node)")
    .action((options: Options) => run({ ...options }, (context) => exportTo(context, options)));
}

function sequence(text: string): number {
  if (!/^(?:0|[1-9]\d{0,14})$/.test(text)) throw new InvalidArgumentError("It must be a whole number, 0 or more.");
  return Number(text);
}

async function exportTo(context: Context, options: Options): Promise<ExitCode> {
  const { out } = context;
  const written = await make(context, options);
  if ("missing" in written) {
    if (out.json) out.value(written);
    else {
      out.line(out.colour.red("Refused: the export would be incomplete."));
      for (const missing of written.missing) out.line(`  missing: ${safe(missing)}`);
    }
    return EXIT.refused;
  }
  if (out.json) out.value(written);
  else
    out.line(
      `Exported ${written.events === undefined ? "" : `${written.events} events, ${written.from_sequence} to ${written.to_sequence}, `}to ${written.path}. Check it with: railgate verify ${written.path}`,
    );
  return EXIT.done;
}

/** Here, if this process can have the data directory, else by the one that has it. */
async function make(context: Context, options: Options): Promise<Written | Refused> {
  const { dataDir, evidence } = context.config;
  try {
    return await here(context, options);
  } catch (error) {
    if (error instanceof ExportIncompleteError)
      return { code: error.code, message: error.message, missing: error.missing };
    if (!(error instanceof StoreLockedError)) throw error;
    const { readHolder } = await import("../../store/lock.ts");
    const url = readHolder(dataDir)?.url;
    if (url === undefined) throw error;
    return byServer(url, options, evidence.profile);
  }
}

async function here({ config }: Context, options: Options): Promise<Written> {
  const [{ RailgateNode }, { nodeOptions }, { prepareExport }, { writeFolder, writeTarGz }] = await Promise.all([
    import("../../node/open.ts"),
    import("../../node/config/options.ts"),
    import("../../evidence/export/export.ts"),
    import("../../evidence/export/files.ts"),
  ]);
  await using node = await RailgateNode.open(nodeOptions(config));
  using prepared = await prepareExport(node, {
    ...requestOf(options, config.evidence.profile),
    actor: "cli",
    artifacts: config.evidence.artifacts,
  });
  await (isArchive(options.out) ? writeTarGz : writeFolder)(prepared.files, options.out);
  const { exportId, events, fromSequence, toSequence, manifestDigest } = prepared;
  return {
    export_id: exportId,
    events,
    from_sequence: fromSequence,
    to_sequence: toSequence,
    manifest_digest: manifestDigest,
    path: options.out,
  };
}

const isArchive = (path: string): boolean => path.endsWith(".tar.gz") || path.endsWith(".tgz");

function requestOf(
  { tenant, profile, from, to, chain }: Options,
  profileDefault: string,
): Omit<ExportRequest, "actor"> {
  return {
    tenantId: tenant,
    evidenceProfileId: profile ?? profileDefault,
    fromSequence: from,
    toSequence: to,
    chainId: chain,
  };
}

/** Over HTTP an export comes as one file. */
async function byServer(url: string, options: Options, profileDefault: string): Promise<Written | Refused> {
  if (!isArchive(options.out))
    throw new UsageError(
      `the server at ${url} holds the data directory and gives exports as one file; name one that ends in .tar.gz`,
    );
  if (existsSync(options.out)) throw new CannotRunError(`${options.out} is there already`);
  const { tenantId, evidenceProfileId, fromSequence, toSequence, chainId } = requestOf(options, profileDefault);
  const body = JSON.stringify({
    tenant_id: tenantId,
    evidence_profile_id: evidenceProfileId,
    from_sequence: fromSequence,
    to_sequence: toSequence,
    chain_id: chainId,
  });
  const response = await fetch(new URL("/v1/exports", url), {
    method: "POST",
    headers: { "content-type": "application/json" },
    body,
    redirect: "error",
  }).catch((cause: Error) => {
    throw new CannotRunError(
      `the server at ${url}, which holds the data directory, can't be asked (${cause.message})`,
      { cause },
    );
  });
  if (!response.ok || !response.body) {
    const problem = (await response.json().catch(() => ({}))) as { code?: string; detail?: string };
    if (problem.code === "export_incomplete")
      return { code: problem.code, message: problem.detail ?? "", missing: [problem.detail ?? ""] };
    throw new CannotRunError(
      `the server at ${url}, which holds the data directory, answered ${response.status}${problem.detail === undefined ? "" : `: ${problem.detail}`}`,
    );
  }
  try {
    await pipeline(
      Readable.fromWeb(response.body as ReadableStream),
      createWriteStream(options.out, { flags: "wx", flush: true }),
    );
  } catch (cause) {
    rmSync(options.out, { force: true });
    throw new CannotRunError(`the export broke off: ${(cause as Error).message}`, { cause });
  }
  return { path: options.out };
}
