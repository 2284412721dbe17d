// The keywords of JSON Schema, drafts 4, 6 and 7: what each may say, in the order in which OPA finds faults.
import { compareDecimals, toInteger } from "./decimal.ts";
import { BuiltinError, HaltError } from "./errors.ts";
import { compiled } from "./regex.ts";
import { goJson } from "./text.ts";
import { RegoNumber, RegoObject, type Value } from "./value.ts";

/** One schema; what is absent is not asked for. Numbers are texts, as exact as they were written. */
export interface Schema {
  /** Of `true` and `false`, which have nothing else. */
  pass?: boolean;
  /** What `$ref` names; then nothing else counts. */
  reference?: Schema;
  readonly types: string[];
  readonly properties: [name: string, schema: Schema][];
  readonly patternProperties: [pattern: string, schema: Schema][];
  additionalProperties?: boolean | Schema;
  propertyNames?: Schema;
  readonly dependencies: Map<string, readonly string[] | Schema>;
  /** One for all items, or one for each place. */
  items?: Schema | readonly Schema[];
  additionalItems?: boolean | Schema;
  contains?: Schema;
  multipleOf?: string;
  minimum?: string | undefined;
  maximum?: string | undefined;
  exclusiveMinimum?: string;
  exclusiveMaximum?: string;
  readonly counts: { [keyword in CountKeyword]?: bigint };
  pattern?: string;
  format?: string;
  readonly required: string[];
  uniqueItems?: boolean;
  /** As {@link canonicalJson}. */
  constant?: string;
  /** Each as {@link canonicalJson}. */
  enumeration?: string[];
  readonly oneOf: Schema[];
  readonly anyOf: Schema[];
  readonly allOf: Schema[];
  not?: Schema;
  if?: Schema;
  then?: Schema;
  else?: Schema;
}

export type CountKeyword = "minLength" | "maxLength" | "minProperties" | "maxProperties" | "minItems" | "maxItems";

export const empty = (): Schema => ({
  types: [],
  properties: [],
  patternProperties: [],
  dependencies: new Map(),
  counts: {},
  required: [],
  oneOf: [],
  anyOf: [],
  allOf: [],
});

/** The draft where `$schema` names none: everything that any draft has. */
export const HYBRID = Infinity;
const TYPES = ["array", "boolean", "integer", "number", "null", "object", "string"];
const TYPES_SHOWN = "[array boolean integer number null object string]";

/** Is it an integer, `1.0` and `1e2` too? */
export const isInteger = (number: RegoNumber): boolean => toInteger(number.text) !== undefined;

/** JSON by which two values are the same for `const`, `enum` and `uniqueItems`: numbers are rounded to doubles, as OPA does. */
export function canonicalJson(value: Value): string {
  return goJson(rounded(value));
}

function rounded(value: Value): Value {
  if (value instanceof RegoNumber) {
    const double = Number(value.text);
    if (!Number.isFinite(double)) throw new HaltError("JSON Schema: a number is too large to compare");
    return new RegoNumber(Object.is(double, -0) ? "-0" : String(double));
  }
  if (Array.isArray(value)) return (value as Value[]).map(rounded);
  if (!(value instanceof RegoObject)) return value;
  return new RegoObject(value.entries().map(([name, member]) => [name, rounded(member)]));
}

const invalidType = (expected: string, given: string) =>
  new BuiltinError(`Invalid type. Expected: ${expected}, given: ${given}`);

export const isSchema = (value: Value): boolean => typeof value === "boolean" || value instanceof RegoObject;

function list(value: Value, keyword: string): readonly Value[] {
  if (Array.isArray(value)) return value as Value[];
  throw new BuiltinError(`${keyword} must be of an array`);
}

export function string(value: Value, keyword: string): string {
  if (typeof value === "string") return value;
  throw invalidType("string", keyword);
}

/** What reads the schemas inside of one. @throws BuiltinError, HaltError */
export interface Compiler {
  readonly draft: number;
  readonly schema: (document: Value) => Schema;
}

export type Read = (compiler: Compiler, value: Value, schema: Schema, keyword: string) => void;

const count: Read = (_, value, schema, keyword) => {
  const text = value instanceof RegoNumber && /^-?\d+$/.test(value.text) ? BigInt(value.text) : undefined;
  if (text === undefined || BigInt.asIntN(64, text) !== text)
    throw new BuiltinError(`${keyword} must be of an integer`);
  if (text < 0n) throw new BuiltinError(`${keyword} must be greater than or equal to 0`);
  schema.counts[keyword as CountKeyword] = text;
};

