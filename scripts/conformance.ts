// OPA's own conformance cases against our evaluator: `npm run conformance`; `-- <family>…` for some, with what did not agree; `-- --write` takes
// the figures into the documentation.
// The cases lie in OPA's Go module, whose checksum Go verifies. Each is compiled in a namespace of its own, so that hundreds are one build.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "yaml";
import { jsonOf } from "../src/policy/builtins/text.ts";
import { keyOf, RegoNumber, RegoObject, type Value } from "../src/policy/builtins/value.ts";
import { readBundleFiles } from "../src/policy/bundle-files.ts";
import { Evaluator } from "../src/policy/evaluator.ts";
import { OPA_VERSION, runOpa } from "../src/workshop/opa.ts";

/** One of OPA's cases, as its file has it. */
export interface Case {
  readonly family: string;
  readonly note: string;
  readonly query: string;
  readonly modules: readonly string[];
  readonly data: unknown;
  /** As text of Rego; undefined where there is no input. */
  readonly input: string | undefined;
  readonly want: Want;
}

export interface Want {
  readonly defined?: boolean | undefined;
  readonly result?: readonly unknown[] | undefined;
  readonly errorCode?: string | undefined;
  readonly strict?: boolean | undefined;
  readonly sorted?: boolean | undefined;
}

/** `agreed`; `refused`: it does not build, for want of a builtin, or fails for want of a clock; `beyond`: OPA's own WASM can't have it. */
export type Outcome = { readonly is: "agreed" } | { readonly is: "refused" | "beyond" | "wrong"; readonly why: string };

/** What OPA leaves out when it runs the cases on its own WASM (internal/wasm/sdk/test/e2e/exceptions.yaml), where we differ too. */
const BEYOND_WASM: readonly string[] = [
  "data/toplevel integer",
  "data/nested integer",
  "jsonbuiltins/unmarshal number beyond the supported exponent is undefined",
  "jsonbuiltins/unmarshal number with too big an exponent is undefined",
  "strings/format_int: bignum exact (>64-bit integer, all bases + negative)",
];

const LIMITS = { evaluationMsMax: 10_000, memoryMiBMax: 256 };

/** The directory of the cases, by way of Go. @throws Error where there is no Go, or no way to the module. */
export function casesDirectory(): string {
  const module = `github.com/open-policy-agent/opa@v${OPA_VERSION}`;
  const run = spawnSync("go", ["mod", "download", "-json", module], { encoding: "utf8" });
  if (run.status !== 0) throw new Error(`Go could not fetch ${module}: ${run.error?.message ?? run.stderr}`);
  return join((JSON.parse(run.stdout) as { Dir: string }).Dir, "v1/test/cases/testdata/v1");
}

type Raw = { readonly [name: string]: unknown };

export function readCases(directory: string, families: readonly string[] = readdirSync(directory)): Case[] {
  return families.flatMap((family) =>
    readdirSync(join(directory, family)).flatMap((file) => {
      const text = readFileSync(join(directory, family, file), "utf8");
      const { cases } = parse(text, { intAsBigInt: true, logLevel: "silent" }) as { cases: Raw[] };
      return cases.map((raw) => caseOf(family, raw));
    }),
  );
}

function caseOf(family: string, raw: Raw): Case {
  const term = raw["input_term"] as string | undefined;
  return {
    family,
    note: String(raw["note"]),
    query: String(raw["query"]),
    modules: (raw["modules"] ?? []) as string[],
    data: raw["data"] ?? {},
    // Rego takes a comma behind the last item, WASM does not.
    input: term?.replaceAll(/,(\s*[}\]])/g, "$1") ?? (raw["input"] === undefined ? undefined : jsonText(raw["input"])),
    want: {
      defined: raw["want_defined"] as boolean | undefined,
      result: raw["want_result"] as unknown[] | undefined,
      errorCode: (raw["want_error_code"] ?? (raw["want_error"] === undefined ? undefined : "")) as string | undefined,
      strict: raw["strict_error"] as boolean | undefined,
      sorted: raw["sort_bindings"] as boolean | undefined,
    },
  };
}

