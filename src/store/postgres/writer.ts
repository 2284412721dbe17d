// The single writer of a node in PostgreSQL: what it read is locked, compared and changed in one transaction with the evidence (spec replicas §3).
import { randomBytes, randomInt } from "node:crypto";
import { ENTRY_BYTES_MAX } from "../../core/tiles.ts";
import {
  stateName,
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
} from "../store.ts";
import type { DatabaseAt } from "./address.ts";
import { codeOf, isAnswer, isRetried, type RunQuery } from "./connect.ts";
import { DrawClosedError } from "./draws.ts";
import { RENEWED_MS } from "./lease.ts";
import { UNCHECKPOINTED } from "./log.ts";
import { WriterSession } from "./session.ts";
import { insertKey, Statements } from "./statements.ts";
import { StreamEnds } from "./streams.ts";

/** From a commit until its outcome is called unknown: its answer is waited for, and then it is looked up by another connection. */
const SETTLED_WITHIN_MS = 5000;
const COMMIT_MS_MAX = 3000;
const TRIES_MAX = 5;
const TRIED_BYTES = 64 * 1024;

export class PostgresWriter implements StoreWriter {
  readonly shared = true;
  readonly counts: StoreCounts;
  readonly #scope: string;
  readonly #session: WriterSession;
  readonly #query: RunQuery;
  readonly #streams: StreamEnds;
  readonly #timer: NodeJS.Timeout;
  #underWay: Promise<unknown> = Promise.resolve();
  #inTransaction = false;
  /** What the transaction has locked, as it was found. */
  #locked: StateRead[] = [];

  private constructor({ scope, lease }: DatabaseAt, session: WriterSession) {
    this.#scope = scope;
    this.#session = session;
    this.#query = session.query;
    this.counts = session.counts;
    this.#streams = new StreamEnds(session.query, lease?.nodeId);
    this.#timer = setInterval(() => void this.#renew(), RENEWED_MS).unref();
  }

  /** @throws DisplacedError another process has taken the node id over. @throws ServerRefusedError see there. */
  static async open(at: DatabaseAt): Promise<PostgresWriter> {
    return new PostgresWriter(at, await WriterSession.open(at));
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
      this.#streams.trim();
      return first;
    });
  }

  async checkPlace(): Promise<void> {
    if (this.#session.lost) throw this.#session.lost;
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
      const { size, root } = (await this.#streams.of([chainId])).get(chainId)!.tail;
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
        [this.#scope],
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
        if (this.#session.lost) throw this.#session.lost;
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
      for (const key of keys) await insertKey(this.#query, this.#scope, key);
      for (const [name, value] of Object.entries(meta))
        await this.#query(
          "INSERT INTO meta (scope, name, value) VALUES ($1, $2, $3) ON CONFLICT (scope, name) DO UPDATE SET value = excluded.value",
          [this.#scope, name, value],
        );
    });
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#session.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** All but the events themselves, which come with the commit: from then on it waits for the server alone, and no pause here holds it up. */
  async #insert(batch: readonly Append[]): Promise<{ first: number; record: () => Promise<void> }> {
    const statements = new Statements(this.#query);
    const streams = await this.#streams.of(batch.map(({ chain_id }) => chain_id));
    for (const { chain_id, sequence, record } of batch) {
      const stream = streams.get(chain_id)!;
      if (sequence !== stream.tail.size)
        throw new Error(`stream ${chain_id} ends at ${stream.tail.size}, and event ${sequence} cannot follow`);
      if (record.length > ENTRY_BYTES_MAX) throw new Error(`a record of ${record.length} bytes has no place in a log`);
      statements.grow(stream.stream, stream.tail, record);
    }
    const [first] = await Promise.all([
      this.#session.draw(batch.length),
      statements.states(batch.flatMap(({ states }) => states)),
      statements.letGo(this.#locked.filter(({ version }) => version === 0)),
      statements.shared(batch),
      ...batch.flatMap(({ keys = [] }) => keys.map((key) => insertKey(this.#query, this.#scope, key))),
      statements.tree(),
      statements.ends(batch),
    ]);
    const streamOf = (chainId: string): number => streams.get(chainId)!.stream;
    return { first, record: () => statements.events(batch, streamOf, first, this.#session.holder) };
  }

  async #begin(): Promise<void> {
    if (this.#inTransaction) return;
    this.#locked = [];
    this.#inTransaction = true;
    await this.#session.begin();
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
        if (this.#session.lost) throw this.#session.lost;
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
      this.#streams.forget();
      const found = await this.#session.settled(lastId, error as Error, untilMs);
      if (found === undefined) throw error;
      if (found !== last) throw new Error("a commit was found elsewhere than it was made", { cause: error });
    }
  }

  async #end(answerMsMax?: number): Promise<void> {
    await this.#session.end(answerMsMax);
    this.#inTransaction = false;
  }

  async #rollBack(): Promise<void> {
    this.#streams.forget();
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
    const broken = this.#session.breaker;
    const renewed = this.#alone(async () => {
      if (!this.#inTransaction && !this.#session.lost) await this.#retrying((begun) => begun.then(() => this.#end()));
    });
    await renewed.catch(broken);
  }

  /** One after the other: a connection does one thing at a time. */
  #alone<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#underWay.then(work, work);
    this.#underWay = done.catch(() => {});
    return done;
  }
}
