// Reads the METADATA of the policies: the one place where a rule's code, class and texts are written.
import { spawnSync } from "node:child_process";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ensureOpa } from "./opa.ts";

/** A rule of the law, as its METADATA describes it. */
export interface Rule {
  /** Its identifier, e.g. `CTR-01`. */
  readonly rule: string;
  readonly code: string;
  readonly class: string;
  /** With which a command that is refused by this code is answered. */
  readonly httpStatus: number;
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
    scope: "rule" | "document" | "package" | "subpackages";
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
  const rules = found
    .filter(({ annotations }) => annotations.custom?.["rule"] !== undefined)
    .map((annotation) => ruleOf(annotation, inherited(annotation, found)));
  rules.sort((a, b) => (a.file === b.file ? a.row - b.row : a.file < b.file ? -1 : 1));
  return { rules, entrypoints: [...new Set(entrypoints)].sort() };
}

const WIDTH = { rule: 0, document: 1, package: 2, subpackages: 3 };
const HTTP_STATUS_DEFAULT = 409;

/** What a rule's METADATA says, and what it leaves to that of its document, its package and the packages above. */
function inherited(rule: Annotation, all: readonly Annotation[]): Record<string, unknown> {
  const packagePath = pathOf(rule).slice(0, -1);
  const scopes = all.filter(({ annotations: { scope }, path }) => {
    const names = path.map(({ value }) => value);
    if (scope === "document") return names.join() === rule.path.map(({ value }) => value).join();
    if (scope === "package") return names.slice(1).join() === packagePath.join();
    return scope === "subpackages" && `${packagePath.join()},`.startsWith(`${names.slice(1).join()},`);
  });
  scopes.sort((a, b) => WIDTH[b.annotations.scope] - WIDTH[a.annotations.scope] || a.path.length - b.path.length);
  return Object.assign({}, ...scopes.map(({ annotations }) => annotations.custom), rule.annotations.custom) as Record<
    string,
    unknown
  >;
}

/** Without `data`. */
const pathOf = ({ path }: Annotation): string[] => path.slice(1).map(({ value }) => value);

function ruleOf(annotation: Annotation, custom: Record<string, unknown>): Rule {
  const { annotations, location } = annotation;
  const text = (value: unknown) => (typeof value === "string" ? value.trim() : "");
  const status = custom["http_status"] ?? HTTP_STATUS_DEFAULT;
  return {
    rule: text(custom["rule"]),
    code: text(custom["code"]),
    class: text(custom["class"]),
    httpStatus: typeof status === "number" ? status : Number.NaN,
    title: text(annotations.title),
    description: text(annotations.description).replaceAll("\n", " "),
    shortName: text(custom["short_name"]),
    message: text(custom["message"]),
    solution: text(custom["solution"]),
    source: text(custom["source"]),
    package: pathOf(annotation).slice(0, -1).join("."),
    file: location.file,
    row: location.row,
  };
}

export interface CatalogueText {
  class: string;
  http_status: number;
  title: string;
  message: string;
  solution: string;
  source: string;
  rules: string[];
}

export const HOST_PACKAGE = "railgate.refusal.host";
const EXTENSIONS = "railgate.extensions.";

/**
 * The catalogue: what each code means, for all rules that refuse by it.
 * @throws Error where rules share a code but not its class, message, solution and status (what the host says has the last word),
 *   and where an extension uses a code that is not its own.
 */
export function catalogueOf(rules: readonly Rule[]): Record<string, CatalogueText> {
  const byCode = Map.groupBy(rules, ({ code }) => code);
  const entries = [...byCode].map(([code, sharing]): [string, CatalogueText] => {
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
        rule.httpStatus !== words.httpStatus ||
        (words.package !== HOST_PACKAGE && (rule.message !== words.message || rule.solution !== words.solution)),
    );
    if (differing)
      throw new Error(
        `${differing.file}:${differing.row}: ${differing.rule} shares the code ${code} with ${words.rule}, so class, message, solution and http_status must be the same`,
      );
    const oneTitle = words.package === HOST_PACKAGE || sharing.every(({ title }) => title === words.title);
    const { class: refusalClass, httpStatus, message, solution, source } = words;
    const title = oneTitle ? words.title : titleOf(code);
    return [
      code,
      {
        class: refusalClass,
        http_status: httpStatus,
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

const DEPRECATED =
  /\blib\.(policy_denied|authority_missing_or_invalid|jurisdiction_denied|delegation_invalid|evidence_precondition_failed|dependency_unavailable_fail_closed|refusal)\(/;

/** Where extensions under `directory` still write rule, code and class a second time, with what to write instead. */
export function deprecations(directory = "policy"): string[] {
  return globSync("railgate/extensions/**/*.rego", { cwd: directory })
    .sort()
    .flatMap((name) => {
      const file = join(directory, name);
      return readFileSync(file, "utf8")
        .split("\n")
        .flatMap((line, index) => {
          const helper = DEPRECATED.exec(line.replace(/#.*/, ""))?.[1];
          return helper === undefined
            ? []
            : [
                `${file}:${index + 1}: lib.${helper} writes rule, code and class a second time; write lib.refuse(rego.metadata.rule(), pointer, params)`,
              ];
        });
    });
}
