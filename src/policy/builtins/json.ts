// json.patch (RFC 6902, over sets too, as OPA extends it) and json.marshal_with_options.
import { BuiltinError, HaltError } from "./errors.ts";
import { array, type Builtins, object } from "./operands.ts";
import { goJson, goJsonString, jsonOf } from "./text.ts";
import { equal, RegoNumber, RegoObject, RegoSet, typeName, type Value } from "./value.ts";

export const builtins: Builtins = {
  "json.marshal_with_options": (value, options) => marshal(jsonOf(value!), object(options, 2)),
  "json.patch": (value, patches) => patched(value!, array(patches, 2)),
};

const OPERATIONS_MAX = 10_000;
/** Values that a patched document may have: copies of copies double it each time. */
const VALUES_MAX = 1_000_000;

function marshal(value: Value, options: RegoObject): string {
  let [prefix, indent, pretty]: [string, string, boolean | undefined] = ["", "\t", undefined];
  for (const [name, option] of options.entries()) {
    if (name === "pretty" && typeof option === "boolean") pretty = option;
    else if (name === "prefix" && typeof option === "string") prefix = option;
    else if (name === "indent" && typeof option === "string") indent = option;
    else throw new BuiltinError(`operand 2 object contained unknown key ${String(name)}, or a value of another type`);
  }
  pretty ??= options.has("prefix") || options.has("indent");
  return pretty ? prefix + indented(value, `\n${prefix}`, indent) : goJson(value);
}

/** As Go's json.MarshalIndent. @param line what begins one, with the indent so far. */
function indented(value: Value, line: string, indent: string): string {
  const inner = line + indent;
  if (Array.isArray(value) && value.length > 0)
    return `[${(value as Value[]).map((item) => inner + indented(item, inner, indent)).join(",")}${line}]`;
  if (value instanceof RegoObject && value.size > 0)
    return `{${value
      .entries()
      .map(([name, item]) => `${inner}${goJsonString(name as string)}: ${indented(item, inner, indent)}`)
      .join(",")}${line}}`;
  return goJson(value);
}

type Path = readonly Value[];

function patched(value: Value, operations: readonly Value[]): Value | undefined {
  if (operations.length > OPERATIONS_MAX)
    throw new HaltError(`json.patch takes more than ${OPERATIONS_MAX} operations`);
  const sizes = new WeakMap<object, number>();
  let document: Value | undefined = value;
  for (const operation of operations) {
    if (!(operation instanceof RegoObject))
      throw new BuiltinError("must be an array of JSON-Patch objects, but at least one element is not an object");
    document = applied(document, operation);
    if (document !== undefined && sizeOf(document, sizes) > VALUES_MAX)
      throw new HaltError(`json.patch makes more than ${VALUES_MAX} values`);
  }
  return document;
}

/** How many values it holds; what operations share is counted each time, and looked at once. */
function sizeOf(value: Value, sizes: WeakMap<object, number>): number {
  if (typeof value !== "object" || value === null || value instanceof RegoNumber) return 1;
  const known = sizes.get(value);
  if (known !== undefined) return known;
  const children =
    value instanceof RegoObject
      ? value.entries().flat()
      : value instanceof RegoSet
        ? value.items()
        : (value as Value[]);
  const size = children.reduce<number>((sum, child) => sum + sizeOf(child, sizes), 1);
  sizes.set(value, size);
  return size;
}

function applied(document: Value | undefined, operation: RegoObject): Value | undefined {
  const path = pathOf(required(operation, "path"));
  const op = required(operation, "op");
  switch (op) {
    case "add":
      return inserted(document, path, required(operation, "value"));
    case "remove":
      return removed(document, path);
    case "replace":
      return inserted(removed(document, path), path, required(operation, "value"));
    case "move": {
      const from = pathOf(required(operation, "from"));
      return inserted(removed(document, from), path, at(document, from));
    }
    case "copy":
      return inserted(document, path, at(document, pathOf(required(operation, "from"))));
    case "test":
      if (equal(at(document, path), required(operation, "value"))) return document;
      throw new BuiltinError("the value there is not that of the patch");
    default:
      throw new BuiltinError(`unrecognized op: '${String(op)}'`);
  }
}

