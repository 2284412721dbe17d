// What a commit writes, in as few statements as there are tables: a round trip costs more than a row.
import { hexOfDigest } from "../../core/digest.ts";
import { recordLeaf } from "../../core/sha256.ts";
import type { TreeTail } from "../../core/tiles.ts";
import { stateName, type Append, type KeyRow, type StateAt, type StateWrite } from "../store.ts";
import { codeOf, type RunQuery } from "./connect.ts";
import { DRAW_CLOSED, DrawClosedError, FAILED_UNLESS_USED, used } from "./draws.ts";
import { SPAN_POSITIONS } from "./schema.ts";

/** A place that is locked. */
interface Locked {
  /** 0: nothing is there. */
  readonly version: number;
  /** JSON; undefined where it was not asked for, or nothing is there. */
  readonly value: string | undefined;
}

/** Of one transaction. What a method asks is sent at once, in the order of calls, whatever was not answered yet. */
export class Statements {
  readonly #query: RunQuery;
  /** By stream, level and number: what tiles have more than before. */
  readonly #tiles = new Map<string, { stream: number; level: number; n: number; hashes: Uint8Array[] }>();

  constructor(query: RunQuery) {
    this.#query = query;
  }

  /**
   * Locks the places of pieces of state, absent ones too, in order of their keys, so that nobody waits for each other in a circle.
   * @param valued whether what is there is asked for, too.
   * @returns what was found, in the order given.
   */
  async lock(places: readonly StateAt[], valued = false): Promise<Locked[]> {
    const columns = columnsOf(places);
    const held = this.#query(
      `INSERT INTO states (kind, tenant_id, key, version, value)
       SELECT kind, tenant_id, key, 0, NULL FROM unnest($1::text[], $2::text[], $3::text[]) AS place (kind, tenant_id, key)
       ORDER BY kind COLLATE "C", tenant_id COLLATE "C", key COLLATE "C"
       ON CONFLICT (kind, tenant_id, key) DO UPDATE SET version = states.version WHERE false`,
      columns,
    );
    // By a snapshot of its own: what others have committed while they were waited for.
    const found = this.#query(
      `SELECT s.kind, s.tenant_id, s.key, s.version${valued ? ", s.value" : ""} FROM states AS s
       JOIN unnest($1::text[], $2::text[], $3::text[]) AS place (kind, tenant_id, key) USING (kind, tenant_id, key)`,
      columns,
    );
    const [, rows] = await Promise.all([held, found]);
    const locked = new Map(rows.map((row) => [stateName(row as unknown as StateAt), row]));
    return places.map((place) => {
      const { version = 0, value } = (locked.get(stateName(place)) ?? {}) as {
        version?: number;
        value?: string | null;
      };
      return { version, value: value ?? undefined };
    });
  }

  /** A record's leaf is appended to its tree. */
  grow(stream: number, tail: TreeTail, record: string): void {
    for (const growth of tail.append(recordLeaf(record))) {
      const { level, n } = growth;
      const name = `${stream} ${level} ${n}`;
      const known = this.#tiles.get(name) ?? { stream, level, n, hashes: [] };
      known.hashes.push("tile" in growth ? growth.tile : growth.hash);
      this.#tiles.set(name, known);
    }
  }

  async tree(): Promise<void> {
    const tiles = [...this.#tiles.values()];
    if (tiles.length === 0) return;
    await this.#query(
      `INSERT INTO tiles (stream, level, n, hashes) SELECT * FROM unnest($1::bigint[], $2::integer[], $3::bigint[], $4::bytea[])
       ON CONFLICT (stream, level, n) DO UPDATE SET hashes = tiles.hashes || excluded.hashes`,
      [
        tiles.map(({ stream }) => stream),
        tiles.map(({ level }) => level),
        tiles.map(({ n }) => n),
        tiles.map(({ hashes }) => Buffer.concat(hashes)),
      ],
    );
  }

  /** The last write of each place counts. @throws Error one has moved on since it was decided on. */
  async states(writes: readonly StateWrite[]): Promise<void> {
    const last = [...new Map(writes.map((write) => [stateName(write), write])).values()];
    await Promise.all([
      this.#put(last.filter(({ value, version }) => value !== null && version !== undefined)),
      this.#put(last.filter(({ value, version }) => value !== null && version === undefined)),
      this.#deleted(last.filter(({ value }) => value === null)),
    ]);
  }

  async #deleted(gone: readonly StateWrite[]): Promise<void> {
    if (gone.length === 0) return;
    await this.#query(
      `DELETE FROM states AS s USING unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) AS w (kind, tenant_id, key, due_ms)
       WHERE s.kind = w.kind AND s.tenant_id = w.tenant_id AND s.key = w.key AND (w.due_ms IS NULL OR s.due_ms <= w.due_ms)`,
      [...columnsOf(gone), gone.map(({ due_ms }) => due_ms ?? null)],
    );
  }

  /** All of them with a version, which is above the stored one, or none, and then each is one more than the stored one. */
  async #put(writes: readonly StateWrite[]): Promise<void> {
    if (writes.length === 0) return;
    const counted = writes[0]!.version !== undefined;
    const put = await this.#query(
      `INSERT INTO states (kind, tenant_id, key, version, value, due_ms, ref, rank)
       SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::bigint[], $7::text[], $8::double precision[])
         AS w (kind, tenant_id, key, version, value, due_ms, ref, rank)
       ORDER BY kind COLLATE "C", tenant_id COLLATE "C", key COLLATE "C"
       ON CONFLICT (kind, tenant_id, key) DO UPDATE SET value = excluded.value, due_ms = excluded.due_ms, ref = excluded.ref, rank = excluded.rank,
         version = ${counted ? "excluded.version WHERE states.version < excluded.version" : "states.version + 1"}
       RETURNING version`,
      [
        ...columnsOf(writes),
        writes.map(({ version }) => version ?? 1),
        writes.map(({ value }) => value),
        writes.map(({ due_ms }) => due_ms ?? null),
        writes.map(({ ref }) => ref ?? null),
        writes.map(({ rank }) => rank ?? null),
      ],
    );
    if (put.length !== writes.length)
      throw new Error(`state of ${writes[0]!.tenant_id} has moved on since it was decided on`);
  }

  /** Places that were only held while they are absent. */
  async letGo(places: readonly StateAt[]): Promise<void> {
    if (places.length === 0) return;
    await this.#query(
      `DELETE FROM states AS s USING unnest($1::text[], $2::text[], $3::text[]) AS w (kind, tenant_id, key)
       WHERE s.kind = w.kind AND s.tenant_id = w.tenant_id AND s.key = w.key AND s.value IS NULL`,
      columnsOf(places),
    );
  }

  /** Artifacts that events share, and what is erased. */
  async shared(batch: readonly Append[]): Promise<void> {
    const blobs = new Map(batch.flatMap((event) => event.blobs.map((blob) => [blob.digest, blob.bytes] as const)));
    const done: Promise<unknown>[] = [];
    if (blobs.size > 0) {
      const digests = [...blobs.keys()].sort();
      const put =
        "INSERT INTO blobs (digest, bytes) SELECT * FROM unnest($1::bytea[], $2::bytea[]) ON CONFLICT DO NOTHING";
      done.push(this.#query(put, [digests.map(digestBytes), digests.map((digest) => Buffer.from(blobs.get(digest)!))]));
    }
    for (const { chain_id, erases = [] } of batch)
      if (erases.length > 0)
        done.push(
          this.#query(
            `DELETE FROM artifacts WHERE position IN (SELECT e.position FROM events AS e JOIN streams AS s USING (stream)
             WHERE s.chain_id = $1 AND e.sequence = ANY ($2::bigint[]))`,
            [chain_id, erases],
          ),
        );
    await Promise.all(done);
  }

  /** Where streams end now. */
  async ends(batch: readonly Append[]): Promise<void> {
    const ends = [...new Map(batch.map((event) => [event.chain_id, event])).values()];
    await this.#query(
      `UPDATE streams AS s SET size = w.size, head_hash = w.hash, tenant_id = w.tenant_id
       FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[]) AS w (chain_id, size, hash, tenant_id) WHERE s.chain_id = w.chain_id`,
      [
        ends.map(({ chain_id }) => chain_id),
        ends.map(({ sequence }) => sequence + 1),
        ends.map(({ event_hash }) => event_hash),
        ends.map(({ tenant_id }) => tenant_id),
      ],
    );
  }

  /**
   * @param first the position of the first, as it was drawn.
   * @param holder whose draw it was, and whose part of the spans grows: each node has its own, so that none waits for another's.
   * @throws DrawClosedError the draw was not open any more: the server commits nothing of this transaction, COMMIT may be on its way already.
   */
  async events(
    batch: readonly Append[],
    streamOf: (chainId: string) => number,
    first: number,
    holder: DrawHolder,
  ): Promise<void> {
    const own = batch.flatMap(({ artifact }, i) => (artifact === null ? [] : [{ i, bytes: Buffer.from(artifact) }]));
    const recorded = this.#query(EVENTS, [
      first,
      batch.map((_, i) => i),
      batch.map(({ chain_id }) => streamOf(chain_id)),
      batch.map(({ sequence }) => sequence),
      batch.map(({ id }) => id),
      batch.map(({ event_type }) => event_type),
      batch.map(({ outcome }) => outcome),
      batch.map(({ tenant_id }) => tenant_id),
      batch.map(({ workload_id }) => workload_id),
      batch.map(({ correlation_id }) => correlation_id),
      batch.map(({ occurred_at_ms }) => occurred_at_ms),
      batch.map(({ artifact_digest }) => digestBytes(artifact_digest)),
      batch.map(({ record }) => record),
      own.map((each) => each.i),
      own.map(({ bytes }) => bytes),
      holder.nodeId,
      holder.epoch,
    ]);
    await recorded.catch((error: unknown) => {
      throw codeOf(error) === DRAW_CLOSED ? new DrawClosedError("somebody has taken this commit for abandoned") : error;
    });
  }
}

