// `railgate/verify` in Node: the same verification over files and folders, with signatures checked on all cores.
import { closeSync, constants, createReadStream, fstatSync, openSync, readSync } from "node:fs";
import { lstat, open, opendir, stat } from "node:fs/promises";
import { join } from "node:path";
import { nodeGunzip, passingGunzip } from "../../archive/gzip-node.ts";
import { ArchiveError, type ArchiveEntry } from "../../archive/tar.ts";
import { byUse, checkedName, DEFAULT_ARCHIVE_LIMITS, readArchive, type ArchiveLimits } from "./files.ts";
import { opener, type ExportInput } from "./index.ts";
import type { PinnedKeys } from "./keys.ts";
import { DiskPages } from "./disk-pages.ts";
import { NODE_PRIMITIVES } from "./node-primitives.ts";
import { VerifierPool } from "./pool.ts";
import type { VerifyReport } from "./report.ts";
import { verify, type VerifyOptions } from "./verification.ts";

export type { Check, CheckName, CheckStatus, ErasedArtifact, ExportSummary, Place, VerifyReport } from "./report.ts";
export { CHECKS } from "./report.ts";
export type { ExportInput } from "./index.ts";
export type { VerifyOptions } from "./verification.ts";
export type { PinnedKeys };

const READ_BYTES = 64 * 1024;
/** Of an archive, at once. */
const PACKED_BYTES = 256 * 1024;
/** An archive of so much has work for all threads; where there is less, the first may do all of it. */
const LARGE_BYTES = 1024 * 1024;

/**
 * Verifies an export (spec evidence §6).
 * @param input a path of a folder, a `.tar.gz` or a `.tar`, or what `railgate/verify` takes elsewhere.
 * @throws TypeError when a pinned key is no Ed25519 public key.
 * @throws Error of the file system, when the path cannot be read.
 */
export async function verifyExport(input: string | ExportInput, options: VerifyOptions = {}): Promise<VerifyReport> {
  const pool = new VerifierPool();
  const scratch = new DiskPages();
  try {
    if (typeof input === "string" && (await stat(input)).size > LARGE_BYTES) pool.start();
    const open = await opened(input, options.limits, passingGunzip);
    return await verify(open, options, { primitives: NODE_PRIMITIVES, checker: pool, scratch });
  } finally {
    // Not `using`: this module runs on Node 20.
    scratch[Symbol.dispose]();
    await pool.close();
  }
}

/** Opens an export's files to be read one after the other, as often as is wanted where that can be. */
export async function opened(
  input: string | ExportInput,
  limits?: Partial<ArchiveLimits>,
  gunzip = nodeGunzip,
): Promise<() => AsyncIterable<ArchiveEntry> | null> {
  const bounds = { ...DEFAULT_ARCHIVE_LIMITS, ...limits };
  if (typeof input !== "string") {
    const archive =
      input instanceof Map || input instanceof Uint8Array || input instanceof Blob
        ? undefined
        : (input as AsyncIterable<Uint8Array>);
    if (archive === undefined) return opener(input, bounds);
    let read = false;
    return () => (read ? null : ((read = true), readArchive(archive, bounds, gunzip)));
  }
  if ((await lstat(input)).isDirectory()) {
    const names = await namesIn(input, bounds);
    return () => filesIn(input, names);
  }
  await (await open(input)).close();
  return () => readArchive(createReadStream(input, { highWaterMark: PACKED_BYTES }), bounds, gunzip);
}

/** Names of the files in a folder. Nothing but plain files, in `artifacts/` or beside it: links are not followed. */
async function namesIn(folder: string, limits: ArchiveLimits): Promise<string[] | ArchiveError> {
  const names: string[] = [];
  try {
    for (const under of ["", "artifacts"]) {
      for await (const entry of await opendir(join(folder, under)).catch(() => [])) {
        const name = under === "" ? entry.name : `${under}/${entry.name}`;
        if (entry.isDirectory() && name === "artifacts") continue;
        if (!entry.isFile()) throw new ArchiveError(`${JSON.stringify(name)} is no plain file`);
        names.push(checkedName(name));
        if (names.length > limits.entriesMax) throw new ArchiveError(`it holds more than ${limits.entriesMax} files`);
      }
    }
  } catch (error) {
    if (error instanceof ArchiveError) return error;
    throw error;
  }
  return names.sort(byUse);
}

async function* filesIn(folder: string, names: string[] | ArchiveError): AsyncGenerator<ArchiveEntry> {
  if (names instanceof ArchiveError) throw names;
  for (const name of names) {
    const fd = openSync(join(folder, name), constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      const stat = fstatSync(fd);
      if (!stat.isFile()) throw new ArchiveError(`${JSON.stringify(name)} is no plain file`);
      yield { name, size: stat.size, body: contentOf(fd) };
    } finally {
      closeSync(fd);
    }
  }
}

/** Most files are small, and reading those at once is several times as fast as any stream. */
async function* contentOf(fd: number): AsyncGenerator<Uint8Array> {
  for (;;) {
    const part = Buffer.allocUnsafe(READ_BYTES);
    const length = readSync(fd, part);
    if (length === 0) return;
    yield part.subarray(0, length);
  }
}
