// `railgate policy`: which policies there are, and which of them decides; here or on a running node.
import { Command } from "commander";
import {
  CannotRunError,
  EXIT,
  nodeCommand,
  run,
  UsageError,
  type CommandContext,
  type ExitCode,
} from "../io/command.ts";

type ActivateOptions = { force?: string };
type ShadowOptions = { stop?: boolean };

export function policyCommand(): Command {
  const policy = new Command("policy").description("the policies that decide, and those that may");
  policy.addCommand(
    nodeCommand("list", "list policies, newest first").action((options: object) => run({ ...options }, list)),
  );
  policy.addCommand(
    nodeCommand("submit", "verify a signed bundle and keep it; it decides nothing yet")
      .argument("<bundle>", "a bundle, `.tar.gz`")
      .action((file: string, options: object) => run({ ...options }, (context) => submit(context, file))),
  );
  policy.addCommand(
    nodeCommand("activate", "let a policy decide, unless it is older or its trial speaks against it")
      .argument("<digest>", "its digest, or how that begins")
      .option("--force <file>", "a root authority's override (railgate-override+jws): let it decide all the same")
      .action((digest: string, options: ActivateOptions) =>
        run({ ...options }, (context) => activate(context, digest, options)),
      ),
  );
  policy.addCommand(
    nodeCommand("shadow", "let a policy decide beside the active one; only its differences are kept")
      .argument("<digest>", "its digest, or how that begins")
      .option("--stop", "no longer")
      .action((digest: string, options: ShadowOptions) =>
        run({ ...options }, (context) => shadow(context, digest, options)),
      ),
  );
  policy.addCommand(
    nodeCommand("differences", "show what the shadow would have decided otherwise")
      .argument("<digest>", "its digest, or how that begins")
      .action((digest: string, options: object) => run({ ...options }, (context) => differences(context, digest))),
  );
  policy.addCommand(
    nodeCommand("deprecate", "keep a policy from deciding again")
      .argument("<digest>", "its digest, or how that begins")
      .action((digest: string, options: object) => run({ ...options }, (context) => deprecate(context, digest))),
  );
  return policy;
}

const short = (digest: string): string => digest.slice(0, 19);

async function list(context: CommandContext): Promise<ExitCode> {
  const { withRailgate } = await import("../io/open.ts");
  const { answer } = await withRailgate(context, (railgate) => railgate.policies());
  const { out } = context;
  if (out.json) out.value({ items: answer });
  else
    out.table(
      ["POLICY", "REVISION", "STATE", "SINCE", "BUNDLE", "ORDER"],
      answer.map(({ digest, revision, state, since, bundle, order, sequence }) => [
        short(digest),
        revision || "-",
        state === "active" ? out.colour.green(state) : state,
        since ?? "-",
        bundle ?? "-",
        order === "none" ? "can't be told" : order === "sequence" ? `sequence ${sequence}` : order,
      ]),
    );
  return EXIT.done;
}

async function submit(context: CommandContext, file: string): Promise<ExitCode> {
  const [{ readFileSync }, { withRailgate }] = await Promise.all([import("node:fs"), import("../io/open.ts")]);
  const bytes = readOrRefuse(readFileSync, file);
  const { out } = context;
  const submitted = await withRailgate(context, (railgate) => railgate.submitPolicy(bytes)).catch(
    async (error: unknown) => {
      const [{ BundleError }, { tellBundle }] = await Promise.all([
        import("../../core/errors.ts"),
        import("../io/authoring.ts"),
      ]);
      if (error instanceof BundleError) return tellBundle(out, error);
      throw error;
    },
  );
  if (typeof submitted === "number") return submitted;
  const { answer } = submitted;
  if (out.json) out.value(answer);
  else
    out.line(
      `${answer.digest} is kept, ${answer.state}. railgate policy activate ${short(answer.digest)} lets it decide.`,
    );
  return EXIT.done;
}

