// json.match_schema and json.verify_schema: JSON Schema as OPA has it (gojsonschema; drafts 4, 6 and 7 and what they have in common).
import { cached } from "./cache.ts";
import { BuiltinError } from "./errors.ts";
import type { Builtins } from "./operands.ts";
import { faultsOf } from "./schema-check.ts";
import { compileSchema } from "./schema-compile.ts";
import { goJson, jsonOf, parseJson } from "./text.ts";
import { RegoObject, type Value } from "./value.ts";

export const builtins: Builtins = {
  "json.match_schema": (document, schema) => match(document!, schema!),
  "json.verify_schema": (schema) => verify(schema!),
};

const CACHE_ENTRIES_MAX = 20;

const schemaOf = cached(CACHE_ENTRIES_MAX, (json) => compileSchema(parseJson(json)));

function match(document: Value, schema: Value): Value {
  const value = documentOf(document);
  const faults = faultsOf(schemaOf(goJson(documentOf(schema))), value);
  const told = faults.map(
    ({ type, field, description }) =>
      new RegoObject([
        ["desc", description],
        ["error", `${field}: ${description}`],
        ["field", field],
        ["type", type],
      ]),
  );
  return [told.length === 0, told];
}

function verify(schema: Value): Value {
  try {
    schemaOf(goJson(documentOf(schema)));
    return [true, null];
  } catch (error) {
    if (error instanceof BuiltinError) return [false, `jsonschema: ${error.message}`];
    throw error;
  }
}

/** JSON as text, or an object or array. @throws BuiltinError for anything else */
function documentOf(given: Value): Value {
  if (given instanceof RegoObject || Array.isArray(given)) return jsonOf(given);
  if (typeof given !== "string") throw new BuiltinError("wrong type, expected string or object");
  try {
    return parseJson(given);
  } catch (error) {
    if (error instanceof BuiltinError) throw new BuiltinError("invalid JSON string");
    throw error;
  }
}
