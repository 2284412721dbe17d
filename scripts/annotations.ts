// Reads the METADATA of the policies: the one place where a rule's code, class and texts are written.
import { spawnSync } from "node:child_process";
import { ensureOpa } from "./opa.ts";

/** A rule of the law, as its METADATA describes it. */
export interface Rule {
  /** Its identifier, e.g. `CTR-01`. */
  readonly rule: string;
  readonly code: string;
  readonly class: string;
  readonly title: string;
  readonly description: string;
  readonly shortName: string;
  readonly message: string;
  readonly solution: string;
  /** The sentence of the specification that it implements. */
  readonly source: string;
  /** Package without `data.`, e.g. `railgate.refusal.container`. */
  readonly package: string;
  readonly file: string;
  /** Line of the METADATA comment. */
  readonly row: number;
}

interface Annotation {
  annotations: {
    scope: string;
    title?: string;
    description?: string;
    entrypoint?: boolean;
    custom?: Record<string, unknown>;
  };
  location: { file: string; row: number };
  path: { value: string }[];
}

export interface Annotations {
  /** By file, then line; rules of extensions included. */
  readonly rules: readonly Rule[];
  /** `railgate/admission/decision` and the like, sorted. */
  readonly entrypoints: readonly string[];
}

/** Reads all annotations under `directory`. @throws Error with what OPA said. */
export async function readAnnotations(directory = "policy"): Promise<Annotations> {
  const run = spawnSync(await ensureOpa(), ["inspect", "--annotations", "--format", "json", directory], {
    encoding: "utf8",
    maxBuffer: 1 << 26,
  });
  if (run.status !== 0) throw new Error(`opa inspect ${directory}: ${run.stderr}${run.stdout}`);
  const found = ((JSON.parse(run.stdout) as { annotations?: Annotation[] }).annotations ?? []).filter(
    ({ location }) => !location.file.endsWith("_test.rego"),
  );
  const entrypoints = found
    .filter(({ annotations }) => annotations.entrypoint)
    .map(({ path }) =>
      path
        .slice(1)
        .map(({ value }) => value)
        .join("/"),
    );
  const rules = found.filter(({ annotations }) => annotations.custom?.["code"] !== undefined).map(ruleOf);
  rules.sort((a, b) => (a.file === b.file ? a.row - b.row : a.file < b.file ? -1 : 1));
  return { rules, entrypoints: [...new Set(entrypoints)].sort() };
}

function ruleOf({ annotations, location, path }: Annotation): Rule {
  const custom = annotations.custom ?? {};
  const text = (value: unknown) => (typeof value === "string" ? value.trim() : "");
  return {
    rule: text(custom["rule"]),
    code: text(custom["code"]),
    class: text(custom["class"]),
    title: text(annotations.title),
    description: text(annotations.description).replaceAll("\n", " "),
    shortName: text(custom["short_name"]),
    message: text(custom["message"]),
    solution: text(custom["solution"]),
    source: text(custom["source"]),
    package: path
      .slice(1, -1)
      .map(({ value }) => value)
      .join("."),
    file: location.file,
    row: location.row,
  };
}

export interface CatalogueEntry {
  class: string;
  title: string;
  message: string;
  solution: string;
  source: string;
  rules: string[];
}

const HOST_PACKAGE = "railgate.refusal.host";
const EXTENSIONS = "railgate.extensions.";

/**
 * The catalogue: what each code means, for all rules that refuse by it.
 * @throws Error where rules share a code but not its class, message and solution (what the host says has the last word),
 *   and where an extension uses a code that is not its own.
 */
export function catalogueOf(rules: readonly Rule[]): Record<string, CatalogueEntry> {
  const byCode = Map.groupBy(rules, ({ code }) => code);
  const entries = [...byCode].map(([code, sharing]): [string, CatalogueEntry] => {
    const extension = sharing.find((rule) => rule.package.startsWith(EXTENSIONS));
    if (extension && sharing.some((rule) => rule.package !== extension.package)) {
      throw new Error(
        `${extension.file}:${extension.row}: the code ${code} of ${extension.rule} is taken; an extension needs codes of its own`,
      );
    }
    const words = sharing.find((rule) => rule.package === HOST_PACKAGE) ?? sharing[0]!;
    const differing = sharing.find(
      (rule) =>
        rule.class !== words.class ||
        (words.package !== HOST_PACKAGE && (rule.message !== words.message || rule.solution !== words.solution)),
    );
    if (differing)
      throw new Error(
        `${differing.file}:${differing.row}: ${differing.rule} shares the code ${code} with ${words.rule}, so class, message and solution must be the same`,
      );
    const oneTitle = words.package === HOST_PACKAGE || sharing.every(({ title }) => title === words.title);
    const { class: refusalClass, message, solution, source } = words;
    const title = oneTitle ? words.title : titleOf(code);
    return [
      code,
      {
        class: refusalClass,
        title,
        message,
        solution,
        source,
        rules: [...new Set(sharing.map(({ rule }) => rule))].sort(),
      },
    ];
  });
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** For a code that several rules explain each in their own words: `ERR_MESH_INVALID_TOPOLOGY` → `Mesh invalid topology`. */
function titleOf(code: string): string {
  const words = code.replace(/^ERR_/, "").toLowerCase().replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}
