// JSON in and out, strictly: reading refuses what two parsers could read differently, writing is RFC 8785.
import { RequestError } from "./errors.ts";
import { explainJson } from "./json-explain.ts";

/** Bounds of a document: bytes, how deep arrays and objects may nest, and how many different names members may have. */
export type JsonLimits = { bytesMax?: number; depthMax?: number; namesMax?: number };

const BYTES_MAX = 1024 * 1024;
const DEPTH_MAX = 64;
/** An engine makes a shape of every set of names: tens of thousands take it ten times as long as the same text otherwise. */
const NAMES_MAX = 4096;
/** Deeper than any document that was read, since what was read is wrapped a few times before it is written. */
const WRITE_DEPTH_MAX = 256;

const INSERTION_MAX = 32;

const [SPACE, QUOTE, BACKSLASH, COLON, LOWER_U, LOWER_D, UPPER_D] = [0x20, 0x22, 0x5c, 0x3a, 0x75, 0x64, 0x44] as const;
const [OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d] as const;

// A byte order mark is no JSON (RFC 8259 §8.1), so it must not be swallowed.
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Parses a request body. Throws RequestError: 400 for what is not UTF-8 or not JSON, for duplicate keys, lone surrogates
 * and numbers beyond ±(2^53−1); 413 for what is larger than `bytesMax` (1 MiB), deeper than `depthMax` (64), or has
 * more than `namesMax` (4096) different names of members.
 * `__proto__` is an ordinary own key of the result.
 *
 * The native parser does the work. One pass over the bytes counts members, and if the parsed tree has fewer, some key
 * came twice; only then, or on an escape that may be half a surrogate pair, a slow exact parser looks for the place.
 */
export function parseStrict(bytes: Uint8Array, limits: JsonLimits = {}): unknown {
  const { bytesMax = BYTES_MAX, depthMax = DEPTH_MAX, namesMax = NAMES_MAX } = limits;
  if (bytes.length > bytesMax) throw refused(413, `larger than ${bytesMax} bytes`);
  const scanned = scan(bytes);
  if (scanned.depth > depthMax) throw refused(413, `nested deeper than ${depthMax} levels`);
  const text = decode(bytes);
  if (scanned.members > namesMax && hasMoreNames(text, namesMax))
    throw refused(413, `more than ${namesMax} different names of members`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new RequestError(400, explainJson(text) ?? [{ pointer: "", message: "not JSON" }], { cause });
  }
  const members = countMembers(value);
  if (members !== scanned.members || scanned.surrogates) {
    const faults = explainJson(text);
    if (faults !== undefined) throw new RequestError(400, faults);
  }
  return value;
}

const refused = (status: 400 | 413, message: string): RequestError =>
  new RequestError(status, [{ pointer: "", message }]);

function decode(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch (cause) {
    throw new RequestError(400, [{ pointer: "", message: "not valid UTF-8" }], { cause });
  }
}

/**
 * A value as JSON carries it, read as strictly as a request, and no longer the caller's to change.
 * @throws RequestError as `parseStrict`, and 400 for what JSON cannot carry at all.
 */
export function throughJson(value: unknown): unknown {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (cause) {
    throw new RequestError(400, [{ pointer: "", message: "not a value that JSON can carry" }], { cause });
  }
  return parseStrict(encoder.encode(text ?? ""));
}

type Scanned = { members: number; depth: number; surrogates: boolean };

/** What can be told from the bytes alone; exact if they are JSON, and harmless if they are not. */
function scan(bytes: Uint8Array): Scanned {
  const end = bytes.length;
  let [members, depth, deepest, surrogates] = [0, 0, 0, false];
  for (let at = 0; at < end; at++) {
    const byte = bytes[at]!;
    if (byte === QUOTE) {
      let inner = bytes[++at];
      while (inner !== QUOTE && at < end) {
        if (inner === BACKSLASH && bytes[++at] === LOWER_U) {
          surrogates ||= bytes[at + 1] === LOWER_D || bytes[at + 1] === UPPER_D;
        }
        inner = bytes[++at];
      }
    } else if (byte === COLON) members++;
    else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) deepest = Math.max(deepest, ++depth);
    else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) depth--;
  }
  return { members, depth: deepest, surrogates };
}