async function activate(context: CommandContext, named: string, { force }: ActivateOptions): Promise<ExitCode> {
  const [{ readFileSync }, { withRailgate }] = await Promise.all([import("node:fs"), import("../io/open.ts")]);
  const token = force === undefined ? undefined : Buffer.from(readOrRefuse(readFileSync, force)).toString().trim();
  const { answer } = await withRailgate(context, async (railgate) =>
    railgate.activatePolicy(await digestOf(railgate, named), { force: token }),
  );
  const { out } = context;
  const { policy, event, receipt, report } = answer;
  if (out.json) out.value({ policy, event, receipt, report });
  else {
    const { tried, newly_refused, newly_admitted, other_envelope } = report.decisions;
    out.line(`${policy.digest} decides from now on, on record as ${event.id}.`);
    out.line(
      `Of ${tried} recent admissions it would refuse ${newly_refused} more, admit ${newly_admitted} more, and want another envelope for ${other_envelope}.`,
    );
  }
  return EXIT.done;
}

async function shadow(context: CommandContext, named: string, { stop }: ShadowOptions): Promise<ExitCode> {
  const { withRailgate } = await import("../io/open.ts");
  const { answer } = await withRailgate(context, async (railgate) =>
    railgate.shadowPolicy(await digestOf(railgate, named), { stop }),
  );
  const { out } = context;
  const { policy, event, receipt } = answer;
  if (out.json) out.value({ policy, event, receipt });
  else out.line(`${policy.digest} ${stop ? "no longer decides" : "decides"} beside the active policy.`);
  return EXIT.done;
}

async function differences(context: CommandContext, named: string): Promise<ExitCode> {
  const { withRailgate } = await import("../io/open.ts");
  const { answer } = await withRailgate(context, async (railgate) =>
    railgate.policyDifferences(await digestOf(railgate, named)),
  );
  const { out } = context;
  if (out.json) out.value(answer);
  else {
    const counts = Object.entries(answer.differences).map(
      ([change, count]) => `${count} ${change.replaceAll("_", " ")}`,
    );
    out.line(`${answer.decided} decisions: ${counts.join(", ")}; ${answer.skipped} not looked at.`);
    out.table(
      ["EVENT", "TENANT", "SUBJECT", "CHANGE"],
      answer.items.map(({ event_id, tenant_id, subject, change }) => [event_id, tenant_id, subject ?? "-", change]),
    );
  }
  return EXIT.done;
}

async function deprecate(context: CommandContext, named: string): Promise<ExitCode> {
  const { withRailgate } = await import("../io/open.ts");
  const { answer } = await withRailgate(context, async (railgate) =>
    railgate.deprecatePolicy(await digestOf(railgate, named)),
  );
  const { out } = context;
  const { policy, event, receipt } = answer;
  if (out.json) out.value({ policy, event, receipt });
  else out.line(`${policy.digest} decides no more.`);
  return EXIT.done;
}

/** @param named a digest, with or without `sha256:`, or how it begins. */
async function digestOf(
  railgate: { policies(): Promise<readonly { readonly digest: string }[]> },
  named: string,
): Promise<string> {
  const start = named.startsWith("sha256:") ? named : `sha256:${named}`;
  if (!/^sha256:[0-9a-f]{4,64}$/.test(start))
    throw new UsageError(`${JSON.stringify(named)} is no digest: sha256: and 64 hex digits, or at least 4 of them`);
  const found = (await railgate.policies()).map(({ digest }) => digest).filter((digest) => digest.startsWith(start));
  if (found.length > 1) throw new UsageError(`${named} begins ${found.length} digests; give more of it`);
  return found[0] ?? start;
}

function readOrRefuse(read: (path: string) => Uint8Array, file: string): Uint8Array {
  try {
    return read(file);
  } catch (error) {
    throw new CannotRunError(`${file} can't be read (${(error as NodeJS.ErrnoException).code})`);
  }
}
