// Ends of the streams that a writer appends to: its own as it has committed them, any other's as it is read in the transaction.
import type { TreeTail } from "../../core/tiles.ts";
import type { RunQuery } from "./connect.ts";
import { readTail } from "./log.ts";

/** Streams whose end is kept in memory (at most some 12 KB each); the end of any other is read when it is appended to. */
const STREAMS_KEPT_MAX = 2048;

interface Stream {
  readonly stream: number;
  readonly tail: TreeTail;
}

export class StreamEnds {
  readonly #query: RunQuery;
  readonly #nodeId: string | undefined;
  /** Own streams as committed, least recently used first. */
  readonly #kept = new Map<string, Stream>();

  /** @param nodeId whose streams nobody else appends to; undefined: no node's. */
  constructor(query: RunQuery, nodeId: string | undefined) {
    this.#query = query;
    this.#nodeId = nodeId;
  }

  /** Of the streams named; what is not kept is held until the end of the transaction. What is appended to them is kept with them. */
  async of(chainIds: readonly string[]): Promise<Map<string, Stream>> {
    const wanted = [...new Set(chainIds)];
    const read = await this.#read(wanted.filter((chainId) => !this.#kept.has(chainId)).sort());
    const streams = new Map(wanted.map((chainId) => [chainId, this.#kept.get(chainId) ?? read.get(chainId)!]));
    for (const [chainId, stream] of streams) {
      this.#kept.delete(chainId);
      if (this.#isOwn(chainId)) this.#kept.set(chainId, stream);
    }
    return streams;
  }

  /** What was appended is not on record. */
  forget(): void {
    this.#kept.clear();
  }

  /** What was appended is on record. */
  trim(): void {
    for (const chainId of this.#kept.keys()) {
      if (this.#kept.size <= STREAMS_KEPT_MAX) return;
      this.#kept.delete(chainId);
    }
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
    return this.#nodeId !== undefined && chainId.endsWith(`/${this.#nodeId}`);
  }
}
