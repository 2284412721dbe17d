// yaml.marshal, yaml.unmarshal and yaml.is_valid: the first document, its plain scalars as go-yaml takes them (1.2, with the octals of 1.1).
import { isAlias, isScalar, isSeq, type ParsedNode, parseAllDocuments, Scalar, type YAMLMap } from "yaml";
import { BuiltinError, HaltError } from "./errors.ts";
import { type Builtins, text } from "./operands.ts";
import { jsonOf } from "./text.ts";
import { RegoNumber, RegoObject, type Value } from "./value.ts";
import { NO_JSON, numberOf, WORDS } from "./yaml-scalars.ts";
import { writeYaml } from "./yaml-write.ts";

export const builtins: Builtins = {
  "yaml.is_valid": (document) => typeof document === "string" && isYaml(document),
  "yaml.marshal": (value) => writeYaml(jsonOf(value!)),
  "yaml.unmarshal": (document) => unmarshal(text(document, 1)),
};

/** Nodes that one document may have, with those that aliases stand for. */
const NODES_MAX = 100_000;

function isYaml(given: string): boolean {
  try {
    unmarshal(given);
    return true;
  } catch (error) {
    if (error instanceof BuiltinError) return false;
    throw error;
  }
}

function unmarshal(given: string): Value {
  const documents = parseAllDocuments(given, {
    schema: "failsafe",
    uniqueKeys: false,
    logLevel: "silent",
    version: "1.2",
  });
  if (!Array.isArray(documents) || "empty" in documents) return null;
  const [fault] = documents.flatMap(({ errors }) => errors);
  if (fault !== undefined) throw new BuiltinError(`yaml: ${fault.message}`);
  const [first] = documents;
  return new Reading().value(first?.contents);
}

type Node = ParsedNode | null | undefined;

class Reading {
  #nodes = 0;
  /** By name, as far as it was read. */
  readonly #anchors = new Map<string, Node>();
  readonly #open = new Set<Node>();

  value(node: Node): Value {
    if (++this.#nodes > NODES_MAX) throw new HaltError(`yaml.unmarshal reads more than ${NODES_MAX} nodes`);
    if (node === null || node === undefined) return null;
    if (isAlias(node)) return this.#alias(node.source);
    if (node.tag !== undefined) throw new HaltError(`yaml.unmarshal knows no tags here, such as ${node.tag}`);
    if (node.anchor !== undefined) this.#anchors.set(node.anchor, node);
    if (isScalar(node)) return scalar(node as Scalar);
    this.#open.add(node);
    const value = isSeq(node)
      ? node.items.map((item) => this.value(item as Node))
      : this.#object(node as YAMLMap<Node, Node>);
    this.#open.delete(node);
    return value;
  }

  #alias(name: string): Value {
    const node = this.#anchors.get(name);
    if (node === undefined) throw new BuiltinError(`yaml: unknown anchor '${name}' referenced`);
    if (this.#open.has(node)) throw new BuiltinError(`yaml: anchor '${name}' value contains itself`);
    return this.value(node);
  }

  /** Members that are merged come first, and their own last, so that these win. */
  #object(map: YAMLMap<Node, Node>): RegoObject {
    const own: [Value, Value][] = [];
    const merged: Node[] = [];
    for (const { key, value } of map.items) {
      if (isScalar(key) && key.type === "PLAIN" && key.source === "<<") {
        if (isSeq(value)) merged.push(...(value.items as Node[]));
        else merged.push(value);
      } else own.push([keyText(this.value(key)), this.value(value)]);
    }
    const inherited = merged.toReversed().flatMap((node) => {
      const value = this.value(node);
      if (!(value instanceof RegoObject))
        throw new BuiltinError("yaml: map merge requires map or sequence of maps as the value");
      return value.entries();
    });
    return new RegoObject([...inherited, ...own]);
  }
}

function keyText(key: Value): string {
  if (typeof key === "string") return key;
  if (typeof key === "boolean") return String(key);
  if (key instanceof RegoNumber && key.isInteger) return key.text;
  if (key instanceof RegoNumber) throw new HaltError("yaml.unmarshal takes no fraction as a key here");
  throw new BuiltinError("unsupported map key");
}

function scalar({ type, source, value }: Scalar): Value {
  if (type !== Scalar.PLAIN) return String(value);
  const plain = source ?? "";
  if (Object.hasOwn(WORDS, plain)) return WORDS[plain]!;
  if (NO_JSON.test(plain)) throw new BuiltinError(`json: unsupported value: ${plain}`);
  return /^[+\-.\d]/.test(plain) ? (numberOf(plain) ?? String(value)) : String(value);
}
