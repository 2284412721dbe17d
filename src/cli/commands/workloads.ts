// `railgate workloads` and `railgate lifecycle`: what was admitted, how far it has come, and moving it on.
import { Argument, type Command } from "commander";
import { TRANSITIONS } from "../../core/schema/base.ts";
import type { Transition, WorkloadSummary, WorkloadView } from "../../core/schema/workload.ts";
import type { RailgateReader } from "../../library/railgate.ts";
import { EXIT, nodeCommand, run, UsageError, whole, type CommandContext, type ExitCode } from "../io/command.ts";
import { safe } from "../io/output.ts";

const LIMIT_DEFAULT = 100;
const PAGE = 1000;
const LABEL_WIDTH = "Attestation".length;

type ListOptions = { tenant?: string; limit: number };
/** What the event of the admission says beside the state. */
type Admitted = { platform?: string | null; valid_until?: string | null };
type OnRail = { mesh_id: string; rail_id: string; level: string };

export function workloadsCommand(): Command {
  return nodeCommand("workloads", "list what was admitted, or show one workload")
    .argument("[id]", "the workload's id; without it all are listed")
    .option("--tenant <id>", "only this tenant's; for one workload: whose it is (default: default)")
    .option("--limit <n>", "at most so many", whole(1), LIMIT_DEFAULT)
    .action((id: string | undefined, options: ListOptions) =>
      run({ ...options }, (context) =>
        id === undefined ? list(context, options) : showOne(context, id, options.tenant ?? "default"),
      ),
    );
}

export function lifecycleCommand(): Command {
  return nodeCommand("lifecycle", "create, start, stop or destroy a workload; exit 0 if done, 1 if refused")
    .argument("<id>", "the workload's id")
    .addArgument(new Argument("<transition>", "what to do with it").choices(TRANSITIONS))
    .option("--tenant <id>", "whose workload it is", "default")
    .option("--trace-id <id>", "an identifier of your own that ends up in the event")
    .action((id: string, transition: Transition, options: { tenant: string; traceId?: string }) =>
      run({ ...options }, (context) => lifecycle(context, id, transition, options)),
    );
}

async function list(context: CommandContext, { tenant, limit }: ListOptions): Promise<ExitCode> {
  const { allPages, withReader } = await import("../io/open.ts");
  const found = await withReader(context, (reader) =>
    allPages((cursor) => reader.workloads({ tenant_id: tenant, limit: Math.min(PAGE, limit + 1), cursor }), limit + 1),
  );
  const { out } = context;
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

function cellsOf({
  workload_id,
  tenant_id,
  state,
  envelope_kind,
  least_level,
  attestation,
}: WorkloadSummary): string[] {
  return [safe(workload_id), safe(tenant_id), state, envelope_kind, least_level, deadline(attestation) ?? "-"];
}

function deadline(attestation: WorkloadSummary["attestation"]): string | undefined {
  const by = attestation?.due_by ?? undefined;
  return by === undefined ? undefined : `${attestation!.overdue ? "missed " : ""}${by}`;
}

async function showOne(context: CommandContext, id: string, tenant: string): Promise<ExitCode> {
  const { withReader } = await import("../io/open.ts");
  const { workload, rails, admitted } = await withReader(context, async (reader) => {
    const workload = await reader.workload(id, tenant).show();
    if (workload === null)
      throw new UsageError(`tenant ${tenant} has no workload ${id} here; --tenant names another tenant`);
    const { event } = await reader.event(workload.admission.event_id);
    return { workload, rails: await railsOf(reader, id, tenant), admitted: event.details as Admitted };
  });
  if (context.out.json) context.out.value({ workload, rails });
  else writeWorkload(context, workload, rails, admitted);
  return EXIT.done;
}

async function railsOf(reader: RailgateReader, id: string, tenant: string): Promise<OnRail[]> {
  const { allPages } = await import("../io/open.ts");
  const meshes = await allPages((cursor) => reader.meshes({ tenant_id: tenant, cursor }));
  return meshes.flatMap(({ mesh_id, placements }) => {
    const placement = Object.hasOwn(placements, id) ? placements[id]! : undefined;
    return placement ? [{ mesh_id, rail_id: placement.rail_id, level: placement.level }] : [];
  });
}

function writeWorkload(
  { out }: CommandContext,
  workload: WorkloadView,
  rails: readonly OnRail[],
  { platform = null, valid_until = null }: Admitted,
): void {
  const { workload_id, tenant_id, state, envelope_kind, least_level, admission, attestation } = workload;
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
    `${admission.admitted_at}, event ${admission.event_id}${valid_until === null ? "" : `, until ${valid_until}`}`,
  );
  if (attestation !== null)
    labelled(
      "Attestation",
      `${attestation.result ?? `a ${attestation.form}`}, ${attestation.platform_type ?? "unknown platform"}, measured ${attestation.measured_at ?? "at no known time"}`,
    );
  const by = deadline(attestation);
  if (by !== undefined) labelled("Attest by", by);
}

async function lifecycle(
  context: CommandContext,
  id: string,
  transition: Transition,
  { tenant, traceId }: { tenant: string; traceId?: string },
): Promise<ExitCode> {
  const { command } = await import("../io/answer.ts");
  return command(
    context,
    (railgate) => railgate.workload(id, tenant).transition(transition, { traceId }),
    ({ workload }) => context.out.line(`${context.out.colour.green("Done")}  ${safe(id)} is ${workload.state}`),
  );
}
