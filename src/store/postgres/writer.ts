// The single writer of a node in PostgreSQL: what it read is locked, compared and changed in one transaction with the evidence (spec replicas §3).
import { randomBytes, randomInt } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import { ENTRY_BYTES_MAX, type TreeTail } from "../../core/tiles.ts";
import {
  DisplacedError,
  UnsettledError,
  type Append,
  type KeyRow,
  type StateAt,
  type StateBounds,
  type StateKind,
  type StateRead,
  type StateWrite,
  type StoreCounts,
  type StoredCheckpoint,
  type StoredState,
  type StoreWriter,
  noCounts,
  stateName,
} from "../store.ts";
import { shownAddress, type DatabaseAt, type Lease } from "./address.ts";
import {
  codeOf,
  commit,
  connectForDrawing,
  connectForWriting,
  destroyed,
  ended,
  isAnswer,
  isRetried,
  prepared,
  together,
  type RunQuery,
  type Row,
} from "./connect.ts";
import { DRAW, DrawClosedError, FORGET_EARLIER } from "./draws.ts";
import { LEASE_S, RENEWED_MS } from "./lease.ts";
import { readTail, UNCHECKPOINTED } from "./log.ts";
import { checkReadable, migrate, versionOf } from "./schema.ts";
import { insertKey, Statements, type DrawHolder } from "./statements.ts";

/** Streams whose end is kept in memory (at most some 12 KB each); the end of any other is read when it is appended to. */
const STREAMS_KEPT_MAX = 2048;
/** From a commit until its outcome is called unknown: its answer is waited for, and then it is looked up by another connection. */
const SETTLED_WITHIN_MS = 5000;
const COMMIT_MS_MAX = 3000;
const SETTLED_PAUSE_MS = 200;
const TRIES_MAX = 5;
const TRIED_BYTES = 64 * 1024;

interface Stream {
  readonly stream: number;
  readonly tail: TreeTail;
}

/** A connection under the lease; whoever had one before can write nothing more. */
interface Session {
  readonly client: pg.Client;
  /** undefined: no node's, for what is no evidence. */
  readonly epoch: number | undefined;
  /** Made when it is first needed. */
  draws?: Promise<pg.Client>;
}

export class PostgresWriter implements StoreWriter {
  readonly shared = true;
  readonly counts: StoreCounts = noCounts();
  readonly #at: DatabaseAt;
  #session!: Session;
  readonly #timer: NodeJS.Timeout;
  /** Own streams as committed, least recently used first; forgotten on failure. */
  readonly #streams = new Map<string, Stream>();
  #underWay: Promise<unknown> = Promise.resolve();
  #inTransaction = false;
  /** What the transaction has locked, as it was found. */
  #locked: StateRead[] = [];
  #lost: DisplacedError | undefined;

  private constructor(at: DatabaseAt, session: Session) {
    this.#at = at;
    this.#use(session);
    this.#timer = setInterval(() => void this.#renew(), RENEWED_MS).unref();
  }

  /** @throws DisplacedError another process has taken the node id over. @throws ServerRefusedError see there. */
  static async open(at: DatabaseAt): Promise<PostgresWriter> {
    return new PostgresWriter(at, await openSession(at));
  }

