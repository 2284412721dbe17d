// `railgate audit`: manifests judged in CI, before a cluster sees them.
import { Option, type Command } from "commander";
import { RequestError } from "../../core/errors.ts";
import type { ManifestJudge } from "../../library/manifests.ts";
import { EXIT, nodeCommand, run, UsageError, type CommandContext, type ExitCode } from "../io/command.ts";
import type { Audited } from "../io/audited.ts";
import { safe, type Output } from "../io/output.ts";
import type { AuditRun } from "../../core/schema/audits.ts";

const FAIL_ON = ["deny", "warn", "audit", "never"] as const;

interface Options {
  readonly level?: string;
  readonly law?: string;
  readonly failOn: (typeof FAIL_ON)[number];
  readonly sarif?: boolean;
  readonly cluster?: boolean;
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly reports?: boolean;
}

export function auditCommand(): Command {
  return nodeCommand(
    "audit",
    "judge Kubernetes manifests, or what runs; exit 0 if nothing that matters speaks against it, else 1",
  )
    .argument("[paths...]", "files and folders of manifests, YAML or JSON, or - for standard input")
    .addOption(
      new Option("--level <level>", "pod security that holds where no namespace among them says otherwise").choices([
        "privileged",
        "baseline",
        "restricted",
      ]),
    )
    .addOption(
      new Option("--law <mode>", "mode of Railgate's own law where no namespace among them says otherwise").choices([
        "deny",
        "warn",
        "audit",
        "off",
      ]),
    )
    .addOption(new Option("--fail-on <mode>", "the mildest mode that makes it fail").choices(FAIL_ON).default("warn"))
    .option("--sarif", "write SARIF 2.1.0, for code hosts")
    .option(
      "--cluster",
      "judge what runs in a cluster, on record here or at a running node (--url, or the one that holds the data)",
    )
    .option("--kubeconfig <file>", "with --cluster, the kubeconfig that says which one (default: as kubectl finds it)")
    .option("--context <name>", "with --cluster, the kubeconfig's context (default: the current one)")
    .option("--reports", "with --cluster, write an OpenReports report into each namespace as well")
    .action((paths: string[], options: Options) => run({ ...options }, (context) => audit(context, paths, options)));
}

async function audit(context: CommandContext, paths: readonly string[], options: Options): Promise<ExitCode> {
  if (options.cluster) return auditRunning(context, paths, options);
  if (paths.length === 0) throw new UsageError("name files or folders of manifests, or --cluster");
  const { boundYoungGeneration, YOUNG_BYTES_OF_AUDIT } = await import("../io/memory.ts");
  boundYoungGeneration(YOUNG_BYTES_OF_AUDIT);
  const { config, out } = context;
  const [{ manifestJudge }, { judged }, { manifestsIn, readFiles }] = await Promise.all([
    import("../../library/manifests.ts"),
    import("../io/auditing.ts"),
    import("../io/manifests.ts"),
  ]);
  const failed = (problem: string) => out.note(`railgate: the policy could not decide: ${safe(problem)}`);
  const nowMs = Date.now();
  const judge = await manifestJudge(config, options, nowMs, failed);
  const namespaces: unknown[] = [];
  let chars = 0;
  for (const file of readFiles(paths)) {
    chars += file.text.length;
    if (!mayHoldNamespaces(file.text)) continue;
    for (const { object } of manifestsIn(file))
      if (object !== undefined && learned(judge, object)) namespaces.push(object);
  }
  const { level, law } = options;
  const findings = new Findings(out, options.sarif === true || out.json);
  for await (const file of judged(readFiles(paths), chars, judge, {
    config,
    modes: { level, law },
    nowMs,
    namespaces,
  })) {
    for (const each of file.audited) findings.add(each);
    file.problems.forEach(failed);
    out.progress(`${findings.counts.objects} objects judged`);
  }
  out.progress("");
  await write(context, findings, options);
  return failsOn(findings.modes, options) ? EXIT.refused : EXIT.done;
}

/** So many rows say how wide the table is, and are held until they are printed. */
const ROWS_AT_ONCE = 1000;

/** What was found: printed as it comes; held to the end where counts or rules must be told first. */
class Findings {
  readonly counts = { objects: 0, refused: 0, findings: 0 };
  readonly modes = new Set<string>();
  readonly held: Audited[] = [];
  readonly #out: Output;
  readonly #holds: boolean;
  readonly #print: (rows: readonly (readonly string[])[]) => void;
  #rows: string[][] = [];

  constructor(out: Output, holds: boolean) {
    this.#out = out;
    this.#holds = holds;
    this.#print = out.rows(["WHERE", "OBJECT", "MODES", "RULE", "FIELD", "WHAT AND CURE"], true);
  }

