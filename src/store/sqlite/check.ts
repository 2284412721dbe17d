// What SQLite finds wrong with a database's file.
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
