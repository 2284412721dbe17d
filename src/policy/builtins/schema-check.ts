// Values held against a JSON Schema: which faults there are, in which order and words, and how close the nearest of several schemas is.
import { compareDecimals, decimalKey, toFraction } from "./decimal.ts";
import { HaltError } from "./errors.ts";
import { compiled } from "./regex.ts";
import { DEPTH_MAX } from "./schema-compile.ts";
import { canonicalJson, type CountKeyword, isInteger, type Schema } from "./schema-keywords.ts";
import { isFormat } from "./schema-formats.ts";
import { RegoNumber, RegoObject, typeName, type Value } from "./value.ts";

export interface Fault {
  readonly type: string;
  /** Names and places from the root, with dots between; the root is `(Root)`. */
  readonly field: string;
  readonly description: string;
}

const ROOT = "(Root)";
/** Values that may be held against schemas for one document. */
const CHECKS_MAX = 1_000_000;

/**
 * The faults of a document, none where it matches. Members of objects come in their order (OPA has them in any).
 *
 * @throws HaltError where it goes too deep, or on without end
 */
export function faultsOf(schema: Schema, document: Value): readonly Fault[] {
  return new Check().against(schema, document, ROOT).faults;
}

class Result {
  readonly faults: Fault[] = [];
  /** How much fits: by it the nearest of several schemas is told. */
  score = 0;

  get valid(): boolean {
    return this.faults.length === 0;
  }

  add(context: string, type: string, description: string): void {
    this.faults.push({ type, field: fieldOf(context), description });
    this.score -= 2;
  }

  merge(other: Result): void {
    for (const fault of other.faults) this.faults.push(fault);
    this.score += other.score;
  }
}

const fieldOf = (context: string): string =>
  context.startsWith(`${ROOT}.`) ? context.slice(ROOT.length + 1) : context;

/** The first of those that fit best. */
const nearest = (results: readonly Result[]): Result | undefined =>
  results.reduce<Result | undefined>((best, each) => (best && best.score >= each.score ? best : each), undefined);

class Check {
  #checks = 0;
  #depth = 0;

  against(schema: Schema, value: Value, context: string): Result {
    const result = new Result();
    this.#into(result, schema, value, context);
    return result;
  }

  #into(result: Result, schema: Schema, value: Value, context: string): void {
    if (++this.#checks > CHECKS_MAX) throw new HaltError(`JSON Schema: more than ${CHECKS_MAX} checks`);
    if (++this.#depth > DEPTH_MAX) throw new HaltError(`JSON Schema: more than ${DEPTH_MAX} levels`);
    if (schema.pass === false) result.add(context, "false", "False always fails validation");
    else if (schema.pass === undefined) {
      if (schema.reference) this.#into(result, schema.reference, value, context);
      else this.#typed(result, schema, value, context);
    }
    this.#depth--;
  }

  #typed(result: Result, schema: Schema, value: Value, context: string): void {
    const { types } = schema;
    const type = value instanceof RegoNumber && isInteger(value) ? "integer" : typeName(value);
    if (types.length > 0 && !types.includes(type) && !(type === "integer" && types.includes("number"))) {
      const expected = types.length > 1 ? `[${types.join(",")}]` : types[0];
      result.add(context, "invalid_type", `Invalid type. Expected: ${expected}, given: ${type}`);
      return;
    }
    this.#combined(result, schema, value, context);
    if (Array.isArray(value)) this.#array(result, schema, value as Value[], context);
    else if (value instanceof RegoObject) this.#object(result, schema, value, context);
    else if (value instanceof RegoNumber) checkNumber(result, schema, value, context);
    checkCommon(result, schema, value, context);
    if (typeof value === "string") checkString(result, schema, value, context);
    if (value instanceof RegoObject)
      for (const [name, property] of schema.properties) {
        const member = value.get(name);
        if (member !== undefined) this.#into(result, property, member, `${context}.${name}`);
      }
    result.score++;
  }

