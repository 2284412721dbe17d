// A mesh as a person sees it at a glance: rails from strictest to weakest, how full each is, and who is on it.
import { LEVELS, type Level } from "../../core/schema/base.ts";
import type { Mesh, MeshPlacement, Rail, RailState } from "../../core/schema/mesh.ts";
import { safe, visible, type Palette } from "./output.ts";

type RailNow = Rail & RailState;

export interface MeshStyle {
  /** Infinity where lines may be as long as they like. */
  readonly columns: number;
  readonly colour: Palette;
  /** Show every workload, however many. */
  readonly all: boolean;
}

const BAR = { most: 24, least: 6 };
const WORKLOADS_SHOWN = 12;
const NEARLY_FULL = 0.75;
const INDENT = "  ";

export function meshLines(mesh: Mesh, tenantId: string, style: MeshStyle): string[] {
  const { colour, columns } = style;
  const placed = Object.values(mesh.placements).sort((a, b) => (a.workload_id < b.workload_id ? -1 : 1));
  const placements = Map.groupBy(placed, ({ rail_id }) => rail_id);
  const rails = railsOf(mesh);
  const count = (n: number, of: string) => `${n} ${of}${n === 1 ? "" : "s"}`;
  const summary = `of tenant ${safe(tenantId)}, revision ${mesh.revision}: ${count(rails.length, "rail")}, ${count(placed.length, "workload")}`;
  const lines =
    columns < mesh.mesh_id.length + 2 + summary.length
      ? [colour.bold(safe(mesh.mesh_id)), cut(summary, columns)]
      : [`${colour.bold(safe(mesh.mesh_id))}  ${summary}`];
  const widths = railWidths(rails, columns);
  for (const level of [...LEVELS].reverse()) {
    const here = rails.filter((rail) => rail.level === level);
    if (here.length === 0) continue;
    lines.push("", colour.dim(level));
    for (const rail of here)
      lines.push(railLine(rail, widths, style), ...workloadLines(rail, placements.get(rail.rail_id) ?? [], style));
  }
  return lines;
}

const railsOf = ({ topology, rail_states }: Mesh): RailNow[] =>
  topology.rails.map((rail) => ({ ...rail, ...rail_states[rail.rail_id]! }));

interface RailWidths {
  readonly id: number;
  readonly bar: number;
  readonly filled: number;
  readonly cost: number;
}

const filledText = ({ active_count, capacity }: RailNow): string => `${active_count}/${capacity}`;
const costText = ({ latency_overhead_us }: RailNow): string => `${latency_overhead_us} µs`;

/** Names get the room they need, as long as a bar still fits beside them. */
function railWidths(rails: readonly RailNow[], columns: number): RailWidths {
  const longest = (of: (rail: RailNow) => string) => Math.max(0, ...rails.map((rail) => of(rail).length));
  const [filled, cost] = [longest(filledText), longest(costText)];
  const besides = INDENT.length + 2 + 2 + filled + 2 + cost;
  const id = Math.max(
    8,
    Math.min(
      longest(({ rail_id }) => rail_id),
      columns - besides - BAR.least,
    ),
  );
  return { id, filled, cost, bar: Math.max(BAR.least, Math.min(BAR.most, columns - besides - id)) };
}

function railLine(rail: RailNow, widths: RailWidths, { colour, columns }: MeshStyle): string {
  const { active_count, capacity } = rail;
  const paint =
    active_count >= capacity ? colour.red : active_count / capacity >= NEARLY_FULL ? colour.yellow : colour.green;
  // A rail that holds anything shows it, and only a full one looks full.
  const filled =
    active_count === 0
      ? 0
      : active_count >= capacity
        ? widths.bar
        : Math.min(widths.bar - 1, Math.max(1, Math.round((active_count / capacity) * widths.bar)));
  const bar = paint("█".repeat(filled)) + colour.dim("░".repeat(widths.bar - filled));
  const line = `${INDENT}${colour.bold(cut(rail.rail_id, widths.id).padEnd(widths.id))}  ${bar}  ${filledText(rail).padStart(widths.filled)}  ${costText(rail).padStart(widths.cost)}`;
  return active_count >= capacity && visible(line).length + 6 <= columns ? `${line}  ${colour.red("full")}` : line;
}

