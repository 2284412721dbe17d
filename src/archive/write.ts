// Writes tar archives, the same bytes for the same files: no owners, no times (POSIX ustar: IEEE Std 1003.1, pax, "ustar Interchange Format").
import { createGzip, gzipSync, type Gzip } from "node:zlib";
import { ArchiveError } from "./tar.ts";

/** One file, whose content is read when its turn comes. */
export interface TarFile {
  readonly name: string;
  readonly size: number;
  /** Parts of up to 128 KiB need be good until the next only. */
  open(): AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

const BLOCK = 512;
const NAME_BYTES_MAX = 100;
const PREFIX_BYTES_MAX = 155;
const OCTAL_SIZE_MAX = 8 ** 11 - 1;
const END_OF_ARCHIVE = 2 * BLOCK;
const PIECE_BYTES = 128 * 1024;
/** What is streamed is mostly digests and base64, which no effort makes smaller. */
const STREAM_LEVEL = 3;
/** What a piece is packed to at most, mostly. */
const PACKED_BYTES = 64 * 1024;
/** RFC 1952 §2.3.1: where the byte for the operating system stands, and what says that it is unknown. */
const [OS_AT, OS_UNKNOWN] = [9, 255] as const;

/** A gzipped tar as it is read. Fails where a file is not the size that it was said to be. */
export function tarGzStream(files: AsyncIterable<TarFile>): Gzip {
  const gzip = createGzip({ level: STREAM_LEVEL, chunkSize: PACKED_BYTES });
  feed(gzip, files).catch((error: Error) => gzip.destroy(error));
  return gzip;
}

/** One piece is packed while the next is gathered; then its memory is used again. */
async function feed(gzip: Gzip, files: AsyncIterable<TarFile>): Promise<void> {
  const { promise: closed, reject } = Promise.withResolvers<never>();
  closed.catch(() => {});
  gzip.once("close", () => reject(new Error("nobody reads it any more")));
  const packed = (piece: Uint8Array): Promise<void> =>
    new Promise((resolve, fail) => gzip.write(piece, (error) => (error ? fail(error) : resolve())));
  const pieces = new Pieces();
  let before = Promise.resolve();
  for await (const piece of tar(files, pieces)) {
    await before;
    before = Promise.race([closed, packed(piece)]).then(() => pieces.giveBack(piece));
    before.catch(() => {});
  }
  await before;
  gzip.end();
}

/** A gzipped tar of files that are at hand, in the order given. @throws ArchiveError where a name is too long for ustar. */
export function tarGz(files: Iterable<readonly [name: string, content: Uint8Array]>): Uint8Array {
  const blocks: Uint8Array[] = [];
  for (const [name, content] of files) blocks.push(tarHeader(name, content.length), content, padding(content.length));
  const archive = gzipSync(Buffer.concat([...blocks, ZEROS]), { level: 9 });
  archive[OS_AT] = OS_UNKNOWN;
  return archive;
}

async function* tar(files: AsyncIterable<TarFile>, pieces: Pieces): AsyncGenerator<Uint8Array> {
  for await (const file of files) {
    pieces.putHeader(file.name, file.size);
    let left = file.size;
    const content = file.open();
    // Most files are small and at hand; waiting for each part of each would take longer than all else.
    if (Array.isArray(content))
      for (const part of content as readonly Uint8Array[]) {
        left -= part.length;
        pieces.put(part);
      }
    else
      for await (const part of content) {
        left -= part.length;
        pieces.put(part);
        if (pieces.areReady) yield* pieces.taken();
      }
    if (left !== 0) throw new Error(`${file.name} changed while it was written`);
    pieces.put(padding(file.size));
    if (pieces.areReady) yield* pieces.taken();
  }
  pieces.put(ZEROS);
  pieces.end();
  yield* pieces.taken();
}

/** Small parts gathered into large ones. */
class Pieces {
  #ready: Uint8Array[] = [];
  readonly #spare: Buffer<ArrayBuffer>[] = [];
  #piece = Buffer.allocUnsafeSlow(PIECE_BYTES);
  #used = 0;

  put(part: Uint8Array): void {
    if (this.#used + part.length > PIECE_BYTES) this.end();
    if (part.length > PIECE_BYTES) this.#ready.push(part);
    else {
      this.#piece.set(part, this.#used);
      this.#used += part.length;
    }
  }

  putHeader(name: string, size: number): void {
    if (this.#used + BLOCK > PIECE_BYTES) this.end();
    tarHeader(name, size, this.#piece.subarray(this.#used, (this.#used += BLOCK)).fill(0));
  }

  /** What was gathered is a piece, however small. */
  end(): void {
    if (this.#used === 0) return;
    this.#ready.push(this.#piece.subarray(0, this.#used));
    this.#piece = this.#spare.pop() ?? Buffer.allocUnsafeSlow(PIECE_BYTES);
    this.#used = 0;
  }

  /** Nobody looks at it any more. */
  giveBack({ buffer }: Uint8Array): void {
    if (buffer.byteLength === PIECE_BYTES) this.#spare.push(Buffer.from(buffer as ArrayBuffer));
  }

  get areReady(): boolean {
    return this.#ready.length > 0;
  }

  taken(): Uint8Array[] {
    const taken = this.#ready;
    this.#ready = [];
    return taken;
  }
}

const ZEROS = new Uint8Array(END_OF_ARCHIVE);
const padding = (size: number): Uint8Array => ZEROS.subarray(0, (BLOCK - (size % BLOCK)) % BLOCK);

/** Mode 0644, owner 0, time 0. @param block zeros. */
function tarHeader(path: string, size: number, block = Buffer.alloc(BLOCK)): Uint8Array {
  const octal = (value: number, at: number, digits: number) =>
    block.write(`${value.toString(8).padStart(digits, "0")}\0`, at, "latin1");
  const [prefix, name] = splitPath(path);
  block.write(name, 0);
  octal(0o644, 100, 7);
  octal(0, 108, 7);
  octal(0, 116, 7);
  if (size <= OCTAL_SIZE_MAX) octal(size, 124, 11);
  else {
    // GNU's form: the high bit set, then a big-endian number.
    block[124] = 0x80;
    block.writeBigUInt64BE(BigInt(size), 128);
  }
  octal(0, 136, 11);
  block.write("        0", 148, "latin1");
  block.write("ustar\0" + "00", 257, "latin1");
  block.write(prefix, 345);
  let sum = 0;
  for (let at = 0; at < BLOCK; at++) sum += block[at]!;
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

function splitPath(path: string): [prefix: string, name: string] {
  if (Buffer.byteLength(path) <= NAME_BYTES_MAX) return ["", path];
  for (let cut = path.indexOf("/", 1); cut > 0; cut = path.indexOf("/", cut + 1)) {
    const [prefix, name] = [path.slice(0, cut), path.slice(cut + 1)];
    if (Buffer.byteLength(prefix) <= PREFIX_BYTES_MAX && Buffer.byteLength(name) <= NAME_BYTES_MAX)
      return [prefix, name];
  }
  throw new ArchiveError(`${path} is too long a name`);
}
