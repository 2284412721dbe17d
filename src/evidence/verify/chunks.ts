// Cuts a file into chunks of whole lines, and takes results in order while several chunks are worked on at once.

/** Whole lines of a file. */
export interface LineChunk {
  readonly bytes: Uint8Array;
  /** Number of the first line, counted from 0. */
  readonly first: number;
  /** How many there are, the last one counting without its newline too. */
  readonly lines: number;
}

const NEWLINE = 0x0a;
const CHUNK_BYTES = 256 * 1024;
/** What a chunk mostly fits in: it ends with the part that makes it large enough, and parts are no larger. */
const ROOM_BYTES = 2 * CHUNK_BYTES;
/** A line longer than this is handed over in parts, each of which is then at fault. */
const PENDING_BYTES_MAX = 8 * 1024 * 1024;
const IN_FLIGHT_MAX = 8;

/** Memory of chunks, used again when a chunk was worked on: what is allocated anew for each fills memory before it is collected. */
export class ChunkMemory {
  readonly #spare: ArrayBuffer[] = [];

  /** Room for so many bytes at least. */
  take(length: number): Uint8Array<ArrayBuffer> {
    const spare = length <= ROOM_BYTES ? this.#spare.pop() : undefined;
    return new Uint8Array(spare ?? new ArrayBuffer(Math.max(length, ROOM_BYTES)));
  }

  /** What a chunk was in, and nobody looks at any more. */
  giveBack(memory: ArrayBufferLike): void {
    if (memory.byteLength === ROOM_BYTES && this.#spare.length <= IN_FLIGHT_MAX)
      this.#spare.push(memory as ArrayBuffer);
  }

  copyOf(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
    const room = this.take(bytes.length).subarray(0, bytes.length);
    room.set(bytes);
    return room;
  }
}

/**
 * Chunks in memory that nobody else holds, so that it can be handed to another thread.
 * @param stopped whether nothing more is wanted; the rest then goes by unread. @param memory where chunks lie.
 */
export async function* lineChunks(
  body: AsyncIterable<Uint8Array>,
  stopped: () => boolean = () => false,
  memory = new ChunkMemory(),
): AsyncGenerator<LineChunk> {
  let room = memory.take(0);
  let length = 0;
  let first = 0;
  const append = (part: Uint8Array): void => {
    if (length + part.length > room.length) {
      const larger = memory.take(2 * (length + part.length));
      larger.set(room.subarray(0, length));
      memory.giveBack(room.buffer);
      room = larger;
    }
    room.set(part, length);
    length += part.length;
  };
  for await (const part of body) {
    if (stopped()) continue;
    const end = part.lastIndexOf(NEWLINE) + 1;
    if (length + part.length < CHUNK_BYTES || (end === 0 && length + part.length < PENDING_BYTES_MAX)) {
      append(part);
      continue;
    }
    const cut = end === 0 ? part.length : end;
    append(part.subarray(0, cut));
    const chunk = linesIn(room.subarray(0, length), first);
    [room, length] = [memory.take(0), 0];
    append(part.subarray(cut));
    first += chunk.lines;
    yield chunk;
  }
  if (length > 0 && !stopped()) yield linesIn(room.subarray(0, length), first);
}

/** @param first number of the first line. */
export function linesIn(bytes: Uint8Array, first = 0): LineChunk {
  let lines = bytes.length > 0 && bytes.at(-1) !== NEWLINE ? 1 : 0;
  for (let next = bytes.indexOf(NEWLINE); next !== -1; next = bytes.indexOf(NEWLINE, next + 1)) lines++;
  return { bytes, first, lines };
}

/** Works on several inputs at once, and hands over what came of them in order. */
export async function inOrder<I, O>(
  inputs: AsyncIterable<I>,
  work: (input: I) => Promise<O>,
  take: (output: O) => void,
): Promise<void> {
  const running: Promise<O>[] = [];
  for await (const input of inputs) {
    const job = work(input);
    job.catch(() => {});
    running.push(job);
    if (running.length >= IN_FLIGHT_MAX) take(await running.shift()!);
  }
  for (const job of running) take(await job);
}
