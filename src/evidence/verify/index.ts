// `railgate/verify`: checks an export with nothing but the export itself, in browsers and wherever else there is WebCrypto.
import { unpacked } from "./unpack.ts";
import { WEB_PRIMITIVES } from "./primitives.ts";
import type { PinnedKeys } from "./keys.ts";
import type { VerifyReport } from "./report.ts";
import { checkedName, readTar, type ArchiveEntry, type ArchiveLimits } from "./tar.ts";
import { Verification } from "./verification.ts";

export type { Check, CheckName, CheckStatus, ErasedArtifact, ExportSummary, Place, VerifyReport } from "./report.ts";
export { CHECKS } from "./report.ts";
export type { PinnedKeys } from "./keys.ts";

export interface VerifyOptions {
  /** A JWKS of keys that the auditor holds; only these may have signed. */
  readonly jwks?: PinnedKeys | undefined;
  /** Bounds of the archive: bytes unpacked, and entries. */
  readonly limits?: Partial<ArchiveLimits> | undefined;
  /** Called now and then with how many events were read. */
  readonly progress?: ((events: number) => void) | undefined;
}

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
  return new Verification({ primitives: WEB_PRIMITIVES, ...options }).read(opener(input, options.limits));
}

/** Files of an export in the order in which they can be checked as they come. */
const ORDER = [
  "manifest.json",
  "keys.json",
  "verifier-inputs.json",
  "checkpoint",
  "chain-segment.json",
  "events.jsonl",
  "records.jws",
  "proofs.json",
];

/** Compares file names: those first that others are checked with. */
export function byUse(a: string, b: string): number {
  const [left, right] = [ORDER.indexOf(a), ORDER.indexOf(b)].map((at) => (at === -1 ? ORDER.length : at)) as [
    number,
    number,
  ];
  return left - right || (a < b ? -1 : a > b ? 1 : 0);
}

/** Opens an export; a second time only where its bytes are still there. */
export function opener(input: ExportInput, limits?: Partial<ArchiveLimits>): () => AsyncIterable<ArchiveEntry> | null {
  if (input instanceof Map) return () => filesOf(input as ReadonlyMap<string, Uint8Array>);
  if (input instanceof Uint8Array) return () => readTar(unpacked(once(input)), limits);
  if (input instanceof Blob) return () => readTar(unpacked(input.stream()), limits);
  let read = false;
  return () => {
    if (read) return null;
    read = true;
    return readTar(unpacked(input as AsyncIterable<Uint8Array>), limits);
  };
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

async function* filesOf(files: ReadonlyMap<string, Uint8Array>): AsyncGenerator<ArchiveEntry> {
  for (const name of [...files.keys()].sort(byUse))
    yield { name: checkedName(name), size: files.get(name)!.length, body: once(files.get(name)!) };
}
