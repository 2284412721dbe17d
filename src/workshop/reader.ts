// Reads policies through OPA's command line as they change: only what did change is asked about again.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { annotationsOf, inspect, type Annotations, type Inspection } from "./annotations.ts";
import { policyFiles } from "./folder.ts";
import { parseRego, type RegoModule } from "./syntax.ts";

/** Of one folder of policies. */
export class PolicyReader {
  readonly #directory: string;
  readonly #parsed = new Map<string, { readonly source: string; readonly module: RegoModule }>();
  #inspected: Inspection | undefined;
  /** What was inspected, by file. */
  #sources: ReadonlyMap<string, string> = new Map();

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** What METADATA says of all policies, tests aside. @throws PolicyError with what OPA said. */
  async annotations(): Promise<Annotations> {
    const now = this.#read();
    const changed = [...now].filter(([file, source]) => this.#sources.get(file) !== source).map(([file]) => file);
    const gone = [...this.#sources.keys()].filter((file) => !now.has(file));
    const [only, ...others] = [...changed, ...gone];
    // OPA inspects a folder or a file: many files, as at first, are as much as the folder.
    if (this.#inspected === undefined || others.length > 0) this.#inspected = await inspect(this.#directory);
    else if (only !== undefined) this.#inspected = replaced(this.#inspected, only, await inspectedFile(only));
    this.#sources = now;
    return annotationsOf(this.#inspected);
  }

  /** @throws PolicyError with the first fault of syntax. */
  async parse(file: string): Promise<RegoModule> {
    const source = readFileSync(file, "utf8");
    const known = this.#parsed.get(file);
    if (known?.source === source) return known.module;
    const module = await parseRego(file);
    this.#parsed.set(file, { source, module });
    return module;
  }

  #read(): Map<string, string> {
    const names = policyFiles(this.#directory).filter((name) => name.endsWith(".rego") && !name.endsWith("_test.rego"));
    return new Map(names.map((name) => join(this.#directory, name)).map((file) => [file, readFileSync(file, "utf8")]));
  }
}

const inspectedFile = async (file: string): Promise<Inspection> => (existsSync(file) ? await inspect(file) : {});

function replaced({ annotations = [], namespaces = {} }: Inspection, file: string, by: Inspection): Inspection {
  const names = new Set([...Object.keys(namespaces), ...Object.keys(by.namespaces ?? {})]);
  const members = [...names].sort().map((name) => {
    const others = (namespaces[name] ?? []).filter((member) => member !== file);
    return [name, [...others, ...(by.namespaces?.[name] ?? [])]] as const;
  });
  return {
    annotations: [...annotations.filter(({ location }) => location.file !== file), ...(by.annotations ?? [])],
    namespaces: Object.fromEntries(members.filter(([, files]) => files.length > 0)),
  };
}
