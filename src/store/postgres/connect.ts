// Connections to PostgreSQL: what each session promises, and which failures leave open what became of a commit.
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { shownAddress, type DatabaseAt } from "./address.ts";

/** What is waited for is given up well before the lease ends. */
const SESSION_MS_MAX = 8000;
/** A holder that is paused keeps its locks no longer than this: longer than any turn lasts, and so much shorter that whoever waits for them gets them. */
const PAUSED_MS_MAX = 5500;
const CONNECT_MS_MAX = 15_000;
/** An answer that does not come: the connection is given up. */
export const ANSWER_MS_MAX = 9000;
const ENDED_MS_MAX = 1000;
const TRY_MS_MAX = 5000;
/** What looks at all of the history may take longer than a commit; the server ends it first. */
export const READING_MS_MAX = 30_000;
export const LONG_ANSWER_MS_MAX = 33_000;
/** A connection that nobody uses, and whose other end is gone, is found out by the system. */
const KEEP_ALIVE_MS = 5000;

/** PostgreSQL's codes: https://www.postgresql.org/docs/current/errcodes-appendix.html */
const SERIALIZATION = "40001";
const DEADLOCK = "40P01";
const INT8 = 20;

/** The server, or what it is set to, cannot be relied on; it is no use to try again. */
export class ServerRefusedError extends Error {}

export type Row = { readonly [column: string]: unknown };
export type RunQuery = (sql: string, values?: readonly unknown[]) => Promise<Row[]>;

const names = new Map<string, string>();

/** A statement that is asked again and again, and is the same text then: each connection reads and plans it once. */
export function prepared(text: string, values: readonly unknown[]): pg.QueryConfig {
  if (values.length === 0) return { text };
  let name = names.get(text);
  if (name === undefined) names.set(text, (name = `s${names.size}`));
  return { name, text, values: values as unknown[] };
}

/** Plans are made once, perhaps while tables are empty, and kept: they go by the keys, whatever is in the tables by then. */
const BY_KEYS = {
  enable_seqscan: "off",
  jit: "off",
  enable_hashjoin: "off",
  enable_mergejoin: "off",
  plan_cache_mode: "force_generic_plan",
};

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
    keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
    types,
  };
}

/** For reading only. Connections are made as they are needed. */
export function readingPool({ url, poolMax }: DatabaseAt): pg.Pool {
  const settings = {
    search_path: "railgate",
    statement_timeout: READING_MS_MAX,
    default_transaction_read_only: "on",
    enable_seqscan: "off",
    jit: "off",
  };
  const pool = new pg.Pool({
    ...optionsOf(url, settings),
    query_timeout: ANSWER_MS_MAX,
    max: poolMax,
    idleTimeoutMillis: 30_000,
    allowExitOnIdle: true,
  });
  // A connection that breaks while nobody uses it is replaced; whoever asks next is told if none can be made.
  pool.on("error", () => {});
  return pool;
}

/** Whether a new connection can be made, and finds the tables. @throws Error in words, why not. */
export async function tryReading({ url }: Pick<DatabaseAt, "url">): Promise<void> {
  const given = { connectionTimeoutMillis: TRY_MS_MAX, query_timeout: TRY_MS_MAX };
  const client = new pg.Client({ ...optionsOf(url, {}), ...given });
  client.on("error", () => {});
  try {
    await client.connect();
    await client.query("SELECT version FROM railgate.schema_version");
  } finally {
    await ended(client);
  }
}

/**
 * For drawing places alone, see `draws.ts`: it waits for no disk, and is only ever of use to the commit that follows, which does.
 * @param gone told once it cannot be used any more, or not at all.
 */
export async function connectForDrawing({ url }: Pick<DatabaseAt, "url">, gone: () => void): Promise<pg.Client> {
  const settings = { search_path: "railgate", statement_timeout: SESSION_MS_MAX, synchronous_commit: "off" };
  const client = new pg.Client({ ...optionsOf(url, settings), query_timeout: ANSWER_MS_MAX });
  client.on("error", () => {});
  client.on("end", gone);
  try {
    await client.connect();
    return client;
  } catch (error) {
    gone();
    await ended(client);
    throw error;
  }
}

/**
 * For writing: what it says is committed is on the disk.
 * @param withinMs how long that may take, with what is done `first`.
 * @throws ServerRefusedError the server says it is not. @throws Error it cannot be reached.
 */
