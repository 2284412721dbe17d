// object.subset, graph.reachable_paths, numbers.range_step and the casts of old policies.
import { BuiltinError, HaltError } from "./errors.ts";
import { bigInteger, type Builtins, collection, object, operandFault } from "./operands.ts";
import { equal, keyOf, RegoNumber, RegoObject, RegoSet, typeName, type TypeName, type Value } from "./value.ts";

/** Items that one call may make: an input must not choose how much memory is used. */
const ITEMS_MAX = 1_000_000;

export const builtins: Builtins = {
  "object.subset": (whole, part) => isSubset(whole!, part!),
  "graph.reachable_paths": (graph, initial) => reachablePaths(object(graph, 1), collection(initial, 2)),
  "numbers.range_step": (from, to, step) => range(bigInteger(from, 1), bigInteger(to, 2), bigInteger(step, 3)),
  cast_array: (value) => [...collection(value, 1)],
  cast_set: (value) => new RegoSet(collection(value, 1)),
  cast_string: (value) => cast(value!, "string"),
  cast_boolean: (value) => cast(value!, "boolean"),
  cast_null: (value) => cast(value!, "null"),
  cast_object: (value) => cast(value!, "object"),
};

function cast(value: Value, type: TypeName): Value {
  if (typeName(value) !== type) throw operandFault(1, value, type);
  return value;
}

function isSubset(whole: Value, part: Value): boolean {
  if (whole instanceof RegoObject && part instanceof RegoObject) return isPartOfObject(whole, part);
  if (whole instanceof RegoSet && part instanceof RegoSet) return part.items().every((item) => whole.has(item));
  if (Array.isArray(whole) && Array.isArray(part)) return isRun(whole as Value[], part as Value[]);
  if (Array.isArray(whole) && part instanceof RegoSet) return holdsAll(whole as Value[], part);
  throw new BuiltinError("both arguments object.subset must be of the same type or array and set");
}

function isPartOfObject(whole: RegoObject, part: RegoObject): boolean {
  return part.entries().every(([key, value]) => {
    const other = whole.get(key);
    if (other === undefined) return false;
    const nested = [RegoObject, RegoSet].some((kind) => other instanceof kind && value instanceof kind);
    return nested || (Array.isArray(other) && Array.isArray(value)) ? isSubset(other, value) : equal(other, value);
  });
}

/** Do the items stand side by side in it? As OPA looks for them, which after a mismatch goes on from the next item. */
function isRun(whole: readonly Value[], part: readonly Value[]): boolean {
  if (part.length > whole.length) return false;
  const [keys, wanted] = [whole.map(keyOf), part.map(keyOf)];
  return keys.some((_, at) => wanted.every((key, i) => keys[at + i] === key)) || part.length === 0;
}

/** An array without items holds not even the empty set, as in OPA. */
function holdsAll(whole: readonly Value[], part: RegoSet): boolean {
  return whole.length > 0 && part.items().every((item) => new RegoSet(whole).has(item));
}

const edgesOf = (value: Value): readonly Value[] =>
  value instanceof RegoSet ? value.items() : Array.isArray(value) ? (value as Value[]) : [];

function reachablePaths(graph: RegoObject, roots: readonly Value[]): RegoSet {
  const paths: Value[] = [];
  let vertices = 0;
  const commit = (path: readonly Value[]) => {
    vertices += path.length;
    if (vertices > ITEMS_MAX)
      throw new HaltError(`graph.reachable_paths finds paths of more than ${ITEMS_MAX} vertices`);
    paths.push(path);
  };
  const follow = (vertex: Value, path: readonly Value[], reached: ReadonlySet<string>): void => {
    const edges = graph.get(vertex);
    if (edges === undefined) return commit(path);
    const longer = [...path, vertex];
    const neighbors = edgesOf(edges);
    if (neighbors.length === 0) return commit(longer);
    const known = new Set(reached).add(keyOf(vertex));
    for (const neighbor of neighbors) {
      if (known.has(keyOf(neighbor))) commit(longer);
      else follow(neighbor, longer, known);
    }
  };
  for (const root of roots) {
    const edges = graph.get(root);
    if (edges === undefined) continue;
    const neighbors = edgesOf(edges);
    if (neighbors.length === 0) commit([root]);
    for (const neighbor of neighbors) follow(neighbor, [root], new Set([keyOf(root)]));
  }
  return new RegoSet(paths);
}

function range(from: bigint, to: bigint, step: bigint): Value {
  if (step <= 0n) throw new BuiltinError("numbers.range_step: step must be a positive integer");
  const distance = from <= to ? to - from : from - to;
  if (distance / step >= BigInt(ITEMS_MAX))
    throw new HaltError(`numbers.range_step makes more than ${ITEMS_MAX} numbers`);
  const [way, count] = [from <= to ? step : -step, Number(distance / step) + 1];
  return Array.from({ length: count }, (_, i) => RegoNumber.of(from + way * BigInt(i)));
}
