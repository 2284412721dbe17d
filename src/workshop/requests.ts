// Admission requests made at random from their schema: whole ones, and good ones with a few members changed.
import fc from "fast-check";
import { plainSchema } from "../core/schema/plain.ts";
import { AdmissionRequestSchema } from "../core/schema/request.ts";

type Json = { readonly [name: string]: unknown };
type Path = readonly (string | number)[];

interface Schema {
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly not?: unknown;
  readonly pattern?: string;
  readonly description?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly anyOf?: readonly Schema[];
  readonly items?: Schema;
  readonly properties?: { readonly [name: string]: Schema };
  readonly patternProperties?: { readonly [pattern: string]: Schema };
  readonly required?: readonly string[];
}

/** What values are made of. */
export interface Vocabulary {
  /** Words that policies and settings know; what they compare with is among them. */
  readonly words: readonly string[];
  /** Those of the author's own, where they may differ from the shipped law: tried more often. */
  readonly own: readonly string[];
  /** Of these those that are new: where the two differ, they do by these. */
  readonly fresh: readonly string[];
  readonly nowMs: number;
}

const ITEMS_MAX = 3;
const CHANGES_MAX = 6;
const MINUTE_MS = 60_000;
/** How often a text is a word that is new, the author's own, or any; one in so many is made up. */
const WEIGHTS = [9, 3, 3];
/** Nobody can guess a signature: what tokens prove is not tried. */
const LEFT_OUT = new Set(["authority", "exceptions", "token"]);

/** @param good whole requests to begin with, at least one. */
export function requests(good: readonly Json[], vocabulary: Vocabulary): fc.Arbitrary<Json> {
  const schema = plainSchema(AdmissionRequestSchema) as Schema;
  const values = new Values(vocabulary);
  const slots = [...slotsOf(schema, [])];
  const change = fc
    .constantFrom(...slots)
    .chain(({ path, schema: at }) => fc.option(values.of(at), { nil: undefined }).map((value) => ({ path, value })));
  // What one change does is seen best where nothing else is wrong.
  const changes = fc.oneof(
    { weight: 3, arbitrary: fc.array(change, { minLength: 1, maxLength: 2 }) },
    { weight: 1, arbitrary: fc.array(change, { maxLength: CHANGES_MAX }) },
  );
  const changed = fc
    .tuple(fc.constantFrom(...good), changes)
    .map(([request, changes]) =>
      changes.reduce((all, { path, value }) => withValue(all, path, value) as Json, request),
    );
  return fc.oneof({ weight: 7, arbitrary: changed }, { weight: 1, arbitrary: values.of(schema) as fc.Arbitrary<Json> });
}

/** Every member that the schema has, by the path to it; of lists the first items. */
function* slotsOf(schema: Schema, path: Path): Generator<{ path: Path; schema: Schema }> {
  if (path.length > 0) yield { path, schema };
  for (const branch of schema.anyOf ?? []) if (branch.type === "object") yield* slotsOf(branch, path);
  for (const [name, member] of Object.entries(schema.properties ?? {}))
    if (!LEFT_OUT.has(name)) yield* slotsOf(member, [...path, name]);
  if (schema.items) for (const index of [0, 1]) yield* slotsOf(schema.items, [...path, index]);
}

class Values {
  readonly #words: readonly string[];
  /** From the most telling on. */
  readonly #vocabulary: readonly (readonly string[])[];
  readonly #nowMs: number;
  /** What makes values of a schema is dear to make, and asked for with each change. */
  readonly #made = new Map<Schema, fc.Arbitrary<unknown>>();

  constructor({ words, own, fresh, nowMs }: Vocabulary) {
    this.#words = words;
    this.#vocabulary = [fresh, own, words];
    this.#nowMs = nowMs;
  }

  of(schema: Schema): fc.Arbitrary<unknown> {
    const made = this.#made.get(schema) ?? this.#make(schema);
    this.#made.set(schema, made);
    return made;
  }

  #make(schema: Schema): fc.Arbitrary<unknown> {
    if (schema.anyOf) return fc.oneof(...schema.anyOf.map((branch) => this.of(branch)));
    if (schema.const !== undefined) return fc.constant(schema.const);
    if (schema.enum) return fc.constantFrom(...schema.enum);
    switch (schema.type) {
      case "object":
        return this.#object(schema);
      case "array":
        return fc.array(this.of(schema.items ?? {}), { maxLength: ITEMS_MAX });
      case "boolean":
        return fc.boolean();
      case "integer":
        return fc.integer({ min: schema.minimum ?? -1000, max: Math.min(schema.maximum ?? 1000, 100_000) });
      case "number":
        return fc.integer({ min: -1000, max: 100_000 });
      case "null":
        return fc.constant(null);
      default:
        return this.#text(schema);
    }
  }

  #object({ properties = {}, patternProperties, required = [] }: Schema): fc.Arbitrary<unknown> {
    const [entry] = Object.entries(patternProperties ?? {});
    if (entry) {
      const [pattern, value] = entry;
      const names = this.#words.filter((word) => new RegExp(pattern).test(word));
      return fc.dictionary(fc.constantFrom(...names, "example.com/any"), this.of(value), { maxKeys: ITEMS_MAX });
    }
    const members = Object.entries(properties).filter(([name]) => !LEFT_OUT.has(name));
    const model = Object.fromEntries(members.map(([name, member]) => [name, this.of(member)]));
    return fc.record(model, { requiredKeys: required.filter((name) => name in model) });
  }

  #text({ pattern, description = "", not }: Schema): fc.Arbitrary<string> {
    if (description.includes("RFC 3339")) return this.#time();
    if (description.includes("ISO 8601")) return fc.constantFrom("PT1M", "PT15M", "PT1H", "PT2H", "P1D", "PT0S");
    const fits = (word: string): boolean => pattern === undefined || new RegExp(pattern).test(word);
    const other = pattern === undefined ? fc.string({ maxLength: 12 }) : fc.stringMatching(new RegExp(pattern));
    const known = this.#vocabulary
      .map((words, at) => ({ weight: WEIGHTS[at]!, words: words.filter(fits) }))
      .filter(({ words }) => words.length > 0)
      .map(({ weight, words }) => ({ weight, arbitrary: fc.constantFrom(...words) }));
    const text = fc.oneof(other, ...known);
    return not === undefined ? text : text.filter((each) => !["container", "vm", "tee"].includes(each));
  }

  #time(): fc.Arbitrary<string> {
    return fc
      .integer({ min: -3000, max: 5 })
      .map((minutes) => new Date(this.#nowMs + minutes * MINUTE_MS).toISOString());
  }
}

/** A copy with another value, or none; as it was where there is nothing to hold it. */
function withValue(target: unknown, [name, ...below]: Path, value: unknown): unknown {
  if (name === undefined) return value;
  if (Array.isArray(target)) {
    if (typeof name !== "number" || name > target.length) return target;
    if (below.length === 0 && value === undefined) return target.filter((_, i) => i !== name);
    const items = target.slice();
    items[name] = withValue(target[name], below, value);
    return items.filter((item) => item !== undefined);
  }
  if (typeof target !== "object" || target === null || typeof name === "number") return target;
  const member = withValue((target as Json)[name], below, value);
  const others = Object.entries(target).filter(([other]) => other !== name);
  return Object.fromEntries(member === undefined ? others : [...others, [name, member]]);
}
