// `railgate mesh`: isolation meshes shown, defined, and workloads moved between their rails.
import { createInterface } from "node:readline/promises";
import { Command, InvalidArgumentError, Option } from "commander";
import type { Mesh } from "../../core/mesh.ts";
import { LEVELS } from "../../core/schema/base.ts";
import type { ElevationPolicy, PlacementAnswer, Rail } from "../../core/schema/mesh.ts";
import type { LocalRailgate } from "../../library/local.ts";
import type { MeshHandle } from "../../library/railgate.ts";
import { CannotRunError, EXIT, newCommand, run, UsageError, type Context, type ExitCode } from "../io/command.ts";
import { safe } from "../io/output.ts";

const PAGE = 100;

type Named = { tenant: string; traceId?: string };
type ShowOptions = Named & { all?: boolean };
type ApplyOptions = Named & { yes?: boolean; dryRun?: boolean };
type PlaceOptions = Named & { maxLevel: ElevationPolicy["max_target_level"]; elevation: boolean; budget?: number };
type Placed = PlacementAnswer;

export function meshCommand(): Command {
  const mesh = new Command("mesh").description("isolation meshes: their rails, and which workload is on which");
  for (const make of [showCommand, applyCommand, placeCommand, elevateCommand, removeCommand]) mesh.addCommand(make());
  return mesh;
}

function named(name: string, summary: string): Command {
  return newCommand(name, summary).option("--tenant <id>", "whose mesh it is", "default");
}

const traced = (command: Command): Command =>
  command.option("--trace-id <id>", "an identifier of your own that ends up in the event");

function showCommand(): Command {
  return named("show", "draw a mesh, or list a tenant's meshes")
    .argument("[mesh]", "the mesh's id; without it all are listed")
    .option("--all", "every workload, however many are on a rail")
    .action((meshId: string | undefined, options: ShowOptions) =>
      run({ ...options }, (context) => show(context, meshId, options)),
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
    .option("--budget <µs>", "latency overhead that it is never to exceed, in microseconds", wholeNumber)
    .action((meshId: string, workload: string, rail: string, options: PlaceOptions) =>
      run({ ...options }, (context) => place(context, meshId, workload, rail, options)),
    );
}

function elevateCommand(): Command {
  return traced(named("elevate", "move a workload to a stricter rail"))
    .argument("<mesh>", "the mesh's id")
    .argument("<workload>", "the workload's id")
    .argument("<rail>", "the stricter rail's id")
    .action((meshId: string, workload: string, rail: string, options: Named) =>
      run({ ...options }, (context) =>
        move(context, meshId, options, {
          method: "POST",
          path: `placements/${encodeURIComponent(workload)}/elevation`,
          body: { target_rail_id: rail },
          here: (mesh, given) => mesh.elevate(workload, rail, given),
        }),
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
          {
            method: "DELETE",
            path: `placements/${encodeURIComponent(workload)}`,
            here: (mesh, given) => mesh.remove(workload, given),
          },
          ({ placement }) => `${placement.workload_id} left ${placement.rail_id}`,
        ),
      ),
    );
}

function wholeNumber(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value))
    throw new InvalidArgumentError("It must be a whole number of microseconds.");
  return value;
}

async function show(
  { config, out }: Context,
  meshId: string | undefined,
  { tenant, all = false }: ShowOptions,
): Promise<ExitCode> {
  const meshes = await readAll(config.dataDir, tenant);
  const [{ meshLines }, { wireMesh }, { canonicalJson }, { sizeOf }] = await Promise.all([
    import("../io/mesh-view.ts"),
    import("../../core/mesh.ts"),
    import("../../core/json.ts"),
    import("../../core/tree.ts"),
  ]);
  if (meshId === undefined) {
    const sorted = [...meshes.values()].sort((a, b) => (a.mesh_id < b.mesh_id ? -1 : 1));
    if (out.json) out.line(canonicalJson(sorted.map(wireMesh)));
    else if (sorted.length === 0) out.note(`Tenant ${safe(tenant)} has defined no mesh.`);
    else
      out.table(
        ["MESH", "REVISION", "RAILS", "WORKLOADS"],
        sorted.map((mesh) => [
          safe(mesh.mesh_id),
          String(mesh.revision),
          String(sizeOf(mesh.rails)),
          String(sizeOf(mesh.placements)),
        ]),
      );
    return EXIT.done;
  }
  const mesh = meshes.get(meshId);
  if (mesh === undefined)
    throw new CannotRunError(
      `tenant ${tenant} has defined no mesh ${meshId}; \`railgate mesh apply\` defines one, and --tenant names another tenant`,
    );
  if (out.json) out.line(canonicalJson(wireMesh(mesh)));
  else for (const line of meshLines(mesh, tenant, { columns: out.columns, colour: out.colour, all })) out.line(line);
  return EXIT.done;
}