/** Reads the greater of two, which the lesser must not exceed. */
const countAbove =
  (least: CountKeyword): Read =>
  (compiler, value, schema, keyword) => {
    count(compiler, value, schema, keyword);
    const from = schema.counts[least];
    if (from !== undefined && from > schema.counts[keyword as CountKeyword]!)
      throw new BuiltinError(`${least} cannot be greater than ${keyword}`);
  };

const bound: Read = (_, value, schema, keyword) => {
  if (!(value instanceof RegoNumber)) throw new BuiltinError(`${keyword} must be of a Number`);
  schema[keyword as "minimum" | "maximum"] = value.text;
};

/** In draft 4 a boolean that makes the bound beside it exclusive, later a bound itself. */
const exclusive =
  (keyword: "exclusiveMinimum" | "exclusiveMaximum", inclusive: "minimum" | "maximum"): Read =>
  ({ draft }, value, schema) => {
    if (typeof value === "boolean" && (draft === 4 || draft === HYBRID)) {
      const limit = schema[inclusive];
      if (limit === undefined) throw new BuiltinError(`${keyword} cannot be used without ${inclusive}`);
      if (!value) return;
      schema[keyword] = limit;
      schema[inclusive] = undefined;
    } else if (value instanceof RegoNumber && draft !== 4) schema[keyword] = value.text;
    else throw invalidType({ 4: "boolean", [HYBRID]: "boolean/number" }[draft] ?? "number", keyword);
  };

const schemas =
  (keyword: "oneOf" | "anyOf" | "allOf"): Read =>
  (compiler, value, schema) => {
    for (const item of list(value, keyword)) schema[keyword].push(compiler.schema(item));
  };

const oneSchema =
  (keyword: "not" | "if" | "then" | "else"): Read =>
  (compiler, value, schema) => {
    if (!isSchema(value)) throw new BuiltinError(`${keyword} must be of an object`);
    schema[keyword] = compiler.schema(value);
  };

const additional =
  (keyword: "additionalProperties" | "additionalItems"): Read =>
  (compiler, value, schema) => {
    if (!isSchema(value)) throw invalidType("boolean/Valid Schema", keyword);
    schema[keyword] = typeof value === "boolean" ? value : compiler.schema(value);
  };

export const unused: Read = (_, value, __, keyword) => void string(value, keyword);

/** By keyword, in OPA's order, since the first fault is the one that is told; with the draft since which it counts. */
export const KEYWORDS: readonly (readonly [keyword: string, since: number, read: Read])[] = [
  ["type", 4, (_, value, schema) => readTypes(value, schema)],
  ["properties", 4, (compiler, value, schema) => readProperties(compiler, value, schema)],
  ["additionalProperties", 4, additional("additionalProperties")],
  ["patternProperties", 4, (compiler, value, schema) => readPatternProperties(compiler, value, schema)],
  [
    "propertyNames",
    6,
    (compiler, value, schema) => {
      if (!isSchema(value)) throw invalidType("Valid Schema", "patternProperties");
      schema.propertyNames = compiler.schema(value);
    },
  ],
  ["dependencies", 4, (compiler, value, schema) => readDependencies(compiler, value, schema)],
  ["items", 4, (compiler, value, schema) => readItems(compiler, value, schema)],
  ["additionalItems", 4, additional("additionalItems")],
  ["multipleOf", 4, (_, value, schema) => readMultipleOf(value, schema)],
  ["minimum", 4, bound],
  ["exclusiveMinimum", 4, exclusive("exclusiveMinimum", "minimum")],
  ["maximum", 4, bound],
  ["exclusiveMaximum", 4, exclusive("exclusiveMaximum", "maximum")],
  ["minLength", 4, count],
  ["maxLength", 4, countAbove("minLength")],
  ["pattern", 4, (_, value, schema) => readPattern(string(value, "pattern"), schema)],
  ["format", 4, (_, value, schema) => void (schema.format = string(value, "format"))],
  ["minProperties", 4, count],
  ["maxProperties", 4, countAbove("minProperties")],
  ["required", 4, (_, value, schema) => readRequired(value, schema)],
  ["minItems", 4, count],
  ["maxItems", 4, count],
  [
    "uniqueItems",
    4,
    (_, value, schema) => {
      if (typeof value !== "boolean") throw new BuiltinError("uniqueItems must be of a boolean");
      schema.uniqueItems = value;
    },
  ],
  ["contains", 6, (compiler, value, schema) => void (schema.contains = compiler.schema(value))],
  ["const", 6, (_, value, schema) => void (schema.constant = canonicalJson(value))],
  ["enum", 4, (_, value, schema) => readEnumeration(value, schema)],
  ["oneOf", 4, schemas("oneOf")],
  ["anyOf", 4, schemas("anyOf")],
  ["allOf", 4, schemas("allOf")],
  ["not", 4, oneSchema("not")],
  ["if", 7, oneSchema("if")],
  ["then", 7, oneSchema("then")],
  ["else", 7, oneSchema("else")],
];

