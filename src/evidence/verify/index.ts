// `railgate/verify`: checks an export with nothing but the export itself, in browsers and wherever else there is WebCrypto.
import type { ArchiveEntry } from "../../archive/tar.ts";
import { byUse, checkedName, DEFAULT_ARCHIVE_LIMITS, readArchive, type ArchiveLimits } from "./files.ts";
import { WEB_PRIMITIVES } from "./primitives.ts";
import type { VerifyReport } from "./report.ts";

import { verify, type VerifyOptions } from "./verification.ts";

export type { Check, CheckName, CheckStatus, ErasedArtifact, ExportSummary, Place, VerifyReport } from "./report.ts";
export { CHECKS } from "./report.ts";
export type { PinnedKeys } from "./keys.ts";
export type { VerifyOptions } from "./verification.ts";

/** An export: the bytes of a `.tar.gz` or `.tar`, a stream of them, or its files by path. */
export type ExportInput =
  | Uint8Array
  | Blob
  | ReadableStream<Uint8Array>
  | AsyncIterable<Uint8Array>
  | ReadonlyMap<string, Uint8Array>;

/**
 * Verifies an export (spec evidence §6). Never throws on what the export holds: whatever is wrong with it is in the report.
 * @throws TypeError when a pinned key is no Ed25519 public key.
 */
export async function verifyExport(input: ExportInput, options: VerifyOptions = {}): Promise<VerifyReport> {
  return verify(opener(input, options.limits), options, { primitives: WEB_PRIMITIVES });
}

/** Opens an export; a second time only where its bytes are still there. */
export function opener(input: ExportInput, given?: Partial<ArchiveLimits>): () => AsyncIterable<ArchiveEntry> | null {
  const limits = { ...DEFAULT_ARCHIVE_LIMITS, ...given };
  if (input instanceof Map) return () => filesOf(input as ReadonlyMap<string, Uint8Array>);
  if (input instanceof Uint8Array) return () => readArchive(once(input), limits);
  if (input instanceof Blob) return () => readArchive(input.stream(), limits);
  let read = false;
  return () => {
    if (read) return null;
    read = true;
    return readArchive(input as AsyncIterable<Uint8Array>, limits);
  };
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

async function* filesOf(files: ReadonlyMap<string, Uint8Array>): AsyncGenerator<ArchiveEntry> {
  for (const name of [...files.keys()].sort(byUse))
    yield { name: checkedName(name), size: files.get(name)!.length, body: once(files.get(name)!) };
}