const jsonText = (value: unknown): string =>
  JSON.stringify(value, (_, item: unknown) => (typeof item === "bigint" ? rawJson(String(item)) : item));

/** Newer than the types that TypeScript has of JSON. */
const rawJson = (JSON as unknown as { rawJSON(text: string): object }).rawJSON;

/** Text and comments, which stay; `data` at the head of a reference; the package. */
const TOKENS = /\$?"(?:[^"\\\n]|\\.)*"|\$?`[^`]*`|#[^\n]*|(?<![\w.])data(?!\w)|^(\s*package\s+)([\w.[\]"]+)/gm;

/** The same text in a namespace of its own. */
function namespaced(text: string, name: string): string {
  return text.replace(TOKENS, (token, head: string | undefined, path: string | undefined) => {
    if (head !== undefined) return `${head}${name}.${path}`;
    if (token.startsWith("$")) return token.replaceAll(/(?<![\w."])data(?=\.)/g, `data.${name}`);
    return token === "data" ? `data.${name}` : token;
  });
}

/** The files of one case: its modules, and one whose rule gathers all bindings of its query. */
function filesOf({ query, modules, want }: Case, name: string): string[] {
  const variables = Object.keys((want.result?.[0] ?? {}) as object);
  const bindings = variables.map((variable) => `"${variable}": ${variable}`).join(", ");
  const asked = `package ${name}_query\n\nresult := [{${bindings}} |\n${namespaced(query, name)}\n]\n`;
  return [...modules.map((module) => namespaced(module, name)), asked];
}

/** Runs all cases. @returns outcomes in the order of the cases. */
export async function runCases(cases: readonly Case[], capabilities: string): Promise<Outcome[]> {
  const directory = mkdtempSync(join(tmpdir(), "railgate-conformance-"));
  try {
    for (const [i, each] of cases.entries())
      for (const [m, text] of filesOf(each, `c${i}`).entries()) writeFileSync(join(directory, `c${i}_${m}.rego`), text);
    const faults = await compilerFaults(directory, capabilities);
    const outcomes = new Map<number, Outcome>();
    for (const [i, fault] of faults) outcomes.set(i, judgedFault(cases[i]!, fault));
    const rest = [...cases.keys()].filter((i) => !outcomes.has(i));
    const evaluator = await buildAll(directory, cases, rest, capabilities);
    for (const i of rest) {
      const outcome = judged(cases[i]!, `c${i}`, evaluator);
      const beyond = outcome.is === "wrong" && BEYOND_WASM.includes(cases[i]!.note);
      outcomes.set(i, beyond ? { is: "beyond", why: outcome.why } : outcome);
    }
    return [...cases.keys()].map((i) => outcomes.get(i)!);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

interface Fault {
  readonly code: string;
  readonly message: string;
}

/** What `opa check` says of each case that does not compile; it is asked again without those, since it stops at the first stage that fails. */
async function compilerFaults(directory: string, capabilities: string): Promise<Map<number, Fault>> {
  const faults = new Map<number, Fault>();
  for (;;) {
    const args = ["check", "--max-errors", "0", "--format", "json", "--capabilities", capabilities, directory];
    const run = await runOpa(args);
    if (run.status === 0) return faults;
    const { errors } = JSON.parse(run.stderr || run.stdout) as {
      errors: { code: string; message: string; location?: { file?: string } }[];
    };
    const found = new Set<number>();
    for (const { code, message, location } of errors) {
      const number = Number(/c(\d+)_\d+\.rego$/.exec(location?.file ?? "")?.[1]);
      if (Number.isNaN(number)) throw new Error(`opa check: ${message}`);
      if (!faults.has(number)) faults.set(number, { code, message });
      found.add(number);
    }
    if (found.size === 0) throw new Error(run.stderr);
    for (const file of readdirSync(directory))
      if (found.has(Number(/^c(\d+)_/.exec(file)?.[1]))) rmSync(join(directory, file));
  }
}

function judgedFault({ want }: Case, { code, message }: Fault): Outcome {
  if (want.errorCode !== undefined && (want.errorCode === code || want.errorCode === "")) return { is: "agreed" };
  return {
    is: /undefined function|must reference existing .* function/.test(message) ? "refused" : "wrong",
    why: `${code}: ${message}`,
  };
}

async function buildAll(
  directory: string,
  cases: readonly Case[],
  of: readonly number[],
  capabilities: string,
): Promise<Evaluator> {
  const bundle = join(directory, "b.tar.gz");
  const entrypoints = of.flatMap((i) => ["-e", `c${i}_query/result`]);
  const args = ["build", "-t", "wasm", "--capabilities", capabilities, "-o", bundle, ...entrypoints, directory];
  const run = await runOpa(args);
  if (run.status !== 0) throw new Error(`opa build: ${run.stderr}`);
  const wasm = (await readBundleFiles(readFileSync(bundle))).get("policy.wasm")!;
  const data = JSON.parse(
    jsonText(Object.fromEntries(of.map((i) => [`c${i}`, cases[i]!.data]))),
    keepIntegers,
  ) as object;
  return Evaluator.load(wasm, data, LIMITS);
}

/** Numbers that would be rounded stay as they are written. */
const keepIntegers = (_: string, value: unknown, { source }: { source?: string } = {}): unknown =>
  typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(source ?? "") ? rawJson(source!) : value;

function judged({ want, input }: Case, name: string, evaluator: Evaluator): Outcome {
  let got: readonly RegoObject[];
  try {
    const result = evaluator.evaluateExactly(`${name}_query/result`, new TextEncoder().encode(input ?? ""));
    got = withoutNamespace(result ?? [], name) as RegoObject[];
  } catch (error) {
    const { message } = error as Error;
    if (want.errorCode !== undefined && want.strict !== true) return { is: "agreed" };
    return { is: /there is no clock/.test(message) ? "refused" : "wrong", why: message };
  }
  return agreed(want, got) ? { is: "agreed" } : { is: "wrong", why: `got ${shown(got)}, wanted ${jsonText(want)}` };
}

/** What a policy says of where it stands (`rego.metadata.chain`) begins with the namespace. */
function withoutNamespace(value: Value, name: string): Value {
  if (Array.isArray(value))
    return (value as Value[]).filter((item) => item !== name).map((item) => withoutNamespace(item, name));
  if (!(value instanceof RegoObject)) return value;
  return new RegoObject(value.entries().map(([key, item]) => [key, withoutNamespace(item, name)]));
}

const shown = (value: Value): string => keyOf(value).slice(0, 1000);

function agreed(want: Want, got: readonly RegoObject[]): boolean {
  if (want.defined !== undefined) return got.length > 0 === want.defined;
  if (want.result === undefined) return want.strict === true && got.length === 0;
  const sorted = (binding: Value): Value =>
    want.sorted === true && binding instanceof RegoObject
      ? new RegoObject(
          binding.entries().map(([name, value]) => [name, Array.isArray(value) ? bySort(value as Value[]) : value]),
        )
      : binding;
  const [wanted, found] = [want.result.map(fromYaml), got.map(jsonOf)].map((bindings) =>
    [...new Set(bindings.map((each) => keyOf(sorted(each))))].sort().join("\n"),
  );
  return wanted === found;
}

const bySort = (items: readonly Value[]): Value[] => items.toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));

function fromYaml(value: unknown): Value {
  if (typeof value === "number" || typeof value === "bigint") return new RegoNumber(String(value));
  if (Array.isArray(value)) return value.map(fromYaml);
  if (typeof value !== "object" || value === null) return value as Value;
  return new RegoObject(Object.entries(value).map(([name, item]) => [name, fromYaml(item)]));
}

/** What became of the cases of each family. */
export type Figures = { readonly [family: string]: { readonly [is in Outcome["is"]]?: number } };

export const FIGURES = "test/policy/builtins/conformance.json";
const DOC = "docs/opa.md";
const TABLE = /(<!-- conformance -->\n)[^]*?(<!-- \/conformance -->)/;

export function figuresOf(cases: readonly Case[], outcomes: readonly Outcome[]): Figures {
  const families: { [family: string]: { [is: string]: number } } = {};
  for (const [i, { family }] of cases.entries()) {
    const counts = (families[family] ??= {});
    const { is } = outcomes[i]!;
    counts[is] = (counts[is] ?? 0) + 1;
  }
  return families;
}

export const total = (figures: Figures, is: Outcome["is"]): number =>
  Object.values(figures).reduce((sum, counts) => sum + (counts[is] ?? 0), 0);

/** The part of `docs/opa.md` that tells the figures. */
export function conformanceTable(figures: Figures): string {
  const [agreed, refused, beyond] = (["agreed", "refused", "beyond"] as const).map((is) => total(figures, is));
  const whole = Object.entries(figures).filter(([, counts]) => Object.keys(counts).join() === "agreed");
  const rest = Object.entries(figures).filter(([, counts]) => Object.keys(counts).join() !== "agreed");
  const row = ([family, counts]: (typeof rest)[number]) =>
    `| ${family} | ${counts.agreed ?? 0} | ${counts.refused ?? 0} | ${counts.beyond ?? 0} |`;
  const rows = [
    ...rest.map(row),
    `| ${whole.length} other families | ${whole.reduce((sum, [, { agreed: n }]) => sum + n!, 0)} | 0 | 0 |`,
  ];
  return `Of the ${agreed! + refused! + beyond!} cases of OPA ${OPA_VERSION}, ${agreed} have the same answer and ${refused} do not build, because they call what the
tables above refuse. ${beyond} are beyond OPA's WASM itself, by its own list of exceptions. None is answered otherwise. A case counts as one that
can be expressed where WASM or the host has all that it calls: ${share(agreed!, agreed! + beyond!)} of these agree, ${share(agreed!, agreed! + refused! + beyond!)} of all.

| family | agreed | refused | beyond WASM |
| --- | --- | --- | --- |
${rows.join("\n")}
`;
}

/** Rounded down, since only all is 100. */
const share = (part: number, whole: number): string => `${Math.floor((part / whole) * 1000) / 10} %`;

export const withTable = (doc: string, figures: Figures): string =>
  doc.replace(TABLE, (_, open, close) => `${open}${conformanceTable(figures)}${close}`);

if (import.meta.main) {
  const wanted = process.argv.slice(2).filter((argument) => argument !== "--write");
  const cases = readCases(casesDirectory(), wanted.length > 0 ? wanted : undefined);
  const outcomes = await runCases(cases, "policy/capabilities.json");
  const figures = figuresOf(cases, outcomes);
  for (const [i, outcome] of outcomes.entries())
    if (outcome.is === "wrong" || (wanted.length > 0 && outcome.is !== "agreed"))
      console.log(`${outcome.is} ${cases[i]!.note}: ${outcome.why}`);
  for (const [family, counts] of Object.entries(figures)) console.log(family, JSON.stringify(counts));
  console.log(
    `${total(figures, "agreed")} agreed, ${total(figures, "refused")} refused, ${total(figures, "beyond")} beyond WASM, ${total(figures, "wrong")} wrong`,
  );
  if (process.argv.includes("--write") && wanted.length === 0) {
    writeFileSync(FIGURES, `${JSON.stringify(figures, null, 2)}\n`);
    writeFileSync(DOC, withTable(readFileSync(DOC, "utf8"), figures));
  }
  process.exitCode = total(figures, "wrong") === 0 ? 0 : 1;
}
