// `railgate verify`: checks an export offline, with nothing but the export and, where wanted, pinned keys.
import { counted } from "../../core/counted.ts";
import { readFileSync } from "node:fs";
import type { Command } from "commander";
import type { Check, PinnedKeys, VerifyReport } from "../../library/exports.ts";
import {
  CannotRunError,
  EXIT,
  newCommand,
  run,
  UsageError,
  type CommandContext,
  type ExitCode,
} from "../io/command.ts";
import { safe, type Output } from "../io/output.ts";
import { readText } from "../io/text-file.ts";

type Options = { jwks?: string; trustEmbeddedKeys?: boolean; since?: string; keep?: string };

export function verifyCommand(): Command {
  return newCommand("verify", "check an export: signatures, hashes, chain, proofs, artifacts; exit 0 only if all hold")
    .argument("<export...>", "a folder, a .tar.gz or a .tar; several are also looked at together")
    .option("--jwks <file>", "accept only these keys: a JWKS that you had from the producer by another way")
    .option(
      "--trust-embedded-keys",
      "take the keys in the export for the producer's; proves that it agrees with itself, and not who made it",
    )
    .option(
      "--since <file>",
      "go on from an earlier audit: the checkpoint that it kept; what that is over is not looked at again",
    )
    .option("--keep <file>", "where every check passes, write down where this audit ends, for a later --since")
    .action((paths: string[], options: Options) => run({ ...options }, (context) => verify(context, paths, options)));
}

async function verify(context: CommandContext, paths: readonly string[], options: Options): Promise<ExitCode> {
  const { out } = context;
  if (paths.length > 1 && (options.since ?? options.keep) !== undefined)
    throw new UsageError("--since and --keep are about one log: name one export");
  const { boundYoungGeneration, YOUNG_BYTES_OF_AUDIT } = await import("../io/memory.ts");
  boundYoungGeneration(YOUNG_BYTES_OF_AUDIT);
  const reports: VerifyReport[] = [];
  for (const path of paths) {
    const report = await verifyOne(context, path, options);
    reports.push(report);
    if (!out.json) write(out, report);
  }
  const [only, ...more] = reports;
  if (more.length === 0 && out.json) out.value(only);
  const faults = more.length === 0 ? [] : await together(paths);
  const ok = faults.length === 0 && reports.every((report) => report.ok);
  if (more.length > 0 && out.json) out.value({ ok, exports: reports, together: { ok: faults.length === 0, faults } });
  else if (more.length > 0) writeTogether(out, faults);
  return ok ? EXIT.done : EXIT.refused;
}

/** What several exports say of the same workloads and meshes must be one history. */
async function together(paths: readonly string[]): Promise<string[]> {
  const { foldTogether } = await import("../../library/together.ts");
  return foldTogether(paths);
}

function writeTogether(out: Output, faults: readonly string[]): void {
  out.line();
  for (const fault of faults) out.line(safe(fault));
  out.line(
    faults.length === 0
      ? out.colour.green("Together they are one history of each workload and mesh.")
      : out.colour.red("Together they are not one history."),
  );
}

async function verifyOne({ config, out }: CommandContext, path: string, options: Options): Promise<VerifyReport> {
  const { jwks, trustEmbeddedKeys, since, keep } = options;
  if (jwks !== undefined && trustEmbeddedKeys === true)
    throw new UsageError(
      "--jwks and --trust-embedded-keys contradict each other: name the keys, or trust those that came",
    );
  const [{ verifyExport }, { ownKeys }] = await Promise.all([
    import("../../library/exports.ts"),
    import("../../library/read-only.ts"),
  ]);
  const report = await verifyExport(path, {
    ...(jwks === undefined ? { ownKeys: await ownKeys(config) } : { jwks: readJwks(jwks) }),
    trustEmbeddedKeys,
    since: since === undefined ? undefined : await readCheckpoint(since),
    keepHead: keep !== undefined,
    progress: (events) => out.progress(`${counted(events, "event")} read`),
  }).catch((cause: unknown) => {
    if (cause instanceof TypeError) throw new UsageError(`--jwks ${jwks}: ${cause.message}`, { cause });
    throw new CannotRunError(`the export ${path} can't be read: ${(cause as Error).message}`, { cause });
  });
  out.progress("");
  if (!report.is_export) throw new NoExportError(`${path} is no export: ${failureOf(report)}`);
  if (keep !== undefined && report.head != null) await keepHead(keep, report.head);
  return report;
}