/** Whether there are more than `max` different names, as they are written; exact if the text is JSON. */
function hasMoreNames(text: string, max: number): boolean {
  const names = new Set<string>();
  for (let at = text.indexOf('"'); at !== -1; at = text.indexOf('"', at + 1)) {
    const start = at + 1;
    for (at = start; at < text.length && text.charCodeAt(at) !== QUOTE; at++) {
      if (text.charCodeAt(at) === BACKSLASH) at++;
    }
    let after = at + 1;
    while (text.charCodeAt(after) <= SPACE) after++;
    if (text.charCodeAt(after) === COLON && names.add(text.slice(start, at)).size > max) return true;
  }
  return false;
}

/** Members of all objects within; NaN, which equals nothing, if a number in it is beyond what JSON carries safely. */
function countMembers(value: unknown): number {
  if (typeof value === "number") return isSafe(value) ? 0 : NaN;
  if (typeof value !== "object" || value === null) return 0;
  let members = 0;
  if (Array.isArray(value)) {
    for (let at = 0; at < value.length; at++) members += countMembers(value[at]);
    return members;
  }
  // JSON.parse makes objects whose only enumerable names are their own: Object.prototype has none, or the host is lost.
  for (const name in value) {
    members += 1 + countMembers((value as Record<string, unknown>)[name]);
  }
  return members;
}

const isSafe = (number: number): boolean => number <= Number.MAX_SAFE_INTEGER && number >= -Number.MAX_SAFE_INTEGER;

/**
 * Canonical JSON (RFC 8785): the one text of a value, over which digests and signatures are made. Throws TypeError for
 * whatever reading it back would not give again: undefined, NaN, numbers beyond ±(2^53−1), lone surrogates, functions,
 * instances of classes, holes, cycles.
 *
 * Tested against the package `canonicalize`, which takes three times as long and lets some of these through.
 */
export function canonicalJson(value: unknown): string {
  return write(value, 0);
}

/** UTF-8 bytes of the canonical JSON. */
export function canonicalBytes(value: unknown): Uint8Array {
  return encoder.encode(canonicalJson(value));
}

const encoder = new TextEncoder();

function write(value: unknown, depth: number): string {
  if (typeof value === "string") return quote(value);
  if (typeof value === "boolean" || value === null) return String(value);
  if (typeof value === "number") return writeNumber(value);
  if (typeof value !== "object") throw new TypeError(`no canonical JSON for ${typeof value}`);
  if (depth === WRITE_DEPTH_MAX) throw new TypeError(`no canonical JSON deeper than ${WRITE_DEPTH_MAX} levels`);
  return Array.isArray(value) ? writeArray(value, depth + 1) : writeObject(value as Record<string, unknown>, depth + 1);
}

function writeNumber(value: number): string {
  if (!isSafe(value)) throw new TypeError(`no canonical JSON for the number ${value}`);
  return String(value); // ECMAScript's own form is RFC 8785's (§3.2.2.3), −0 included
}

function writeArray(items: unknown[], depth: number): string {
  let text = "[";
  for (let at = 0; at < items.length; at++) text += at === 0 ? write(items[at], depth) : `,${write(items[at], depth)}`;
  return `${text}]`;
}

function writeObject(value: Record<string, unknown>, depth: number): string {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null)
    throw new TypeError("no canonical JSON for a class instance");
  const names = sorted(Object.keys(value));
  let text = "{";
  for (let at = 0; at < names.length; at++) {
    const name = names[at]!;
    text += `${at === 0 ? "" : ","}${quote(name)}:${write(value[name], depth)}`;
  }
  return `${text}}`;
}

/** By UTF-16 code unit (§3.2.3), in place. Insertion beats the native sort on the few names that objects have. */
function sorted(names: string[]): string[] {
  if (names.length > INSERTION_MAX) return names.sort();
  for (let at = 1; at < names.length; at++) {
    const name = names[at]!;
    let to = at;
    for (; to > 0 && names[to - 1]! > name; to--) names[to] = names[to - 1]!;
    names[to] = name;
  }
  return names;
}

const PLAIN = /^[ !#-[\]-~]*$/;

function quote(text: string): string {
  if (PLAIN.test(text)) return `"${text}"`;
  if (!text.isWellFormed()) throw new TypeError("no canonical JSON for a lone surrogate");
  return JSON.stringify(text);
}
