// Says what is wrong with a value, place by place, once the compiled validator has said that something is.
// It reads the same schemas, and no further than the faults it tells: a refusal costs no more than reading the body.
// It must never find nothing (asserted by `parser`, tested by property).
import type { TSchema } from "typebox";
import type { RequestFault } from "../errors.ts";

/** The JSON Schema keywords that the schemas of this folder use. */
type Node = {
  type?: string;
  properties?: Record<string, Node>;
  required?: string[];
  additionalProperties?: boolean;
  patternProperties?: Record<string, Node>;
  items?: Node;
  maxItems?: number;
  maxProperties?: number;
  minimum?: number;
  maximum?: number;
  maxLength?: number;
  pattern?: string;
  enum?: string[];
  const?: string;
  not?: { enum: string[] };
  anyOf?: Node[];
  description?: string;
  /** Which of `anyOf` a value is meant to be; the first if there is no saying. */
  "~branch"?: (value: unknown) => number;
  /** Of an object whose members are of one's own naming: which names may be, and what to say of others. */
  "~names"?: { check: (name: string) => boolean; message: string };
  "~refine"?: { check: (value: unknown) => boolean; error: (value: unknown) => string }[];
};

const FAULTS_MAX = 100;

/** Every place where the value breaks the schema, each once, in the order of the value. */
export function explain(schema: TSchema, value: unknown): RequestFault[] {
  const faults = new Map<string, string>();
  for (const { pointer, message } of faultsOf(schema as Node, value, "")) {
    if (!faults.has(pointer)) faults.set(pointer, message);
    if (faults.size === FAULTS_MAX) break;
  }
  return [...faults].map(([pointer, message]) => ({ pointer, message }));
}

/** Names longer than any that we know are cut: an answer shall not be as long as what it refuses. */
const NAME_SHOWN_MAX = 256;

const placeOf = (pointer: string, name: string): string =>
  `${pointer}/${escapeToken(name.length > NAME_SHOWN_MAX ? `${name.slice(0, NAME_SHOWN_MAX)}…` : name)}`;

/** One reference token of a JSON pointer (RFC 6901 §3). */
export function escapeToken(token: string): string {
  return token.replaceAll("~", "~0").replaceAll("/", "~1");
}

function* faultsOf(node: Node, value: unknown, pointer: string): Generator<RequestFault> {
  if (node.anyOf !== undefined) return yield* branchFaults(node, node.anyOf, value, pointer);
  if (node.type !== undefined && !hasType(node.type, value)) return yield fault(pointer, expected(node, value));
  if (typeof value === "string") return yield* stringFaults(node, value, pointer);
  if (typeof value === "number") return yield* numberFaults(node, value, pointer);
  if (Array.isArray(value)) return yield* arrayFaults(node, value, pointer);
  if (isRecord(value)) yield* objectFaults(node, value, pointer);
}

const fault = (pointer: string, message: string): RequestFault => ({ pointer, message });

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const TYPES: Record<string, (value: unknown) => boolean> = {
  object: isRecord,
  array: Array.isArray,
  string: (value) => typeof value === "string",
  boolean: (value) => typeof value === "boolean",
  number: (value) => typeof value === "number" && Number.isFinite(value),
  integer: (value) => Number.isInteger(value),
  null: (value) => value === null,
};

const hasType = (type: string, value: unknown): boolean => TYPES[type]?.(value) ?? false;

const WORDS: Record<string, string> = {
  object: "an object",
  array: "an array",
  string: "a string",
  boolean: "true or false",
  number: "a number",
  integer: "an integer",
  null: "null",
};

function expected(node: Node, value: unknown): string {
  const found = value === null ? "null" : Array.isArray(value) ? "an array" : (WORDS[typeof value] ?? typeof value);
  const got = typeof value === "number" && node.type === "integer" ? "a fraction" : found;
  return `must be ${wanted(node)}, not ${typeof value === "boolean" ? String(value) : got}`;
}