export async function connectForWriting(
  { url }: Pick<DatabaseAt, "url">,
  first: (client: pg.Client) => Promise<void> = async () => {},
  withinMs = CONNECT_MS_MAX,
  more: pg.ClientConfig = {},
): Promise<pg.Client> {
  const settings = {
    search_path: "railgate",
    statement_timeout: SESSION_MS_MAX,
    lock_timeout: SESSION_MS_MAX,
    idle_in_transaction_session_timeout: PAUSED_MS_MAX,
    ...BY_KEYS,
  };
  // Statements are sent without waiting for those before them.
  const client = new pg.Client({ ...optionsOf(url, settings), query_timeout: ANSWER_MS_MAX, pipeline: true, ...more });
  // Whoever uses it is told; a connection that breaks meanwhile must not end the process.
  client.on("error", () => {});
  const late = setTimeout(() => destroyed(client, new Error(`no answer within ${withinMs} ms`)), withinMs);
  try {
    await client.connect();
    await checkDurability(client, url);
    await first(client);
    return client;
  } catch (error) {
    await ended(client);
    throw error;
  } finally {
    clearTimeout(late);
  }
}

/**
 * The end of a transaction. A statement that takes too long is given up by the server, but a commit that waits for a standby would
 * be taken for done then, though no standby has it: whoever waits for it gives up by himself.
 */
const COMMIT = "SET LOCAL statement_timeout = 0; COMMIT";

/**
 * @param answerMsMax how long its answer is waited for.
 * @throws Error the transaction is not on record: the server says so, or (see `isAnswer`) it may be.
 */
export async function commit(client: pg.Client, answerMsMax = ANSWER_MS_MAX): Promise<void> {
  let warning: string | undefined;
  const warned = ({ message }: { readonly message: string | undefined }): void => void (warning ??= message ?? "");
  client.on("notice", warned);
  try {
    // One result a statement.
    const asked = client.query({ text: COMMIT, query_timeout: answerMsMax } as pg.QueryConfig);
    const said = ((await asked) as unknown as pg.QueryResult[]).at(-1)?.command;
    if (said !== "COMMIT") throw new Error(`the server answered ${said} to a commit: nothing of it is on record`);
  } finally {
    client.off("notice", warned);
  }
  // Whoever cancels a wait for a standby has it called done, with a warning that it may not be there.
  if (warning !== undefined) throw new Error(`the server warns of a commit: ${warning}`);
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

/** What is asked in this turn goes out in one piece. */
export function together({ connection: { stream } }: pg.Client): void {
  stream.cork();
  process.nextTick(() => stream.uncork());
}

/** For rows by the thousand. @throws Error see `connectForWriting`. */
export function connectForLoading(at: Pick<DatabaseAt, "url">): Promise<pg.Client> {
  const unhurried = async (client: pg.Client): Promise<void> => {
    await client.query(`SET statement_timeout = ${READING_MS_MAX}`);
  };
  return connectForWriting(at, unhurried, CONNECT_MS_MAX, { pipeline: false, query_timeout: LONG_ANSWER_MS_MAX });
}

/** Lets go of a connection; one that is broken says no more. */
export async function ended(client: pg.Client): Promise<void> {
  const given = sleep(ENDED_MS_MAX, undefined, { ref: false });
  await Promise.race([client.end().catch(() => {}), given]);
  destroyed(client);
}

/** Nothing more is said over a connection, in either direction. */
export function destroyed(client: pg.Client, why?: Error): void {
  client.connection.stream.destroy(why);
}

/** Whether the same work may succeed when it is done again: nothing of it was recorded. */
export const isRetried = (error: unknown): boolean => [SERIALIZATION, DEADLOCK].includes(codeOf(error) ?? "");

/** Whether the server has answered; else the connection broke, and it may have done what it was asked. */
export const isAnswer = (error: unknown): boolean => {
  const code = codeOf(error);
  // 57P01 to 57P05, 25P03, 25P04 and class 08: it ends the session, whatever it was at.
  return error instanceof pg.DatabaseError && code !== undefined && !/^(57P|08|25P0[34])/.test(code);
};

/** Whether the server was not reached, or turns whoever asks away, whatever he asks: credentials, database, tables, connections. */
export const isUnasked = (error: unknown): boolean =>
  !isAnswer(error) || /^(28|3D|3F|53|42501|42P01)/.test(codeOf(error)!);

export const codeOf = (error: unknown): string | undefined => (error as { code?: string }).code;
