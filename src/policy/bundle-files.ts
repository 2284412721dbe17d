// The files of a bundle: reads the archive strictly, and hashes files as OPA does, so that its signatures can be checked. In browsers too.
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { BundleError } from "../core/errors.ts";

const UNPACKED_BYTES_MAX = 64 * 1024 * 1024;
const BLOCK = 512;

/** Files whose JSON is hashed by value and not by bytes (OPA v1/bundle `IsStructuredDoc`). */
const STRUCTURED = /(?:^|\/)(?:data\.json|\.manifest)$/;

/**
 * Reads a bundle's `.tar.gz`. Nothing is written to disk, and only plain files count.
 * @returns contents by name, without the leading slash that OPA writes.
 * @throws BundleError reason `archive`: not gzip or tar, larger than 64 MiB unpacked, names that are absolute beyond
 *   OPA's slash, climb or come twice, links and other special entries.
 */
export async function readBundleFiles(bytes: Uint8Array): Promise<Map<string, Uint8Array>> {
  const tar = await unzip(bytes);
  const files = new Map<string, Uint8Array>();
  let at = 0;
  while (at + BLOCK <= tar.length && tar.subarray(at, at + BLOCK).some((byte) => byte !== 0)) {
    const { name, size, type } = readHeader(tar.subarray(at, at + BLOCK));
    at += BLOCK;
    if (at + size > tar.length) throw archive("it ends in the middle of a file");
    if (type === "0" || type === "\0") addFile(files, name, tar.subarray(at, at + size));
    else if (type !== "5") throw archive(`${name} is not a plain file`);
    at += Math.ceil(size / BLOCK) * BLOCK;
  }
  return files;
}

async function unzip(bytes: Uint8Array): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let length = 0;
  const reader = new Blob([bytes as Uint8Array<ArrayBuffer>])
    .stream()
    .pipeThrough(new DecompressionStream("gzip"))
    .getReader();
  try {
    for (let next; !(next = await reader.read()).done; parts.push(next.value)) {
      length += next.value.length;
      if (length > UNPACKED_BYTES_MAX) throw archive(`it unpacks to more than ${UNPACKED_BYTES_MAX} bytes`);
    }
  } catch (error) {
    await reader.cancel().catch(() => {});
    throw error instanceof BundleError ? error : archive("it is not gzip", error);
  }
  return joined(parts, length);
}

function joined(parts: readonly Uint8Array[], length: number): Uint8Array {
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** POSIX ustar; extended headers (pax, GNU) are special entries, which a bundle needs none of. */
function readHeader(header: Uint8Array): { name: string; size: number; type: string } {
  const text = (from: number, length: number) => {
    const field = header.subarray(from, from + length);
    const end = field.indexOf(0);
    return new TextDecoder().decode(end < 0 ? field : field.subarray(0, end));
  };
  const octal = (from: number, length: number) => {
    const field = text(from, length).trim();
    if (!/^[0-7]+$/.test(field)) throw archive("it is not a tar archive");
    return Number.parseInt(field, 8);
  };
  const sum = header.reduce((total, byte, i) => total + (i >= 148 && i < 156 ? 0x20 : byte), 0);
  if (octal(148, 8) !== sum) throw archive("it is not a tar archive");
  const prefix = text(257, 5) === "ustar" ? text(345, 155) : "";
  return {
    name: prefix === "" ? text(0, 100) : `${prefix}/${text(0, 100)}`,
    size: octal(124, 12),
    type: String.fromCharCode(header[156]!),
  };
}

function addFile(files: Map<string, Uint8Array>, tarName: string, content: Uint8Array): void {
  const name = tarName.replace(/^\.?\//, "");
  const parts = name.split("/");
  if (name === "" || name.includes("\\") || parts.some((part) => part === "" || part === "." || part === "..")) {
    throw archive(`${JSON.stringify(tarName)} is no name for a file in it`);
  }
  if (files.has(name)) throw archive(`${name} comes twice`);
  files.set(name, content);
}

function archive(problem: string, cause?: unknown): BundleError {
  return new BundleError("archive", `the bundle cannot be read: ${problem}`, { cause });
}

const encoder = new TextEncoder();

/** SHA-256, in hex. */
export const sha256Hex = (bytes: Uint8Array): string => bytesToHex(sha256(bytes));

/** SHA-256 of a bundle's file, in hex, as OPA's bundle signatures have it. @throws BundleError `archive` */
export function hashBundleFile(name: string, content: Uint8Array): string {
  const hashed = STRUCTURED.test(name) ? byValue(name, content) : content;
  return sha256Hex(typeof hashed === "string" ? encoder.encode(hashed) : hashed);
}

function byValue(name: string, content: Uint8Array): string {
  try {
    return goJson(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(content)));
  } catch (error) {
    throw archive(`${name} is not JSON`, error);
  }
}

/** As Go's encoder writes it with keys sorted by bytes and HTML left alone (OPA v1/bundle/hash.go). */
function goJson(value: unknown): string {
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

function goString(text: string): string {
  return JSON.stringify(text).replaceAll("\u2028", "\\u2028").replaceAll("\u2029", "\\u2029");
}
