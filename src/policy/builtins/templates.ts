// strings.render_template: of Go's text/template the fields, variables, conditions and ranges; whatever else ends the evaluation.
import { BuiltinError, HaltError } from "./errors.ts";
import { type Builtins, object, text } from "./operands.ts";
import { RegoNumber, RegoObject, RegoSet, typeName, type Value } from "./value.ts";

export const builtins: Builtins = {
  "strings.render_template": (template, values) => render(text(template, 1), object(values, 2)),
};

const RESULT_CHARACTERS_MAX = 16 * 1024 * 1024;
const STEPS_MAX = 1_000_000;
const DEPTH_MAX = 100;

type Node = string | Path | Block;

interface Block {
  readonly kind: "if" | "range";
  readonly path: Path;
  /** Of a range: for the index or key, and the item. */
  readonly variables: readonly string[];
  readonly then: Node[];
  readonly otherwise: Node[];
}

interface Path {
  readonly kind: "print";
  /** A variable with its dollar, or "" for the dot. */
  readonly root: string;
  /** Of the members below it. */
  readonly names: readonly string[];
}

/** What a template computes with; a JavaScript number is a place in an array, undefined a member that there is none of. */
type Operand = Value | number | undefined;

const NAME = String.raw`[A-Za-z_]\w*`;
const PATH = String.raw`(?:\$(?:${NAME})?(?:\.${NAME})*|\.|(?:\.${NAME})+)`;
const IF = new RegExp(String.raw`^if\s+(${PATH})$`);
const RANGE = new RegExp(String.raw`^range\s+(?:\$(${NAME})(?:\s*,\s*\$(${NAME}))?\s*:=\s*)?(${PATH})$`);
const PRINT = new RegExp(`^${PATH}$`);

function render(template: string, values: RegoObject): string {
  checkPlain(values);
  const root: Value = values;
  const rendered = new Rendering().nodes(new Parser(template).template(), root, new Map([["$", root]]));
  return rendered.replaceAll("<no value>", "<undefined>");
}

/** Not every set is taken by OPA, nor is every key that is no text. */
function checkPlain(value: Value): void {
  if (value instanceof RegoSet) throw new HaltError("strings.render_template takes no sets here");
  if (Array.isArray(value)) for (const item of value as Value[]) checkPlain(item);
  if (!(value instanceof RegoObject)) return;
  for (const [key, member] of value.entries()) {
    if (typeof key !== "string") throw new HaltError("strings.render_template takes no keys here that are no text");
    checkPlain(member);
  }
}

class Parser {
  readonly #parts: readonly string[];
  #at = 0;

  constructor(template: string) {
    this.#parts = partsOf(template);
  }

  template(): Node[] {
    const [nodes, end] = this.#list(["$"], 0);
    if (end !== undefined) throw new BuiltinError(`unexpected {{${end}}}`);
    return nodes;
  }

  /** @returns with the action that ended it, `else` or `end`; undefined at the end of the text. */
  #list(scope: readonly string[], depth: number): [nodes: Node[], end: string | undefined] {
    if (depth > DEPTH_MAX) throw new HaltError(`a template has more than ${DEPTH_MAX} levels`);
    const nodes: Node[] = [];
    while (this.#at < this.#parts.length) {
      const part = this.#parts[this.#at++]!;
      if (this.#at % 2 === 1) nodes.push(part);
      else if (part === "end" || part === "else") return [nodes, part];
      else nodes.push(this.#action(part, scope, depth));
    }
    return [nodes, undefined];
  }

  #action(action: string, scope: readonly string[], depth: number): Node {
    if (PRINT.test(action)) return pathOf(action, scope);
    const condition = IF.exec(action);
    const [, first, second, over] = RANGE.exec(action) ?? [];
    const written = condition?.[1] ?? over;
    if (written === undefined) throw new HaltError(`strings.render_template has no {{${action.slice(0, 100)}}} here`);
    const variables = [first, second].filter((name) => name !== undefined).map((name) => `$${name}`);
    const path = pathOf(written, scope);
    const [then, middle] = this.#list([...scope, ...variables], depth + 1);
    const [otherwise, end] = middle === "else" ? this.#list(scope, depth + 1) : [[], middle];
    if (end !== "end") throw new BuiltinError("a block of the template has no end");
    return { kind: condition ? "if" : "range", path, variables, then, otherwise };
  }
}

