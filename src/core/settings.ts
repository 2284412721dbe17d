// Checks settings against their schema and says what is wrong in words: which setting, what it must be, what was meant.
import type { TSchema } from "typebox";
import { Check } from "typebox/schema";
import { nearest } from "./nearest.ts";

export type SettingPath = readonly (string | number)[];
export type SettingFault = { path: SettingPath; message: string };
export type CheckedSettings = { faults: SettingFault[] /** Accepted, without effect. */; unused: SettingFault[] };

/** What of a JSON Schema is looked at here; `x-unsupported` and `x-unused` are Railgate's own annotations. */
type SettingSchema = {
  type?: string;
  description?: string;
  properties?: Record<string, SettingSchema>;
  patternProperties?: Record<string, SettingSchema>;
  items?: SettingSchema;
  anyOf?: SettingSchema[];
  required?: string[];
  "x-unsupported"?: string;
  "x-unused"?: string;
};

/**
 * Every fault of `value`, in the order of the file. A setting that is null counts as absent, as in OPA.
 * Values are never part of a message: they may be secrets.
 */
export function checkSettings(schema: TSchema, value: unknown): CheckedSettings {
  const checked: CheckedSettings = { faults: [], unused: [] };
  check(schema as SettingSchema, value, [], checked);
  return checked;
}

function check(schema: SettingSchema, value: unknown, path: SettingPath, into: CheckedSettings): void {
  if (schema["x-unsupported"] !== undefined)
    return isNothing(value)
      ? undefined
      : void into.faults.push({ path, message: `not supported by Railgate, remove it: ${schema["x-unsupported"]}` });
  if (schema["x-unused"] !== undefined) return void into.unused.push({ path, message: schema["x-unused"] });
  const chosen = schema.anyOf?.find((option) => option.type === typeName(value)) ?? schema;
  const wrong = () =>
    into.faults.push({ path, message: `must be ${chosen.description ?? schema.description ?? chosen.type}` });
  const children = chosen.properties ?? chosen.patternProperties ?? chosen.items;
  if (children === undefined || chosen.anyOf !== undefined)
    return Check(chosen as TSchema, value) ? undefined : void wrong();
  if (typeName(value) !== chosen.type) return void wrong();
  if (chosen.items !== undefined)
    return (value as unknown[]).forEach((item, index) => check(chosen.items!, item, [...path, index], into));
  checkMembers(chosen, value as Record<string, unknown>, path, into);
}

function checkMembers(
  schema: SettingSchema,
  value: Record<string, unknown>,
  path: SettingPath,
  into: CheckedSettings,
): void {
  const [any] = Object.values(schema.patternProperties ?? {});
  const known = schema.properties ?? {};
  for (const [name, member] of Object.entries(value)) {
    if (member === null) continue;
    const memberSchema = Object.hasOwn(known, name) ? known[name] : any;
    if (memberSchema !== undefined) check(memberSchema, member, [...path, name], into);
    else
      into.faults.push({ path: [...path, name], message: `unknown setting${didYouMean(name, supportedNames(known))}` });
  }
  for (const name of schema.required ?? []) {
    if (!Object.hasOwn(value, name) || value[name] === null)
      into.faults.push({ path: [...path, name], message: "is missing" });
  }
}

const supportedNames = (known: Record<string, SettingSchema>) =>
  Object.keys(known).filter((name) => known[name]!["x-unsupported"] === undefined);

/** Written down, yet the same as leaving it out. */
const isNothing = (value: unknown) =>
  value === false || value === "" || (typeName(value) === "object" && Object.keys(value as object).length === 0);

/** `, did you mean "x"?` or nothing. */
export function didYouMean(word: string, known: readonly string[]): string {
  const meant = nearest(word, known);
  return meant === undefined ? "" : `, did you mean "${meant}"?`;
}

/** JSON Schema's name for the type of a value that YAML or JSON can hold. */
function typeName(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return typeof value;
}

/** A path as people write it: `trust.authorities[0].issuer`, `labels["a.b"]`. */
export function formatPath(path: SettingPath): string {
  return path
    .map((part, index) => {
      if (typeof part === "number") return `[${part}]`;
      if (!/^[\w-]+$/.test(part)) return `[${JSON.stringify(part)}]`;
      return index === 0 ? part : `.${part}`;
    })
    .join("");
}

/** Where a setting stands that `settingsOf` calls so; one that is written down, and the same as leaving it out, stands nowhere. */
export function placesOf(settings: unknown, pattern: string): SettingPath[] {
  const found = pattern.split(".").reduce<{ path: SettingPath; value: unknown }[]>(
    (at, part) =>
      at.flatMap(({ path, value }) => {
        if (typeName(value) !== "object") return [];
        const members = value as Record<string, unknown>;
        const names = part === "<name>" ? Object.keys(members) : Object.hasOwn(members, part) ? [part] : [];
        return names.map((name) => ({ path: [...path, name], value: members[name] }));
      }),
    [{ path: [], value: settings }],
  );
  return found.filter(({ value }) => value !== null && !isNothing(value)).map(({ path }) => path);
}

/** Every setting of a schema as a path, `<name>` for a name of one's own and `[]` for an item, with its schema. */
export function* settingsOf(schema: TSchema): Generator<{ path: string; schema: TSchema }> {
  yield* walk(schema as SettingSchema, "");
}

function* walk(schema: SettingSchema, path: string): Generator<{ path: string; schema: TSchema }> {
  const options =
    schema.anyOf?.filter((option) => option.patternProperties !== undefined && option.properties === undefined) ?? [];
  const shape = options[0] ?? schema;
  if (path !== "") yield { path, schema: schema as TSchema };
  if (schema.anyOf !== undefined && options.length === 0) return;
  for (const [name, member] of Object.entries(shape.properties ?? {}))
    yield* walk(member, path === "" ? name : `${path}.${name}`);
  for (const member of Object.values(shape.patternProperties ?? {})) {
    if (member.properties !== undefined) yield* walk(member, `${path}.<name>`);
  }
  if (shape.items?.properties !== undefined) yield* walk(shape.items, `${path}[]`);
}
