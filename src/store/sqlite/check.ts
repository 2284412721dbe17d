// A database's file as a whole: what SQLite finds wrong with it, and a copy of it.
import { DatabaseSync } from "node:sqlite";
import { BUSY_TIMEOUT_MS } from "./schema.ts";

/** undefined if nothing is wrong. */
export function checkDatabase(path: string): string | undefined {
  try {
    using db = new DatabaseSync(path, { readOnly: true, timeout: BUSY_TIMEOUT_MS });
    const found = db
      .prepare("PRAGMA quick_check(5)")
      .all()
      .map((line) => String(Object.values(line)[0]));
    return found.length === 1 && found[0] === "ok" ? undefined : found.join("; ");
  } catch (error) {
    return (error as Error).message;
  }
}

/** All that is committed, as of one moment, written anew: what was deleted leaves nothing behind. */
export function copyDatabase(from: string, to: string): void {
  using db = new DatabaseSync(from, { readOnly: true, timeout: BUSY_TIMEOUT_MS });
  db.prepare("VACUUM INTO ?").run(to);
}
