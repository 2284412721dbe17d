// Checks extensions while they are built: what the host would not recognise, and so refuse with POL-03, and what would refuse nothing at all.
import { nearest } from "../core/nearest.ts";
import { REFUSAL_CLASSES } from "../core/schema/base.ts";
import { HTTP_STATUSES } from "../core/catalogue.ts";
import { isExtension } from "./catalogue.ts";
import { PolicyError, type Annotations, type PolicyFault, type Rule } from "./annotations.ts";
import {
  boundIn,
  callOf,
  nameOf,
  parseRego,
  sourceOf,
  termsIn,
  type RegoModule,
  type RegoRule,
  type RuleAnnotation,
  type Term,
} from "./syntax.ts";

const METADATA_CALL = "rego.metadata.rule";
const TEXTS = ["code", "class", "message", "solution"] as const;
const MEMBERS = ["rule", ...TEXTS, "http_status", "short_name", "source"] as const;
const REFUSAL_MEMBERS = ["class", "code", "params", "pointer", "rule"];
const STATUSES: readonly unknown[] = [...new Set(Object.values(HTTP_STATUSES))];
const MADE_BY = "a refusal is what lib.refuse(rego.metadata.rule(), pointer, params) gives";
/** How extensions of 0.1 made their refusals. */
const DEPRECATED = [...REFUSAL_CLASSES, "refusal"];

/** A file of an extension, and the others of its package. */
interface Extension {
  readonly name: string;
  readonly modules: readonly { readonly file: string; readonly module: RegoModule }[];
  /** Those of the whole law, with METADATA. */
  readonly rules: readonly Rule[];
}

/** What checking found: `faults` keep it from being built, `deprecations` do not. */
export interface ExtensionFindings {
  readonly faults: readonly PolicyFault[];
  readonly deprecations: readonly PolicyFault[];
}

/**
 * Every fault of the extensions among the policies that `annotations` are of, by file and line.
 * @throws PolicyError a file cannot be parsed.
 */
export async function extensionFindings(
  { files, rules }: Annotations,
  parse: (file: string) => Promise<RegoModule> = parseRego,
): Promise<ExtensionFindings> {
  const faults: PolicyFault[] = [];
  const deprecations: PolicyFault[] = [];
  for (const [name, members] of files) {
    const misplaced = misplacedPackage(name);
    if (misplaced !== undefined && members[0] !== undefined)
      faults.push({ file: members[0], line: 1, message: misplaced });
    if (!isExtension(name) || members.length === 0) continue;
    const modules = [];
    for (const file of members) modules.push({ file, module: await parse(file) });
    const extension = { name, modules, rules };
    faults.push(...faultsOf(extension));
    deprecations.push(...deprecatedCalls(extension));
  }
  return { faults: sorted(faults), deprecations: sorted(deprecations) };
}

/** @throws PolicyError naming every fault of the extensions. @returns what should be written otherwise. */
export async function checkExtensions(
  annotations: Annotations,
  parse?: (file: string) => Promise<RegoModule>,
): Promise<readonly PolicyFault[]> {
  const { faults, deprecations } = await extensionFindings(annotations, parse);
  if (faults.length > 0) throw new PolicyError(faults);
  return deprecations;
}

function sorted(faults: readonly PolicyFault[]): PolicyFault[] {
  const unique = new Map(faults.map((fault) => [`${fault.file}:${fault.line}:${fault.message}`, fault]));
  return [...unique.values()].sort((a, b) => (a.file === b.file ? a.line - b.line : a.file < b.file ? -1 : 1));
}

/** A package that looks like an extension, and that nothing would ask. */
function misplacedPackage(name: string): string | undefined {
  const [root, folder = "", ...below] = name.split(".");
  if (root !== "railgate") return undefined;
  if (folder === "extensions" && below.length === 0)
    return "an extension needs a name of its own: package railgate.extensions.<name>";
  const close = folder !== "extensions" && nearest(folder, ["extensions"]) !== undefined;
  return close ? `nothing asks package ${name}; did you mean railgate.extensions.${below.join(".")}?` : undefined;
}

function* faultsOf(extension: Extension): Generator<PolicyFault> {
  const { file } = extension.modules[0]!;
  const all = extension.modules.flatMap(({ module }) => module.rules ?? []);
  const depth = extension.name.split(".").length;
  const refusing = all.filter(({ head }) => head.name === "refusals");
  if (refusing.length === 0 && depth === 3)
    yield { file, line: 1, message: `${extension.name} has no rule \`refusals contains …\`, so it refuses nothing` };
  if (refusing.length > 0 && depth > 3)
    yield {
      file,
      line: 1,
      message: `nothing asks ${extension.name}, which lies below an extension: move its refusals up`,
    };
  for (const { file, module } of extension.modules) {
    yield* misspeltMarks(file, module);
    for (const rule of module.rules ?? []) {
      yield* metadataFaults(extension, file, rule);
      if (rule.head.name === "refusals") yield* shapeFaults(extension, file, rule, module);
      yield* placeholderFaults(extension, file, rule);
    }
  }
}

