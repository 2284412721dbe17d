// What a refusal stands on: the members of the input that, gone or with another value, make it another refusal or none.
import { canonicalJson } from "../core/json.ts";
import type { PolicyDecision, Refusal } from "../core/schema/decision.ts";
import { ADMISSION } from "../gate/commands/admission.ts";
import { EvaluationError, type Evaluator } from "../policy/evaluator.ts";

type Path = readonly (string | number)[];
type Values = { readonly [pointer: string]: unknown };

/** A request with more members is shown by the pointers of its refusals alone. */
const MEMBERS_MAX = 1000;
const encoder = new TextEncoder();

/** @returns for each refusal the values it stands on, by pointer; that at its own pointer always, null where there is nothing. */
export function sensitiveTo(evaluator: Evaluator, inputText: string, refusals: readonly Refusal[]): Values[] {
  const input: unknown = JSON.parse(inputText);
  const found = refusals.map(({ pointer }) => {
    const value = valueAt(input, ["request", ...pathOf(pointer)]);
    return new Map<string, unknown>(pointer === "" ? [] : [[pointer, value ?? null]]);
  });
  const names = refusals.map(refusalText);
  const note = (path: Path, changed: readonly unknown[]): void => {
    const left = changed.map((other) => refusalsOf(evaluator, withValue(input, path, other)));
    const pointer = pointerOf(path);
    names.forEach((name, i) => {
      const below = [...found[i]!.keys()].some((each) => each.startsWith(`${pointer}/`));
      if (!below && left.some((all) => !all.has(name))) found[i]!.set(pointer, valueAt(input, path));
    });
  };
  const paths = refusals.length === 0 ? [] : [...pathsOf(input, [])];
  // Members first that hold no others: what matters of a list or object is told by what of it matters.
  if (paths.length <= MEMBERS_MAX) for (const path of paths) note(path, mutations(path, valueAt(input, path)));
  return found.map((values) => Object.fromEntries([...values].sort(([a], [b]) => (a < b ? -1 : 1))));
}

/** A refusal as text, so that two can be compared. */
export const refusalText = ({ rule, code, pointer, params }: Partial<Refusal>): string =>
  canonicalJson({ rule, code, pointer, params });

function refusalsOf(evaluator: Evaluator, input: unknown): Set<string> {
  try {
    const text = encoder.encode(JSON.stringify(input));
    const decision = evaluator.evaluate(ADMISSION, text) as PolicyDecision | undefined;
    return new Set((decision?.refusals ?? []).map(refusalText));
  } catch (error) {
    if (error instanceof EvaluationError) return new Set();
    throw error;
  }
}

/** Every member, those that it holds before it. */
function* pathsOf(value: unknown, path: Path): Generator<Path> {
  const members = Array.isArray(value) ? [...value.entries()] : isObject(value) ? Object.entries(value) : [];
  for (const [name, member] of members) yield* pathsOf(member, [...path, name]);
  if (path.length > 1) yield path;
}

/** What may stand in a member's place; undefined: nothing. To take an item out of a list would move those behind it. */
function mutations(path: Path, value: unknown): unknown[] {
  return [...(typeof path.at(-1) === "number" ? [] : [undefined]), ...others(value)];
}

function others(value: unknown): unknown[] {
  switch (typeof value) {
    case "boolean":
      return [!value];
    case "number":
      return [value + 1e9, value - 1e9];
    case "string":
      return [`${value}~`];
    default:
      if (value === null) return ["~"];
      return Object.keys(value as object).length > 0 ? [] : Array.isArray(value) ? [["~"]] : [{ "~": "~" }];
  }
}

function withValue(input: unknown, [name, ...below]: Path, value: unknown): unknown {
  if (name === undefined) return value;
  const member = withValue(valueAt(input, [name]), below, value);
  if (Array.isArray(input)) return input.map((item, i) => (i === name ? member : item));
  const entries = Object.entries(input as object).map(([key, old]) => [key, key === name ? member : old] as const);
  return Object.fromEntries(entries.filter(([, each]) => each !== undefined));
}

function valueAt(input: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (value, name) =>
      typeof value === "object" && value !== null && Object.hasOwn(value, name)
        ? (value as { [name: string | number]: unknown })[name]
        : undefined,
    input,
  );
}

const isObject = (value: unknown): value is object => typeof value === "object" && value !== null;

const pathOf = (pointer: string): string[] =>
  pointer
    .split("/")
    .slice(1)
    .map((name) => name.replaceAll("~1", "/").replaceAll("~0", "~"));

/** Relative to the request, where it lies in it. */
const pointerOf = (path: Path): string =>
  (path[0] === "request" ? path.slice(1) : path)
    .map((name) => `/${String(name).replaceAll("~", "~0").replaceAll("/", "~1")}`)
    .join("");
