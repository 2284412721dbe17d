// Reads the range that is exported, once, page by page: its lines are written as they come, and of each event a few bytes are kept.
import { setImmediate } from "node:timers/promises";
import { digestOfPointer, hexBytes, hexOfDigest } from "../../core/digest.ts";
import { digestOf, eventTextOf } from "../../core/event.ts";
import { appendLeaf, EMPTY_FRONTIER, HASH_BYTES, rootOf } from "../../core/merkle.ts";
import type { EvidenceEvent } from "../../core/schema/event.ts";
import { recordLeaf, TREE_HASHER } from "../../core/sha256.ts";
import type { StoreReader } from "../../store/store.ts";
import { type PageStore, Rows } from "../verify/pages.ts";
import { SCHEMA_VERSION, SCHEMA_VERSION_1 } from "../verify/profiles.ts";
import { ArtifactRows } from "./artifact-rows.ts";
import type { SharedArtifacts } from "./shared-artifacts.ts";
import type { Range } from "./source.ts";
import { StagedFile } from "./staged-file.ts";

const PAGE = 256;
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
  readonly #hash = new Uint8Array(HASH_BYTES);
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
    const { chainId, from, to } = this.#range;
    this.segment.write(`{"algorithm":"${SEGMENT_ALGORITHM}","events":[`);
    for (let page = from; page <= to; page += PAGE) {
      // Decisions go on while an export is read.
      await setImmediate();
      const end = Math.min(page + PAGE, to + 1);
      const records = await this.#store.log.records(chainId, page, end);
      const artifacts = await this.#store.log.artifacts(chainId, page, end);
      if (records.length !== end - page) throw new Error(`the stream ${chainId} has a gap at ${page}`);
      for (const [i, record] of records.entries()) {
        const event = this.#readRecord(record, page + i);
        const sharing = this.#shared.shareSnapshots(event);
        if (sharing !== undefined) await sharing;
        const own = artifacts.get(page + i);
        if (own === undefined || !this.#isOwn(event, page + i, own)) await this.#findArtifact(event, page + i);
      }
    }
  }

  #readRecord(record: string, sequence: number): EvidenceEvent {
    const text = eventTextOf(record);
    const event = JSON.parse(text) as EvidenceEvent;
    const { id, prev_hash, event_hash } = event;
    this.events.write(`${text}\n`);
    this.records.write(`${record}\n`);
    const line = sequence - this.#range.from;
    // Canonical as it stands: its members are in order, and the event's texts are canonical already.
    this.segment.write(
      `${line === 0 ? "" : ","}{"event_hash":${JSON.stringify(event_hash)},"event_ref":${JSON.stringify(event.evidence_pointer)},"evidence_profile_id":${this.#profile},"id":${JSON.stringify(id)},"prev_hash":${JSON.stringify(prev_hash)},"sequence":${sequence}}`,
    );
    this.leaves.change(line).set(recordLeaf(record));
    hexBytes(hexOfDigest(event_hash), this.#hash);
    this.#frontier = appendLeaf(TREE_HASHER, this.#frontier, TREE_HASHER.leaf(this.#hash));
    this.#lastOccurredAt = event.occurred_at;
    if (event.outcome === "refused" && event.refusal_reason === undefined) this.#schema = SCHEMA_VERSION_1;
    return event;
  }

  /** Takes the artifact that lies with the event. @returns false where there is none. */
  #isOwn(event: EvidenceEvent, sequence: number, own: Uint8Array | undefined): boolean {
    if (own === undefined) return false;
    const digest = digestOfPointer(event.evidence_pointer)!;
    if (digestOf(own) !== digest) this.#shared.lack(`the artifact of event ${sequence} is damaged`);
    this.artifacts.add(digest, sequence);
    return true;
  }

  /** It is that of the admission which the event accompanies, or one of many's, or it was erased. */
  async #findArtifact(event: EvidenceEvent, sequence: number): Promise<void> {
    const { chainId } = this.#range;
    if (this.#isOwn(event, sequence, await this.#store.log.artifactAt(chainId, sequence))) return;
    const digest = digestOfPointer(event.evidence_pointer)!;
    if (!(await this.#shared.share("decision", digest)) && !this.erased.has(digest)) this.erased.set(digest, sequence);
  }
}