/** Nothing of an export was found in what was named. */
class NoExportError extends UsageError {
  static override code = "no_export";
}

const failureOf = ({ checks }: VerifyReport): string =>
  checks.find(({ name, status }) => status === "failed" && (name === "archive" || name === "manifest"))?.detail ?? "";

function readJwks(file: string): PinnedKeys {
  try {
    const jwks = JSON.parse(readFileSync(file, "utf8")) as PinnedKeys;
    if (Array.isArray(jwks.keys)) return jwks;
  } catch (cause) {
    throw new UsageError(`--jwks ${file}: ${(cause as NodeJS.ErrnoException).code ?? "it is no JSON"}`, { cause });
  }
  throw new UsageError(`--jwks ${file}: it is no JWKS, an object with a list "keys"`);
}

/** Where an earlier audit ended. */
async function readCheckpoint(file: string): Promise<string> {
  const { checkpointSize } = await import("../../library/exports.ts");
  const text = readText("--since", file);
  if (checkpointSize(text) !== undefined) return text;
  throw new UsageError(`--since ${file}: it is no checkpoint, as \`railgate verify --keep\` writes it`);
}

async function keepHead(file: string, head: string): Promise<void> {
  const { writeDurably } = await import("../../library/exports.ts");
  try {
    writeDurably(file, head);
  } catch (cause) {
    throw new CannotRunError(`--keep ${file}: ${(cause as NodeJS.ErrnoException).code}`, { cause });
  }
}

const MARKS = { passed: "ok", failed: "FAILED", not_checked: "not checked" } as const;

function write(out: Output, report: VerifyReport): void {
  const { export: of, checks, first_bad, erased, keys } = report;
  const paint = (check: Check) =>
    (check.status === "passed" ? out.colour.green : check.status === "failed" ? out.colour.red : out.colour.yellow)(
      MARKS[check.status],
    );
  out.line(
    `${out.colour.bold(safe(of.export_id ?? "an export without a name"))}  ${counted(of.events, "event")} of ${safe(of.chain_id ?? "an unknown stream")}, ${range(report)}, ${safe(of.evidence_profile_id ?? "no profile")}`,
  );
  out.line();
  out.table(
    ["CHECK", "RESULT", ""],
    checks.map((check) => [check.name, paint(check), safe(placed(check))]),
  );
  out.line();
  for (const { sequence, artifact, basis } of erased)
    out.line(`Erased, on record: ${artifact} of event ${sequence} (${safe(basis)})`);
  if (!keys.pinned && report.ok)
    out.line(
      "WHO SIGNED IS NOT PROVEN: the keys came with the export. Pin the producer's (--jwks) to know that it was they.",
    );
  if (first_bad !== null) out.line(`First bad: ${safe(where(first_bad))}`);
  out.line(verdict(out, report));
}

function verdict(out: Output, { ok, checks, keys }: VerifyReport): string {
  if (ok) return out.colour.green(keys.pinned ? "Verified." : "It agrees with itself.");
  const open = checks.filter(({ status }) => status !== "passed");
  return out.colour.red(
    open.length === 1 && open[0]!.name === "signer" && open[0]!.status === "not_checked"
      ? "Not verified: it agrees with itself, and anybody could have made it."
      : "Not verified.",
  );
}

function range({ export: { from_sequence: from, to_sequence: to } }: VerifyReport): string {
  return from === null ? "no range" : `${from} to ${to}`;
}

function placed({ status, detail, faults, file, line, sequence }: Check): string {
  if (status !== "failed") return detail;
  const place =
    file === undefined && sequence === undefined
      ? ""
      : `${where({ file: file ?? null, line: line ?? null, sequence: sequence ?? null })}: `;
  return `${place}${detail}${faults === undefined ? "" : ` (and ${faults - 1} more)`}`;
}

function where({
  file,
  line,
  sequence,
}: {
  file: string | null;
  line: number | null;
  sequence: number | null;
}): string {
  return [file ?? "the archive", line === null ? "" : `line ${line}`, sequence === null ? "" : `sequence ${sequence}`]
    .filter(Boolean)
    .join(", ");
}
