// The files of an export: which there are, how large they may be, in which order they can be checked, and how they are had from an archive.
import { unpacked, type Gunzip } from "../../archive/gzip.ts";
import { ArchiveError, readTar, show, type ArchiveEntry, type TarLimits, type TarRules } from "../../archive/tar.ts";

/** Bounds of an export that is verified; beyond them it is not read on. */
export interface ArchiveLimits extends TarLimits {
  readonly manifestBytesMax: number;
  /** Events, and whatever else there is one of for each. */
  readonly eventsMax: number;
}

export const DEFAULT_ARCHIVE_LIMITS: ArchiveLimits = {
  bytesMax: 256 * 1024 ** 3,
  entriesMax: 20_000_000,
  manifestBytesMax: 16 * 1024 ** 3,
  eventsMax: 20_000_000,
};

/** Files outside `artifacts/`, in the order in which they can be checked as they come. Those without a bound are read as they stream by. */
export const FILES = {
  "manifest.json": { bytesMax: Infinity },
  "keys.json": { bytesMax: 4 * 1024 * 1024 },
  "verifier-inputs.json": { bytesMax: 1024 * 1024 },
  "profile-claim.json": { bytesMax: 1024 * 1024 },
  checkpoint: { bytesMax: 64 * 1024 },
  "chain-segment.json": { bytesMax: Infinity },
  "events.jsonl": { bytesMax: Infinity },
  "records.jws": { bytesMax: Infinity },
  "proofs.json": { bytesMax: Infinity },
} as const;
export type FileName = keyof typeof FILES;
export const isFileName = (name: string): name is FileName => Object.hasOwn(FILES, name);

export const ARTIFACT_NAME = /^artifacts\/[0-9a-f]{64}$/;
export const ARTIFACT_PREFIX = "artifacts/";
export const ARTIFACT_BYTES_MAX = 1024 ** 3;

const NAME_LENGTH_MAX = 255;
const ORDER = Object.keys(FILES);

/** Compares file names: those first that others are checked with. */
export function byUse(a: string, b: string): number {
  const place = (name: string): number => (isFileName(name) ? ORDER.indexOf(name) : ORDER.length);
  return place(a) - place(b) || (a < b ? -1 : a > b ? 1 : 0);
}

/** @throws ArchiveError for names that lead out of the export, or look like others. */
export function checkedName(given: string): string {
  if (ARTIFACT_NAME.test(given)) return given;
  const name = given.replace(/^\.\//, "");
  if (name.length > NAME_LENGTH_MAX || !/^[A-Za-z0-9._-]+(?:\/[A-Za-z0-9._-]+)*$/.test(name))
    throw new ArchiveError(`${show(given)} is no name of a file in an export`);
  if (name.split("/").some((part) => /^\.+$/.test(part)))
    throw new ArchiveError(`${show(given)} leads out of the export`);
  return name;
}

const RULES: TarRules = {
  fileName: checkedName,
  checkFolder(given) {
    const plain = given.replace(/^\.\//, "").replace(/\/$/, "");
    if (plain !== "" && plain !== "." && plain !== "artifacts")
      throw new ArchiveError(`${show(given)} is no folder of an export`);
  },
  mayRename: false,
};

/** The files of an export's `.tar.gz` or `.tar`, as they stream by. @throws ArchiveError */
export function readArchive(
  source: AsyncIterable<Uint8Array>,
  limits: ArchiveLimits,
  gunzip?: Gunzip,
): AsyncIterable<ArchiveEntry> {
  return readTar(unpacked(source, gunzip), RULES, limits);
}
