// The files of a bundle: reads the archive strictly, and puts its data files together. In browsers too.
import { unpacked, unpackedAtHand } from "../archive/gzip.ts";
import { ArchiveError, readTar, show, type TarRules } from "../archive/tar.ts";
import { concatBytes } from "../core/bytes.ts";
import { BundleError } from "../core/errors.ts";
import { isDataFile, readDocument } from "./bundle-documents.ts";

const UNPACKED_BYTES_MAX = 64 * 1024 * 1024;
const ENTRIES_MAX = 100_000;

/** Names as `opa build` and other packers of bundles write them: a leading slash or `./` says nothing. */
const RULES: TarRules = {
  fileName(given) {
    const name = given.replace(/^\.?\//, "");
    const parts = name.split("/");
    if (name === "" || name.includes("\\") || parts.some((part) => part === "" || part === "." || part === ".."))
      throw new ArchiveError(`${show(given)} is no name for a file in it`);
    return name;
  },
  checkFolder() {},
  mayRename: true,
};

/**
 * Reads a bundle's `.tar.gz`. Nothing is written to disk, and only plain files count.
 * @returns contents by name, without the leading slash that OPA writes.
 * @param bytesMax largest, unpacked; default 64 MiB.
 * @throws BundleError reason `archive`: not gzip or tar, larger than that, names that are absolute beyond
 *   OPA's slash, climb or come twice, links and other special entries.
 */
export async function readBundleFiles(
  bytes: Uint8Array,
  bytesMax = UNPACKED_BYTES_MAX,
): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  try {
    if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) throw new ArchiveError("it is not gzip");
    const atHand = unpackedAtHand(bytes, bytesMax);
    const archive = atHand === undefined ? unpacked(once(bytes)) : once(atHand);
    for await (const { name, body } of readTar(archive, RULES, { bytesMax, entriesMax: ENTRIES_MAX })) {
      if (files.has(name)) throw new ArchiveError(`${name} comes twice`);
      const parts: Uint8Array[] = [];
      for await (const part of body) parts.push(part);
      files.set(name, concatBytes(...parts));
    }
  } catch (error) {
    if (!(error instanceof ArchiveError)) throw error;
    throw new BundleError("archive", `the bundle cannot be read: ${error.message}`, { cause: error });
  }
  return files;
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/**
 * What policies see as `data`: each data file's document under the folder that it lies in.
 * @throws BundleError `archive` where one is no JSON or YAML, `data` where two disagree or hold a number that would be rounded.
 */
export async function readBundleData(files: ReadonlyMap<string, Uint8Array>): Promise<Document> {
  let data: Document = {};
  for (const [name, content] of files) {
    if (!isDataFile(name)) continue;
    const folders = name.split("/").slice(0, -1);
    const document = folders.reduceRight<unknown>(
      (value, folder) => ({ __proto__: null, [folder]: value }),
      await readDocument(name, content),
    );
    if (!isDocument(document)) throw new BundleError("archive", `${name} in the bundle is not a JSON object`);
    data = merged(data, document, name);
  }
  return data;
}

type Document = { readonly [name: string]: unknown };

const isDocument = (value: unknown): value is Document =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function merged(left: Document, right: Document, name: string): Document {
  const names = Object.keys(right);
  const whole = Object.fromEntries(Object.entries(left));
  for (const key of names) {
    const [before, after] = [Object.hasOwn(left, key) ? left[key] : undefined, right[key]];
    if (before !== undefined && !(isDocument(before) && isDocument(after)))
      throw new BundleError("data", `${name} in the bundle says again what ${key} is`);
    const value = isDocument(before) && isDocument(after) ? merged(before, after, name) : after;
    Object.defineProperty(whole, key, { value, enumerable: true, configurable: true, writable: true });
  }
  return whole;
}