export const readDefinitions: Read = (compiler, value, _, keyword) => {
  if (!(value instanceof RegoObject)) throw invalidType("Array Of Schemas", keyword);
  for (const [, definition] of value.entries()) {
    if (!isSchema(definition)) throw invalidType("Array Of Schemas", keyword);
    compiler.schema(definition);
  }
};

function readTypes(value: Value, schema: Schema): void {
  const types = typeof value === "string" ? [value] : Array.isArray(value) ? (value as Value[]) : undefined;
  if (types === undefined) throw invalidType("type", "string/Array Of Strings");
  for (const type of types) {
    if (typeof type !== "string") throw invalidType("type", "string/Array Of Strings");
    if (!TYPES.includes(type))
      throw new BuiltinError(
        `has a primitive type that is NOT VALID -- given: /${type}/ Expected valid values are:${TYPES_SHOWN}`,
      );
    if (schema.types.includes(type)) throw new BuiltinError(`${type} type is duplicated`);
    schema.types.push(type);
  }
}

function readProperties(compiler: Compiler, value: Value, schema: Schema): void {
  if (!(value instanceof RegoObject)) throw new BuiltinError("Properties must be of type object");
  for (const [name, property] of value.entries()) schema.properties.push([String(name), compiler.schema(property)]);
}

function readPatternProperties(compiler: Compiler, value: Value, schema: Schema): void {
  if (!(value instanceof RegoObject)) throw invalidType("Valid Schema", "patternProperties");
  for (const [pattern, property] of value.entries()) {
    checkPattern(String(pattern), `Invalid regex pattern '${String(pattern)}'`);
    schema.patternProperties.push([String(pattern), compiler.schema(property)]);
  }
}

function checkPattern(pattern: string, fault: string): void {
  try {
    compiled(pattern);
  } catch (error) {
    if (error instanceof BuiltinError) throw new BuiltinError(fault);
    throw error;
  }
}

function readPattern(pattern: string, schema: Schema): void {
  checkPattern(pattern, "pattern must be a valid regex");
  schema.pattern = pattern;
}

function readDependencies(compiler: Compiler, value: Value, schema: Schema): void {
  if (!(value instanceof RegoObject)) throw new BuiltinError("dependencies must be of type object");
  const fault = "Dependency must be of type Schema Or Array Of Strings";
  for (const [name, dependency] of value.entries()) {
    if (isSchema(dependency)) schema.dependencies.set(String(name), compiler.schema(dependency));
    else if (!Array.isArray(dependency)) throw new BuiltinError(fault);
    else {
      const names = dependency as Value[];
      if (!names.every((each) => typeof each === "string")) throw new BuiltinError(fault);
      schema.dependencies.set(String(name), names);
    }
  }
}

function readItems(compiler: Compiler, value: Value, schema: Schema): void {
  if (isSchema(value)) {
    schema.items = compiler.schema(value);
    return;
  }
  const fault = invalidType("Valid Schema/Array Of Schemas", "items");
  if (!Array.isArray(value)) throw fault;
  schema.items = (value as Value[]).map((item) => {
    if (!isSchema(item)) throw fault;
    return compiler.schema(item);
  });
}

function readMultipleOf(value: Value, schema: Schema): void {
  if (!(value instanceof RegoNumber)) throw invalidType("Number", "multipleOf");
  if (compareDecimals(value.text, "0") <= 0) throw new BuiltinError("multipleOf must be strictly greater than 0");
  schema.multipleOf = value.text;
}

function readRequired(value: Value, schema: Schema): void {
  for (const name of list(value, "required")) {
    if (typeof name !== "string") throw invalidType("string", "required");
    if (schema.required.includes(name)) throw new BuiltinError("required items must be unique");
    schema.required.push(name);
  }
}

function readEnumeration(value: Value, schema: Schema): void {
  const allowed = list(value, "enum").map(canonicalJson);
  if (new Set(allowed).size !== allowed.length) throw new BuiltinError("enum items must be unique");
  schema.enumeration = allowed;
}