const wanted = (node: Node): string => node.description ?? choice(node) ?? WORDS[node.type ?? ""] ?? "something else";

const choice = (node: Node): string | undefined =>
  node.enum === undefined ? undefined : `one of ${node.enum.map((value) => `"${value}"`).join(", ")}`;

function* stringFaults(node: Node, value: string, pointer: string): Generator<RequestFault> {
  const { maxLength, pattern } = node;
  if (maxLength !== undefined && (value.length > 2 * maxLength || [...value].length > maxLength)) {
    yield fault(pointer, `must be no longer than ${maxLength} characters`);
  } else if (
    (pattern !== undefined && !new RegExp(pattern, "u").test(value)) ||
    (node.enum !== undefined && !node.enum.includes(value)) ||
    (node.const !== undefined && node.const !== value) ||
    node.not?.enum.includes(value) ||
    node["~refine"]?.some(({ check }) => !check(value))
  ) {
    yield fault(pointer, `must be ${wanted(node)}`);
  }
}

function* numberFaults({ minimum, maximum }: Node, value: number, pointer: string): Generator<RequestFault> {
  if (minimum !== undefined && value < minimum) yield fault(pointer, `must be at least ${minimum}`);
  if (maximum !== undefined && value > maximum) yield fault(pointer, `must be at most ${maximum}`);
}

function* arrayFaults({ items, maxItems }: Node, value: unknown[], pointer: string): Generator<RequestFault> {
  if (maxItems !== undefined && value.length > maxItems)
    yield fault(pointer, `must have no more than ${maxItems} items`);
  if (items === undefined) return;
  for (const [index, item] of value.slice(0, maxItems).entries()) yield* faultsOf(items, item, `${pointer}/${index}`);
}

function* objectFaults(node: Node, value: Record<string, unknown>, pointer: string): Generator<RequestFault> {
  const known = node.properties ?? {};
  for (const name of node.required ?? []) {
    if (!Object.hasOwn(value, name)) yield fault(placeOf(pointer, name), "required, but missing");
  }
  if (node.maxProperties !== undefined && Object.keys(value).length > node.maxProperties)
    yield fault(pointer, `must have no more than ${node.maxProperties} members`);
  for (const name of Object.keys(value)) {
    const place = placeOf(pointer, name);
    if (Object.hasOwn(known, name)) yield* faultsOf(known[name]!, value[name], place);
    else if (node["~names"]?.check(name) === false) yield fault(place, node["~names"].message);
    else if (node.patternProperties) yield* faultsOf(Object.values(node.patternProperties)[0]!, value[name], place);
    else if (node.additionalProperties === false) yield fault(place, unknownField(name, Object.keys(known)));
  }
  if (node["~names"]) return;
  for (const { check, error } of node["~refine"] ?? []) if (!check(value)) yield fault(pointer, error(value));
}

function unknownField(name: string, known: string[]): string {
  const near = known.find((candidate) => distance(candidate, name.toLowerCase()) <= Math.max(1, candidate.length / 4));
  return near === undefined ? "unknown field" : `unknown field; did you mean \`${near}\`?`;
}

/** Edit distance in which a swap of neighbours counts one; names longer than any of ours are simply far. */
function distance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > 8) return Infinity;
  let [before, last] = [[] as number[], Array.from({ length: b.length + 1 }, (_, n) => n)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      row[j] = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + cost);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        row[j] = Math.min(row[j]!, before[j - 2]! + 1);
    }
    [before, last] = [last, row];
  }
  return last[b.length]!;
}

/** Of several shapes, the one that the value is meant to be. */
function* branchFaults(node: Node, branches: Node[], value: unknown, pointer: string): Generator<RequestFault> {
  const chosen = branches[node["~branch"]?.(value) ?? 0] ?? {};
  const orNull = branches.some(({ type }) => type === "null");
  if (orNull && value === null) return;
  for (const { pointer: place, message } of faultsOf(chosen, value, pointer))
    yield fault(place, orNull ? message.replace(", not ", " or null, not ") : message);
}