/** Read from the data directory, whether or not a server is writing to it. */
async function readAll(dataDir: string, tenant: string): Promise<Map<string, Mesh>> {
  const [{ openForReading }, { readMeshes }] = await Promise.all([
    import("../io/reading.ts"),
    import("../../store/meshes.ts"),
  ]);
  using store = openForReading(dataDir);
  const found = new Map<string, Mesh>();
  for (let after: string | undefined; ; ) {
    const { items, next } = readMeshes(store, tenant, PAGE, after);
    for (const mesh of items) found.set(mesh.mesh_id, mesh);
    if (next === null) return found;
    after = next;
  }
}

async function apply(context: Context, meshId: string, file: string, options: ApplyOptions): Promise<ExitCode> {
  const { config, out } = context;
  const [{ readDocument }, { parseTopologyBody }, { topologyChanges }] = await Promise.all([
    import("../io/document.ts"),
    import("../../core/request.ts"),
    import("../io/mesh-view.ts"),
  ]);
  const { rails } = parseTopologyBody((await readDocument(file, config.limits.bodyBytesMax)).value);
  const mesh = await present(config.dataDir, options.tenant, meshId);
  const changes = rails.every(isRail) ? topologyChanges(mesh, rails, out.colour) : undefined;
  if (!out.json) {
    out.line(`${out.colour.bold(safe(meshId))}  ${mesh === null ? "is new" : `at revision ${mesh.revision}`}`);
    for (const line of changes ?? ["  (the topology is not one: the law will say what is wrong)"])
      out.line(`  ${line}`);
    if (changes?.length === 0) out.line("  The topology is already so.");
  }
  if (options.dryRun || changes?.length === 0) return done(context, mesh, changes);
  if (!options.yes && !(await agreed(context))) return EXIT.refused;
  const { command } = await import("../io/commanding.ts");
  // What was shown is what is changed: on a mesh that has moved on since, nothing is done.
  const revision = mesh?.revision ?? 0;
  return command(
    context,
    {
      method: "PUT",
      path: pathOf(meshId, "topology", options),
      body: { rails },
      revision,
      here: (railgate: LocalRailgate) =>
        railgate
          .mesh(meshId, options.tenant)
          .define({ rails: rails as Rail[] }, { revision, traceId: options.traceId }),
    },
    (answer) =>
      out.line(`\n${out.colour.green(mesh === null ? "Defined" : "Reloaded")}  revision ${answer.mesh.revision}`),
  );
}

const isRail = (rail: unknown): rail is Rail =>
  typeof rail === "object" && rail !== null && typeof (rail as Partial<Rail>).rail_id === "string";

function done({ out }: Context, mesh: Mesh | null, changes: string[] | undefined): ExitCode {
  if (out.json) out.value({ revision: mesh?.revision ?? 0, changes: changes ?? null, applied: false });
  return EXIT.done;
}

async function present(dataDir: string, tenant: string, meshId: string): Promise<Mesh | null> {
  const { existsSync } = await import("node:fs");
  const { storeFile } = await import("../../store/open.ts");
  return existsSync(storeFile(dataDir)) ? ((await readAll(dataDir, tenant)).get(meshId) ?? null) : null;
}

async function agreed({ out }: Context): Promise<boolean> {
  if (!process.stdin.isTTY || out.json)
    throw new UsageError("nobody is here to agree: give --yes to apply it, or --dry-run to see only");
  const asking = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await asking.question("Apply? [y/N] ")).trim());
  } finally {
    asking.close();
  }
}

async function place(
  context: Context,
  meshId: string,
  workload: string,
  rail: string,
  options: PlaceOptions,
): Promise<ExitCode> {
  const { maxLevel, elevation, budget } = options;
  const policy: ElevationPolicy = {
    elevation_allowed: elevation,
    max_target_level: maxLevel,
    preserve_latency_budget: budget !== undefined,
    latency_budget_us: budget ?? 0,
  };
  return move(context, meshId, options, {
    method: "POST",
    path: "placements",
    body: { workload_id: workload, rail_id: rail, policy },
    here: (mesh, given) => mesh.place(workload, rail, policy, given),
  });
}

type Move = {
  method: "POST" | "DELETE";
  path: string;
  body?: object;
  here: (mesh: MeshHandle, given: { traceId?: string | undefined }) => Promise<Placed>;
};

const onRail = ({ placement }: Placed): string =>
  `${placement.workload_id} is on ${placement.rail_id}, ${placement.level}`;

async function move(
  context: Context,
  meshId: string,
  options: Named,
  { here, path, ...rest }: Move,
  say: (placed: Placed) => string = onRail,
): Promise<ExitCode> {
  const { command } = await import("../io/commanding.ts");
  const commanded = {
    ...rest,
    path: pathOf(meshId, path, options),
    here: (railgate: LocalRailgate) => here(railgate.mesh(meshId, options.tenant), { traceId: options.traceId }),
  };
  return command<Placed>(context, commanded, (placed) =>
    context.out.line(`${context.out.colour.green("Done")}  ${safe(say(placed))}`),
  );
}

function pathOf(meshId: string, rest: string, { tenant, traceId }: Named): string {
  const query = new URLSearchParams({ tenant_id: tenant, ...(traceId !== undefined && { trace_id: traceId }) });
  return `/v1/meshes/${encodeURIComponent(meshId)}/${rest}?${query}`;
}
