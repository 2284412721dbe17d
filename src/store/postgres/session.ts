// The connection that a node writes over: under its lease, made anew where one broke in a commit, and what became of that commit (spec replicas §2, §5).
import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import { DisplacedError, noCounts, UnsettledError, type StoreCounts } from "../store.ts";
import { shownAddress, type DatabaseAt, type Lease } from "./address.ts";
import {
  commit,
  connectForDrawing,
  connectForWriting,
  destroyed,
  ended,
  isAnswer,
  prepared,
  together,
  type Row,
  type RunQuery,
} from "./connect.ts";
import { DRAW, FORGET_EARLIER } from "./draws.ts";
import { LEASE_S } from "./lease.ts";
import { checkReadable, migrate, versionOf } from "./schema.ts";
import type { DrawHolder } from "./statements.ts";

const SETTLED_PAUSE_MS = 200;

/** Whoever had one before it can write nothing more. */
interface Connection {
  readonly client: pg.Client;
  /** undefined: no node's, for what is no evidence. */
  readonly epoch: number | undefined;
  /** Made when it is first needed. */
  draws?: Promise<pg.Client>;
}

export class WriterSession {
  readonly counts: StoreCounts = noCounts();
  readonly #at: DatabaseAt;
  #connection!: Connection;
  #lost: DisplacedError | undefined;

  private constructor(at: DatabaseAt, connection: Connection) {
    this.#at = at;
    this.#use(connection);
  }

  /** @throws DisplacedError another process has taken the node id over. @throws ServerRefusedError see there. */
  static async open(at: DatabaseAt): Promise<WriterSession> {
    return new WriterSession(at, await connect(at));
  }

  /** Why nothing can be written over it any more; undefined where it can. */
  get lost(): DisplacedError | undefined {
    return this.#lost;
  }

