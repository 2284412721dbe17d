// Reads a tar archive as it streams, keeping nothing and writing nothing: whatever is not a plain file of a plain name ends it.
// Formats: POSIX ustar, with pax headers that say nothing of names, links and sizes, and GNU's binary sizes.

/** The archive is hostile or damaged; nothing more of it is read. */
export class ArchiveError extends Error {}

export interface ArchiveLimits {
  /** All of it, unpacked. */
  readonly bytesMax: number;
  readonly entriesMax: number;
}

export const DEFAULT_ARCHIVE_LIMITS: ArchiveLimits = { bytesMax: 256 * 1024 ** 3, entriesMax: 20_000_000 };

export interface ArchiveEntry {
  readonly name: string;
  readonly size: number;
  /** To be read to its end, or not at all, before the next entry is asked for. */
  readonly body: AsyncIterable<Uint8Array>;
}

const BLOCK = 512;
const PAX_BYTES_MAX = 64 * 1024;
const PAX_HARMLESS = /^(?:[acm]time|uid|gid|uname|gname|comment|charset|hdrcharset|(?:LIBARCHIVE|SCHILY)\..*)$/;
const NAME_LENGTH_MAX = 255;
const latin1 = (bytes: Uint8Array): string => String.fromCharCode(...bytes);

/** Bytes as they come, handed out in the sizes that are asked for. */
class ByteReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #bytesMax: number;
  #current: Uint8Array = new Uint8Array(0);
  #read = 0;

  constructor(source: AsyncIterable<Uint8Array>, bytesMax: number) {
    this.#chunks = source[Symbol.asyncIterator]();
    this.#bytesMax = bytesMax;
  }

  /** Up to `length` bytes, at least one; undefined at the end. */
  async some(length: number): Promise<Uint8Array | undefined> {
    while (this.#current.length === 0) {
      const next = await this.#chunks.next();
      if (next.done === true) return undefined;
      this.#current = next.value;
      this.#read += next.value.length;
      if (this.#read > this.#bytesMax) throw new ArchiveError(`it unpacks to more than ${this.#bytesMax} bytes`);
    }
    const part = this.#current.subarray(0, length);
    this.#current = this.#current.subarray(part.length);
    return part;
  }

  /** Exactly so many; undefined when nothing is left at all. */
  async exactly(length: number): Promise<Uint8Array | undefined> {
    if (this.#current.length >= length) return this.some(length);
    const whole = new Uint8Array(length);
    for (let at = 0; at < length; ) {
      const part = await this.some(length - at);
      if (part === undefined && at === 0) return undefined;
      if (part === undefined) throw new ArchiveError("it is cut off");
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  }

  /** Whether only zeros are left. */
  async onlyZeros(): Promise<boolean> {
    for (let part; (part = await this.some(65_536)) !== undefined; ) if (part.some((byte) => byte !== 0)) return false;
    return true;
  }
}

/** @throws ArchiveError */
export async function* readTar(
  source: AsyncIterable<Uint8Array>,
  given: Partial<ArchiveLimits> = {},
): AsyncGenerator<ArchiveEntry> {
  const limits = { ...DEFAULT_ARCHIVE_LIMITS, ...given };
  const reader = new ByteReader(source, limits.bytesMax);
  for (let entries = 0; ; entries++) {
    const header = await reader.exactly(BLOCK);
    if (header === undefined) throw new ArchiveError("its end is missing");
    if (isZero(header)) return endOfArchive(reader);
    if (entries >= limits.entriesMax) throw new ArchiveError(`it holds more than ${limits.entriesMax} entries`);
    const { name, size, type } = readHeader(header);
    if (type === "x" || type === "g") await skipPax(reader, size);
    else if (type === "5") checkDirectory(name, size);
    else if (type === "0") yield* fileEntry(reader, checkedName(name), size);
    else throw new ArchiveError(`${show(name)} is no plain file`);
  }
}

async function* fileEntry(reader: ByteReader, name: string, size: number): AsyncGenerator<ArchiveEntry> {
  const body = new Body(reader, size);
  yield { name, size, body };
  await body.finish();
}

/** One file's content. What its reader leaves is skipped, and so is the padding behind it. */
class Body implements AsyncIterable<Uint8Array> {
  readonly #reader: ByteReader;
  readonly #padding: number;
  #left: number;

  constructor(reader: ByteReader, size: number) {
    this.#reader = reader;
    this.#left = size;
    this.#padding = (BLOCK - (size % BLOCK)) % BLOCK;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    while (this.#left > 0) {
      const part = await this.#reader.some(this.#left);
      if (part === undefined) throw new ArchiveError("it is cut off");
      this.#left -= part.length;
      yield part;
    }
  }

  async finish(): Promise<void> {
    for await (const _ of this);
    if (this.#padding === 0) return;
    const padding = await this.#reader.exactly(this.#padding);
    if (padding === undefined) throw new ArchiveError("it is cut off");
    if (!isZero(padding)) throw new ArchiveError("something is hidden between its files");
  }
}

async function endOfArchive(reader: ByteReader): Promise<void> {
  const second = await reader.exactly(BLOCK);
  if (second === undefined) throw new ArchiveError("its end is missing");
  if (!isZero(second) || !(await reader.onlyZeros())) throw new ArchiveError("something is hidden behind its end");
}

function readHeader(header: Uint8Array): { name: string; size: number; type: string } {
  const sum = header.reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 0x20 : byte), 0);
  if (octal(header.subarray(148, 156)) !== sum) throw new ArchiveError("a header's checksum is wrong");
  const ustar = latin1(header.subarray(257, 262)) === "ustar";
  const prefix = ustar && latin1(header.subarray(257, 263)) === "ustar\0" ? text(header.subarray(345, 500)) : "";
  const name = text(header.subarray(0, 100));
  const type = header[156] === 0 ? "0" : String.fromCharCode(header[156]!);
  return { name: prefix === "" ? name : `${prefix}/${name}`, size: numeric(header.subarray(124, 136)), type };
}