/** Text and actions, in turn. */
function partsOf(template: string): string[] {
  const parts: string[] = [];
  let from = 0;
  for (let open = template.indexOf("{{"); open >= 0; open = template.indexOf("{{", from)) {
    const close = template.indexOf("}}", open + 2);
    if (close < 0) throw new BuiltinError("unclosed action");
    parts.push(template.slice(from, open), template.slice(open + 2, close).replace(/^[ \t]+|[ \t]+$/g, ""));
    from = close + 2;
  }
  return [...parts, template.slice(from)];
}

function pathOf(written: string, scope: readonly string[]): Path {
  const [root, ...names] = written === "." ? [""] : written.split(".");
  if (root !== "" && !scope.includes(root!)) throw new HaltError(`a template has no variable ${root} there`);
  return { kind: "print", root: root!, names };
}

type Variables = ReadonlyMap<string, Operand>;

class Rendering {
  #steps = 0;
  #characters = 0;

  nodes(nodes: readonly Node[], dot: Operand, variables: Variables): string {
    return nodes.map((node) => this.#node(node, dot, variables)).join("");
  }

  #node(node: Node, dot: Operand, variables: Variables): string {
    if (++this.#steps > STEPS_MAX) throw new HaltError(`a template takes more than ${STEPS_MAX} steps`);
    if (typeof node === "string") return this.#counted(node);
    if (node.kind === "print") return this.#counted(printed(valueAt(node, dot, variables)));
    const value = valueAt(node.path, dot, variables);
    if (node.kind === "if") return this.nodes(isTrue(value) ? node.then : node.otherwise, dot, variables);
    const items = itemsOf(value);
    if (items.length === 0) return this.nodes(node.otherwise, dot, variables);
    return items
      .map(([key, item]) => {
        const given = node.variables.length === 1 ? [item] : [key, item];
        return this.nodes(
          node.then,
          item,
          new Map([...variables, ...node.variables.map((name, i) => [name, given[i]] as const)]),
        );
      })
      .join("");
  }

  #counted(text: string): string {
    this.#characters += text.length;
    if (this.#characters > RESULT_CHARACTERS_MAX)
      throw new HaltError(`a template makes more than ${RESULT_CHARACTERS_MAX} characters`);
    return text;
  }
}

function valueAt({ root, names }: Path, dot: Operand, variables: Variables): Operand {
  let value = root === "" ? dot : variables.get(root);
  for (const name of names) {
    if (value === undefined) return undefined;
    if (!(value instanceof RegoObject)) throw new BuiltinError(`can't evaluate field ${name}`);
    value = value.get(name);
  }
  return value;
}

function printed(value: Operand): string {
  if (value === undefined || value === null) return "<no value>";
  if (value instanceof RegoNumber) return value.text;
  if (typeof value === "object") throw new HaltError(`strings.render_template prints no ${typeName(value)} here`);
  return String(value);
}

/** As Go has it, where a number that JSON brought is text, and so 0 is true. */
function isTrue(value: Operand): boolean {
  if (value instanceof RegoNumber) return true;
  if (Array.isArray(value)) return value.length > 0;
  return value instanceof RegoObject ? value.size > 0 : Boolean(value);
}

function itemsOf(value: Operand): readonly (readonly [key: Operand, item: Value])[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return (value as Value[]).map((item, i) => [i, item] as const);
  if (value instanceof RegoObject) return value.entries();
  throw new HaltError("strings.render_template goes through arrays and objects only");
}
