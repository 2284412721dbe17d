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
/** A line longer than this is handed over in parts, each of which is then at fault. */
const PENDING_BYTES_MAX = 8 * 1024 * 1024;
const IN_FLIGHT_MAX = 8;

/**
 * Chunks whose bytes nobody else holds, so that they can be handed to another thread.
 * @param stopped whether nothing more is wanted; the rest then goes by unread.
 */
export async function* lineChunks(
  body: AsyncIterable<Uint8Array>,
  stopped: () => boolean = () => false,
): AsyncGenerator<LineChunk> {
  let parts: Uint8Array[] = [];
  let length = 0;
  let first = 0;
  for await (const part of body) {
    if (stopped()) continue;
    const end = part.lastIndexOf(NEWLINE) + 1;
    if (length + part.length < CHUNK_BYTES || (end === 0 && length + part.length < PENDING_BYTES_MAX)) {
      parts.push(part.slice());
      length += part.length;
      continue;
    }
    const cut = end === 0 ? part.length : end;
    const chunk = chunkOf([...parts, part.subarray(0, cut)], first);
    parts = cut === part.length ? [] : [part.slice(cut)];
    length = part.length - cut;
    first += chunk.lines;
    yield chunk;
  }
  if (length > 0 && !stopped()) yield chunkOf(parts, first);
}

function chunkOf(parts: readonly Uint8Array[], first: number): LineChunk {
  const bytes = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return linesIn(bytes, first);
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
