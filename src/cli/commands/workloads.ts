// `railgate workloads` and `railgate lifecycle`: what was admitted, how far it has come, and moving it on.
import type { Placed } from "../../core/mesh-state.ts";
import { Argument, InvalidArgumentError, type Command } from "commander";
import { TRANSITIONS } from "../../core/schema/base.ts";
import type { Transition } from "../../core/schema/workload.ts";
import type { Workload } from "../../core/workload.ts";
import type { LocalRailgate } from "../../library/local.ts";
import type { StoreReader } from "../../store/store.ts";
import { CannotRunError, EXIT, newCommand, run, type Context, type ExitCode } from "../io/command.ts";
import { safe } from "../io/output.ts";

const LIMIT_DEFAULT = 100;
const PAGE = 1000;
const LABEL_WIDTH = "Attestation".length;

type ListOptions = { tenant?: string; limit: number };

export function workloadsCommand(): Command {
  return newCommand("workloads", "list what was admitted, or show one workload")
    .argument("[id]", "the workload's id; without it all are listed")
    .option("--tenant <id>", "only this tenant's; for one workload: whose it is (default: default)")
    .option("--limit <n>", "at most so many", positive, LIMIT_DEFAULT)
    .action((id: string | undefined, options: ListOptions) =>
      run({ ...options }, (context) =>
        id === undefined ? list(context, options) : showOne(context, id, options.tenant ?? "default"),
      ),
    );
}

export function lifecycleCommand(): Command {
  return newCommand("lifecycle", "create, start, stop or destroy a workload; exit 0 if done, 1 if refused")
    .argument("<id>", "the workload's id")
    .addArgument(new Argument("<transition>", "what to do with it").choices(TRANSITIONS))
    .option("--tenant <id>", "whose workload it is", "default")
    .option("--trace-id <id>", "an identifier of your own that ends up in the event")
    .action((id: string, transition: Transition, options: { tenant: string; traceId?: string }) =>
      run({ ...options }, (context) => lifecycle(context, id, transition, options)),
    );
}

function positive(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError("It must be a whole number, 1 or more.");
  return Number(text);
}

async function list({ config, out }: Context, { tenant, limit }: ListOptions): Promise<ExitCode> {
  const { openForReading } = await import("../io/reading.ts");
  using store = openForReading(config.dataDir);
  const found = upTo(store, tenant, limit + 1);
  const workloads = found.slice(0, limit);
  if (out.json) workloads.forEach((workload) => out.value(workload));
  else if (workloads.length === 0) out.note("No workload was admitted.");
  else
    out.table(
      ["WORKLOAD", "TENANT", "STATE", "ENVELOPE", "LEAST LEVEL", "ATTEST BY"],
      workloads.map((workload) => cellsOf(workload)),
    );
  if (found.length > limit) out.note(`There are more; --limit shows them.`);
  return EXIT.done;
}

function upTo(store: StoreReader, tenant: string | undefined, limit: number): Workload[] {
  const found: Workload[] = [];
  let after: { tenant_id: string; key: string } | undefined;
  do {
    const page = store.states("workload", tenant, Math.min(PAGE, limit - found.length), after);
    found.push(...page.map(({ value }) => JSON.parse(value) as Workload));
    after = page.length < PAGE ? undefined : page.at(-1);
  } while (after && found.length < limit);
  return found;
}

function cellsOf({ workload_id, tenant_id, state, envelope_kind, least_level, reattestation }: Workload): string[] {
  return [safe(workload_id), safe(tenant_id), state, envelope_kind, least_level, deadline(reattestation)];
}

function deadline(reattestation: Workload["reattestation"]): string {
  if (reattestation === null) return "-";
  return reattestation.missed ? `missed ${reattestation.by}` : reattestation.by;
}

async function showOne({ config, out }: Context, id: string, tenant: string): Promise<ExitCode> {
  const { openForReading } = await import("../io/reading.ts");
  using store = openForReading(config.dataDir);
  const stored = store.state("workload", tenant, id);
  if (stored === undefined)
    throw new CannotRunError(`tenant ${tenant} has no workload ${id} here; --tenant names another tenant`);
  const workload = JSON.parse(stored) as Workload;
  const rails = JSON.parse(store.state("placed", tenant, id) ?? "[]") as Placed;
  if (out.json) out.value({ workload, rails });
  else writeWorkload({ config, out }, workload, rails);
  return EXIT.done;
}

function writeWorkload(
  { out }: Context,
  workload: Workload,
  rails: readonly { mesh_id: string; rail_id: string; level: string }[],
): void {
  const { workload_id, tenant_id, state, envelope_kind, platform, least_level, admission, attestation, reattestation } =
    workload;
  const labelled = (label: string, text: string) => out.labelled(label, safe(text), 0, LABEL_WIDTH);
  out.line(
    `${out.colour.bold(safe(workload_id))}  of tenant ${safe(tenant_id)}: ${state === "running" ? out.colour.green(state) : state}`,
  );
  out.line();
  labelled("Envelope", platform === null ? envelope_kind : `${envelope_kind} on ${platform}`);
  labelled("Rail", `${least_level} or stricter`);
  for (const rail of rails) labelled("", `on ${rail.rail_id} of ${rail.mesh_id}, ${rail.level}`);
  labelled(
    "Admission",
    `${admission.at}, event ${admission.event_id}${admission.valid_until === null ? "" : `, until ${admission.valid_until}`}`,
  );
  if (attestation !== null)
    labelled(
      "Attestation",
      `${attestation.standing}, ${attestation.platform_type ?? "unknown platform"}, measured ${attestation.measured_at ?? "at no known time"}`,
    );
  if (reattestation !== null) labelled("Attest by", deadline(reattestation));
}

async function lifecycle(
  context: Context,
  id: string,
  transition: Transition,
  { tenant, traceId }: { tenant: string; traceId?: string },
): Promise<ExitCode> {
  const { command } = await import("../io/commanding.ts");
  const query = new URLSearchParams({ tenant_id: tenant, ...(traceId !== undefined && { trace_id: traceId }) });
  return command(
    context,
    {
      method: "POST",
      path: `/v1/workloads/${encodeURIComponent(id)}/lifecycle?${query}`,
      body: { transition },
      here: async (railgate: LocalRailgate) => {
        const { workload, event, receipt } = await railgate.workload(id, tenant).transition(transition, { traceId });
        return { workload: { state: workload.state }, event, receipt };
      },
    },
    ({ workload }) => context.out.line(`${context.out.colour.green("Done")}  ${safe(id)} is ${workload.state}`),
  );
}
