// What `data.system.log.mask` says, done to a decision before it leaves the node. Source: OPA documentation, Decision Logs, "Masking Sensitive Data"; v1/plugins/logs/mask.go.
import type { DecisionEvent } from "./decision-event.ts";

/** The answer of a mask is none, so nobody knows what it would have hidden. */
export class MaskError extends Error {}

interface Rule {
  readonly op: "remove" | "upsert";
  readonly path: string;
  readonly value: unknown;
  readonly member: "input" | "result" | "nd_builtin_cache";
  readonly parts: readonly string[];
}

type Members = Record<string, unknown>;

/**
 * Removes and replaces in place, and says so in `erased` and `masked`. A rule about what is not there does nothing.
 * @param answer the entrypoint's: a set of JSON pointers, or of `{op, path, value}`; undefined: there is nothing to mask.
 * @throws MaskError it is something else; nothing was changed.
 */
export function mask(event: DecisionEvent, answer: unknown): void {
  if (answer === undefined) return;
  if (!Array.isArray(answer)) throw new MaskError("the mask is no set of rules");
  for (const rule of answer.map(ruleOf)) apply(rule, event);
}

function ruleOf(said: unknown): Rule {
  const given = typeof said === "string" ? { op: "remove", path: said } : (said as Members | null);
  const { op, path, value = null } = (typeof given === "object" && given) || {};
  if (op !== "remove" && op !== "upsert") throw new MaskError("a rule of the mask is neither remove nor upsert");
  if (typeof path !== "string" || !path.startsWith("/")) throw new MaskError("a rule of the mask has no path");
  const [member, ...parts] = path.slice(1).split("/");
  if (member !== "input" && member !== "result" && member !== "nd_builtin_cache")
    throw new MaskError("a path of the mask is neither in /input nor in /result");
  return { op, path, value, member, parts };
}

function apply({ op, path, value, member, parts }: Rule, event: DecisionEvent): void {
  if (member === "nd_builtin_cache" || !(member in event)) return;
  const root = event as unknown as Members;
  const way = [member, ...parts];
  if (op === "remove" ? removed(root, way) : upserted(root, way, structuredClone(value))) {
    const list = op === "remove" ? "erased" : "masked";
    event[list] = [...(event[list] ?? []), path];
  }
}

function removed(root: Members, way: readonly string[]): boolean {
  let node: unknown = root;
  for (const part of way.slice(0, -1)) {
    const key = keyIn(node, part);
    if (key === undefined) return false;
    node = (node as Members)[key];
  }
  const key = keyIn(node, way.at(-1)!);
  if (key === undefined) return false;
  if (Array.isArray(node)) node.splice(Number(key), 1);
  else delete (node as Members)[key];
  return true;
}

/** Objects on the way that are missing are made. */
function upserted(root: Members, way: readonly string[], value: unknown): boolean {
  let node: unknown = root;
  for (const part of way.slice(0, -1)) {
    if (!isNode(node)) return false;
    const key = keyIn(node, part) ?? put(node, part, {});
    if (key === undefined) return false;
    node = node[key];
  }
  if (!isNode(node)) return false;
  const last = way.at(-1)!;
  const key = keyIn(node, last);
  if (key === undefined) return put(node, last, value) !== undefined;
  node[key] = value;
  return true;
}

function put(node: Members, part: string, value: unknown): string | undefined {
  if (Array.isArray(node)) return undefined;
  const key = unescaped(part);
  Object.defineProperty(node, key, { value, enumerable: true, writable: true, configurable: true });
  return key;
}

const isNode = (node: unknown): node is Members => typeof node === "object" && node !== null;

const INDEX = /^(?:0|[1-9]\d*)$/;

/** The member that a part of a pointer names: as it is written, as OPA has it, or as RFC 6901 reads it. */
function keyIn(node: unknown, part: string): string | undefined {
  if (!isNode(node)) return undefined;
  if (Array.isArray(node)) return INDEX.test(part) && Number(part) < node.length ? part : undefined;
  return [part, unescaped(part)].find((key) => Object.hasOwn(node, key));
}

const unescaped = (part: string): string => part.replaceAll("~1", "/").replaceAll("~0", "~");
