// A sorted map on disk for work that must not grow in memory; it is gone when it is closed.
import { DatabaseSync, type StatementSync } from "node:sqlite";
import type { StatePlace } from "./store.ts";

/** SQLite deletes the file of such a database as soon as it is made. */
const TEMPORARY = "";
const CACHE_KIB = 32 * 1024;

/** Texts by kind, tenant and key, as a store keeps its state. */
export class Scratch implements Disposable {
  readonly #db: DatabaseSync;
  readonly #get: StatementSync;
  readonly #put: StatementSync;
  readonly #delete: StatementSync;
  readonly #page: StatementSync;

  constructor() {
    this.#db = new DatabaseSync(TEMPORARY);
    this.#db.exec(`PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -${CACHE_KIB};
                   CREATE TABLE states (kind TEXT, tenant_id TEXT, key TEXT, value TEXT NOT NULL, PRIMARY KEY (kind, tenant_id, key)) WITHOUT ROWID; BEGIN`);
    this.#get = this.#db.prepare("SELECT value FROM states WHERE kind = ? AND tenant_id = ? AND key = ?");
    this.#put = this.#db.prepare("INSERT OR REPLACE INTO states (kind, tenant_id, key, value) VALUES (?, ?, ?, ?)");
    this.#delete = this.#db.prepare("DELETE FROM states WHERE kind = ? AND tenant_id = ? AND key = ?");
    this.#page = this.#db.prepare(
      "SELECT tenant_id, key, value FROM states WHERE kind = ? AND (tenant_id, key) > (?, ?) ORDER BY tenant_id, key LIMIT ?",
    );
  }

  get(kind: string, { tenant_id, key }: StatePlace): string | undefined {
    return this.#get.get(kind, tenant_id, key)?.["value"] as string | undefined;
  }

  /** @param value null: it goes. */
  set(kind: string, { tenant_id, key }: StatePlace, value: string | null): void {
    if (value === null) this.#delete.run(kind, tenant_id, key);
    else this.#put.run(kind, tenant_id, key, value);
  }

  /** By tenant, then key, behind a place. */
  page(kind: string, limit: number, after: StatePlace | undefined): (StatePlace & { value: string })[] {
    const { tenant_id, key } = after ?? { tenant_id: "", key: "" };
    return this.#page.all(kind, tenant_id, key, limit) as unknown as (StatePlace & { value: string })[];
  }

  [Symbol.dispose](): void {
    this.#db.close();
  }
}