function workloadLines(
  rail: RailNow,
  placements: readonly MeshPlacement[],
  { colour, columns, all }: MeshStyle,
): string[] {
  const shown = all ? placements : placements.slice(0, WORKLOADS_SHOWN);
  const before = INDENT.repeat(3);
  const width = Math.min(
    Math.max(0, ...shown.map(({ workload_id }) => workload_id.length)),
    Math.max(8, Math.floor((columns - before.length) / 2)),
  );
  const lines = shown.map((placement) => {
    const name = cut(placement.workload_id, width).padEnd(width);
    return `${before}${name}  ${colour.dim(cut(describe(placement, rail), columns - before.length - width - 2))}`.trimEnd();
  });
  if (shown.length < placements.length)
    lines.push(`${before}${colour.dim(`… and ${placements.length - shown.length} more (--all shows them)`)}`);
  return lines;
}

/** What its policy leaves it, and where it came from; the most telling first, since a narrow terminal cuts the end. */
function describe({ level, policy, elevations }: MeshPlacement, rail: RailNow): string {
  const { preserve_latency_budget, latency_budget_us } = policy;
  const budget = preserve_latency_budget
    ? `budget ${latency_budget_us} µs, ${latency_budget_us - rail.latency_overhead_us} left`
    : "no budget";
  const came = elevations.length === 0 ? [] : [`from ${elevations.map(({ from_rail_id }) => from_rail_id).join(", ")}`];
  return [budget, mayRise(level, policy), ...came].join(" · ");
}

function mayRise(level: Level, { elevation_allowed, max_target_level }: MeshPlacement["policy"]): string {
  const rises = elevation_allowed && LEVELS.indexOf(max_target_level) > LEVELS.indexOf(level);
  return rises ? `may rise to ${max_target_level}` : "stays";
}

/** What a topology would change: a line for each rail, with `+`, `-` or `~`; none where it is already so. */
export function topologyChanges(mesh: Mesh | null, offered: readonly Rail[], colour: Palette): string[] {
  const now = new Map((mesh ? railsOf(mesh) : []).map((rail) => [rail.rail_id, rail]));
  const next = new Map(offered.map((rail) => [rail.rail_id, rail]));
  const ids = [...new Set([...now.keys(), ...next.keys()])].sort();
  const width = Math.max(0, ...ids.map((id) => id.length));
  return ids.flatMap((id) => {
    const [before, after] = [now.get(id), next.get(id)];
    const name = safe(id).padEnd(width);
    if (before === undefined) return [colour.green(`+ ${name}  ${railText(after!)}`)];
    if (after === undefined)
      return [
        colour.red(`- ${name}  ${railText(before)}${before.active_count > 0 ? `, holds ${before.active_count}` : ""}`),
      ];
    const changes = differences(before, after);
    return changes.length === 0 ? [] : [colour.yellow(`~ ${name}  ${changes.join(", ")}`)];
  });
}

const railText = ({ level, latency_overhead_us, capacity }: Rail): string =>
  `${level}, ${latency_overhead_us} µs, room for ${capacity}`;

function differences(before: Rail, after: Rail): string[] {
  const members = [
    ["level", "level"],
    ["latency_overhead_us", "overhead in µs"],
    ["capacity", "capacity"],
  ] as const;
  return members
    .filter(([member]) => before[member] !== after[member])
    .map(([member, what]) => `${what} ${before[member]} → ${after[member]}`);
}

function cut(text: string, columns: number): string {
  const clean = safe(text);
  return clean.length <= columns ? clean : `${clean.slice(0, Math.max(0, columns - 1))}…`;
}
