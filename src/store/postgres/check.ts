// What can be told of a PostgreSQL without writing to it: whether a store is there, and whether what it commits is durable.
import type { DatabaseAt } from "./address.ts";
import { connectForWriting, ended, readingPool, ServerRefusedError } from "./connect.ts";
import { checkReadable, versionOf } from "./schema.ts";

/** @throws Error it cannot be asked. @throws ServerRefusedError its tables are a newer version's. */
export async function hasTables(at: DatabaseAt): Promise<boolean> {
  const pool = readingPool({ ...at, poolMax: 1 });
  try {
    const version = await versionOf(pool);
    checkReadable(version);
    return version > 0;
  } finally {
    await pool.end();
  }
}

/** @returns why no node writes to it; undefined: one may. @throws Error it cannot be asked. */
export async function checkServer(at: DatabaseAt): Promise<string | undefined> {
  try {
    await ended(await connectForWriting(at));
    return undefined;
  } catch (error) {
    if (error instanceof ServerRefusedError) return error.message;
    throw error;
  }
}
