// The syntax tree of a policy file, as much of it as is looked at here, from `opa parse`.
import { askOpa } from "./annotations.ts";

export interface Location {
  readonly file: string;
  readonly row: number;
  /** base64 of the source. */
  readonly text?: string;
}

/** `value` is by type: text of a `var` or `string`, parts of a `ref`, operator and arguments of a `call`, pairs of an `object`. */
export interface Term {
  readonly type: string;
  readonly value: unknown;
  readonly location: Location;
}

/** METADATA that stands before a rule. */
export interface RuleAnnotation {
  readonly scope: string;
  readonly title?: string;
  readonly custom?: Readonly<Record<string, unknown>>;
  readonly location: Location;
}

/** `terms` is an array for a call or operator (operator first), an object for a term, `some` or `every`. */
export interface Expression {
  readonly terms: unknown;
  readonly negated?: boolean;
  /** Not written: that of a rule without a body. */
  readonly generated?: boolean;
  readonly location: Location;
}

export interface RegoRule {
  readonly head: {
    readonly name: string;
    readonly key?: Term;
    readonly value?: Term;
    readonly args?: readonly Term[];
    readonly location: Location;
  };
  readonly body: readonly Expression[];
  readonly annotations?: readonly RuleAnnotation[];
}

export interface RegoModule {
  readonly rules?: readonly RegoRule[];
  readonly imports?: readonly { readonly path: Term; readonly alias?: string }[];
  readonly comments?: readonly { readonly Text: string; readonly Location: Location }[];
}

/** @throws PolicyError with what OPA said: the first fault of syntax, with its place. */
export function parseRego(file: string): Promise<RegoModule> {
  return askOpa<RegoModule>(["parse", "--format", "json", "--json-include", "locations", file]);
}

/** Every term in a piece of the tree, outermost first. */
export function* termsIn(node: unknown): Generator<Term> {
  if (typeof node !== "object" || node === null) return;
  if (isTerm(node)) yield node;
  for (const member of Object.values(node)) yield* termsIn(member);
}

const isTerm = (node: object): node is Term =>
  "type" in node && "value" in node && typeof (node as Term).type === "string";

/** A call's function, as written (`lib.refuse`), and its arguments; undefined for what is no call. */
export function callOf(term: Term): { name: string; args: readonly Term[] } | undefined {
  if (term.type !== "call") return undefined;
  const [operator, ...args] = term.value as readonly Term[];
  return { name: nameOf(operator!), args };
}

/** A reference as it is written: `data.railgate.lib`. */
export function nameOf(ref: Term): string {
  return ref.type === "ref" ? (ref.value as readonly Term[]).map(({ value }) => String(value)).join(".") : "";
}

/** What a rule's body binds `name` to, with `:=` or `=`. */
export function boundIn(rule: RegoRule, name: string): Term | undefined {
  for (const { terms } of rule.body) {
    if (!Array.isArray(terms) || terms.length !== 3) continue;
    const [operator, left, right] = terms as readonly Term[];
    if (["assign", "eq"].includes(nameOf(operator!)) && left!.type === "var" && left!.value === name) return right;
  }
  return undefined;
}

/** The source of a piece of the tree. */
export function sourceOf({ text = "" }: Location): string {
  const bytes = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  return new TextDecoder().decode(bytes);
}