  /** Who draws places with it. */
  get holder(): DrawHolder {
    return { nodeId: this.#at.lease?.nodeId ?? "", epoch: this.#connection.epoch ?? 0 };
  }

  readonly query: RunQuery = (sql, values = []) =>
    this.#asked(async ({ client }) => {
      together(client);
      return (await client.query(prepared(sql, values))).rows as Row[];
    });

  /** Begins a transaction. The epoch is asked for in it; its row is held until the end of it. @throws DisplacedError it has moved on. */
  async begin(): Promise<void> {
    const { epoch } = this.#connection;
    const [, held] = await Promise.all([
      this.query("BEGIN"),
      epoch === undefined ? [{}] : this.query(HELD, [this.#at.lease!.nodeId, epoch]),
    ]);
    if (held.length > 0) return;
    this.#lost = takenOver(this.#at);
    throw this.#lost;
  }

  /** Ends it. @throws Error see `commit`. */
  async end(answerMsMax?: number): Promise<void> {
    await this.#asked(({ client }) => commit(client, answerMsMax));
    this.counts.leaseUntilMs = Date.now() + LEASE_S * 1000;
  }

  /** Beside the transaction, so that nobody waits for its end. @returns the position of the first of so many. */
  draw(places: number): Promise<number> {
    const { nodeId, epoch } = this.holder;
    return this.#asked(async (connection) => {
      const again = (): void => void delete connection.draws;
      const client = await (connection.draws ??= connectForDrawing(this.#at, again));
      const { rows } = await client.query(prepared(DRAW, [nodeId, epoch, places]));
      return (rows[0] as { first: number }).first;
    });
  }

  /**
   * Finds out what became of a commit, by a new connection, with which the epoch moves on: what is not there then never will be.
   * @param id of its last event. @param error why its end was not seen.
   * @returns where that event is; undefined: nothing of it is on record.
   * @throws UnsettledError it cannot be found out in time.
   */
  async settled(id: string, error: Error, untilMs: number): Promise<number | undefined> {
    for (;;) {
      const leftMs = untilMs - performance.now();
      try {
        const found = await this.#lookUp(id, leftMs);
        this.counts.outcomes[found === undefined ? "absent" : "found"]++;
        return found;
      } catch (failure) {
        if (performance.now() + SETTLED_PAUSE_MS > untilMs) {
          this.counts.outcomes.unknown++;
          throw new UnsettledError(error.message, { cause: failure });
        }
        await sleep(SETTLED_PAUSE_MS);
      }
    }
  }

  /** What breaks the connection that it has now, and no later one. */
  get breaker(): (error: Error) => void {
    const connection = this.#connection;
    return (error) => this.#broke(connection, error);
  }

  async close(): Promise<void> {
    const { client, draws } = this.#connection;
    client.removeAllListeners("end");
    await ended(client);
    await draws?.then(ended, () => {});
  }

  #use(connection: Connection): void {
    this.#connection = connection;
    this.counts.epoch = connection.epoch ?? 0;
    this.counts.leaseUntilMs = Date.now() + LEASE_S * 1000;
    connection.client.on("error", (error) => this.#broke(connection, error));
    connection.client.on("end", () => this.#broke(connection, new Error("the connection ended")));
  }

  /** Nothing more is asked over a connection that broke, or did not answer in time. */
  #broke(connection: Connection, error: Error): void {
    if (connection !== this.#connection) return;
    this.#lost ??= new DisplacedError(`${shownAddress(this.#at.url)} cannot be reached: ${error.message}`);
    destroyed(connection.client);
    connection.draws?.then(destroyed, () => {});
  }

  async #asked<T>(ask: (connection: Connection) => Promise<T>): Promise<T> {
    const connection = this.#connection;
    try {
      return await ask(connection);
    } catch (error) {
      if (!isAnswer(error)) this.#broke(connection, error as Error);
      throw error;
    }
  }

  async #lookUp(id: string, withinMs: number): Promise<number | undefined> {
    let found: number | undefined;
    const look = async (client: pg.Client): Promise<void> => {
      const { rows } = await client.query("SELECT position FROM events WHERE id = $1", [id]);
      found = (rows[0] as { position: number } | undefined)?.position;
    };
    void ended(this.#connection.client);
    try {
      this.#use(await connect(this.#at, look, withinMs));
      this.#lost = undefined;
    } catch (error) {
      // Whoever has taken over has waited for our transaction to end.
      if (!(error instanceof DisplacedError)) throw error;
      this.#use({ client: await connectForWriting(this.#at, look, withinMs), epoch: LOST_EPOCH });
      this.#lost = error;
    }
    return found;
  }
}

/** No connection has it. */
const LOST_EPOCH = -1;

const HELD = `UPDATE nodes SET expires_at = clock_timestamp() + interval '${LEASE_S} seconds' WHERE node_id = $1 AND epoch = $2 RETURNING epoch`;

/** @throws DisplacedError, ServerRefusedError see WriterSession.open. */
async function connect(
  at: DatabaseAt,
  then: (client: pg.Client) => Promise<void> = async () => {},
  withinMs?: number,
): Promise<Connection> {
  let epoch: number | undefined;
  const first = async (client: pg.Client): Promise<void> => {
    epoch = await (at.lease ? nextEpoch(client, at, at.lease) : migrate(client).then(() => undefined));
    await then(client);
  };
  const client = await connectForWriting(at, first, withinMs);
  return { client, epoch };
}

/** What a standby has not heard of yet is not on record there: whoever moves the epoch on has waited for all before it. */
async function nextEpoch(client: pg.Client, at: DatabaseAt, { nodeId, token }: Lease): Promise<number> {
  const version = await versionOf(client);
  checkReadable(version);
  // Whoever took the lease has made the tables.
  if (version === 0) throw new DisplacedError(`${shownAddress(at.url)} has no tables: it is another database`);
  await client.query("BEGIN");
  const { rows } = await client.query(
    `UPDATE nodes SET epoch = epoch + 1, expires_at = clock_timestamp() + interval '${LEASE_S} seconds'
     WHERE node_id = $1 AND token = $2 RETURNING epoch`,
    [nodeId, token],
  );
  if (rows.length === 0) throw takenOver(at);
  await client.query(FORGET_EARLIER, [nodeId, (rows[0] as { epoch: number }).epoch]);
  await commit(client);
  return (rows[0] as { epoch: number }).epoch;
}

function takenOver({ url, lease }: DatabaseAt): DisplacedError {
  return new DisplacedError(
    `the node id ${lease!.nodeId} was taken over by another process (${shownAddress(url)}); restart this one`,
    true,
  );
}