  #combined(result: Result, schema: Schema, value: Value, context: string): void {
    this.#anyOf(result, schema.anyOf, value, context);
    this.#oneOf(result, schema.oneOf, value, context);
    const all = schema.allOf.map((each) => this.against(each, value, context));
    for (const each of all) result.merge(each);
    if (!all.every(({ valid }) => valid)) result.add(context, "number_all_of", "Must validate all the schemas (allOf)");
    if (schema.not && this.against(schema.not, value, context).valid)
      result.add(context, "number_not", "Must not validate the schema (not)");
    if (value instanceof RegoObject) this.#dependencies(result, schema, value, context);
    this.#condition(result, schema, value, context);
    result.score++;
  }

  #anyOf(result: Result, schemas: readonly Schema[], value: Value, context: string): void {
    const failed: Result[] = [];
    for (const each of schemas) {
      const one = this.against(each, value, context);
      if (one.valid) return;
      failed.push(one);
    }
    const best = nearest(failed);
    if (best === undefined) return;
    result.add(context, "number_any_of", "Must validate at least one schema (anyOf)");
    result.merge(best);
  }

  #oneOf(result: Result, schemas: readonly Schema[], value: Value, context: string): void {
    const results = schemas.map((each) => this.against(each, value, context));
    const matched = results.filter(({ valid }) => valid).length;
    if (results.length === 0 || matched === 1) return;
    result.add(context, "number_one_of", "Must validate one and only one schema (oneOf)");
    if (matched === 0) result.merge(nearest(results)!);
  }

  #dependencies(result: Result, { dependencies }: Schema, value: RegoObject, context: string): void {
    if (dependencies.size === 0) return;
    for (const [name] of value.entries()) {
      const dependency = dependencies.get(name as string);
      if (dependency === undefined) continue;
      if ("types" in dependency) this.#into(result, dependency, value, context);
      else
        for (const other of dependency)
          if (!value.has(other)) result.add(context, "missing_dependency", `Has a dependency on ${other}`);
    }
  }

  #condition(result: Result, schema: Schema, value: Value, context: string): void {
    if (!schema.if) return;
    const { valid } = this.against(schema.if, value, context);
    const branch = valid ? schema.then : schema.else;
    const outcome = branch && this.against(branch, value, context);
    if (outcome === undefined || outcome.valid) return;
    if (valid) result.add(context, "condition_then", 'Must validate "then" as "if" was valid');
    else result.add(context, "condition_else", 'Must validate "else" as "if" was not valid');
    result.merge(outcome);
  }

  #array(result: Result, schema: Schema, items: readonly Value[], context: string): void {
    this.#items(result, schema, items, context);
    checkCount(result, schema, "minItems", items.length, context);
    checkCount(result, schema, "maxItems", items.length, context);
    if (schema.uniqueItems) {
      const seen = new Map<string, number>();
      for (const [j, item] of items.entries()) {
        const key = canonicalJson(item);
        const i = seen.get(key);
        if (i !== undefined) result.add(context, "unique", `array items[${i},${j}] must be unique`);
        seen.set(key, j);
      }
    }
    if (schema.contains) this.#contains(result, schema.contains, items, context);
    result.score++;
  }

  #items(result: Result, { items: schemas, additionalItems }: Schema, items: readonly Value[], context: string): void {
    if (schemas === undefined) return;
    const at = (schema: Schema, i: number) => result.merge(this.against(schema, items[i]!, `${context}.${i}`));
    if ("types" in schemas) {
      for (const i of items.keys()) at(schemas, i);
      return;
    }
    for (const [i, schema] of schemas.slice(0, items.length).entries()) at(schema, i);
    if (schemas.length === 0 || schemas.length >= items.length) return;
    if (additionalItems === false)
      result.add(context, "array_no_additional_items", "No additional items allowed on array");
    else if (typeof additionalItems === "object")
      for (let i = schemas.length; i < items.length; i++) at(additionalItems, i);
  }

  #contains(result: Result, schema: Schema, items: readonly Value[], context: string): void {
    const failed: Result[] = [];
    for (const [i, item] of items.entries()) {
      const one = this.against(schema, item, `${context}.${i}`);
      if (one.valid) return;
      failed.push(one);
    }
    result.add(context, "contains", "At least one of the items must match");
    const best = nearest(failed);
    if (best) result.merge(best);
  }

  #object(result: Result, schema: Schema, value: RegoObject, context: string): void {
    checkCount(result, schema, "minProperties", value.size, context);
    checkCount(result, schema, "maxProperties", value.size, context);
    for (const name of schema.required) {
      if (value.has(name)) result.score++;
      else result.add(context, "required", `${name} is required`);
    }
    const members = value.entries() as readonly (readonly [string, Value])[];
    for (const [name, member] of members) this.#member(result, schema, name, member, context);
    if (schema.propertyNames)
      for (const [name] of members) {
        const outcome = this.against(schema.propertyNames, name, context);
        if (outcome.valid) continue;
        result.add(context, "invalid_property_name", `Property name of "${name}" does not match`);
        result.merge(outcome);
      }
    result.score++;
  }

  #member(result: Result, schema: Schema, name: string, member: Value, context: string): void {
    const inner = `${context}.${name}`;
    const patterns = schema.patternProperties.filter(([pattern]) => compiled(pattern).test(name));
    for (const [, each] of patterns) result.merge(this.against(each, member, inner));
    if (patterns.length > 0) result.score++;
    if (patterns.length > 0 || schema.properties.some(([known]) => known === name)) return;
    const { additionalProperties } = schema;
    if (additionalProperties === false)
      result.add(context, "additional_property_not_allowed", `Additional property ${name} is not allowed`);
    else if (typeof additionalProperties === "object") result.merge(this.against(additionalProperties, member, inner));
  }
}