/** Who writes: a node under one of its epochs. */
export interface DrawHolder {
  readonly nodeId: string;
  readonly epoch: number;
}

const EVENTS = `
WITH used AS (${used("$1::bigint", "$16::text", "$17::bigint")}),
recorded AS (
  INSERT INTO events (position, stream, sequence, id, event_type, outcome, tenant_id, workload_id, correlation_id, occurred_at_ms, artifact_digest, record)
  SELECT $1::bigint + i, stream, sequence, id, event_type, outcome, tenant_id, workload_id, correlation_id, occurred_at_ms, artifact_digest, record
  FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::bigint[], $12::bytea[], $13::text[])
    AS e (i, stream, sequence, id, event_type, outcome, tenant_id, workload_id, correlation_id, occurred_at_ms, artifact_digest, record)),
kept AS (
  INSERT INTO artifacts (position, bytes) SELECT $1::bigint + i, bytes FROM unnest($14::bigint[], $15::bytea[]) AS a (i, bytes)),
spanned AS (
  INSERT INTO spans (span, node_id, min_ms, max_ms)
  SELECT ($1::bigint + i) / ${SPAN_POSITIONS}, $16::text, min(ms), max(ms) FROM unnest($2::bigint[], $11::bigint[]) AS e (i, ms) GROUP BY 1
  ON CONFLICT (span, node_id) DO UPDATE SET min_ms = least(spans.min_ms, excluded.min_ms), max_ms = greatest(spans.max_ms, excluded.max_ms))
${FAILED_UNLESS_USED}`;

export async function insertKey(query: RunQuery, scope: string, key: KeyRow): Promise<void> {
  await query(
    `INSERT INTO keys (kid, scope, role, jwk, created_at_ms, retired_at_ms) VALUES ($1, $2, $3, $4, $5, $6)
     ON CONFLICT (kid) DO UPDATE SET role = excluded.role, jwk = excluded.jwk, created_at_ms = excluded.created_at_ms, retired_at_ms = excluded.retired_at_ms`,
    [
      key.kid,
      scope,
      key.role,
      JSON.stringify({ ...key.jwk, hand_over: key.hand_over, node_id: key.node_id }),
      key.created_at_ms,
      key.retired_at_ms,
    ],
  );
}

const columnsOf = (places: readonly StateAt[]): string[][] => [
  places.map(({ kind }) => kind),
  places.map(({ tenant_id }) => tenant_id),
  places.map(({ key }) => key),
];

const digestBytes = (digest: string): Buffer => Buffer.from(hexOfDigest(digest), "hex");
