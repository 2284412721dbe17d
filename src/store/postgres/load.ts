// Many records at once into a store that nobody else writes: rows go in as PostgreSQL has them (COPY, binary), with no statement over their values.
import type pg from "pg";
import { ENTRY_BYTES_MAX, type TreeTail } from "../../core/tiles.ts";
import { hexOfDigest } from "../../core/digest.ts";
import type { Append } from "../store.ts";
import { commit, type Row, type RunQuery } from "./connect.ts";
import { readTail } from "./log.ts";
import { SPAN_POSITIONS } from "./schema.ts";
import { Statements } from "./statements.ts";

interface LoadedStream {
  readonly stream: number;
  readonly tail: TreeTail;
}

/** Over a connection that does one thing after the other, for events that come with neither state nor keys. */
export class Loader {
  readonly #client: pg.Client;
  readonly #query: RunQuery;
  readonly #events = new Rows(12);
  readonly #artifacts = new Rows(2);
  /** As committed. */
  readonly #streams = new Map<string, LoadedStream>();

  constructor(client: pg.Client) {
    this.#client = client;
    this.#query = async (sql, values = []) => (await client.query(sql, values as unknown[])).rows as Row[];
  }

  /** All or nothing. @returns the position of the first. */
  async append(batch: readonly Append[]): Promise<number> {
    await this.#query("BEGIN");
    try {
      const first = await this.#insert(batch);
      await commit(this.#client);
      return first;
    } catch (error) {
      this.#streams.clear();
      await this.#query("ROLLBACK").catch(() => {});
      throw error;
    }
  }

  async #insert(batch: readonly Append[]): Promise<number> {
    const statements = new Statements(this.#query);
    const [placed] = await this.#query(
      "UPDATE positions SET last = last + $1 WHERE name = 'events' RETURNING last - $1 + 1 AS first",
      [batch.length],
    );
    const first = placed!["first"] as number;
    const [events, artifacts] = [this.#events.emptied(), this.#artifacts.emptied()];
    const spans = new Map<number, [min: number, max: number]>();
    for (const [i, event] of batch.entries()) {
      const { stream, tail } = await this.#streamOf(event.chain_id);
      if (event.sequence !== tail.size)
        throw new Error(`stream ${event.chain_id} ends at ${tail.size}, and event ${event.sequence} cannot follow`);
      if (event.record.length > ENTRY_BYTES_MAX)
        throw new Error(`a record of ${event.record.length} bytes has no place in a log`);
      statements.grow(stream, tail, event.record);
      const position = first + i;
      events.row().bigint(position).bigint(stream).bigint(event.sequence);
      events.text(event.id).text(event.event_type).text(event.outcome).text(event.tenant_id).text(event.workload_id);
      events.text(event.correlation_id).bigint(event.occurred_at_ms);
      events.bytes(Buffer.from(hexOfDigest(event.artifact_digest), "hex")).text(event.record);
      if (event.artifact !== null) artifacts.row().bigint(position).text(event.artifact);
      const span = Math.floor(position / SPAN_POSITIONS);
      const [min, max] = spans.get(span) ?? [Infinity, -Infinity];
      spans.set(span, [Math.min(min, event.occurred_at_ms), Math.max(max, event.occurred_at_ms)]);
    }
    await copyIn(
      this.#client,
      "events (position, stream, sequence, id, event_type, outcome, tenant_id, workload_id, correlation_id, occurred_at_ms, artifact_digest, record)",
      events.end(),
    );
    await copyIn(this.#client, "artifacts (position, bytes)", artifacts.end());
    for (const [span, [min, max]] of spans)
      await this.#query(
        `INSERT INTO spans (span, node_id, min_ms, max_ms) VALUES ($1, '', $2, $3)
         ON CONFLICT (span, node_id) DO UPDATE SET min_ms = least(spans.min_ms, excluded.min_ms), max_ms = greatest(spans.max_ms, excluded.max_ms)`,
        [span, min, max],
      );
    await statements.tree();
    await statements.ends(batch);
    return first;
  }

  async #streamOf(chainId: string): Promise<LoadedStream> {
    const known = this.#streams.get(chainId);
    if (known) return known;
    await this.#query("INSERT INTO streams (chain_id, size) VALUES ($1, 0) ON CONFLICT DO NOTHING", [chainId]);
    const [row] = await this.#query("SELECT stream, size FROM streams WHERE chain_id = $1", [chainId]);
    const { stream, size } = row as { stream: number; size: number };
    const read = { stream, tail: await readTail(this.#query, stream, size) };
    this.#streams.set(chainId, read);
    return read;
  }
}

const SIGNATURE = Buffer.from("PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0", "latin1");
const FIRST_BYTES = 1 << 20;

/** Rows in PostgreSQL's binary form of COPY. Source: its documentation of COPY, "Binary Format". */
class Rows {
  readonly #columns: number;
  #bytes = Buffer.allocUnsafe(FIRST_BYTES);
  #at = 0;

  constructor(columns: number) {
    this.#columns = columns;
  }

  /** Its memory is used again. */
  emptied(): this {
    this.#at = SIGNATURE.copy(this.#bytes);
    return this;
  }

  row(): this {
    this.#room(2);
    this.#at = this.#bytes.writeInt16BE(this.#columns, this.#at);
    return this;
  }

  bigint(value: number): this {
    this.#room(12);
    this.#at = this.#bytes.writeInt32BE(8, this.#at);
    this.#at = this.#bytes.writeInt32BE(Math.floor(value / 2 ** 32), this.#at);
    this.#at = this.#bytes.writeUInt32BE(value % 2 ** 32, this.#at);
    return this;
  }

  text(value: string | null): this {
    // At most three bytes of UTF-8 for each unit of UTF-16.
    this.#room(4 + 3 * (value?.length ?? 0));
    const length = value === null ? -1 : this.#bytes.write(value, this.#at + 4);
    this.#bytes.writeInt32BE(length, this.#at);
    this.#at += 4 + Math.max(length, 0);
    return this;
  }

  bytes(value: Uint8Array): this {
    this.#room(4 + value.length);
    this.#at = this.#bytes.writeInt32BE(value.length, this.#at);
    this.#bytes.set(value, this.#at);
    this.#at += value.length;
    return this;
  }

  end(): Buffer {
    this.#room(2);
    return this.#bytes.subarray(0, this.#bytes.writeInt16BE(-1, this.#at));
  }

  #room(bytes: number): void {
    if (this.#at + bytes <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafe(2 * this.#bytes.length + bytes);
    this.#bytes.copy(grown, 0, 0, this.#at);
    this.#bytes = grown;
  }
}

/** What its types leave out. */
interface CopyConnection extends pg.Connection {
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
}

/** @param into a table and its columns. */
function copyIn(client: pg.Client, into: string, rows: Buffer): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const ignored = (): void => {};
  const copying = {
    callback: (error?: Error | null): void => (error ? reject(error) : resolve()),
    submit: (connection: pg.Connection): void => connection.query(`COPY ${into} FROM STDIN (FORMAT binary)`),
    handleCopyInResponse(connection: CopyConnection): void {
      connection.sendCopyFromChunk(rows);
      connection.endCopyFrom();
    },
    handleReadyForQuery: (): void => copying.callback(),
    handleError: (error: Error): void => copying.callback(error),
    handleCommandComplete: ignored,
    handleRowDescription: ignored,
    handleDataRow: ignored,
    handleEmptyQuery: ignored,
  };
  client.query(copying);
  return promise;
}
