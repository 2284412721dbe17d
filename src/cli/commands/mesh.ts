// `railgate mesh`: isolation meshes shown, defined, and workloads moved between their rails.
import { createInterface } from "node:readline/promises";
import { Command, Option } from "commander";
import { LEVELS } from "../../core/schema/base.ts";
import type { ElevationPolicy, Mesh, PlacementAnswer, Rail } from "../../core/schema/mesh.ts";
import type { MeshHandle } from "../../library/railgate.ts";
import { EXIT, nodeCommand, run, UsageError, whole, type CommandContext, type ExitCode } from "../io/command.ts";
import { safe } from "../io/output.ts";

type Named = { tenant: string; traceId?: string };
type ShowOptions = Named & { all?: boolean };
type ApplyOptions = Named & { yes?: boolean; dryRun?: boolean };
type PlaceOptions = Named & { maxLevel: ElevationPolicy["max_target_level"]; elevation: boolean; budget?: number };
type Move = (mesh: MeshHandle, options: { traceId?: string | undefined }) => Promise<PlacementAnswer>;

export function meshCommand(): Command {
  const mesh = new Command("mesh").description("isolation meshes: their rails, and which workload is on which");
  for (const make of [showCommand, applyCommand, placeCommand, elevateCommand, removeCommand]) mesh.addCommand(make());
  return mesh;
}

function named(name: string, summary: string): Command {
  return nodeCommand(name, summary).option("--tenant <id>", "whose mesh it is", "default");
}

const traced = (command: Command): Command =>
  command.option("--trace-id <id>", "an identifier of your own that ends up in the event");

function showCommand(): Command {
  return named("show", "draw a mesh, or list a tenant's meshes")
    .argument("[mesh]", "the mesh's id; without it all are listed")
    .option("--all", "every workload, however many are on a rail")
    .action((meshId: string | undefined, options: ShowOptions) =>
      run({ ...options }, (context) =>
        meshId === undefined ? list(context, options) : show(context, meshId, options),
      ),
    );
}

function applyCommand(): Command {
  return traced(named("apply", "define a mesh or reload its topology; shows first what would change"))
    .argument("<mesh>", "the mesh's id")
    .argument("<topology>", "`{rails: […]}`, a JSON or YAML file, or - for standard input")
    .option("-y, --yes", "don't ask")
    .option("--dry-run", "only show what would change")
    .action((meshId: string, file: string, options: ApplyOptions) =>
      run({ ...options }, (context) => apply(context, meshId, file, options)),
    );
}

function placeCommand(): Command {
  return traced(named("place", "place a workload on its first rail"))
    .argument("<mesh>", "the mesh's id")
    .argument("<workload>", "the workload's id")
    .argument("<rail>", "the rail's id")
    .addOption(
      new Option("--max-level <level>", "the strictest level that it may be elevated to")
        .choices(LEVELS)
        .default("hardware_isolated"),
    )
    .option("--no-elevation", "it stays on this rail")
    .option(
      "--budget <µs>",
      "latency overhead that it is never to exceed, in microseconds",
      whole(0, " of microseconds"),
    )
    .action((meshId: string, workload: string, rail: string, options: PlaceOptions) =>
      run({ ...options }, (context) => {
        const { maxLevel, elevation, budget } = options;
        const policy: ElevationPolicy = {
          elevation_allowed: elevation,
          max_target_level: maxLevel,
          preserve_latency_budget: budget !== undefined,
          latency_budget_us: budget ?? 0,
        };
        return move(context, meshId, options, (mesh, given) => mesh.place(workload, rail, policy, given));
      }),
    );
}

function elevateCommand(): Command {
  return traced(named("elevate", "move a workload to a stricter rail"))
    .argument("<mesh>", "the mesh's id")
    .argument("<workload>", "the workload's id")
    .argument("<rail>", "the stricter rail's id")
    .action((meshId: string, workload: string, rail: string, options: Named) =>
      run({ ...options }, (context) =>
        move(context, meshId, options, (mesh, given) => mesh.elevate(workload, rail, given)),
      ),
    );
}

function removeCommand(): Command {
  return traced(named("remove", "take a workload off its rail"))
    .argument("<mesh>", "the mesh's id")
    .argument("<workload>", "the workload's id")
    .action((meshId: string, workload: string, options: Named) =>
      run({ ...options }, (context) =>
        move(
          context,
          meshId,
          options,
          (mesh, given) => mesh.remove(workload, given),
          ({ placement }) => `${placement.workload_id} left ${placement.rail_id}`,
        ),
      ),
    );
}

