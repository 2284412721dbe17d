// Reads the METADATA of policies, the one place where a rule's code, class and texts are written, through OPA's command line.
import { RailgateError } from "../core/errors.ts";
import { runOpa } from "./opa.ts";

/** One fault in a policy file: `line` counts from 1. */
export interface PolicyFault {
  readonly file: string;
  readonly line: number;
  readonly message: string;
}

/** Policies that cannot be built. The message says everything, a line a fault, as `file:line: what`. */
export class PolicyError extends RailgateError {
  static override code: string = "policy_invalid";
  /** Empty where OPA said what is wrong. */
  readonly faults: readonly PolicyFault[];

  constructor(said: string | readonly PolicyFault[]) {
    super(typeof said === "string" ? said : said.map(faultLine).join("\n"));
    this.faults = typeof said === "string" ? [] : said;
  }
}

const faultLine = ({ file, line, message }: PolicyFault) => `${file}:${line}: ${message}`;

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
  /** Line of the rule, below its METADATA. */
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
  /** Files by package (`railgate.extensions.quota`), tests left out. */
  readonly files: ReadonlyMap<string, readonly string[]>;
}

/** Asks OPA, and reads its JSON. @throws PolicyError with what it said. @throws OpaMissingError */
export async function askOpa<T>(args: readonly string[]): Promise<T> {
  const { status, stdout, stderr } = await runOpa(args);
  if (status !== 0) throw new PolicyError(`opa ${args[0]}: ${(stderr + stdout).trim()}`);
  return JSON.parse(stdout) as T;
}

/** What OPA tells of policies, as far as it is looked at here. */
export interface Inspection {
  readonly annotations?: readonly Annotation[];
  /** Files by package (`data.railgate.lib`). */
  readonly namespaces?: Readonly<Record<string, readonly string[]>>;
}

/** @param path a folder, or a single file. @throws PolicyError with what OPA said. @throws OpaMissingError */
export const inspect = (path: string): Promise<Inspection> =>
  askOpa<Inspection>(["inspect", "--annotations", "--format", "json", path]);

/** Reads all annotations under `directory`. @throws PolicyError with what OPA said. @throws OpaMissingError */
export const readAnnotations = async (directory = "policy"): Promise<Annotations> =>
  annotationsOf(await inspect(directory));

/** The annotations in what OPA tells. */
export function annotationsOf(inspected: Inspection): Annotations {
  const found = (inspected.annotations ?? []).filter(({ location }) => !isTest(location.file));
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
  const files = Object.entries(inspected.namespaces ?? {}).map(
    ([name, members]) => [name.replace(/^data\./, ""), members.filter((file) => isRego(file)).sort()] as const,
  );
  return { rules, entrypoints: [...new Set(entrypoints)].sort(), files: new Map(files) };
}

const isTest = (file: string) => file.endsWith("_test.rego");
const isRego = (file: string) => file.endsWith(".rego") && !isTest(file);

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