  add(audited: Audited): void {
    this.counts.objects++;
    if (!audited.allowed) this.counts.refused++;
    this.counts.findings += audited.findings.length;
    for (const { modes } of audited.findings) for (const mode of modes) this.modes.add(mode);
    if (this.#holds) this.held.push(audited);
    else this.#add(audited);
  }

  #add({ file, object, findings }: Audited): void {
    for (const { rule, modes, field, line, message, solution } of findings)
      this.#rows.push([
        safe(`${file}:${line}`),
        safe(object),
        (modes.includes("deny") ? this.#out.colour.red : this.#out.colour.yellow)(modes.join(" ")),
        rule,
        safe(field),
        safe(`${message} ${solution}`),
      ]);
    if (this.#rows.length < ROWS_AT_ONCE) return;
    this.#out.progress("");
    this.end();
  }

  /** Prints what was not printed yet. */
  end(): void {
    this.#print(this.#rows);
    this.#rows = [];
  }
}

/** Namespaces come first, wherever they stand; escapes could spell the word, too. */
const mayHoldNamespaces = (text: string): boolean => text.includes("Namespace") || text.includes("\\");

/** What runs already: the evidence has all of it, and a person its counts. */
async function auditRunning(context: CommandContext, paths: readonly string[], options: Options): Promise<ExitCode> {
  if (paths.length > 0 || options.sarif) throw new UsageError("--cluster takes neither paths nor --sarif");
  const { boundYoungGeneration, YOUNG_BYTES_OF_AUDIT } = await import("../io/memory.ts");
  boundYoungGeneration(YOUNG_BYTES_OF_AUDIT);
  const { out } = context;
  const [{ Cluster }, { namespacesOf, workloadsOf }, { Reports }, { withRailgate }] = await Promise.all([
    import("../../kubernetes/cluster.ts"),
    import("../../kubernetes/workloads.ts"),
    import("../../kubernetes/reports.ts"),
    import("../io/open.ts"),
  ]);
  const cluster = await Cluster.open(options);
  const reports = options.reports ? new Reports(Date.now()) : undefined;
  const modes = new Set<string>();
  let judged = 0;
  const { answer } = await withRailgate(context, (railgate) =>
    railgate.audit(namespacesOf(cluster), workloadsOf(cluster), (object) => {
      reports?.add(object);
      for (const refusal of object.refusals) for (const mode of refusal.modes ?? []) modes.add(mode);
      if (++judged % PROGRESS_EVERY === 0) out.progress(`${judged} objects judged`);
    }),
  );
  out.progress("");
  const written = await reports?.write(cluster, answer.run);
  if (out.json) out.value({ ...answer, ...(written !== undefined && { reports: written }) });
  else writeRun(out, answer, written);
  return failsOn(modes, options) || answer.unreadable > 0 ? EXIT.refused : EXIT.done;
}

const PROGRESS_EVERY = 500;

function writeRun(out: Output, { run: id, rules, ...counts }: AuditRun, written: number | undefined): void {
  const { listed, allowed, refused, unreadable, without_pod } = counts;
  const ordered = Object.entries(rules).sort(([, a], [, b]) => b - a);
  out.table(
    ["RULE", "FINDINGS"],
    ordered.map(([rule, count]) => [rule, String(count)]),
  );
  out.line();
  out.line(
    `${listed} objects: ${allowed} would be allowed, ${refused} refused, ${unreadable} can't be read, ${without_pod} have no pod.`,
  );
  if (written !== undefined) out.line(`${written} reports written.`);
  out.labelled("Evidence", `railgate events --correlation ${id}`);
}

const failsOn = (modes: ReadonlySet<string>, { failOn }: Options): boolean =>
  failOn !== "never" && FAIL_ON.slice(0, FAIL_ON.indexOf(failOn) + 1).some((mode) => modes.has(mode));

/** Whether it is a namespace; one that cannot be read is told where it is judged. */
function learned(judge: ManifestJudge, object: unknown): boolean {
  try {
    return judge.learn(object);
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
    return false;
  }
}

async function write({ out }: CommandContext, findings: Findings, { sarif: asSarif }: Options): Promise<void> {
  const { counts, held } = findings;
  if (asSarif) {
    const [{ sarif }, { VERSION }] = await Promise.all([import("../io/sarif.ts"), import("../../library/doors.ts")]);
    return out.line(JSON.stringify(sarif(held.flatMap(sarifOf), VERSION), null, 2));
  }
  if (out.json) return out.value({ ...counts, items: held });
  findings.end();
  out.line();
  out.line(`${counts.objects} objects judged, ${counts.refused} would be refused, ${counts.findings} findings.`);
}

const LEVELS = { deny: "error", warn: "warning", audit: "note" } as const;

function sarifOf({ file, object, findings }: Audited) {
  return findings.map(({ rule, modes, field, line, title, message, solution }) => ({
    rule,
    title,
    help: solution,
    level: LEVELS[(["deny", "warn", "audit"] as const).find((mode) => modes.includes(mode)) ?? "audit"],
    message: `${object}${field === "" ? "" : `, ${field}`}: ${message} ${solution}`,
    file,
    line,
  }));
}
