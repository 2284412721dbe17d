// Connections to PostgreSQL: what each session promises, and which failures leave open what became of a commit.
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { shownAddress, type DatabaseAt } from "./address.ts";

/** A holder that is paused keeps its locks no longer than this, well below the lease. */
const SESSION_MS_MAX = 8000;
const CONNECT_MS_MAX = 15_000;
/** An answer that does not come: the connection is given up. */
const ANSWER_MS_MAX = 9000;
const ENDED_MS_MAX = 1000;
/** A listing or an export may take longer than a commit. */
const READING_MS_MAX = 30_000;

/** PostgreSQL's codes: https://www.postgresql.org/docs/current/errcodes-appendix.html */
const SERIALIZATION = "40001";
const DEADLOCK = "40P01";
const INT8 = 20;

/** The server, or what it is set to, cannot be relied on; it is no use to try again. */
export class ServerRefusedError extends Error {}

export type Row = { readonly [column: string]: unknown };
export type RunQuery = (sql: string, values?: readonly unknown[]) => Promise<Row[]>;

const types = {
  // Positions, sizes and times in milliseconds are below 2^53.
  getTypeParser: ((oid: number, format?: "text") =>
    oid === INT8 ? Number : pg.types.getTypeParser(oid, format ?? "text")) as typeof pg.types.getTypeParser,
};

function optionsOf(url: string, settings: { readonly [name: string]: string | number }): pg.ClientConfig {
  const options = Object.entries(settings)
    .map(([name, value]) => `-c ${name}=${value}`)
    .join(" ");
  return {
    connectionString: `${url}${url.includes("?") ? "&" : "?"}options=${encodeURIComponent(options)}`,
    connectionTimeoutMillis: CONNECT_MS_MAX,
    application_name: "railgate",
    keepAlive: true,
    types,
  };
}

/** For reading only. Connections are made as they are needed. */
export function readingPool({ url, poolMax }: DatabaseAt): pg.Pool {
  const settings = { search_path: "railgate", statement_timeout: READING_MS_MAX, default_transaction_read_only: "on" };
  const pool = new pg.Pool({
    ...optionsOf(url, settings),
    query_timeout: READING_MS_MAX + CONNECT_MS_MAX,
    max: poolMax,
    idleTimeoutMillis: 30_000,
    allowExitOnIdle: true,
  });
  // A connection that breaks while nobody uses it is replaced; whoever asks next is told if none can be made.
  pool.on("error", () => {});
  return pool;
}

/**
 * For writing: what it says is committed is on the disk.
 * @throws ServerRefusedError the server says it is not. @throws Error it cannot be reached.
 */
export async function connectForWriting({ url }: Pick<DatabaseAt, "url">): Promise<pg.Client> {
  const settings = {
    search_path: "railgate",
    statement_timeout: SESSION_MS_MAX,
    lock_timeout: SESSION_MS_MAX,
    idle_in_transaction_session_timeout: SESSION_MS_MAX,
  };
  const client = new pg.Client({ ...optionsOf(url, settings), query_timeout: ANSWER_MS_MAX });
  // Whoever uses it is told; a connection that breaks meanwhile must not end the process.
  client.on("error", () => {});
  try {
    await client.connect();
    await checkDurability(client, url);
    return client;
  } catch (error) {
    await ended(client);
    throw error;
  }
}

async function checkDurability(client: pg.Client, url: string): Promise<void> {
  const setting = async (name: string) => {
    const { rows } = await client.query("SELECT current_setting($1) AS value", [name]);
    return (rows[0] as { value: string }).value;
  };
  if ((await setting("fsync")) !== "on")
    throw new ServerRefusedError(
      `${shownAddress(url)} has fsync off: what it says is committed may be lost. Set fsync = on, or use another server`,
    );
  // A stronger one stays.
  if ((await setting("synchronous_commit")) !== "remote_apply") await client.query("SET synchronous_commit = on");
  const found = await setting("synchronous_commit");
  if (found !== "on" && found !== "remote_apply")
    throw new ServerRefusedError(
      `${shownAddress(url)} has synchronous_commit ${found} for this session, and does not let it be on`,
    );
}

/** Lets go of a connection; one that is broken says no more. */
export async function ended(client: pg.Client): Promise<void> {
  const given = sleep(ENDED_MS_MAX, undefined, { ref: false });
  await Promise.race([client.end().catch(() => {}), given]);
}

/** Whether the same work may succeed when it is done again: nothing of it was recorded. */
export const isRetried = (error: unknown): boolean => [SERIALIZATION, DEADLOCK].includes(codeOf(error) ?? "");

/** Whether the server has answered; else the connection broke, and it may have done what it was asked. */
export const isAnswer = (error: unknown): boolean => {
  const code = codeOf(error);
  // 57P01 to 57P03 and class 08: it ends the session, whatever it was at.
  return error instanceof pg.DatabaseError && code !== undefined && !/^(57P|08)/.test(code);
};

const codeOf = (error: unknown): string | undefined => (error as { code?: string }).code;
