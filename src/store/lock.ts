// One writer per data directory: an exclusive SQLite lock, which the kernel releases when its holder dies, however it dies.
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { DataDirError, RailgateError, StoreLockedError } from "../core/errors.ts";
import { writeDurably } from "./files.ts";
import { storeExists, storeFile } from "./open.ts";

/** What the holder says of itself, for messages and for commands that would rather ask it. */
export interface LockHolder {
  readonly pid: number;
  readonly since: string;
  /** Where it listens, once it does. */
  readonly url?: string | undefined;
  /** The socket by which whoever owns the directory may ask it. */
  readonly socket?: string | undefined;
}

export class DataDirLock {
  readonly #dataDir: string;
  readonly #db: DatabaseSync;
  #holder: LockHolder;

  private constructor(dataDir: string, db: DatabaseSync, holder: LockHolder) {
    this.#dataDir = dataDir;
    this.#db = db;
    this.#holder = holder;
    this.#announce();
  }

  /**
   * Takes the directory's lock, creating the directory (mode 0700) where needed.
   * @param since RFC 3339, told to whoever finds it locked.
   * @throws StoreLockedError naming the holder. @throws DataDirError
   */
  static acquire(dataDir: string, since: string): DataDirLock {
    try {
      return DataDirLock.#acquire(dataDir, since);
    } catch (error) {
      throw error instanceof RailgateError ? error : new DataDirError(dataDir, error);
    }
  }

  static #acquire(dataDir: string, since: string): DataDirLock {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    const db = new DatabaseSync(join(dataDir, "lock.db"));
    try {
      db.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
    } catch (error) {
      db.close();
      if (!isBusy(error)) throw error;
      throw locked(dataDir);
    }
    try {
      mustBeAlone(dataDir);
    } catch (error) {
      db.close();
      throw error;
    }
    return new DataDirLock(dataDir, db, { pid: process.pid, since });
  }

  /** Tells others where the holder can be asked. */
  listening(at: Pick<LockHolder, "url" | "socket">): void {
    this.#holder = { ...this.#holder, ...at };
    this.#announce();
  }

  release(): void {
    rmSync(holderFile(this.#dataDir), { force: true });
    this.#db.close();
  }

  #announce(): void {
    writeDurably(holderFile(this.#dataDir), `${JSON.stringify(this.#holder)}\n`);
  }
}

/** Whether a process holds the directory. Only reads, so that it takes nothing from one that starts meanwhile. */
export function isLocked(dataDir: string): boolean {
  const file = join(dataDir, "lock.db");
  if (!existsSync(file)) return false;
  using db = new DatabaseSync(file, { readOnly: true, timeout: 0 });
  try {
    db.prepare("SELECT count(*) FROM sqlite_master").get();
    return false;
  } catch {
    return true;
  }
}

/** Who holds the directory, as it said; stale after a crash, so only meaningful when the lock is taken. */
export function readHolder(dataDir: string): LockHolder | undefined {
  try {
    return JSON.parse(readFileSync(holderFile(dataDir), "utf8")) as LockHolder;
  } catch {
    return undefined;
  }
}

/**
 * Whoever finds a lock file finds one that is free where somebody removed the holder's; but the holder has the database open,
 * and its locks on that file go with the process alone.
 * @throws StoreLockedError
 */
function mustBeAlone(dataDir: string): void {
  if (!storeExists(dataDir)) return;
  using db = new DatabaseSync(storeFile(dataDir), { timeout: ALONE_WAIT_MS });
  try {
    db.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; ROLLBACK");
  } catch (error) {
    // What else may be wrong with it, whoever opens it says.
    if (isBusy(error)) throw locked(dataDir);
  }
}

function locked(dataDir: string): StoreLockedError {
  const holder = readHolder(dataDir);
  const who = holder
    ? `process ${holder.pid} since ${holder.since}${holder.url ? `, listening on ${holder.url}` : ""}`
    : "another process";
  return new StoreLockedError(
    `the data directory ${dataDir} is in use by ${who}; stop it, or give this one a directory of its own (RAILGATE_DATA_DIR)`,
  );
}

const SQLITE_BUSY = 5;
const isBusy = (error: unknown): boolean => ((error as { errcode?: number }).errcode ?? 0) % 256 === SQLITE_BUSY;
/** A command that only reads may have the database open for a moment. */
const ALONE_WAIT_MS = 3000;

function holderFile(dataDir: string): string {
  return join(dataDir, "lock.json");
}