/** `# METADTA`: OPA takes it for a remark, and all that follows with it. */
function* misspeltMarks(file: string, { comments = [] }: RegoModule): Generator<PolicyFault> {
  for (const { Location } of comments) {
    const word = sourceOf(Location).replace(/^#\s*/, "").trim();
    if (/^[A-Za-z]{5,}$/.test(word) && word !== "METADATA" && nearest(word, ["METADATA"]))
      yield { file, line: Location.row, message: `\`# ${word}\` is a remark; did you mean \`# METADATA\`?` };
  }
}

/** Where a rule asks for its METADATA it must have some, with all that a refusal and the catalogue need. */
function* metadataFaults({ rules }: Extension, file: string, rule: RegoRule): Generator<PolicyFault> {
  const asks = [...termsIn([rule.head, rule.body])].some((term) => callOf(term)?.name === METADATA_CALL);
  const own = (rule.annotations ?? []).find(({ scope }) => scope === "rule");
  const line = rule.head.location.row;
  if (own === undefined) {
    if (asks)
      yield { file, line, message: `${rule.head.name} asks for its METADATA, and there is none in front of it` };
    return;
  }
  const custom = own.custom ?? {};
  const written = MEMBERS.filter((name) => Object.hasOwn(custom, name));
  const at = (name: string) => lineOf(own, name);
  for (const name of Object.keys(custom)) {
    const meant = (MEMBERS as readonly string[]).includes(name)
      ? undefined
      : nearest(
          name,
          MEMBERS.filter((each) => !written.includes(each)),
        );
    if (meant !== undefined && (asks || written.length > 0))
      yield { file, line: at(name), message: `METADATA has no custom member ${name}; did you mean ${meant}?` };
  }
  if (!asks && !Object.hasOwn(custom, "rule")) return;
  if (!isText(own.title)) yield { file, line: own.location.row, message: "METADATA has no title" };
  const inherited = rules.find((each) => each.file === file && each.row === line);
  for (const name of ["rule", ...TEXTS] as const) {
    if (isText(custom[name])) continue;
    // `lib.refuse` reads rule, code and class from the rule's own METADATA.
    if ((name === "message" || name === "solution") && inherited?.[name]) continue;
    yield {
      file,
      line: Object.hasOwn(custom, name) ? at(name) : own.location.row,
      message: `METADATA has no custom.${name}${Object.hasOwn(custom, name) ? " that is text" : ""}`,
    };
  }
  if (isText(custom["class"]) && !(REFUSAL_CLASSES as readonly unknown[]).includes(custom["class"]))
    yield {
      file,
      line: at("class"),
      message: `${custom["class"]} is no class of refusals; there are ${REFUSAL_CLASSES.join(", ")}`,
    };
  if (Object.hasOwn(custom, "http_status") && !STATUSES.includes(custom["http_status"]))
    yield {
      file,
      line: at("http_status"),
      message: `http_status ${custom["http_status"]} is none that a refusal has; there are ${STATUSES.join(", ")}`,
    };
}

const isText = (value: unknown) => typeof value === "string" && value.trim() !== "";

/** The line on which METADATA has a member. */
function lineOf({ location }: RuleAnnotation, name: string): number {
  const at = sourceOf(location)
    .split("\n")
    .findIndex((line) => new RegExp(`^#\\s*${name}\\s*:`).test(line));
  return location.row + Math.max(at, 0);
}

/** What `refusals` contains must be a refusal. */
function* shapeFaults(extension: Extension, file: string, rule: RegoRule, module: RegoModule): Generator<PolicyFault> {
  const { key } = rule.head;
  if (key === undefined) return;
  const fault = shapeFault(extension, resolved(rule, key), module);
  if (fault !== undefined) yield { file, line: key.location.row, message: fault };
}

/** What a variable of the rule's body stands for, as far as it can be told. */
function resolved(rule: RegoRule, term: Term, depth = 8): Term {
  const bound = term.type === "var" && depth > 0 ? boundIn(rule, String(term.value)) : undefined;
  return bound === undefined ? term : resolved(rule, bound, depth - 1);
}

function shapeFault({ rules, modules }: Extension, term: Term, module: RegoModule): string | undefined {
  if (
    ["string", "number", "boolean", "null", "array", "set"].includes(term.type) ||
    term.type.endsWith("comprehension")
  )
    return `it refuses with ${article(term.type)}, which no host recognises; ${MADE_BY}`;
  if (term.type === "object") {
    const members = objectKeys(term);
    if (members !== undefined && members.sort().join() !== REFUSAL_MEMBERS.join())
      return `it refuses with an object of ${members.join(", ") || "nothing"}; ${MADE_BY}`;
    return unknownCode(rules, objectValue(term, "code"));
  }
  const call = callOf(term);
  if (call === undefined) return undefined;
  const helper = call.name.split(".").at(-1)!;
  if (DEPRECATED.includes(helper)) return unknownCode(rules, call.args[helper === "refusal" ? 2 : 1]);
  const [first = ""] = call.name.split(".");
  const imported = (module.imports ?? []).some(
    ({ path, alias }) => (alias ?? nameOf(path).split(".").at(-1)) === first,
  );
  const own = modules.some((each) => each.module.rules?.some(({ head }) => head.name === first));
  if (imported || own || ["data", "input", "object", "json"].includes(first)) return undefined;
  return `it refuses with what ${call.name} gives, which no host recognises; ${MADE_BY}`;
}

const article = (type: string) => (/^[aeiou]/.test(type) ? `an ${type}` : `a ${type === "null" ? "null" : type}`);

function unknownCode(rules: readonly Rule[], code: Term | undefined): string | undefined {
  if (code?.type !== "string" || rules.some((rule) => rule.code === code.value)) return undefined;
  return `no METADATA explains the code ${String(code.value)}, so the host would not recognise it`;
}

/** undefined: they cannot all be told. */
function objectKeys(object: Term): string[] | undefined {
  const keys = (object.value as readonly (readonly [Term, Term])[]).map(([key]) => key);
  return keys.every(({ type }) => type === "string") ? keys.map(({ value }) => String(value)) : undefined;
}

function objectValue(object: Term, name: string): Term | undefined {
  return (object.value as readonly (readonly [Term, Term])[]).find(([key]) => key.value === name)?.[1];
}

/** `{name}` in message and solution is filled from `params`. */
function* placeholderFaults(extension: Extension, file: string, rule: RegoRule): Generator<PolicyFault> {
  const own = (rule.annotations ?? []).find(({ scope }) => scope === "rule");
  if (own === undefined) return;
  for (const term of termsIn([rule.head, rule.body])) {
    const call = callOf(term);
    if (call === undefined || call.name.split(".").at(-1) !== "refuse" || call.args.length !== 3) continue;
    for (const params of paramsGiven(extension, rule, call.args[2]!)) {
      for (const member of ["message", "solution"] as const) {
        const text = own.custom?.[member];
        for (const [, name] of typeof text === "string" ? text.matchAll(/\{(\w+)\}/g) : [])
          if (!params.includes(name!))
            yield {
              file,
              line: lineOf(own, member),
              message: `the ${member} names {${name}}, and params has ${params.length === 0 ? "nothing" : `only ${params.join(", ")}`}`,
            };
      }
    }
  }
}

/** The names in `params`, each time that the refusal is made; nothing where they cannot be told. */
function* paramsGiven(extension: Extension, rule: RegoRule, params: Term): Generator<string[]> {
  const known = resolved(rule, params);
  if (known.type === "object") {
    const keys = objectKeys(known);
    if (keys !== undefined) yield keys;
    return;
  }
  const at = (rule.head.args ?? []).findIndex(({ type, value }) => type === "var" && value === known.value);
  if (known.type !== "var" || at === -1) return;
  for (const caller of extension.modules.flatMap(({ module }) => module.rules ?? [])) {
    for (const term of termsIn([caller.head, caller.body])) {
      const call = callOf(term);
      const given = call?.name === rule.head.name ? call.args[at] : undefined;
      const object = given && resolved(caller, given);
      const keys = object?.type === "object" ? objectKeys(object) : undefined;
      if (keys !== undefined) yield keys;
    }
  }
}

/** Where extensions still write rule, code and class a second time, with what to write instead. */
function* deprecatedCalls({ modules }: Extension): Generator<PolicyFault> {
  for (const { file, module } of modules)
    for (const term of termsIn(module.rules)) {
      const name = callOf(term)?.name ?? "";
      if (/^(?:data\.railgate\.)?lib\./.test(name) && DEPRECATED.includes(name.split(".").at(-1)!))
        yield {
          file,
          line: term.location.row,
          message: `${name.replace(/^data\.railgate\./, "")} writes rule, code and class a second time; write lib.refuse(rego.metadata.rule(), pointer, params)`,
        };
    }
}
