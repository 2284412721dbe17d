// JSON Schema as OPA reads it: the draft, references into the schema itself, and the schemas inside of it.
import { BuiltinError, HaltError } from "./errors.ts";
import {
  empty,
  HYBRID,
  isSchema,
  KEYWORDS,
  type Compiler as Keywords,
  type Read,
  readDefinitions,
  type Schema,
  string,
  unused,
} from "./schema-keywords.ts";
import { RegoObject, type Value } from "./value.ts";

const SCHEMAS_MAX = 100_000;
export const DEPTH_MAX = 400;

const DRAFTS: { readonly [uri: string]: number } = {
  "http://json-schema.org/draft-04/schema": 4,
  "http://json-schema.org/draft-06/schema": 6,
  "http://json-schema.org/draft-07/schema": 7,
};
/**
 * Reads a schema.
 *
 * @throws BuiltinError where OPA refuses it, in OPA's words.
 * @throws HaltError for references beyond the schema itself, and identifiers that other references may go by.
 */
export function compileSchema(document: Value): Schema {
  const draft = draftOf(document);
  checkIdentifiers(document);
  return new Compiler(document, draft).compile();
}

function draftOf(document: Value): number {
  if (typeof document === "boolean") return HYBRID;
  if (!(document instanceof RegoObject)) throw new BuiltinError("schema is invalid");
  const uri = document.get("$schema");
  if (uri === undefined) return HYBRID;
  if (typeof uri !== "string") throw new BuiltinError("$schema must be of type string");
  if (!PLAIN_URI.test(uri)) throw new HaltError(`JSON Schema: $schema is no plain URI: ${uri.slice(0, 100)}`);
  return DRAFTS[uri.replace(/#$/, "")] ?? HYBRID;
}

const PLAIN_URI = /^(?:(?:https?:\/\/|urn:)[\w./~:-]+|[\w./~-]+)#?$/;
const PLAIN_NAME = /^[\w-]+$/;

/** An identifier at the root changes nothing; others could be what a reference means, which is not resolved here. */
function checkIdentifiers(document: Value): void {
  const [inner, references]: [string[], string[]] = [[], []];
  visitSchemas(document, (schema) => {
    for (const name of ["id", "$id"]) {
      const id = schema.get(name);
      if (typeof id !== "string") continue;
      if (schema !== document) inner.push(id);
      else if (!PLAIN_URI.test(id)) throw new HaltError(`JSON Schema: ${name} is no plain URI: ${id.slice(0, 100)}`);
    }
    const reference = schema.get("$ref");
    if (typeof reference === "string") references.push(reference);
  });
  if (inner.length === 0) return;
  const root = document instanceof RegoObject && (document.has("id") || document.has("$id"));
  const told = inner.every((id) => PLAIN_NAME.test(id)) && new Set(inner).size === inner.length;
  if (references.length > 0 || root || !told)
    throw new HaltError("JSON Schema: identifiers inside of a schema are not resolved here");
}

/** Every object that OPA looks for identifiers and references in. */
function visitSchemas(value: Value, visit: (schema: RegoObject) => void, depth = 0): void {
  if (depth > DEPTH_MAX) throw new HaltError(`JSON Schema: more than ${DEPTH_MAX} levels`);
  if (Array.isArray(value)) for (const item of value as Value[]) visitSchemas(item, visit, depth + 1);
  if (!(value instanceof RegoObject)) return;
  visit(value);
  for (const [name, member] of value.entries()) {
    if (name === "const" || name === "enum") continue;
    const named = name === "properties" || name === "dependencies" || name === "patternProperties";
    const children = named
      ? member instanceof RegoObject
        ? member.entries().map(([, child]) => child)
        : []
      : [member];
    for (const child of children) visitSchemas(child, visit, depth + 1);
  }
}

class Compiler implements Keywords {
  readonly draft: number;
  readonly #document: Value;
  /** By the pointer of a reference. */
  readonly #referenced = new Map<string, Schema>();
  #schemas = 0;
  #depth = 0;

  constructor(document: Value, draft: number) {
    this.#document = document;
    this.draft = draft;
  }

  compile(): Schema {
    return this.schema(this.#document);
  }

  /** @param into where it goes; known before, since a reference in it may lead back to it. */
  schema(document: Value, into: Schema = empty()): Schema {
    if (++this.#schemas > SCHEMAS_MAX) throw new HaltError(`JSON Schema: more than ${SCHEMAS_MAX} schemas`);
    if (++this.#depth > DEPTH_MAX) throw new HaltError(`JSON Schema: more than ${DEPTH_MAX} levels`);
    if (typeof document === "boolean" && this.draft >= 6) into.pass = document;
    else if (document instanceof RegoObject) this.#read(document, into);
    else throw new BuiltinError("Expected: Valid Schema, given: Invalid JSON");
    this.#depth--;
    return into;
  }

  #read(document: RegoObject, schema: Schema): void {
    const id = this.draft === 4 || (this.draft === HYBRID && document.has("id")) ? "id" : "$id";
    const told = (keyword: string, read: Read) => {
      const value = document.get(keyword);
      if (value !== undefined) read(this, value, schema, keyword);
    };
    told(id, unused);
    told("definitions", readDefinitions);
    told("title", unused);
    told("description", unused);
    const reference = document.get("$ref");
    if (reference !== undefined && this.#refer(string(reference, "$ref"), schema)) return;
    for (const [keyword, since, read] of KEYWORDS) if (this.draft >= since) told(keyword, read);
  }

  /** @returns true where it is read for the first time; what stands beside it is not read then. */
  #refer(reference: string, schema: Schema): boolean {
    const pointer = pointerOf(reference);
    const known = this.#referenced.get(pointer);
    if (known !== undefined) {
      schema.reference = known;
      return false;
    }
    const target = empty();
    this.#referenced.set(pointer, target);
    const document = resolved(this.#document, pointer);
    if (!isSchema(document)) throw new BuiltinError("Valid Schema must be of type object");
    this.schema(document, target);
    schema.reference = target;
    return true;
  }
}

function pointerOf(reference: string): string {
  if (!/^(?:|#|#\/[\w.~!$&'()*+,;=:@/?-]*(?:%[2-7][\da-fA-F][\w.~!$&'()*+,;=:@/?-]*)*)$/.test(reference))
    throw new HaltError(
      `JSON Schema: only references into the schema itself are resolved, not ${reference.slice(0, 100)}`,
    );
  return decodeURIComponent(reference.slice(1));
}

function resolved(document: Value, pointer: string): Value {
  let value = document;
  for (const token of pointer.split("/").slice(1)) {
    if (value instanceof RegoObject) {
      const name = token.replaceAll("~1", "/").replaceAll("~0", "~");
      const member = value.get(name);
      if (member === undefined) throw new BuiltinError(`Object has no key '${name}'`);
      value = member;
    } else if (Array.isArray(value)) {
      const items = value as Value[];
      if (!/^[+-]?\d{1,15}$/.test(token)) throw new BuiltinError(`Invalid array index '${token}'`);
      const item = items[Number(token)];
      if (item === undefined) throw new BuiltinError(`Out of bound array[0,${items.length}] index '${Number(token)}'`);
      value = item;
    } else throw new BuiltinError(`Invalid token reference '${token}'`);
  }
  return value;
}
