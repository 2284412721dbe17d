// What every reader of an export's files is given, and what they have in common.
import type { ChunkMemory, LineChunk } from "./chunks.ts";
import type { ArchiveLimits } from "./files.ts";
import { type ElementChunk, JsonStream, JsonStreamError } from "./json-stream.ts";
import type { LeafRange } from "./inclusion.ts";
import type { Primitives } from "./primitives.ts";
import type { ProofRows } from "./proof-rows.ts";
import type { CheckName, Findings } from "./report.ts";
import type { EventRows } from "./event-rows.ts";
import type { EventKeys, RecordRows } from "./record-rows.ts";
import type { RowFault } from "./rows.ts";
import type { DigestMarks } from "./digest-marks.ts";
import type { PageStore } from "./pages.ts";
import type { SegmentRows } from "./segment-rows.ts";
import type { Paired } from "./tables.ts";

/** Checks chunks of records. */
export interface RowChecks {
  events(chunk: LineChunk): Promise<EventRows>;
  records(chunk: LineChunk, keys: EventKeys | undefined): Promise<RecordRows>;
  segment(chunk: ElementChunk): Promise<SegmentRows>;
  proofs(chunk: ElementChunk, range: LeafRange): Promise<ProofRows>;
}

/** Checks chunks in the memory that it has for them, which is used again when they were checked; in Node on all cores. */
export interface Checker extends RowChecks {
  readonly memory: ChunkMemory;
}

export interface ReadingContext {
  readonly findings: Findings;
  readonly primitives: Primitives;
  readonly checker: Checker;
  readonly limits: ArchiveLimits;
  /** Where what is remembered of each record lies. */
  readonly scratch: PageStore;
  /** Called now and then with how many events were read. */
  readonly progress: (events: number) => void;
  /** What is known of artifacts, by digest: files, listings and pointers are marked as they are met. */
  readonly artifacts: DigestMarks;
  /** What two files must say alike of each event, whichever comes first. */
  readonly eventsAndRecords: Paired;
  readonly eventsAndSegment: Paired;
}

/** Of what is kept as objects: policies that are named, rotations, erasures. Beyond it nothing passes. */
export const KEPT_MAX = 1_000_000;
/** Rows of no use, and rows more than there should be, until the rest is passed over. */
export const EXCESS_MAX = 100;

export function takeFaults(findings: Findings, faults: readonly RowFault[], file: string): void {
  for (const { check, index, message, count } of faults) findings.fault(check, message, { file, index }, count);
}

/** There is no use in reading on; said already. */
export class Enough extends Error {}

/** What is streamed, where faults in it are told, and where its chunks lie. */
interface JsonChunksOf {
  readonly findings: Findings;
  readonly check: CheckName;
  readonly file: string;
  readonly memory: ChunkMemory;
}

/**
 * Streams a JSON object through that has one large array; what is wrong with it is a finding, and then the rest goes by unread.
 * @param stopped whether nothing more is wanted.
 */
export async function* jsonChunks(
  { findings, check, file, memory }: JsonChunksOf,
  body: AsyncIterable<Uint8Array>,
  array: string,
  onValue: ConstructorParameters<typeof JsonStream>[1],
  stopped: () => boolean,
): AsyncGenerator<ElementChunk> {
  let count = 0;
  let chunks: ElementChunk[] = [];
  const stream = new JsonStream({ [array]: "array" }, onValue, (_, { bytes, bounds }) => {
    chunks.push({ bytes: memory.copyOf(bytes), bounds, first: count });
    count += bounds.length / 2;
  });
  let reading = true;
  const attempt = (work: () => void): void => {
    try {
      if (reading) work();
    } catch (error) {
      reading = false;
      if (error instanceof JsonStreamError) findings.fault(check, error.message, { file });
      else if (!(error instanceof Enough)) throw error;
    }
  };
  for await (const part of body) {
    if (stopped()) continue;
    attempt(() => stream.write(part));
    yield* chunks;
    chunks = [];
  }
  if (!stopped()) attempt(() => stream.end());
}

export async function drain(body: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const _ of body);
}

export async function collect(body: AsyncIterable<Uint8Array>, size: number): Promise<Uint8Array> {
  const whole = new Uint8Array(size);
  let at = 0;
  for await (const part of body) {
    whole.set(part, at);
    at += part.length;
  }
  return whole.subarray(0, at);
}
