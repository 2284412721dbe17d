// Takes JSON Schemas out of the schemas: plain for OpenAPI, and plainer still for OPA's type checker.
import type { TSchema } from "typebox";

type Json = { [name: string]: unknown };

/** Plain JSON Schema (2020-12), without what only the validator uses. */
export function plainSchema(schema: TSchema): object {
  return JSON.parse(
    JSON.stringify(schema, (name, value: unknown) => (name.startsWith("~") ? undefined : value)),
  ) as object;
}

const KEPT = new Set(["type", "properties", "required", "items", "additionalProperties"]);

/**
 * What `opa check --schema` understands: names and types. Patterns, enumerations and bounds say nothing to a type
 * checker, and RE2 may not even read them. A union of objects becomes one object that has the members of all, since a
 * rule that reads `envelope.container` means it where there is one.
 */
export function opaSchema(schema: TSchema): object {
  return simplify(plainSchema(schema) as Json);
}

function simplify(node: Json): Json {
  if (Array.isArray(node.anyOf)) return union((node.anyOf as Json[]).map(simplify));
  const kept = Object.entries(node).filter(([name]) => KEPT.has(name));
  const simple: Json = Object.fromEntries(kept);
  if (node.properties) simple.properties = mapValues(node.properties as Record<string, Json>, simplify);
  else if (node.type === "object") simple.additionalProperties = true;
  if (node.items) simple.items = simplify(node.items as Json);
  return simple;
}

function union(branches: Json[]): Json {
  const objects = branches.filter((branch) => branch.type === "object");
  if (objects.length === 0) return { anyOf: branches };
  const properties = Object.assign({}, ...objects.map((branch) => branch.properties)) as Json;
  const others = branches.filter((branch) => branch.type !== "object");
  const merged = { type: "object", properties, additionalProperties: false };
  return others.length === 0 ? merged : { anyOf: [merged, ...others] };
}

function mapValues<V, W>(record: Record<string, V>, change: (value: V) => W): Record<string, W> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, change(value)]));
}
