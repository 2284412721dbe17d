// Rego's values as builtins see them: numbers by their text, objects with any keys, sets; ordered and compared as OPA does (v1/ast/compare.go).
import { compareDecimals, decimalKey } from "./decimal.ts";

export type Value = null | boolean | string | RegoNumber | readonly Value[] | RegoObject | RegoSet;

/** A number by the text it was written in, so that none is ever rounded on its way through. */
export class RegoNumber {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  static of(value: number | bigint): RegoNumber {
    return new RegoNumber(String(value));
  }

  /** Has it neither fraction nor exponent? `1.0` has one (OPA formats by the text, not by the value). */
  get isInteger(): boolean {
    return !/[.eE]/.test(this.text);
  }
}

/** An object. Entries come in the order of their keys. */
export class RegoObject {
  readonly #entries = new Map<string, readonly [key: Value, value: Value]>();
  #sorted: (readonly [Value, Value])[] | undefined;

  constructor(entries: Iterable<readonly [Value, Value]> = []) {
    for (const [key, value] of entries) this.#entries.set(keyOf(key), [key, value]);
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: Value): Value | undefined {
    return this.#entries.get(keyOf(key))?.[1];
  }

  has(key: Value): boolean {
    return this.#entries.has(keyOf(key));
  }

  entries(): readonly (readonly [Value, Value])[] {
    this.#sorted ??= [...this.#entries.values()].sort(([a], [b]) => compare(a, b));
    return this.#sorted;
  }

  /** Of an object with text keys: its members; undefined where a key is anything else. */
  members(): { readonly [name: string]: Value } | undefined {
    const members: { [name: string]: Value } = Object.create(null) as { [name: string]: Value };
    for (const [key, value] of this.#entries.values()) {
      if (typeof key !== "string") return undefined;
      members[key] = value;
    }
    return members;
  }
}

/** A set. Items come in order. */
export class RegoSet {
  readonly #items = new Map<string, Value>();
  #sorted: Value[] | undefined;

  constructor(items: Iterable<Value> = []) {
    for (const item of items) this.#items.set(keyOf(item), item);
  }

  get size(): number {
    return this.#items.size;
  }

  has(item: Value): boolean {
    return this.#items.has(keyOf(item));
  }

  items(): readonly Value[] {
    this.#sorted ??= [...this.#items.values()].sort(compare);
    return this.#sorted;
  }
}

export type TypeName = "null" | "boolean" | "number" | "string" | "array" | "object" | "set";

/** The types in OPA's order. */
const TYPES: readonly TypeName[] = ["null", "boolean", "number", "string", "array", "object", "set"];

export function typeName(value: Value): TypeName {
  if (value === null) return "null";
  if (typeof value === "boolean") return "boolean";
  if (typeof value === "string") return "string";
  if (value instanceof RegoNumber) return "number";
  if (value instanceof RegoObject) return "object";
  return value instanceof RegoSet ? "set" : "array";
}

/** Text by which two values are the same exactly where Rego says so: 1 and 1.0 are. */
export function keyOf(value: Value): string {
  if (typeof value === "string") return `"${value}`;
  if (value instanceof RegoNumber) return decimalKey(value.text);
  if (value instanceof RegoObject) return `{${value.entries().map(([key, item]) => `${framed(key)}:${framed(item)}`)}}`;
  if (value instanceof RegoSet) return `<${value.items().map(framed)}>`;
  return Array.isArray(value) ? `[${value.map(framed)}]` : String(value);
}

/** With its length before it, since text may hold anything. */
function framed(value: Value): string {
  const key = keyOf(value);
  return `${key.length} ${key}`;
}

export const equal = (a: Value, b: Value): boolean => keyOf(a) === keyOf(b);

/** Negative, zero or positive: null < booleans < numbers < text < arrays < objects < sets, and within each as OPA has it. */
function compare(a: Value, b: Value): number {
  if (typeof a === "string" && typeof b === "string") return compareText(a, b);
  const [left, right] = [typeName(a), typeName(b)];
  if (left !== right) return TYPES.indexOf(left) - TYPES.indexOf(right);
  if (a instanceof RegoNumber) return compareDecimals(a.text, (b as RegoNumber).text);
  if (Array.isArray(a)) return compareLists(a as readonly Value[], b as readonly Value[]);
  if (a instanceof RegoSet) return compareLists(a.items(), (b as RegoSet).items());
  if (a instanceof RegoObject) return compareLists(a.entries().flat(), (b as RegoObject).entries().flat());
  return Number(a) - Number(b);
}

function compareLists(a: readonly Value[], b: readonly Value[]): number {
  for (let i = 0; i < a.length && i < b.length; i++) {
    const order = compare(a[i]!, b[i]!);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

/** The order of Go's strings, which compares UTF-8; JavaScript's own compares UTF-16, which differs where there are surrogates. */
export function compareText(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const [left, right] = [a.charCodeAt(i), b.charCodeAt(i)];
    if (left !== right) return fixed(left) - fixed(right);
  }
  return a.length - b.length;
}

/** Surrogates stand above all else of UTF-16 that is one unit. */
const fixed = (unit: number): number => (unit >= 0xe000 ? unit - 0x800 : unit >= 0xd800 ? unit + 0x2000 : unit);
