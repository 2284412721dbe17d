// Takes the mesh law and the host's fold apart, one check at a time.
import { globSync, readFileSync } from "node:fs";
import { type Mutation, readPolicy } from "./law.ts";

export interface Mutant extends Mutation {
  /** Where, and what became of it. */
  readonly name: string;
}

const MESH = "railgate/mesh";
const CORE = new URL("../../src/core/", import.meta.url);

/** Every condition of the mesh law left out, every check of an ordered list skipped, every comparison shifted by one. */
export function regoMutants(): Mutant[] {
  const files = globSync("**/*.rego", { cwd: new URL(`../../policy/${MESH}/`, import.meta.url).pathname }).filter(
    (name) => !name.endsWith("_test.rego"),
  );
  return files.sort().flatMap((name) => regoMutantsOf(`${MESH}/${name}`));
}

function regoMutantsOf(file: string): Mutant[] {
  const lines = readPolicy(file).split("\n");
  return lines.flatMap((line, index) =>
    changesOf(line, inBody(lines, index)).map((changed) => ({
      name: `${file}:${index + 1}: ${line.trim()} → ${changed.trim()}`,
      file,
      text: [...lines.slice(0, index), changed, ...lines.slice(index + 1)].join("\n"),
    })),
  );
}

/** A line between `if {` and the `}` that ends the rule is one condition. */
function inBody(lines: readonly string[], index: number): boolean {
  if (!/^\t+[a-z]/.test(lines[index]!) || / := |^\tevery |\($|\{$|,$/.test(lines[index]!)) return false;
  const opening = lines.slice(0, index).findLastIndex((line) => /if \{$/.test(line));
  return opening >= 0 && !lines.slice(opening + 1, index).some((line) => line === "}");
}

function changesOf(line: string, condition: boolean): string[] {
  const changes: string[] = [];
  if (condition) changes.push("\ttrue");
  if (/^else := refusal if refusal := /.test(line)) changes.push(line.replace(/refusal := .*/, "refusal := false"));
  const single = /^(.* if )((?!\{$|refusal := ).+)$/.exec(line);
  if (single && !line.startsWith("#"))
    changes.push(`${single[1]}false`, ...(single[2] === "true" ? [] : [`${single[1]}true`]));
  const shifted = condition ? / (<=|>=|<|>) /.exec(line)?.[1] : undefined;
  if (shifted)
    changes.push(line.replace(` ${shifted} `, ` ${{ "<": "<=", "<=": "<", ">": ">=", ">=": ">" }[shifted]} `));
  return changes;
}

/** Every assertion of the fold left out, and every piece of its bookkeeping got wrong. */
export function hostMutants(): Mutant[] {
  const source = readFileSync(new URL("mesh.ts", CORE), "utf8");
  const assertions = [...source.matchAll(ASSERTION)].filter(([text]) => !text.includes("INV-MESH-POLICY-CONTINUITY"));
  return [
    ...assertions.map(({ 0: text, index }) => ({
      name: `mesh.ts: without ${text.replaceAll(/\s+/g, " ").trim()}`,
      file: "mesh.ts",
      text: source.slice(0, index) + source.slice(index + text.length),
    })),
    ...BOOKKEEPING.map(([from, to]) => replaced(source, from, to)),
  ];
}

/** A whole statement, however many lines it takes. */
const ASSERTION = /^ *(?:return )?must\(\s*"INV-[^]*?;$/gm;

/** The policy assertion guards the fold against itself alone, so it is shown with a fold that loses the policy. */
const LOSES_POLICY = [
  "{ ...placement, rail_id: to.rail_id,",
  "{ ...placement, policy: { ...placement.policy, elevation_allowed: !placement.policy.elevation_allowed }, rail_id: to.rail_id,",
] as const;

const BOOKKEEPING: readonly (readonly [from: string, to: string])[] = [
  LOSES_POLICY,
  ["departed: set(mesh.departed, workload_id, { workload_id, level }),", "departed: mesh.departed,"],
  ["revision: mesh.revision + 1 }", "revision: mesh.revision }"],
  ['counted(rail, "total_placed", +1)', "rail"],
  ['counted(from, "total_elevated_out", -1)', "from"],
  ['counted(to, "total_elevated_in", +1)', "to"],
  ['counted(railOf(mesh, rail_id), "total_removed", -1)', "railOf(mesh, rail_id)"],
  ['counted(rail, "total_placed", +1)', 'counted(rail, "total_elevated_in", +1)'],
  ["set(left, to.rail_id,", "set(mesh.rails, to.rail_id,"],
  ["elevations: [...placement.elevations, elevation]", "elevations: placement.elevations"],
  ["elevations: [...placement.elevations, elevation]", "elevations: [elevation, ...placement.elevations]"],
  ["...NOTHING_COUNTED, ...countersOf(mesh, rail_id),", "...NOTHING_COUNTED,"],
  [
    "placements: mesh?.placements ?? null, departed: mesh?.departed ?? null };",
    "placements: mesh?.placements ?? null, departed: null };",
  ],
  ["placements: without(mesh.placements, workload_id),", "placements: mesh.placements,"],
  ["placed_at: at,", 'placed_at: "",'],
  ['if (event.outcome !== "accepted") return mesh;', ""],
  ["departed_level: (mesh && get(mesh.departed, command.workload_id)?.level) ?? null,", "departed_level: null,"],
  ["rail: railFact(mesh, command.target_rail_id),", "rail: railFact(mesh, command.workload_id),"],
  ["Math.min(least.get(rail_id) ?? Infinity, policy.latency_budget_us)", "policy.latency_budget_us"],
  [
    "Math.min(least.get(rail_id) ?? Infinity, policy.latency_budget_us)",
    "Math.max(least.get(rail_id) ?? 0, policy.latency_budget_us)",
  ],
  [".filter((rail) => rail.active_count > 0)", ".filter((rail) => rail.active_count > 1)"],
  ["if (!policy.preserve_latency_budget) continue;", ""],
];

/** The fold that loses the policy, and no longer looks. */
export function policyLoser(): Mutant {
  const source = readFileSync(new URL("mesh.ts", CORE), "utf8").replaceAll(ASSERTION, (text) =>
    text.includes("INV-MESH-POLICY-CONTINUITY") ? "" : text,
  );
  return replaced(source, ...LOSES_POLICY);
}

function replaced(source: string, from: string, to: string): Mutant {
  const found = [...source.matchAll(anyLayoutOf(from))];
  if (found.length !== 1) throw new Error(`a mutation's text is there ${found.length} times: ${from}`);
  const [{ 0: text, index }] = found as [RegExpExecArray];
  return {
    name: `mesh.ts: ${from} → ${to}`,
    file: "mesh.ts",
    text: source.slice(0, index) + to + source.slice(index + text.length),
  };
}

/** Code as the formatter may have broken it into lines. */
function anyLayoutOf(code: string): RegExp {
  const tokens = code.match(/\w+|[^\w\s]/g)!;
  const pattern = tokens.map((token) => {
    const text = token.replace(/[^\w]/, "\\$&");
    return "})]".includes(token) ? `(?:,\\s*)?${text}` : text;
  });
  return new RegExp(pattern.join("\\s*"), "g");
}

/** The text as a module that can stand anywhere. */
export function relocated(text: string): string {
  return text.replace(/from "\.\//g, `from "${CORE.href}`);
}
