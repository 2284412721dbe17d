// Rules that tell why refusals fire, and why others nearly do: each refusing rule again, whole, and with one condition left out at a time.
import type { Rule } from "./annotations.ts";
import { callOf, nameOf, sourceOf, type Expression, type RegoModule, type RegoRule, type Term } from "./syntax.ts";

/** Of a rule `refusals contains … if {…}`. */
export interface Body {
  /** Name of the file in the joined policies. */
  readonly file: string;
  readonly line: number;
  /** Conditions that can be left out, by their place in the body. */
  readonly conditions: ReadonlyMap<number, { readonly text: string; readonly line: number }>;
}

/** A file with refusals, and what makes it tell of them. */
export interface Instrumented {
  readonly package: string;
  readonly bodies: readonly Body[];
  /** Of the rules to add, by what is left out: `<body> <condition>`, `<body> whole`. */
  readonly variants: ReadonlyMap<string, string>;
  readonly head: string;
}

export const WHOLE = "whole";
/** The set that the added rules define, in the package of the rules that they repeat. */
export const TRIED = "workshop_tried";

/** Something in a body that only makes a value, or runs through values, decides nothing by itself. */
const isCondition = ({ terms, generated }: Expression): boolean => {
  if (generated) return false;
  if (Array.isArray(terms)) return nameOf(terms[0] as Term) !== "assign";
  return typeof terms === "object" && terms !== null && !("symbols" in terms);
};

/**
 * @param module what the file says. @param file its name in the joined policies.
 * @param rules those of the law. @param isLaw whether it is the law's own, whose rules begin with a predicate that says the rest once more.
 * @returns undefined: nothing in it refuses.
 */
export function instrument(
  module: RegoModule,
  file: string,
  packageName: string,
  { rules, isLaw }: { readonly rules: readonly Rule[]; readonly isLaw: boolean },
): Instrumented | undefined {
  const refusing = (module.rules ?? []).filter(({ head }) => head.name === "refusals" && head.key !== undefined);
  if (refusing.length === 0) return undefined;
  const bodies: Body[] = [];
  const variants = new Map<string, string>();
  for (const rule of refusing) {
    const guarded = isLaw && predicates(rules, packageName).has(guardOf(rule));
    const conditions = conditionsOf(rule, guarded);
    const n = bodies.push({ file, line: rule.head.location.row, conditions }) - 1;
    variants.set(`${n} ${WHOLE}`, variant(rule, n, WHOLE, []));
    for (const at of conditions.keys()) variants.set(`${n} ${at}`, variant(rule, n, at, guarded ? [0, at] : [at]));
  }
  return { package: packageName, bodies, variants, head: headOf(packageName, module) };
}

/** By which the rules of a package say that they hold. */
const predicates = (rules: readonly Rule[], packageName: string): Set<string> =>
  new Set(rules.filter((rule) => rule.package === packageName).map(({ shortName }) => shortName));

/** What the first expression of a body negates a call of. */
function guardOf({ body }: RegoRule): string {
  const [first] = body;
  if (first?.negated !== true) return "";
  const { terms } = first;
  return Array.isArray(terms) ? nameOf(terms[0] as Term) : (callOf(terms as Term)?.name ?? "");
}

/**
 * The law's rules ask their predicate first, which says the same as the rest at less cost; what decides is the rest. A rule
 * with nothing else is either met or not, and never nearly.
 */
function conditionsOf({ body }: RegoRule, guarded: boolean): Body["conditions"] {
  const found = body.flatMap((expression, at): [number, { text: string; line: number }][] =>
    isCondition(expression) && !(guarded && at === 0)
      ? [[at, { text: oneLine(sourceOf(expression.location)), line: expression.location.row }]]
      : [],
  );
  return new Map(guarded && found.length < 2 ? [] : found);
}

const oneLine = (text: string): string => text.replaceAll(/\s+/g, " ").trim();

function headOf(packageName: string, { imports = [] }: RegoModule): string {
  const lines = imports.map(({ path, alias }) => `import ${nameOf(path)}${alias === undefined ? "" : ` as ${alias}`}`);
  return [`package ${packageName}`, "", ...lines].join("\n");
}

/** With the METADATA of the rule, which it may ask for. */
function variant(rule: RegoRule, body: number, without: number | typeof WHOLE, leftOut: readonly number[]): string {
  const own = (rule.annotations ?? []).filter(({ scope }) => scope === "rule");
  const kept = rule.body.filter(({ generated }, at) => generated !== true && !leftOut.includes(at));
  const key = sourceOf(rule.head.key!.location);
  const told = `{"body": ${body}, "without": ${JSON.stringify(without)}, "refusal": ${key}}`;
  return [
    ...own.map(({ location }) => sourceOf(location)),
    `${TRIED} contains ${told} if {`,
    ...kept.map(({ location }) => `\t${sourceOf(location)}`),
    "\ttrue",
    "}",
  ].join("\n");
}
