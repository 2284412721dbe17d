// Reads the range that is exported, once, page by page: its lines are written as they come, and of each event a few bytes are kept.
import { setImmediate } from "node:timers/promises";
import { DIGEST_BYTES, digestText } from "../../core/digest.ts";
import { digestOf } from "../../core/event.ts";
import { appendLeaf, EMPTY_FRONTIER, HASH_BYTES, rootOf } from "../../core/merkle.ts";
import { TREE_HASHER } from "../../core/sha256.ts";
import type { StoreReader } from "../../store/store.ts";
import type { ChunkMemory } from "../verify/chunks.ts";
import { type PageStore, Rows } from "../verify/pages.ts";
import { SCHEMA_VERSION, SCHEMA_VERSION_1 } from "../verify/profiles.ts";
import { ArtifactRows } from "./artifact-rows.ts";
import { RangePool } from "./range-pool.ts";
import { ABSENT, DAMAGED, linesBytes, type RangePage, type RangeRows, SOUND } from "./range-rows.ts";
import type { SharedArtifacts } from "./shared-artifacts.ts";
import type { Range } from "./source.ts";
import { StagedFile } from "./staged-file.ts";

/** Records that are read at once, and pages that are worked on beside each other. */
const PAGE = 64;
const IN_FLIGHT_MAX = 4;
export const SEGMENT_ALGORITHM = "sha256";

export class RangeReader {
  readonly #store: StoreReader;
  readonly #range: Range;
  readonly #profile: string;
  readonly #shared: SharedArtifacts;
  /** Artifacts of events' own. */
  readonly artifacts: ArtifactRows;
  /** RFC 6962 leaf hashes of the records. */
  readonly leaves: Rows;
  /** Digests of artifacts that are not there, each with the first event that points to it. */
  readonly erased = new Map<string, number>();
  readonly events: StagedFile;
  readonly records: StagedFile;
  /** Its head and its events; what follows them is the caller's to write. */
  readonly segment: StagedFile;
  #frontier = EMPTY_FRONTIER;
  #schema = SCHEMA_VERSION;
  #lastOccurredAt = "";

  /** @param profile that the segment's rows name. @param staging where the files grow. */
  constructor(
    store: StoreReader,
    range: Range,
    profile: string,
    shared: SharedArtifacts,
    { staging, pages }: { readonly staging: string; readonly pages: PageStore },
  ) {
    this.#store = store;
    this.#range = range;
    this.#profile = JSON.stringify(profile);
    this.#shared = shared;
    this.artifacts = new ArtifactRows(pages);
    this.leaves = new Rows(pages, HASH_BYTES);
    this.events = new StagedFile(staging, "events.jsonl");
    this.records = new StagedFile(staging, "records.jws");
    this.segment = new StagedFile(staging, "chain-segment.json");
  }

  /** Merkle root over the event hashes. */
  get root(): Uint8Array {
    return rootOf(TREE_HASHER, this.#frontier);
  }

  /** Of the last event. */
  get lastOccurredAt(): string {
    return this.#lastOccurredAt;
  }

  /** Refusals of 0.1 don't say why in words, so that an export of them is not held to the rules that ask for it. */
  get schema(): string {
    return this.#schema;
  }

  async read(): Promise<void> {
    this.segment.write(`{"algorithm":"${SEGMENT_ALGORITHM}","events":[`);
    const pool = new RangePool(this.#range.to - this.#range.from + 1);
    try {
      const running: Promise<RangeRows>[] = [];
      let taken = this.#range.from;
      const takeNext = async (): Promise<void> => {
        taken = await this.#take(await running.shift()!, taken, pool.memory);
      };
      for (let from = this.#range.from; from <= this.#range.to; from += PAGE) {
        // Decisions go on while an export is read.
        await setImmediate();
        const job = pool.read(await this.#page(from, pool.memory));
        job.catch(() => {});
        running.push(job);
        if (running.length === IN_FLIGHT_MAX) await takeNext();
      }
      while (running.length > 0) await takeNext();
    } finally {
      await pool.close();
    }
  }

  async #page(from: number, memory: ChunkMemory): Promise<RangePage> {
    const { chainId } = this.#range;
    const end = Math.min(from + PAGE, this.#range.to + 1);
    const records = await this.#store.log.records(chainId, from, end);
    const own = await this.#store.log.artifacts(chainId, from, end);
    if (records.length !== end - from) throw new Error(`the stream ${chainId} has a gap at ${from}`);
    const lengths = records.map((_, row) => own.get(from + row)?.length);
    const artifacts = memory.take(lengths.reduce<number>((sum, length = 0) => sum + length, 0));
    let at = 0;
    for (let row = 0; row < records.length; row++) {
      const artifact = own.get(from + row);
      if (artifact === undefined) continue;
      artifacts.set(artifact, at);
      at += artifact.length;
    }
    return { records, from, profile: this.#profile, artifacts, lengths, room: memory.take(linesBytes(records)).buffer };
  }

  /** @param from sequence of the first. @returns that of the next. */
  async #take(rows: RangeRows, from: number, memory: ChunkMemory): Promise<number> {
    const { leaves, hashLeaves, artifacts, snapshots } = rows;
    const line = from - this.#range.from;
    this.events.writeBytes(rows.events);
    this.records.writeBytes(rows.records);
    if (line > 0) this.segment.write(",");
    this.segment.writeBytes(rows.segment);
    memory.giveBack(rows.events.buffer);
    this.leaves.append(line, leaves);
    for (let at = 0; at < hashLeaves.length; at += HASH_BYTES)
      this.#frontier = appendLeaf(TREE_HASHER, this.#frontier, hashLeaves.subarray(at, at + HASH_BYTES));
    let named = 0;
    for (const [row, state] of artifacts.entries()) {
      if (snapshots[named]?.row === row) await this.#shared.shareSnapshots(snapshots[named++]!.of);
      const digest = rows.pointers.subarray(row * DIGEST_BYTES, (row + 1) * DIGEST_BYTES);
      const finding = this.#takeArtifact(digest, from + row, state);
      // Nearly always it lies with the event.
      if (finding !== undefined) await finding;
    }
    this.#lastOccurredAt = rows.occurredAt;
    if (rows.hasBareRefusal) this.#schema = SCHEMA_VERSION_1;
    return from + artifacts.length;
  }

  /** It lies with the event, or it is that of the admission which the event accompanies, or one of many's, or it was erased. */
  #takeArtifact(digest: Uint8Array, sequence: number, state: number): Promise<void> | undefined {
    if (state === ABSENT) return this.#findArtifact(digest, sequence);
    if (state === DAMAGED) this.#shared.lack(`the artifact of event ${sequence} is damaged`);
    this.artifacts.add(digest, sequence);
    return undefined;
  }

  async #findArtifact(bytes: Uint8Array, sequence: number): Promise<void> {
    const digest = digestText(bytes);
    const found = await this.#store.log.artifactAt(this.#range.chainId, sequence);
    if (found !== undefined)
      return void this.#takeArtifact(bytes, sequence, digestOf(found) === digest ? SOUND : DAMAGED);
    if (!(await this.#shared.share("decision", digest)) && !this.erased.has(digest)) this.erased.set(digest, sequence);
  }
}
