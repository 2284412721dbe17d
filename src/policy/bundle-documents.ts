// Documents of a bundle, `.manifest` and data files: read without rounding a number, and hashed as OPA hashes them. In browsers too.
import { sha224, sha256, sha384, sha512, sha512_224, sha512_256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { BundleError } from "../core/errors.ts";

/** Files whose content is hashed by value and not by bytes (OPA v1/bundle `IsStructuredDoc`). */
const STRUCTURED = /(?:^|\/)(?:data\.(?:json|ya?ml)|\.manifest)$/;
const DATA = /(?:^|\/)data\.(?:json|ya?ml)$/;
const YAML = /\.ya?ml$/;
/** OPA's names for what is no longer broken; MD5 and SHA-1, which it still takes, prove nothing. */
const HASHES: { readonly [algorithm: string]: (bytes: Uint8Array) => Uint8Array } = {
  "SHA-224": sha224,
  "SHA-256": quickSha256,
  "SHA-384": sha384,
  "SHA-512": sha512,
  "SHA-512-224": sha512_224,
  "SHA-512-256": sha512_256,
};
const UINT64_MAX = 2n ** 64n - 1n;
const INT64_MIN = -(2n ** 63n);

const encoder = new TextEncoder();
const utf8 = new TextDecoder("utf-8", { fatal: true });

export const isDataFile = (name: string): boolean => DATA.test(name);

/** SHA-256, in hex. */
export const sha256Hex = (bytes: Uint8Array): string => bytesToHex(quickSha256(bytes));

/** Node's own where there is one, which is the faster by far for a WASM module that is hashed once. */
function quickSha256(bytes: Uint8Array): Uint8Array {
  const native = globalThis.process?.getBuiltinModule?.("node:crypto");
  return native ? native.createHash("sha256").update(bytes).digest() : sha256(bytes);
}

/**
 * The hash of a bundle's file, in hex, as OPA's bundle signatures have it.
 * @throws BundleError `archive` for a document that cannot be read, `signature` for an algorithm that proves nothing.
 */
export async function hashBundleFile(name: string, content: Uint8Array, algorithm = "SHA-256"): Promise<string> {
  const hash = Object.hasOwn(HASHES, algorithm) ? HASHES[algorithm] : undefined;
  if (hash === undefined)
    throw new BundleError("signature", `${name} is signed by its ${JSON.stringify(algorithm)} hash; use SHA-256`);
  const hashed = STRUCTURED.test(name) ? encoder.encode(goJson(await parsed(name, content))) : content;
  return bytesToHex(hash(hashed));
}

/** A document's value. @throws BundleError `archive` where it is none, `data` for a number that would be rounded. */
export async function readDocument(name: string, content: Uint8Array): Promise<unknown> {
  return exact(await parsed(name, content), name, "");
}

/** A number by its own text. */
class NumberText {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** With numbers as they are written; in YAML that is no JSON, as OPA writes them when it makes JSON of it. */
async function parsed(name: string, content: Uint8Array): Promise<unknown> {
  try {
    const text = utf8.decode(content);
    return YAML.test(name) && !isJson(text) ? numbersAsText(await readYaml(text)) : parseNumbersAsText(text);
  } catch (cause) {
    throw new BundleError("archive", `the bundle cannot be read: ${name} is not ${YAML.test(name) ? "YAML" : "JSON"}`, {
      cause,
    });
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** What may begin a number that is written otherwise than it would be again, or that no double holds; in texts as well. */
const PECULIAR = /(?:[:,[]|^)\s*(?:-0|-?\d+[.eE]|-?\d{16})/;

/** Numbers are marked before they are read: what would tell their text afterwards, older engines lack. */
function parseNumbersAsText(text: string): unknown {
  const value = JSON.parse(text) as unknown;
  if (!PECULIAR.test(text)) return value;
  const plain = JSON.stringify(value);
  let mark = "number";
  while (plain.includes(mark)) mark += "_";
  const marked = text.replaceAll(/"(?:[^"\\]+|\\.)*"|-?\d[\d.eE+-]*/g, (token) =>
    token.startsWith('"') ? token : `{"${mark}":"${token}"}`,
  );
  return JSON.parse(marked, (_, value: unknown) =>
    typeof value === "object" && value !== null && Object.hasOwn(value, mark)
      ? new NumberText((value as { [mark: string]: string })[mark]!)
      : value,
  ) as unknown;
}

async function readYaml(text: string): Promise<unknown> {
  const { parse } = await import("yaml");
  return parse(text, { intAsBigInt: true, merge: true, version: "1.2", schema: "core", maxAliasCount: 100 }) as unknown;
}

function numbersAsText(value: unknown): unknown {
  if (typeof value === "bigint")
    return new NumberText(value > UINT64_MAX || value < INT64_MIN ? String(Number(value)) : String(value));
  if (typeof value === "number") return new NumberText(String(value));
  return mapped(value, numbersAsText);
}

function exact(value: unknown, name: string, pointer: string): unknown {
  if (typeof value === "string") return value.toWellFormed();
  if (!(value instanceof NumberText))
    return mapped(value, (item, key) => exact(item, name, `${pointer}/${escaped(key)}`));
  const number = Number(value.text);
  if (Math.abs(number) <= Number.MAX_SAFE_INTEGER) return number;
  throw new BundleError("data", `${name} in the bundle holds ${value.text.slice(0, 40)} at ${pointer}, beyond 2^53−1`);
}

const escaped = (key: string | number): string => String(key).replaceAll("~", "~0").replaceAll("/", "~1");

function mapped(value: unknown, change: (item: unknown, key: string | number) => unknown): unknown {
  if (Array.isArray(value)) return value.map(change);
  if (typeof value !== "object" || value === null || value instanceof NumberText) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, change(item, key)]));
}

/** As Go's encoder writes it with keys sorted by bytes and HTML left alone (OPA v1/bundle/hash.go). */
function goJson(value: unknown): string {
  if (value instanceof NumberText) return value.text;
  if (Array.isArray(value)) return `[${value.map(goJson).join(",")}]`;
  if (typeof value === "object" && value !== null) {
    const names = Object.keys(value).sort(byCodePoint);
    return `{${names.map((name) => `${goString(name)}:${goJson((value as { [name: string]: unknown })[name])}`).join(",")}}`;
  }
  return typeof value === "string" ? goString(value) : JSON.stringify(value);
}

/** The order of Go's strings, which compares UTF-8; JavaScript's own compares UTF-16, which differs beyond U+FFFF. */
function byCodePoint(a: string, b: string): number {
  const [left, right] = [[...a], [...b]];
  for (let i = 0; i < left.length && i < right.length; i++) {
    const difference = left[i]!.codePointAt(0)! - right[i]!.codePointAt(0)!;
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}

/** Half a surrogate pair is no character, and Go reads it as the one that stands for such (U+FFFD). */
function goString(text: string): string {
  return JSON.stringify(text.toWellFormed()).replaceAll("\u2028", "\\u2028").replaceAll("\u2029", "\\u2029");
}