function required(operation: RegoObject, name: string): Value {
  const value = operation.get(name);
  if (value === undefined) throw new BuiltinError(`missing required attribute '${name}'`);
  return value;
}

/** A JSON pointer, its leading slashes of any number, or an array of keys. */
function pathOf(path: Value): Path {
  if (Array.isArray(path)) return path as Value[];
  if (typeof path !== "string")
    throw new BuiltinError(
      `operand 2 must be one of {set, array} containing string paths or array of path segments but got ${typeName(path)}`,
    );
  if (path === "") return [];
  const segments = path.replace(/^\/+/, "").split("/");
  return segments.map((segment) => segment.replaceAll("~1", "/").replaceAll("~0", "~"));
}

const NO_PLACE = "path does not exist";

/** What lies at a place. @throws BuiltinError where there is none. */
function at(document: Value | undefined, path: Path): Value {
  let value = document;
  for (const key of path) value = value === undefined ? undefined : childOf(value, key);
  if (value === undefined) throw new BuiltinError(NO_PLACE);
  return value;
}

function childOf(value: Value, key: Value): Value | undefined {
  if (value instanceof RegoObject) return value.get(key);
  if (value instanceof RegoSet) return value.has(key) ? key : undefined;
  return Array.isArray(value) ? (value as Value[])[indexOf(key, value.length)] : undefined;
}

function indexOf(key: Value, length: number): number {
  if (key === "-") return length;
  const written = key instanceof RegoNumber ? key.text : key;
  if (typeof written !== "string" || !/^-?\d+$/.test(written) || /^0\d/.test(written))
    throw new BuiltinError("invalid index of an array");
  return Number(written);
}

/** With the value that lies at a place replaced by what `change` makes of its container. */
function changed(document: Value | undefined, path: Path, change: (container: Value, key: Value) => Value): Value {
  if (document === undefined) throw new BuiltinError(NO_PLACE);
  const [key, ...rest] = path;
  if (rest.length === 0) return change(document, key!);
  const child = changed(at(document, [key!]), rest, change);
  if (document instanceof RegoObject) return new RegoObject([...document.entries(), [key!, child]]);
  if (document instanceof RegoSet)
    return new RegoSet([...document.items().filter((item) => !equal(item, key!)), child]);
  return (document as Value[]).with(indexOf(key!, (document as Value[]).length), child);
}

function inserted(document: Value | undefined, path: Path, value: Value): Value {
  if (path.length === 0) return value;
  return changed(document, path, (container, key) => {
    if (container instanceof RegoObject) return new RegoObject([...container.entries(), [key, value]]);
    if (container instanceof RegoSet) {
      if (!equal(key, value)) throw new BuiltinError("set key does not equal the value to be inserted");
      return new RegoSet([...container.items(), value]);
    }
    if (!Array.isArray(container)) throw new BuiltinError(`${typeName(container)} has nothing in it`);
    const index = indexOf(key, container.length);
    if (index < 0 || index > container.length) throw new BuiltinError("index out of bounds");
    return (container as Value[]).toSpliced(index, 0, value);
  });
}

function removed(document: Value | undefined, path: Path): Value | undefined {
  at(document, path);
  if (path.length === 0) return undefined;
  return changed(document, path, (container, key) => {
    if (container instanceof RegoObject)
      return new RegoObject(container.entries().filter(([name]) => !equal(name, key)));
    if (container instanceof RegoSet) return new RegoSet(container.items().filter((item) => !equal(item, key)));
    return (container as Value[]).toSpliced(indexOf(key, (container as Value[]).length), 1);
  });
}