  #use(session: Session): void {
    this.#session = session;
    this.counts.epoch = session.epoch ?? 0;
    this.counts.leaseUntilMs = Date.now() + LEASE_S * 1000;
    session.client.on("error", (error) => this.#broke(session, error));
    session.client.on("end", () => this.#broke(session, new Error("the connection ended")));
  }

  /** Nothing more is asked over a connection that broke, or did not answer in time. */
  #broke(session: Session, error: Error): void {
    if (session !== this.#session) return;
    this.#lost ??= new DisplacedError(`${shownAddress(this.#at.url)} cannot be reached: ${error.message}`);
    destroyed(session.client);
    session.draws?.then(destroyed, () => {});
  }

  readonly #query: RunQuery = (sql, values = []) =>
    this.#asked(async ({ client }) => {
      together(client);
      return (await client.query(prepared(sql, values))).rows as Row[];
    });

  async #asked<T>(ask: (session: Session) => Promise<T>): Promise<T> {
    const session = this.#session;
    try {
      return await ask(session);
    } catch (error) {
      if (!isAnswer(error)) this.#broke(session, error as Error);
      throw error;
    }
  }

  versions(places: readonly StateAt[]): Promise<number[]> {
    return this.#alone(async () => {
      const known = new Map(this.#inTransaction ? this.#locked.map((each) => [stateName(each), each.version]) : []);
      const versions = places.map((place) => known.get(stateName(place)));
      if (versions.every((version) => version !== undefined)) return versions;
      return (await this.#lockAnew(places, false)).map(({ version }) => version);
    });
  }

  lock(places: readonly StateAt[]): Promise<(StoredState | undefined)[]> {
    return this.#alone(async () => {
      const locked = await this.#lockAnew(places, true);
      return locked.map(({ version, value }) => (value === undefined ? undefined : { version, value }));
    });
  }

  /** Never beside what is locked already: whoever locks in order of keys waits for nobody in a circle. */
  async #lockAnew(places: readonly StateAt[], valued: boolean) {
    if (this.#inTransaction) await this.#rollBack();
    return this.#retrying(async (begun) => (await Promise.all([begun, this.#lock(places, valued)]))[1]);
  }

  /** Lets go of what is locked: nothing is appended. */
  async release(): Promise<void> {
    await this.#alone(() => this.#rollBack());
  }

  append(batch: readonly Append[]): Promise<number> {
    return this.#alone(async () => {
      // Of a transaction before, where this one has asked for no versions.
      const locked = this.#inTransaction ? this.#locked : [];
      let again = false;
      const first = await this.#retrying(async (begun) => {
        await begun;
        if (again) await this.#lockAsBefore(locked);
        again = true;
        const { first, record } = await this.#insert(batch);
        await this.#commit(record, batch.at(-1)!.id, first + batch.length - 1);
        return first;
      });
      this.#trimStreams();
      return first;
    });
  }

  async checkPlace(): Promise<void> {
    if (this.#lost) throw this.#lost;
  }

  /** Opening this writer has seen to it that what is not there never will be. */
  async settle(eventIds: readonly string[]): Promise<number | undefined> {
    const rows = await this.#alone(() =>
      this.#query("SELECT position FROM events WHERE id = ANY ($1) ORDER BY position", [eventIds]),
    );
    return rows.at(-1)?.["position"] as number | undefined;
  }

  tree(chainId: string): Promise<{ size: number; root: Uint8Array }> {
    return this.#alone(async () => {
      const { size, root } = (await this.#streamsOf([chainId])).get(chainId)!.tail;
      return { size, root };
    });
  }

  putCheckpoints(checkpoints: readonly (StoredCheckpoint & { readonly chain_id: string })[]): Promise<void> {
    return this.#transaction(async () => {
      for (const { chain_id, size, note } of checkpoints)
        await this.#query(
          `INSERT INTO checkpoints (stream, size, note) SELECT stream, $2, $3 FROM streams WHERE chain_id = $1
           ON CONFLICT (stream) DO UPDATE SET size = excluded.size, note = excluded.note WHERE excluded.size >= checkpoints.size`,
          [chain_id, size, note],
        );
    });
  }

  /** Of other nodes that share this database, each signs its own. */
  async uncheckpointed(): Promise<string[]> {
    const rows = await this.#alone(() =>
      this.#query(
        `${UNCHECKPOINTED} AND NOT EXISTS (
           SELECT 1 FROM nodes AS n WHERE n.scope <> $1 AND right(s.chain_id, length(n.node_id) + 1) = '/' || n.node_id)`,
        [this.#at.scope],
      ),
    );
    return rows.map((row) => row["chain_id"] as string);
  }

  async putBounded(write: StateWrite, nowMs: number, most: StateBounds): Promise<boolean> {
    const { kind, tenant_id, ref } = write;
    let put = false;
    await this.#transaction(async () => {
      const statements = new Statements(this.#query);
      // No state has this key; whoever holds its place counts alone.
      const counting = [{ kind, tenant_id, key: "" }];
      await statements.lock(counting);
      await this.#deleteDue(kind, nowMs);
      const [row] = await this.#query(
        "SELECT count(*) FILTER (WHERE ref = $3) AS of_ref, count(*) AS of_tenant FROM states WHERE kind = $1 AND tenant_id = $2 AND ref IS NOT NULL",
        [kind, tenant_id, ref ?? null],
      );
      const { of_ref, of_tenant } = row as { of_ref: number; of_tenant: number };
      put = (ref === undefined || of_ref < most.ofRef) && of_tenant < most.ofTenant;
      if (put) await statements.states([write]);
      await statements.letGo(counting);
    });
    return put;
  }

  deleteDue(kind: StateKind, nowMs: number): Promise<void> {
    return this.#transaction(() => this.#deleteDue(kind, nowMs));
  }

  async #deleteDue(kind: StateKind, nowMs: number): Promise<void> {
    await this.#query("DELETE FROM states WHERE kind = $1 AND due_ms <= $2", [kind, nowMs]);
  }

  putKey(key: KeyRow): Promise<void> {
    return this.putAll([key], {});
  }

  putMeta(name: string, value: string): Promise<void> {
    return this.putAll([], { [name]: value });
  }

  /** Room for a small change is there when none is left for evidence. */
  tryWriting(): Promise<void> {
    return this.#alone(async () => {
      try {
        if (this.#lost) throw this.#lost;
        await this.#begin();
        const [position, bytes] = [-randomInt(2 ** 47), randomBytes(TRIED_BYTES)];
        await this.#query("INSERT INTO artifacts (position, bytes) VALUES ($1, $2)", [position, bytes]);
      } finally {
        await this.#rollBack();
      }
    });
  }

  putAll(keys: readonly KeyRow[], meta: { readonly [name: string]: string }): Promise<void> {
    return this.#transaction(async () => {
      for (const key of keys) await insertKey(this.#query, this.#at.scope, key);
      for (const [name, value] of Object.entries(meta))
        await this.#query(
          "INSERT INTO meta (scope, name, value) VALUES ($1, $2, $3) ON CONFLICT (scope, name) DO UPDATE SET value = excluded.value",
          [this.#at.scope, name, value],
        );
    });
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    const { client, draws } = this.#session;
    client.removeAllListeners("end");
    await ended(client);
    await draws?.then(ended, () => {});
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** All but the events themselves, which come with the commit: from then on it waits for the server alone, and no pause here holds it up. */
  async #insert(batch: readonly Append[]): Promise<{ first: number; record: () => Promise<void> }> {
    const statements = new Statements(this.#query);
    const streams = await this.#streamsOf(batch.map(({ chain_id }) => chain_id));
    for (const { chain_id, sequence, record } of batch) {
      const stream = streams.get(chain_id)!;
      if (sequence !== stream.tail.size)
        throw new Error(`stream ${chain_id} ends at ${stream.tail.size}, and event ${sequence} cannot follow`);
      if (record.length > ENTRY_BYTES_MAX) throw new Error(`a record of ${record.length} bytes has no place in a log`);
      statements.grow(stream.stream, stream.tail, record);
    }
    const [first] = await Promise.all([
      this.#draw(batch.length),
      statements.states(batch.flatMap(({ states }) => states)),
      statements.letGo(this.#locked.filter(({ version }) => version === 0)),
      statements.shared(batch),
      ...batch.flatMap(({ keys = [] }) => keys.map((key) => insertKey(this.#query, this.#at.scope, key))),
      statements.tree(),
      statements.ends(batch),
    ]);
    const streamOf = (chainId: string): number => streams.get(chainId)!.stream;
    return { first, record: () => statements.events(batch, streamOf, first, this.#holder) };
  }

  get #holder(): DrawHolder {
    return { nodeId: this.#at.lease?.nodeId ?? "", epoch: this.#session.epoch ?? 0 };
  }

  /** Beside the transaction, so that nobody waits for its end. @returns the position of the first of so many. */
  async #draw(places: number): Promise<number> {
    const { nodeId, epoch } = this.#holder;
    return this.#asked(async (session) => {
      const again = (): void => void delete session.draws;
      const client = await (session.draws ??= connectForDrawing(this.#at, again));
      const { rows } = await client.query(prepared(DRAW, [nodeId, epoch, places]));
      return (rows[0] as { first: number }).first;
    });
  }

  /** The epoch is asked for in the very transaction; its row is held until the end of it. */
  async #begin(): Promise<void> {
    if (this.#inTransaction) return;
    this.#locked = [];
    this.#inTransaction = true;
    const { epoch } = this.#session;
    const [, held] = await Promise.all([
      this.#query("BEGIN"),
      epoch === undefined ? [{}] : this.#query(HELD, [this.#at.lease!.nodeId, epoch]),
    ]);
    if (held.length > 0) return;
    this.#lost = takenOver(this.#at);
    throw this.#lost;
  }

  async #lock(places: readonly StateAt[], valued = false) {
    const found = await new Statements(this.#query).lock(places, valued);
    this.#locked = places.map(({ kind, tenant_id, key }, i) => ({ kind, tenant_id, key, version: found[i]!.version }));
    return found;
  }

  /** @throws Error what was decided on has moved since it was locked before. */
  async #lockAsBefore(locked: readonly StateRead[]): Promise<void> {
    if (locked.length === 0) return;
    const found = await this.#lock(locked);
    if (found.some(({ version }, i) => version !== locked[i]!.version))
      throw new Error("what was decided on moved while its commit was tried again");
  }

  /**
   * Of what fails nothing is recorded; it is tried again where that is the doing of others that commit beside.
   * @param work of one transaction; it MUST NOT commit before that has `begun`.
   */
  async #retrying<T>(work: (begun: Promise<void>) => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++)
      try {
        // Else what is sent behind it would be no transaction.
        if (this.#lost) throw this.#lost;
        const begun = this.#begin();
        return (await Promise.all([begun, work(begun)]))[1];
      } catch (error) {
        await this.#rollBack();
        if (tries === TRIES_MAX || !(isRetried(error) || error instanceof DrawClosedError)) throw error;
        if (isRetried(error)) this.counts.retries[codeOf(error) as keyof StoreCounts["retries"]]++;
      }
  }

  /**
   * @param record writes the events; sent with COMMIT, which does nothing where that fails.
   * @param last the position of the last of them, whose id is `lastId`.
   * @throws UnsettledError it cannot be found out in time. @throws Error nothing was recorded.
   */
  async #commit(record: () => Promise<void>, lastId: string, last: number): Promise<void> {
    const untilMs = performance.now() + SETTLED_WITHIN_MS;
    try {
      const [recorded, ended] = await Promise.allSettled([record(), this.#end(COMMIT_MS_MAX)]);
      if (recorded.status === "rejected") throw recorded.reason;
      if (ended.status === "rejected") throw ended.reason;
    } catch (error) {
      if (isAnswer(error) || error instanceof DrawClosedError) throw error;
      this.#inTransaction = false;
      this.#streams.clear();
      const found = await this.#lookUp(lastId, error as Error, untilMs);
      this.counts.outcomes[found === undefined ? "absent" : "found"]++;
      if (found === undefined) throw error;
      if (found !== last) throw new Error("a commit was found elsewhere than it was made", { cause: error });
    }
  }

  /** @throws Error see `commit`. */
  async #end(answerMsMax?: number): Promise<void> {
    await this.#asked(({ client }) => commit(client, answerMsMax));
    this.#inTransaction = false;
    this.counts.leaseUntilMs = Date.now() + LEASE_S * 1000;
  }

  /** By a new connection, with which the epoch moves on: what is not there then never will be. */
  async #lookUp(id: string, error: Error, untilMs: number): Promise<number | undefined> {
    for (;;) {
      const leftMs = untilMs - performance.now();
      try {
        return await this.#lookUpOnce(id, leftMs);
      } catch (failure) {
        if (performance.now() + SETTLED_PAUSE_MS > untilMs) {
          this.counts.outcomes.unknown++;
          throw new UnsettledError(error.message, { cause: failure });
        }
        await sleep(SETTLED_PAUSE_MS);
      }
    }
  }

  async #lookUpOnce(id: string, withinMs: number): Promise<number | undefined> {
    let found: number | undefined;
    const look = async (client: pg.Client): Promise<void> => {
      const { rows } = await client.query("SELECT position FROM events WHERE id = $1", [id]);
      found = (rows[0] as { position: number } | undefined)?.position;
    };
    void ended(this.#session.client);
    try {
      this.#use(await openSession(this.#at, look, withinMs));
      this.#lost = undefined;
    } catch (error) {
      // Whoever has taken over has waited for our transaction to end.
      if (!(error instanceof DisplacedError)) throw error;
      this.#use({ client: await connectForWriting(this.#at, look, withinMs), epoch: LOST_EPOCH });
      this.#lost = error;
    }
    return found;
  }

  async #rollBack(): Promise<void> {
    this.#streams.clear();
    if (!this.#inTransaction) return;
    this.#inTransaction = false;
    // Of a connection that is gone the server finds out by itself.
    await this.#query("ROLLBACK").catch(() => {});
  }

  /** A transaction that touches no evidence. */
  #transaction(work: () => Promise<void>): Promise<void> {
    return this.#alone(() =>
      this.#retrying(async (begun) => {
        await begun;
        await work();
        await this.#end();
      }),
    );
  }

  /** A holder that has nothing to commit says that it is still there. */
  async #renew(): Promise<void> {
    const session = this.#session;
    const renewed = this.#alone(async () => {
      if (!this.#inTransaction && !this.#lost) await this.#retrying((begun) => begun.then(() => this.#end()));
    });
    await renewed.catch((error: Error) => this.#broke(session, error));
  }

  /** One after the other: a connection does one thing at a time. */
  #alone<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#underWay.then(work, work);
    this.#underWay = done.catch(() => {});
    return done;
  }

  async #streamsOf(chainIds: readonly string[]): Promise<Map<string, Stream>> {
    const wanted = [...new Set(chainIds)];
    const read = await this.#read(wanted.filter((chainId) => !this.#streams.has(chainId)).sort());
    const streams = new Map(wanted.map((chainId) => [chainId, this.#streams.get(chainId) ?? read.get(chainId)!]));
    for (const [chainId, stream] of streams) {
      this.#streams.delete(chainId);
      if (this.#isOwn(chainId)) this.#streams.set(chainId, stream);
    }
    return streams;
  }

  /** Held until the end of the transaction: records of a node outside may come by way of another replica. @param chainIds sorted. */
  async #read(chainIds: readonly string[]): Promise<Map<string, Stream>> {
    const found = new Map<string, Stream>();
    if (chainIds.length === 0) return found;
    await this.#query(
      `INSERT INTO streams (chain_id, size) SELECT chain_id, 0 FROM unnest($1::text[]) AS w (chain_id)
       ORDER BY chain_id COLLATE "C" ON CONFLICT DO NOTHING`,
      [chainIds],
    );
    const rows = await this.#query(
      "SELECT chain_id, stream, size FROM streams WHERE chain_id = ANY ($1) ORDER BY chain_id FOR UPDATE",
      [chainIds],
    );
    for (const row of rows) {
      const { chain_id, stream, size } = row as { chain_id: string; stream: number; size: number };
      found.set(chain_id, { stream, tail: await readTail(this.#query, stream, size) });
    }
    return found;
  }

  #isOwn(chainId: string): boolean {
    return this.#at.lease !== undefined && chainId.endsWith(`/${this.#at.lease.nodeId}`);
  }

  #trimStreams(): void {
    for (const chainId of this.#streams.keys()) {
      if (this.#streams.size <= STREAMS_KEPT_MAX) return;
      this.#streams.delete(chainId);
    }
  }
}

/** No session has it. */
const LOST_EPOCH = -1;

const HELD = `UPDATE nodes SET expires_at = clock_timestamp() + interval '${LEASE_S} seconds' WHERE node_id = $1 AND epoch = $2 RETURNING epoch`;

/** @throws DisplacedError, ServerRefusedError see PostgresWriter.open. */
async function openSession(
  at: DatabaseAt,
  then: (client: pg.Client) => Promise<void> = async () => {},
  withinMs?: number,
): Promise<Session> {
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