async function list(context: CommandContext, { tenant }: ShowOptions): Promise<ExitCode> {
  const [{ allPages, withReader }, { writeJson }] = await Promise.all([
    import("../io/open.ts"),
    import("../io/answer.ts"),
  ]);
  const meshes = await withReader(context, (reader) =>
    allPages((cursor) => reader.meshes({ tenant_id: tenant, cursor })),
  );
  const { out } = context;
  if (out.json) await writeJson(out, meshes);
  else if (meshes.length === 0) out.note(`Tenant ${safe(tenant)} has defined no mesh.`);
  else
    out.table(
      ["MESH", "REVISION", "RAILS", "WORKLOADS"],
      meshes.map(({ mesh_id, revision, topology, placements }) => [
        safe(mesh_id),
        String(revision),
        String(topology.rails.length),
        String(Object.keys(placements).length),
      ]),
    );
  return EXIT.done;
}

async function show(context: CommandContext, meshId: string, { tenant, all = false }: ShowOptions): Promise<ExitCode> {
  const [{ withReader }, { writeJson }, { meshLines }] = await Promise.all([
    import("../io/open.ts"),
    import("../io/answer.ts"),
    import("../io/mesh-view.ts"),
  ]);
  const mesh = await withReader(context, (reader) => reader.mesh(meshId, tenant).show());
  if (mesh === null)
    throw new UsageError(
      `tenant ${tenant} has defined no mesh ${meshId}; \`railgate mesh apply\` defines one, and --tenant names another tenant`,
    );
  const { out } = context;
  if (out.json) await writeJson(out, mesh);
  else for (const line of meshLines(mesh, tenant, { columns: out.columns, colour: out.colour, all })) out.line(line);
  return EXIT.done;
}

async function apply(context: CommandContext, meshId: string, file: string, options: ApplyOptions): Promise<ExitCode> {
  const { config, out } = context;
  const [{ readDocument }, { parseTopologyBody }, { topologyChanges }, { command }] = await Promise.all([
    import("../io/document.ts"),
    import("../../core/request.ts"),
    import("../io/mesh-view.ts"),
    import("../io/answer.ts"),
  ]);
  const { rails } = parseTopologyBody((await readDocument(file, config.limits.bodyBytesMax)).value);
  const mesh = await present(context, options.tenant, meshId);
  const changes = rails.every(isRail) ? topologyChanges(mesh, rails, out.colour) : undefined;
  if (!out.json) {
    out.line(`${out.colour.bold(safe(meshId))}  ${mesh === null ? "is new" : `at revision ${mesh.revision}`}`);
    for (const line of changes ?? ["  (the topology is not one: the law will say what is wrong)"])
      out.line(`  ${line}`);
    if (changes?.length === 0) out.line("  The topology is already so.");
  }
  if (options.dryRun || changes?.length === 0) return done(context, mesh, changes);
  if (!options.yes && !(await agreed(context))) return EXIT.refused;
  // What was shown is what is changed: on a mesh that has moved on since, nothing is done.
  const given = { revision: mesh?.revision ?? 0, traceId: options.traceId };
  return command(
    context,
    (railgate) => railgate.mesh(meshId, options.tenant).define({ rails: rails as Rail[] }, given),
    (answer) =>
      out.line(`\n${out.colour.green(mesh === null ? "Defined" : "Reloaded")}  revision ${answer.mesh.revision}`),
  );
}

const isRail = (rail: unknown): rail is Rail =>
  typeof rail === "object" && rail !== null && typeof (rail as Partial<Rail>).rail_id === "string";

function done({ out }: CommandContext, mesh: Mesh | null, changes: string[] | undefined): ExitCode {
  if (out.json) out.value({ revision: mesh?.revision ?? 0, changes: changes ?? null, applied: false });
  return EXIT.done;
}

/** null also where there is no store yet. */
async function present(context: CommandContext, tenant: string, meshId: string): Promise<Mesh | null> {
  const [{ withReader }, { holdsEvidence }] = await Promise.all([
    import("../io/open.ts"),
    import("../../library/read-only.ts"),
  ]);
  if (!context.config.server && !(await holdsEvidence(context.config))) return null;
  return withReader(context, (reader) => reader.mesh(meshId, tenant).show());
}

async function agreed({ out }: CommandContext): Promise<boolean> {
  if (!process.stdin.isTTY || out.json)
    throw new UsageError("nobody is here to agree: give --yes to apply it, or --dry-run to see only");
  const asking = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await asking.question("Apply? [y/N] ")).trim());
  } finally {
    asking.close();
  }
}

const onRail = ({ placement }: PlacementAnswer): string =>
  `${placement.workload_id} is on ${placement.rail_id}, ${placement.level}`;

async function move(
  context: CommandContext,
  meshId: string,
  { tenant, traceId }: Named,
  move: Move,
  say: (placed: PlacementAnswer) => string = onRail,
): Promise<ExitCode> {
  const { command } = await import("../io/answer.ts");
  return command(
    context,
    (railgate) => move(railgate.mesh(meshId, tenant), { traceId }),
    (placed) => context.out.line(`${context.out.colour.green("Done")}  ${safe(say(placed))}`),
  );
}
