// Unpacks gzip as it streams (RFC 1952), where the bytes are gzip at all; in browsers and in Node.
import { ArchiveError } from "./tar.ts";

const GZIP_MAGIC = [0x1f, 0x8b] as const;
/** Deflated, and nothing said of it: no name, no comment. */
const HEADER = [...GZIP_MAGIC, 8, 0];
const HEADER_BYTES = 10;
/** CRC-32 and length. */
const TRAILER_BYTES = 8;
/** Nothing that is worth sending gets so much smaller; beyond some bytes, what does is made to cost its reader. */
const RATIO_MAX = 200;
const RATIO_FREE_BYTES = 64 * 1024 ** 2;

/** How gzip is unpacked. @throws ArchiveError when it is damaged, or something follows it. */
export type Gunzip = (source: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array>;

/** The bytes of a `.tar`, whether they come packed or not. @throws ArchiveError */
export async function* unpacked(
  source: AsyncIterable<Uint8Array>,
  gunzip: Gunzip = webGunzip,
): AsyncGenerator<Uint8Array> {
  const chunks = source[Symbol.asyncIterator]();
  const first = await nextFilled(chunks);
  if (first === undefined) throw new ArchiveError("it is empty");
  if (first[0] !== GZIP_MAGIC[0] || (first.length > 1 && first[1] !== GZIP_MAGIC[1])) yield* withFirst(first, chunks);
  else yield* boundedRatio(withFirst(first, chunks), gunzip);
}

/**
 * One gzip member that is all at hand, unpacked by Node's zlib: a stream takes ten times as long to be set up.
 * @param bytesMax largest, unpacked.
 * @returns undefined where there is no such zlib, or it is not plainly that and nothing else; by `unpacked` it is, or says why not.
 */
export function unpackedAtHand(packed: Uint8Array, bytesMax: number): Uint8Array | undefined {
  const zlib = globalThis.process?.getBuiltinModule?.("node:zlib");
  const ends = packed.length - TRAILER_BYTES;
  if (!zlib?.crc32 || ends < HEADER_BYTES || HEADER.some((byte, at) => packed[at] !== byte)) return undefined;
  try {
    const { buffer, engine } = zlib.inflateRawSync(packed.subarray(HEADER_BYTES, ends), {
      info: true,
      maxOutputLength: Math.min(bytesMax, RATIO_FREE_BYTES),
    }) as unknown as { buffer: Uint8Array; engine: { bytesWritten: number } };
    const trailer = new DataView(packed.buffer, packed.byteOffset + ends, TRAILER_BYTES);
    const whole = engine.bytesWritten === ends - HEADER_BYTES;
    const sound = trailer.getUint32(0, true) === zlib.crc32(buffer) && trailer.getUint32(4, true) === buffer.length;
    return whole && sound ? buffer : undefined;
  } catch {
    return undefined;
  }
}

async function* boundedRatio(packed: AsyncIterable<Uint8Array>, gunzip: Gunzip): AsyncGenerator<Uint8Array> {
  let [packedBytes, unpackedBytes] = [0, 0];
  const counted = async function* () {
    for await (const part of packed) {
      packedBytes += part.length;
      yield part;
    }
  };
  for await (const part of gunzip(counted())) {
    unpackedBytes += part.length;
    if (unpackedBytes > RATIO_FREE_BYTES && unpackedBytes > packedBytes * RATIO_MAX)
      throw new ArchiveError(`it unpacks to more than ${RATIO_MAX} times its size`);
    yield part;
  }
}

async function nextFilled(chunks: AsyncIterator<Uint8Array>): Promise<Uint8Array | undefined> {
  for (;;) {
    const next = await chunks.next();
    if (next.done === true) return undefined;
    if (next.value.length > 0) return next.value;
  }
}

async function* withFirst(first: Uint8Array, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield first;
  for (let next; (next = await rest.next()).done !== true; ) yield next.value;
}

/** `DecompressionStream` refuses what follows the end of the gzip stream. */
async function* webGunzip(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const chunks = source[Symbol.asyncIterator]();
  const packed = new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller) {
      const next = await chunks.next();
      if (next.done === true) controller.close();
      else controller.enqueue(next.value as Uint8Array<ArrayBuffer>);
    },
  });
  const reader = packed.pipeThrough(new DecompressionStream("gzip")).getReader();
  try {
    for (let next; !(next = await reader.read()).done; ) yield next.value;
  } catch (cause) {
    throw cause instanceof ArchiveError ? cause : new ArchiveError("its gzip stream is damaged", { cause });
  } finally {
    await reader.cancel().catch(() => {});
  }
}
