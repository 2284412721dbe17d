// What `railgate doctor` asks the data directory's databases below their interface.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { storeFile } from "../../store/sqlite/sqlite.ts";

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

/** What SQLite finds wrong with the database; undefined if nothing, null if there is none. */
export function quickCheck(dataDir: string): string | undefined | null {
  if (!existsSync(storeFile(dataDir))) return null;
  try {
    using db = new DatabaseSync(storeFile(dataDir), { readOnly: true, timeout: 5000 });
    const found = db
      .prepare("PRAGMA quick_check(5)")
      .all()
      .map((line) => String(Object.values(line)[0]));
    return found.length === 1 && found[0] === "ok" ? undefined : found.join("; ");
  } catch (error) {
    return (error as Error).message;
  }
}

/** When the newest event was recorded, milliseconds since the epoch; undefined if there is none. */
export function lastEventMs(dataDir: string): number | undefined {
  if (!existsSync(storeFile(dataDir))) return undefined;
  using db = new DatabaseSync(storeFile(dataDir), { readOnly: true, timeout: 5000 });
  return db.prepare("SELECT occurred_at_ms FROM events ORDER BY position DESC LIMIT 1").get()?.["occurred_at_ms"] as
    | number
    | undefined;
}