const COUNTS: { readonly [keyword in CountKeyword]: readonly [type: string, words: (count: bigint) => string] } = {
  minItems: ["array_min_items", (count) => `Array must have at least ${count} items`],
  maxItems: ["array_max_items", (count) => `Array must have at most ${count} items`],
  minProperties: ["array_min_properties", (count) => `Must have at least ${count} properties`],
  maxProperties: ["array_max_properties", (count) => `Must have at most ${count} properties`],
  minLength: ["string_gte", (count) => `String length must be greater than or equal to ${count}`],
  maxLength: ["string_lte", (count) => `String length must be less than or equal to ${count}`],
};

function checkCount(result: Result, { counts }: Schema, keyword: CountKeyword, got: number, context: string): void {
  const limit = counts[keyword];
  if (limit === undefined || (keyword.startsWith("min") ? got >= limit : got <= limit)) return;
  const [type, words] = COUNTS[keyword];
  result.add(context, type, words(limit));
}

function checkCommon(result: Result, schema: Schema, value: Value, context: string): void {
  const { constant, enumeration, format } = schema;
  if (constant !== undefined && canonicalJson(value) !== constant)
    result.add(context, "const", `${fieldOf(context)} does not match: ${constant}`);
  if (enumeration !== undefined && !enumeration.includes(canonicalJson(value)))
    result.add(context, "enum", `${fieldOf(context)} must be one of the following: ${enumeration.join(", ")}`);
  if (format !== undefined && typeof value === "string" && !isFormat(format, value))
    result.add(context, "format", `Does not match format '${format}'`);
  result.score++;
}

function checkString(result: Result, schema: Schema, value: string, context: string): void {
  const length = [...value].length;
  checkCount(result, schema, "minLength", length, context);
  checkCount(result, schema, "maxLength", length, context);
  if (schema.pattern !== undefined && !compiled(schema.pattern).test(value))
    result.add(context, "pattern", `Does not match pattern '${schema.pattern}'`);
  result.score++;
}

type Bound = "maximum" | "exclusiveMaximum" | "minimum" | "exclusiveMinimum";

const BOUNDS: readonly [keyword: Bound, type: string, words: string, isWithin: (order: number) => boolean][] = [
  ["maximum", "number_lte", "Must be less than or equal to", (order) => order <= 0],
  ["exclusiveMaximum", "number_lt", "Must be less than", (order) => order < 0],
  ["minimum", "number_gte", "Must be greater than or equal to", (order) => order >= 0],
  ["exclusiveMinimum", "number_gt", "Must be greater than", (order) => order > 0],
];

function checkNumber(result: Result, schema: Schema, { text }: RegoNumber, context: string): void {
  if (schema.multipleOf !== undefined && !isMultiple(text, schema.multipleOf))
    result.add(context, "multiple_of", `Must be a multiple of ${boundText(schema.multipleOf)}`);
  for (const [keyword, type, words, isWithin] of BOUNDS) {
    const limit = schema[keyword];
    if (limit !== undefined && !isWithin(compareDecimals(text, limit)))
      result.add(context, type, `${words} ${boundText(limit)}`);
  }
  result.score++;
}

function isMultiple(text: string, of: string): boolean {
  const [number, step] = [toFraction(text), toFraction(of)];
  return (number.numerator * step.denominator) % (number.denominator * step.numerator) === 0n;
}

/** Digits that a float of Go's with 64 bits gives back as they were written. */
const DIGITS_MAX = 18;

/** A number as Go prints one of its big floats: with an exponent from a million on and below a ten-thousandth. */
function boundText(text: string): string {
  const [, sign, written, exponent = "0"] = /^(-?)(\d+)(?:e(-?\d+))?$/.exec(decimalKey(text))!;
  const digits = written!.replace(/0+$/, "") || "0";
  if (digits.length > DIGITS_MAX) throw new HaltError("JSON Schema: a bound has too many digits to be told");
  const power = written!.length + Number(exponent) - 1;
  if (digits === "0") return "0";
  if (power < -4 || power >= 6) {
    const mantissa = digits.length > 1 ? `${digits[0]}.${digits.slice(1)}` : digits;
    return `${sign}${mantissa}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
  }
  if (power < 0) return `${sign}0.${"0".repeat(-power - 1)}${digits}`;
  const whole = digits.slice(0, power + 1).padEnd(power + 1, "0");
  const fraction = digits.slice(power + 1);
  return `${sign}${whole}${fraction && `.${fraction}`}`;
}
