// A persistent sorted map: every change gives a new map that shares all but O(log n) of the old one.
//
// The live state is read while the next state waits for its evidence to become durable, so both must exist at once and
// neither may cost a copy. Keys are ordered by code unit, which is also the order on the wire.
// A weight-balanced tree with the parameters proved sound by Hirai and Yamamoto (2011): ⟨3, 2⟩.

const WEIGHT_RATIO_MAX = 3;
const SINGLE_ROTATION_RATIO = 2;

/** A sorted map from strings; null is the empty one. */
export type Tree<V> = Node<V> | null;

interface Node<V> {
  readonly key: string;
  readonly value: V;
  readonly left: Tree<V>;
  readonly right: Tree<V>;
  readonly size: number;
}

/** How many keys the map has. */
export function sizeOf(tree: Tree<unknown>): number {
  return tree === null ? 0 : tree.size;
}

/** The value at the key, or undefined. */
export function get<V>(tree: Tree<V>, key: string): V | undefined {
  for (let node = tree; node !== null; node = key < node.key ? node.left : node.right) {
    if (key === node.key) return node.value;
  }
  return undefined;
}

/** The map with this value at the key. */
export function set<V>(tree: Tree<V>, key: string, value: V): Tree<V> {
  if (tree === null) return node(key, value, null, null);
  if (key === tree.key) return node(key, value, tree.left, tree.right);
  return key < tree.key
    ? balanced(tree.key, tree.value, set(tree.left, key, value), tree.right)
    : balanced(tree.key, tree.value, tree.left, set(tree.right, key, value));
}

/** The map without the key; the same map where it was not there. */
export function without<V>(tree: Tree<V>, key: string): Tree<V> {
  if (tree === null) return null;
  if (key === tree.key) return joined(tree.left, tree.right);
  if (key < tree.key) {
    const left = without(tree.left, key);
    return left === tree.left ? tree : balanced(tree.key, tree.value, left, tree.right);
  }
  const right = without(tree.right, key);
  return right === tree.right ? tree : balanced(tree.key, tree.value, tree.left, right);
}

/** The values, in the order of their keys. */
export function* values<V>(tree: Tree<V>): Generator<V, void, undefined> {
  const waiting: Node<V>[] = [];
  let current = tree;
  while (current !== null || waiting.length > 0) {
    for (; current !== null; current = current.left) waiting.push(current);
    const next = waiting.pop()!;
    yield next.value;
    current = next.right;
  }
}

/** The map of these values, each at its key; of equal keys the last stays. */
export function treeOf<V>(items: Iterable<V>, keyOf: (item: V) => string): Tree<V> {
  let tree: Tree<V> = null;
  for (const item of items) tree = set(tree, keyOf(item), item);
  return tree;
}

function node<V>(key: string, value: V, left: Tree<V>, right: Tree<V>): Node<V> {
  return { key, value, left, right, size: sizeOf(left) + sizeOf(right) + 1 };
}

/** Of two maps whose sizes were balanced before one of them changed by one key. */
function balanced<V>(key: string, value: V, left: Tree<V>, right: Tree<V>): Node<V> {
  const [leftSize, rightSize] = [sizeOf(left), sizeOf(right)];
  if (leftSize + rightSize > 1) {
    if (right !== null && rightSize > WEIGHT_RATIO_MAX * leftSize) return raiseRight(key, value, left, right);
    if (left !== null && leftSize > WEIGHT_RATIO_MAX * rightSize) return raiseLeft(key, value, left, right);
  }
  return node(key, value, left, right);
}

function raiseRight<V>(key: string, value: V, left: Tree<V>, right: Node<V>): Node<V> {
  const inner = right.left;
  if (inner === null || inner.size < SINGLE_ROTATION_RATIO * sizeOf(right.right)) {
    return node(right.key, right.value, node(key, value, left, inner), right.right);
  }
  return node(
    inner.key,
    inner.value,
    node(key, value, left, inner.left),
    node(right.key, right.value, inner.right, right.right),
  );
}

function raiseLeft<V>(key: string, value: V, left: Node<V>, right: Tree<V>): Node<V> {
  const inner = left.right;
  if (inner === null || inner.size < SINGLE_ROTATION_RATIO * sizeOf(left.left)) {
    return node(left.key, left.value, left.left, node(key, value, inner, right));
  }
  return node(
    inner.key,
    inner.value,
    node(left.key, left.value, left.left, inner.left),
    node(key, value, inner.right, right),
  );
}

/** Of two maps of which all keys of the left are lower. */
function joined<V>(left: Tree<V>, right: Tree<V>): Tree<V> {
  if (left === null) return right;
  if (right === null) return left;
  if (left.size > right.size) {
    const last = lastOf(left);
    return balanced(last.key, last.value, without(left, last.key), right);
  }
  const first = firstOf(right);
  return balanced(first.key, first.value, left, without(right, first.key));
}

function firstOf<V>(tree: Node<V>): Node<V> {
  return tree.left === null ? tree : firstOf(tree.left);
}

function lastOf<V>(tree: Node<V>): Node<V> {
  return tree.right === null ? tree : lastOf(tree.right);
}
