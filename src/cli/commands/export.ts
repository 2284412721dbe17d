// `railgate export`: a tenant's evidence with all that is needed to verify it, made by the node that holds it.
import { createWriteStream, existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { Option, type Command } from "commander";
import { ExportIncompleteError } from "../../core/errors.ts";
import type { ExportQuery } from "../../core/schema/queries.ts";
import type { LocalRailgate, Railgate } from "../../library/index.ts";
import {
  CannotRunError,
  EXIT,
  nodeCommand,
  run,
  UsageError,
  whole,
  type CommandContext,
  type ExitCode,
} from "../io/command.ts";
import { safe } from "../io/output.ts";
import { readText } from "../io/text-file.ts";

type Options = {
  as?: string;
  tenant: string;
  profile?: string;
  out: string;
  from?: number;
  to?: number;
  since?: string;
  chain?: string;
};
type Written = {
  export_id: string;
  events?: number;
  from_sequence?: number;
  to_sequence?: number;
  manifest_digest?: string;
  path: string;
};

export function exportCommand(): Command {
  return nodeCommand("export", "write a tenant's evidence as a folder, or as one file if the name ends in .tar.gz")
    .requiredOption("--tenant <id>", "whose evidence")
    .option("--profile <id>", "the evidence profile that it must satisfy (default: the node's)")
    .requiredOption("--out <path>", "a new folder, or a new file whose name ends in .tar.gz")
    .option("--from <sequence>", "the first event (default 0)", whole(0))
    .option("--to <sequence>", "the last event (default: the newest)", whole(0))
    .option("--since <file>", "from where an audit ended: a checkpoint that `railgate verify --keep` wrote")
    .option("--chain <chain_id>", "the stream (default: the tenant's on this node)")
    .addOption(
      new Option(
        "--as <form>",
        "vsa: instead, what was admitted as statements for other tools (a VSA and an SVR an artifact)",
      ).choices(["vsa"]),
    )
    .action((options: Options) =>
      run({ ...options }, (context) =>
        options.as === undefined ? exportTo(context, options) : writeSummaries(context, options),
      ),
    );
}

/** One pair of files an artifact of each admission in the range, named after the event. */
async function writeSummaries(context: CommandContext, options: Options): Promise<ExitCode> {
  const { tenant, out: path, from = 0, to = Number.MAX_SAFE_INTEGER, chain, profile, since } = options;
  if (profile !== undefined || since !== undefined)
    throw new UsageError("--as vsa knows neither --profile nor --since");
  if (existsSync(path)) throw new UsageError(`${path} is there already`);
  const { withRailgate } = await import("../io/open.ts");
  const { answer } = await withRailgate(context, async (railgate) => {
    const files = new Map<string, string>();
    for (let cursor: string | undefined; ; ) {
      const query = { tenant_id: tenant, event_type: "workload.admit", order: "asc", limit: 1000, cursor } as const;
      const page = await railgate.events(query);
      for (const { id, sequence, chain_id } of page.items) {
        if (sequence < from || sequence > to || (chain !== undefined && chain_id !== chain)) continue;
        for (const { artifact, vsa, svr } of await railgate.summaries(id, { tenant_id: tenant })) {
          const name = `${id}-${artifact.slice("sha256:".length, 20)}`;
          files.set(`${name}.vsa.json`, JSON.stringify(vsa));
          files.set(`${name}.svr.json`, JSON.stringify(svr));
        }
      }
      if (page.next === null) return files;
      cursor = page.next;
    }
  });
  mkdirSync(path, { recursive: true });
  for (const [name, text] of answer) writeFileSync(join(path, name), `${text}\n`);
  const { out } = context;
  if (out.json) out.value({ path, files: [...answer.keys()] });
  else
    out.line(
      `${count(answer.size, "statement")} in ${safe(path)}; railgate keys jwks has the keys that they verify with.`,
    );
  return EXIT.done;
}

async function exportTo(
  context: CommandContext,
  { tenant, profile, from, to, since, chain, out: path }: Options,
): Promise<ExitCode> {
  const { out } = context;
  if (since !== undefined && from !== undefined) throw new UsageError("--since and --from both say where it begins");
  const query = {
    tenant_id: tenant,
    evidence_profile_id: profile as ExportQuery["evidence_profile_id"],
    from_sequence: since === undefined ? from : await sizeIn(since),
    to_sequence: to,
    chain_id: chain,
  };
  const { boundYoungGeneration, YOUNG_BYTES_OF_AUDIT } = await import("../io/memory.ts");
  boundYoungGeneration(YOUNG_BYTES_OF_AUDIT);
  const { isHere, withRailgate } = await import("../io/open.ts");
  try {
    const { answer } = await withRailgate(context, (railgate) =>
      isHere(railgate) ? here(railgate, query, path) : elsewhere(railgate, query, path),
    );
    const { events, from_sequence, to_sequence } = answer;
    const range = events === undefined ? "" : `${count(events, "event")}, ${from_sequence} to ${to_sequence}, `;
    if (out.json) out.value(answer);
    else out.line(`Exported ${range}to ${path}. Check it with: railgate verify ${path}`);
    return EXIT.done;
  } catch (error) {
    if (!(error instanceof ExportIncompleteError)) throw error;
    const { code, message, missing } = error;
    if (out.json) out.value({ code, message, missing });
    else {
      out.line(out.colour.red("Refused: the export would be incomplete."));
      for (const each of missing) out.line(`  missing: ${safe(each)}`);
    }
    return EXIT.refused;
  }
}

/** How many records the checkpoint in a file is over. */
async function sizeIn(file: string): Promise<number> {
  const { checkpointSize } = await import("../../library/exports.ts");
  const size = checkpointSize(readText("--since", file));
  if (size === undefined) throw new UsageError(`--since ${file}: it is no checkpoint`);
  return size;
}

const count = (n: number, of: string): string => `${n} ${of}${n === 1 ? "" : "s"}`;
const isArchive = (path: string): boolean => path.endsWith(".tar.gz") || path.endsWith(".tgz");

async function here(railgate: LocalRailgate, query: ExportQuery, path: string): Promise<Written> {
  const { writeFolder, writeTarGz } = await import("../../library/exports.ts");
  using prepared = await railgate.prepareExport(query);
  await (isArchive(path) ? writeTarGz : writeFolder)(prepared.files, path);
  return {
    export_id: prepared.exportId,
    events: prepared.events,
    from_sequence: prepared.fromSequence,
    to_sequence: prepared.toSequence,
    manifest_digest: prepared.manifestDigest,
    path,
  };
}

/** Over HTTP an export comes as one file. */
async function elsewhere(railgate: Railgate, query: ExportQuery, path: string): Promise<Written> {
  if (!isArchive(path)) throw new UsageError("a running node gives exports as one file; name one that ends in .tar.gz");
  if (existsSync(path)) throw new CannotRunError(`${path} is there already`);
  await using made = await railgate.export(query);
  try {
    await pipeline(made.archive, createWriteStream(path, { flags: "wx", flush: true }));
  } catch (cause) {
    rmSync(path, { force: true });
    throw new CannotRunError(`the export broke off: ${(cause as Error).message}`, { cause });
  }
  return { export_id: made.exportId, path };
}
