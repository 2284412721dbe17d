// Streams read as transparency logs: checkpoints, tiles, entries and proofs, from what is committed (spec evidence §4).
import { setTimeout as sleep } from "node:timers/promises";
import { counted } from "../../core/counted.ts";
import { toBase64 } from "../../core/bytes.ts";
import { EvidenceUnavailableError } from "../../core/errors.ts";
import { consistencyProof, HASH_BYTES, inclusionProof, type NodeReader } from "../../core/merkle.ts";
import { formatVkey, type NoteKey } from "../../core/note.ts";
import { TREE_HASHER } from "../../core/sha256.ts";
import { entryBundle, nodesOfTiles, overTiles, TILE_WIDTH, tileWidthAt, type TileName } from "../../core/tiles.ts";
import type { LogReader, StoredCheckpoint, StreamRow } from "../../store/store.ts";
import { logNoteKey, originOf } from "./note-signing.ts";

/** Of a stream that another node writes: it signs a checkpoint each second. */
const OTHERS_MS_MAX = 3000;
const OTHERS_LOOKED_MS = 50;

/** A record's place in its stream's log, with what proves it to whoever holds the log's key. */
export interface Inclusion {
  readonly index: number;
  /** Of the checkpoint. */
  readonly size: number;
  /** Base64, from the leaf up (RFC 6962 §2.1.1). */
  readonly hashes: readonly string[];
  /** The signed note. */
  readonly checkpoint: string;
}

/** Under which id a node wrote streams, and what their logs were signed with. */
export interface LogIdentity {
  readonly nodeId: string;
  /** The origin of a stream's log is `<origin>/<chain_id>`. */
  readonly origin: string;
  readonly kid: string;
}

export interface TransparencyLogParts {
  readonly reader: LogReader;
  /** Of earlier ids of this node, whose streams are only read, and of the present one last. */
  readonly logs: () => readonly (LogIdentity & { readonly publicKey: Uint8Array })[];
  /** Makes checkpoints of all that is committed. */
  readonly checkpoint: () => Promise<void>;
}

export class TransparencyLog {
  readonly #parts: TransparencyLogParts;

  constructor(parts: TransparencyLogParts) {
    this.#parts = parts;
  }

  streams(): Promise<StreamRow[]> {
    return this.#parts.reader.streams();
  }

  stream(chainId: string): Promise<StreamRow | undefined> {
    return this.#parts.reader.stream(chainId);
  }

  /** The key that a stream's checkpoints are signed with. */
  key(chainId: string): NoteKey {
    const logs = this.#parts.logs();
    const { origin, publicKey } = logs.findLast(({ nodeId }) => chainId.endsWith(`/${nodeId}`)) ?? logs.at(-1)!;
    return logNoteKey(originOf(origin, chainId), publicKey);
  }

  /** The same as text (c2sp.org/signed-note). */
  vkey(chainId: string): string {
    return formatVkey(this.key(chainId));
  }

  /**
   * The latest checkpoint of a stream that has at least this many events.
   * @returns one that covers them; it is made where there is none yet, and waited for where another node makes it.
   * @throws EvidenceUnavailableError when none can be made, or the node that makes it is gone.
   */
  async checkpoint(chainId: string, sizeMin = 1): Promise<StoredCheckpoint> {
    const { reader, checkpoint } = this.#parts;
    const known = await reader.checkpoint(chainId);
    if (known && known.size >= sizeMin) return known;
    await checkpoint();
    for (const untilMs = performance.now() + OTHERS_MS_MAX; ; await sleep(OTHERS_LOOKED_MS)) {
      const made = await reader.checkpoint(chainId);
      if (made && made.size >= sizeMin) return made;
      if (performance.now() > untilMs)
        throw new EvidenceUnavailableError(`there is no checkpoint of ${chainId} over ${counted(sizeMin, "event")}`);
    }
  }

  /** A tile, or a bundle of entries; undefined where the stream is not that large yet. */
  async tile(chainId: string, { level, n, width }: TileName): Promise<Uint8Array | undefined> {
    const { reader } = this.#parts;
    const size = (await reader.stream(chainId))?.size ?? 0;
    if (tileWidthAt(level === "entries" ? 0 : level, n, size) < width) return undefined;
    if (level !== "entries") return (await reader.tile(chainId, level, n)).subarray(0, width * HASH_BYTES);
    const records = await reader.records(chainId, n * TILE_WIDTH, n * TILE_WIDTH + width);
    return entryBundle(records.map((record) => Buffer.from(record, "latin1")));
  }

  /**
   * That the record at `index` is in the tree of that size: base64 hashes.
   * @throws RangeError unless 0 ≤ index < size ≤ the stream's size.
   */
  inclusionProof(chainId: string, index: number, size: number): Promise<string[]> {
    return this.#proof(chainId, size, (nodes) => inclusionProof(TREE_HASHER, nodes, index, size));
  }

  /** That the tree of size `to` begins with that of size `from`. @throws RangeError unless 0 ≤ from ≤ to ≤ the stream's size. */
  consistencyProof(chainId: string, from: number, to: number): Promise<string[]> {
    return this.#proof(chainId, to, (nodes) => consistencyProof(TREE_HASHER, nodes, from, to));
  }

  /** Where a committed record is, proven. @throws EvidenceUnavailableError when no checkpoint can be made. */
  async inclusion(chainId: string, index: number): Promise<Inclusion> {
    const { size, note } = await this.checkpoint(chainId, index + 1);
    return { index, size, hashes: await this.inclusionProof(chainId, index, size), checkpoint: note };
  }

  async #proof(chainId: string, size: number, prove: (nodes: NodeReader) => Uint8Array[]): Promise<string[]> {
    const { reader } = this.#parts;
    const committed = (await reader.stream(chainId))?.size ?? 0;
    if (size > committed) throw new RangeError(`${chainId} has ${counted(committed, "event")}, not ${size}`);
    const hashes = await overTiles(
      (level, n) => reader.tile(chainId, level, n),
      (tile) => prove(nodesOfTiles(TREE_HASHER, tile)),
    );
    return hashes.map(toBase64);
  }
}
