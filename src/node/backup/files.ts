// What a backup is: one archive with the database, the private keys and what was witnessed, and a list of them with digests.
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { nodeGunzip } from "../../archive/gzip-node.ts";
import { unpacked } from "../../archive/gzip.ts";
import { ArchiveError, readTar, show, type ArchiveEntry } from "../../archive/tar.ts";
import { digestText } from "../../core/digest.ts";
import { RailgateError } from "../../core/errors.ts";

/** What was given is no backup, or not the whole of one. */
export class NoBackupError extends RailgateError {
  static override code: string = "no_backup";
}

export const LIST = "backup.json";
export const DATABASE = "railgate.db";
/** Folders that come along, as far as they are there. `checkpoints/` MUST NOT: a copy that had it could go on unnoticed (spec api §2). */
export const FOLDERS = ["keys", "witness"] as const;
const FORMAT = "railgate-backup-v1";
const NAME = new RegExp(`^(?:${LIST}|${DATABASE}|(?:${FOLDERS.join("|")})/(?!\\.)[\\w.-]{1,80})$`);
const LIST_BYTES_MAX = 64 * 1024 * 1024;
const LIMITS = { bytesMax: 8 * 1024 ** 4, entriesMax: 100_000 };

export interface BackupList {
  readonly format: typeof FORMAT;
  readonly node_id: string;
  /** RFC 3339. */
  readonly made_at: string;
  readonly streams: readonly { readonly chain_id: string; readonly size: number }[];
  /** Digests by name. */
  readonly files: Readonly<Record<string, string>>;
}

export const newList = (list: Omit<BackupList, "format">): BackupList => ({ format: FORMAT, ...list });

/**
 * Reads a backup from beginning to end.
 * @param take is given each file but the list; it is read to its end, whatever is left of it.
 * @returns the list, once every file in it was there, and had its digest.
 * @throws NoBackupError
 */
export async function readBackup(
  path: string,
  take: (entry: ArchiveEntry) => Promise<void> = async () => {},
): Promise<BackupList> {
  let list: BackupList | undefined;
  const found = new Map<string, string>();
  try {
    const archive = unpacked(createReadStream(path, { highWaterMark: 1024 * 1024 }), nodeGunzip);
    for await (const entry of readTar(archive, { fileName, checkFolder, mayRename: false }, LIMITS)) {
      if (entry.name === LIST) list = await readList(entry);
      else if (found.has(entry.name)) throw new ArchiveError(`${show(entry.name)} is there twice`);
      else found.set(entry.name, await hashed(entry, take));
    }
  } catch (cause) {
    if (cause instanceof ArchiveError) throw new NoBackupError(`${path} is no backup: ${cause.message}`, { cause });
    if ((cause as NodeJS.ErrnoException).path === path)
      throw new NoBackupError(`${path} can't be read (${(cause as NodeJS.ErrnoException).code})`, { cause });
    throw cause;
  }
  if (!list) throw new NoBackupError(`${path} is no backup: it holds no ${LIST}`);
  const names = new Set([...found.keys(), ...Object.keys(list.files)]);
  for (const name of names)
    if (list.files[name] !== found.get(name))
      throw new NoBackupError(`${path} is damaged: ${name} is not what was backed up`);
  return list;
}

function fileName(given: string): string {
  if (!NAME.test(given)) throw new ArchiveError(`${show(given)} is no file of a backup`);
  return given;
}

function checkFolder(given: string): void {
  throw new ArchiveError(`${show(given)} is no file of a backup`);
}

async function readList({ size, body }: ArchiveEntry): Promise<BackupList> {
  if (size > LIST_BYTES_MAX) throw new ArchiveError(`its ${LIST} is too large`);
  const parts: Uint8Array[] = [];
  for await (const part of body) parts.push(part.slice());
  try {
    const list = JSON.parse(Buffer.concat(parts).toString("utf8")) as BackupList;
    if (list.format === FORMAT && DATABASE in list.files) return list;
    throw new ArchiveError(`it is of the format ${show(String(list.format))}, and this version reads ${FORMAT}`);
  } catch (cause) {
    throw cause instanceof ArchiveError ? cause : new ArchiveError(`its ${LIST} is damaged`, { cause });
  }
}

/** @returns the digest of what was in it. */
async function hashed(entry: ArchiveEntry, take: (entry: ArchiveEntry) => Promise<void>): Promise<string> {
  const hash = createHash("sha256");
  const body = (async function* () {
    for await (const part of entry.body) {
      hash.update(part);
      yield part;
    }
  })();
  await take({ ...entry, body });
  for await (const _ of body);
  return digestText(hash.digest());
}
