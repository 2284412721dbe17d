// A database's files as they lie on the disk: still the ones that were opened, written by nobody else, and rid of what a failed commit left in them.
import { closeSync, fstatSync, fsyncSync, ftruncateSync, openSync, statSync } from "node:fs";
import type { DatabaseSync } from "node:sqlite";
import { DisplacedError } from "../store.ts";

/** https://www.sqlite.org/fileformat2.html#the_write_ahead_log */
const WAL_HEADER_BYTES = 32;
const FRAME_HEADER_BYTES = 24;

interface Seen {
  readonly id: string;
  /** Changes with whatever is written. */
  readonly content: string;
}

/** @param path of the database. @returns what tells its file from every other that might be put there. @throws DisplacedError there is none. */
export function fileAt(path: string): string {
  return mustLieAt(path, undefined).id;
}

/**
 * To be asked before one is opened: SQLite takes the log of writes beside a file for that file's own, and cuts short the index to
 * it, which connections of this process to what lay there before have mapped. Whoever of them reads then dies (SIGBUS).
 * @param place where it must be, as `fileAt` gave it; undefined: any.
 * @throws DisplacedError it is another one, or gone.
 */
export function mustLieAt(path: string, place: string | undefined): Seen {
  const database = look(path);
  if (!database || (place !== undefined && database.id !== place)) throw new DisplacedError(gone(path, database));
  return database;
}

export class DatabaseFiles {
  readonly #path: string;
  #database: Seen;
  /** Undefined until there is one. */
  #wal: Seen | undefined;

  /**
   * @param place where the database must be, as `fileAt` gave it.
   * @throws DisplacedError it is another one.
   */
  constructor(path: string, place: string | undefined) {
    this.#path = path;
    this.#database = mustLieAt(path, place);
    this.#wal = look(this.#walPath);
  }

  /** @throws DisplacedError what was opened is not there any more, or others have written to it. */
  check(): void {
    const database = look(this.#path);
    if (database?.id !== this.#database.id) throw new DisplacedError(gone(this.#path, database));
    const wal = look(this.#walPath);
    if (this.#wal && wal?.id !== this.#wal.id) throw this.#logLost(wal);
    if (database.content !== this.#database.content || (this.#wal && wal?.content !== this.#wal.content))
      throw new DisplacedError(`something else than this node has written to ${this.#path}`);
  }

  /** Takes note of what the writer itself has just written. @throws DisplacedError it went to files that are not there any more. */
  written(): void {
    const database = look(this.#path);
    const wal = look(this.#walPath);
    if (database?.id !== this.#database.id) throw new DisplacedError(gone(this.#path, database));
    if (this.#wal && wal?.id !== this.#wal.id) throw this.#logLost(wal);
    this.#database = database;
    this.#wal = wal;
  }

  /**
   * Cuts the log of writes behind the last commit that counts, and makes that durable: what a failed commit left behind
   * is what a recovery after a crash would find, and take for one that succeeded. It needs no room.
   */
  cutLog(db: DatabaseSync): void {
    const { log } = db.prepare("PRAGMA wal_checkpoint(NOOP)").get() as { log: number };
    const { page_size } = db.prepare("PRAGMA page_size").get() as { page_size: number };
    const end = log > 0 ? WAL_HEADER_BYTES + log * (FRAME_HEADER_BYTES + page_size) : 0;
    const file = openSync(this.#walPath, "r+");
    try {
      if (fstatSync(file).size > end) ftruncateSync(file, end);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    this.written();
  }

  /** Whoever opened it holds on to it, and a connection that is made from now on finds another. */
  #logLost(found: Seen | undefined): DisplacedError {
    const problem = gone(this.#walPath, found);
    return new DisplacedError(`${problem}; what was recorded is safe in the database; restart the node`, true);
  }

  get #walPath(): string {
    return `${this.#path}-wal`;
  }
}

function gone(path: string, found: Seen | undefined): string {
  return found ? `${path} is not the file that this node has opened` : `${path} is gone`;
}

function look(path: string): Seen | undefined {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false });
  return found && { id: `${found.dev}:${found.ino}`, content: `${found.size} ${found.mtimeNs}` };
}