function text(field: Uint8Array): string {
  const end = field.indexOf(0);
  return latin1(end === -1 ? field : field.subarray(0, end));
}

function octal(field: Uint8Array): number | undefined {
  const digits = /^ *([0-7]+)[ \0]*$/.exec(latin1(field))?.[1];
  return digits === undefined ? undefined : Number.parseInt(digits, 8);
}

/** Octal digits, or GNU's form for 8 GiB and more: the high bit set, then a big-endian number. */
function numeric(field: Uint8Array): number {
  const size =
    (field[0]! & 0x80) === 0
      ? octal(field)
      : field.subarray(1).reduce((value, byte) => value * 256 + byte, field[0]! & 0x7f);
  if (size === undefined || !Number.isSafeInteger(size)) throw new ArchiveError("a header has no size");
  return size;
}

/** Records are `<length> <name>=<value>\n`. Those that would rename, link or resize the next file are refused. */
async function skipPax(reader: ByteReader, size: number): Promise<void> {
  if (size > PAX_BYTES_MAX) throw new ArchiveError("an extended header is too large");
  const body: number[] = [];
  const content = new Body(reader, size);
  for await (const part of content) body.push(...part);
  await content.finish();
  const records = latin1(Uint8Array.from(body));
  for (const record of records.split("\n").slice(0, -1)) {
    const name = /^\d+ ([^=]+)=/.exec(record)?.[1] ?? "";
    if (!PAX_HARMLESS.test(name)) throw new ArchiveError(`an extended header says ${show(name)} of a file`);
  }
}

function checkDirectory(name: string, size: number): void {
  const plain = name.replace(/^\.\//, "").replace(/\/$/, "");
  if (size !== 0 || (plain !== "" && plain !== "." && plain !== "artifacts"))
    throw new ArchiveError(`${show(name)} is no folder of an export`);
}

/** @throws ArchiveError for names that lead out of the export, or look like others. */
export function checkedName(given: string): string {
  const name = given.replace(/^\.\//, "");
  if (name.length > NAME_LENGTH_MAX || !/^[A-Za-z0-9._-]+(?:\/[A-Za-z0-9._-]+)*$/.test(name))
    throw new ArchiveError(`${show(given)} is no name of a file in an export`);
  if (name.split("/").some((part) => /^\.+$/.test(part)))
    throw new ArchiveError(`${show(given)} leads out of the export`);
  return name;
}

const isZero = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0);
const show = (name: string): string => JSON.stringify(name.slice(0, NAME_LENGTH_MAX)).replaceAll(/[^ -~]/g, "?");
