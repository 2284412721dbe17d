// Every kind of store, each to be held to the same: the cases of this folder run over all of them.
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import test, { type ExecutionContext } from "ava";
import pg from "pg";
import { openReader, openWriter, storeFile } from "../../src/store/open.ts";
import { endLease, takeLease } from "../../src/store/postgres/lease.ts";
import type { StoreReader, StoreWriter } from "../../src/store/store.ts";
import { noPostgres, testServer } from "../postgres/server.ts";

/** Where a store of its own lies; the node `n` writes it. */
export interface Place {
  writer(): Promise<StoreWriter>;
  reader(): Promise<StoreReader>;
  /** How many rows a table has. */
  rows(table: string): Promise<number>;
  end(): Promise<void>;
  /** Every question costs a round trip. */
  readonly isFar: boolean;
}

async function inDirectory(): Promise<Place> {
  const dir = mkdtempSync(join(tmpdir(), "railgate-store-"));
  return {
    writer: () => openWriter(dir),
    reader: () => openReader(dir),
    rows: async (table) => {
      using db = new DatabaseSync(storeFile(dir), { readOnly: true });
      return db.prepare(`SELECT count(*) AS n FROM ${table}`).get()!["n"] as number;
    },
    isFar: false,
    end: async () => rmSync(dir, { recursive: true }),
  };
}

async function onServer(): Promise<Place> {
  const at = { url: await (await testServer()).url(), poolMax: 2, scope: randomUUID() };
  const lease = await takeLease(at, "n");
  return {
    writer: () => openWriter({ ...at, lease }),
    reader: () => openReader(at),
    rows: async (table) => {
      const client = new pg.Client({ connectionString: at.url });
      await client.connect();
      const { rows } = await client.query(`SELECT count(*)::int AS n FROM railgate.${table}`);
      await client.end();
      return rows[0].n as number;
    },
    isFar: true,
    end: () => endLease(at, lease),
  };
}

const missing = noPostgres();
if (missing !== undefined) console.warn(missing);

export const ENGINES = [
  { name: "SQLite", make: inDirectory, run: test },
  { name: "PostgreSQL", make: onServer, run: missing === undefined ? test : test.skip },
] as const;

/** One case over every engine. */
export function overAll(title: string, work: (t: ExecutionContext, place: Place) => Promise<void>): void {
  for (const { name, make, run } of ENGINES)
    run(`${name}: ${title}`, async (t) => {
      t.timeout(300_000);
      const place = await make();
      try {
        await work(t, place);
      } finally {
        await place.end();
      }
    });
}
