// Puts a backup into an empty data directory: all of it, verified, or nothing. The node that opens it next must be told why (spec api §2, Operators).
import { counted } from "../../core/counted.ts";
import { createWriteStream, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { BackupError, RailgateError } from "../../core/errors.ts";
import { syncDir } from "../../store/files.ts";
import { DataDirLock } from "../../store/lock.ts";
import { DATABASE, FOLDERS, NoBackupError, readBackup, type BackupList } from "./files.ts";
import { checkCopy, keyFits } from "./sound.ts";

/** Something is in the data directory already. */
class NotEmptyError extends RailgateError {
  static override code: string = "data_dir_not_empty";
}

export interface RestoreBackupOptions {
  readonly path: string;
  /** Made where there is none. */
  readonly dataDir: string;
  readonly nowMs: number;
  readonly progress?: (doing: string) => void;
}

export interface RestoredBackup extends Omit<BackupList, "files" | "format" | "streams"> {
  readonly data_dir: string;
  readonly streams: number;
  readonly events: number;
}

/** What a data directory may have in it and be empty all the same: what the lock is taken with, what a restore left that was cut off. */
const NOTHING = /^(?:lock\.(?:db|json).*|lost\+found|\.restore-.*)$/;

/**
 * @throws NotEmptyError; NoBackupError it is none, or damaged; BackupUnsoundError its evidence does not verify;
 *   StoreLockedError, DataDirError; BackupError it cannot be written. The directory is as empty as before.
 */
export async function restoreBackup({
  path,
  dataDir,
  nowMs,
  progress = () => {},
}: RestoreBackupOptions): Promise<RestoredBackup> {
  const dir = resolve(dataDir);
  mustBeEmpty(dir);
  if (!existsSync(path)) throw new NoBackupError(`there is no file ${path}`);
  const lock = DataDirLock.acquire(dir, new Date(nowMs).toISOString());
  const staging = mkdtempSync(join(dir, ".restore-"));
  try {
    mustBeEmpty(dir);
    progress("unpacking…");
    const { node_id, made_at, streams } = await unpack(path, staging);
    const { events } = await checkCopy(staging, (verified) => progress(`verified ${counted(verified, "event")}…`));
    if (!(await keyFits(staging)))
      throw new NoBackupError(`${path}: its private key is not the one that its database names`);
    putInPlace(staging, dir);
    return { data_dir: dir, node_id, made_at, streams: streams.length, events };
  } catch (cause) {
    if (cause instanceof RailgateError) throw cause;
    throw new BackupError(
      `${dir} can't be written: ${(cause as Error).message}; make room, or name another with --data-dir`,
      { cause },
    );
  } finally {
    for (const name of readdirSync(dir))
      if (name.startsWith(".restore-")) rmSync(join(dir, name), { recursive: true, force: true });
    lock.release();
  }
}

function mustBeEmpty(dir: string): void {
  const there = existsSync(dir) ? readdirSync(dir).filter((name) => !NOTHING.test(name)) : [];
  if (there.length > 0)
    throw new NotEmptyError(
      `${dir} is not empty (${there.slice(0, 3).join(", ")}${there.length > 3 ? ", …" : ""}); move away what is there, or name another place with --data-dir`,
    );
}

async function unpack(path: string, to: string): Promise<BackupList> {
  for (const folder of FOLDERS) mkdirSync(join(to, folder), { mode: 0o700 });
  return readBackup(path, async ({ name, body }) => {
    const target = createWriteStream(join(to, name), { flags: "wx", mode: 0o600, flush: true });
    await pipeline(Readable.from(body, { objectMode: false }), target);
  });
}

/** The database first: keys without one would begin a second history under the same name, and a database without keys does not start. */
function putInPlace(from: string, dir: string): void {
  for (const name of [DATABASE, ...FOLDERS]) {
    if (name !== DATABASE && readdirSync(join(from, name)).length === 0) continue;
    if (name !== DATABASE) syncDir(join(from, name));
    renameSync(join(from, name), join(dir, name));
    syncDir(dir);
  }
  syncDir(dirname(dir));
}
