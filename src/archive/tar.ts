// Reads a tar archive as it streams, keeping nothing and writing nothing: whatever is not a plain file of a plain name ends it.
// Formats: POSIX ustar, pax headers, GNU's binary sizes and long names; what a header may say of a file is for the reader's rules. In browsers too.

/** The archive is hostile or damaged; nothing more of it is read. */
export class ArchiveError extends Error {}

export interface TarLimits {
  /** All of it, unpacked. */
  readonly bytesMax: number;
  readonly entriesMax: number;
}

/** What an archive of one kind may hold. */
export interface TarRules {
  /** The name by which a file counts. @throws ArchiveError */
  fileName(given: string): string;
  /** Folders hold nothing, and may only be named as the kind has them. @throws ArchiveError */
  checkFolder(given: string): void;
  /** Whether an extended header may name the file that follows, and say its size. */
  readonly mayRename: boolean;
}

export interface ArchiveEntry {
  readonly name: string;
  readonly size: number;
  /** All of its content, where that is at hand; nothing is written over it. Reading `body` gives the same. */
  readonly whole?: Uint8Array | undefined;
  /** To be read to its end, or not at all, before the next entry is asked for. */
  readonly body: AsyncIterable<Uint8Array>;
}

const BLOCK = 512;
const PAX_BYTES_MAX = 64 * 1024;
const PAX_HARMLESS = /^(?:[acm]time|uid|gid|uname|gname|comment|charset|hdrcharset|(?:LIBARCHIVE|SCHILY)\..*)$/;
const SHOWN_MAX = 255;
const latin1 = (bytes: Uint8Array): string => String.fromCharCode(...bytes);
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const USTAR = [0x75, 0x73, 0x74, 0x61, 0x72, 0];

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

  /** Exactly so many, where they are at hand already; nothing is taken otherwise. */
  atHand(length: number): Uint8Array | undefined {
    if (this.#current.length < length) return undefined;
    const part = this.#current.subarray(0, length);
    this.#current = this.#current.subarray(length);
    return part;
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
    const atHand = this.atHand(length);
    if (atHand !== undefined) return atHand;
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
  rules: TarRules,
  { bytesMax, entriesMax }: TarLimits,
): AsyncGenerator<ArchiveEntry> {
  const reader = new ByteReader(source, bytesMax);
  let said: Said = {};
  for (let entries = 0; ; entries++) {
    const header = reader.atHand(BLOCK) ?? (await reader.exactly(BLOCK));
    if (header === undefined) throw new ArchiveError("its end is missing");
    if (isZero(header)) return endOfArchive(reader);
    if (entries >= entriesMax) throw new ArchiveError(`it holds more than ${entriesMax} entries`);
    const { type, ...plain } = readHeader(header);
    if (type === "x" || type === "g") said = { ...said, ...(await readPax(reader, plain.size, rules, type)) };
    else if (type === "L" && rules.mayRename) said = { ...said, name: await readLongName(reader, plain.size) };
    else {
      const { name, size } = { ...plain, ...said };
      said = {};
      if (type === "5" && size === 0) rules.checkFolder(name);
      else if (type !== "0") throw new ArchiveError(`${show(name)} is no plain file`);
      else {
        const checked = rules.fileName(name);
        const padded = reader.atHand(size + paddingOf(size));
        if (padded === undefined) yield* fileEntry(reader, checked, size);
        else {
          // Most files are small: handed over as they lie there, at a fraction of what a stream of each would cost.
          yield wholeEntry(checked, padded.subarray(0, size));
          checkPadding(padded.subarray(size));
        }
      }
    }
  }
}

/** What extended headers said of the file that follows. */
type Said = { readonly name?: string; readonly size?: number };

const wholeEntry = (name: string, whole: Uint8Array): ArchiveEntry => ({
  name,
  size: whole.length,
  whole,
  body: {
    async *[Symbol.asyncIterator]() {
      if (whole.length > 0) yield whole;
    },
  },
});

async function* fileEntry(reader: ByteReader, name: string, size: number): AsyncGenerator<ArchiveEntry> {
  const body = new Body(reader, size);
  yield { name, size, body };
  await body.finish();
}

const paddingOf = (size: number): number => (BLOCK - (size % BLOCK)) % BLOCK;

function checkPadding(padding: Uint8Array): void {
  if (!isZero(padding)) throw new ArchiveError("something is hidden between its files");
}

/** One file's content. What its reader leaves is skipped, and so is the padding behind it. */
class Body implements AsyncIterable<Uint8Array> {
  readonly #reader: ByteReader;
  readonly #padding: number;
  #left: number;

  constructor(reader: ByteReader, size: number) {
    this.#reader = reader;
    this.#left = size;
    this.#padding = paddingOf(size);
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
    checkPadding(padding);
  }
}

async function endOfArchive(reader: ByteReader): Promise<void> {
  const second = await reader.exactly(BLOCK);
  if (second === undefined) throw new ArchiveError("its end is missing");
  if (!isZero(second) || !(await reader.onlyZeros())) throw new ArchiveError("something is hidden behind its end");
}

function readHeader(header: Uint8Array): { name: string; size: number; type: string } {
  let sum = 0;
  for (let at = 0; at < BLOCK; at++) sum += at >= 148 && at < 156 ? 0x20 : header[at]!;
  if (octal(header.subarray(148, 156)) !== sum) throw new ArchiveError("a header's checksum is wrong");
  const ustar = USTAR.every((byte, at) => header[257 + at] === byte);
  const prefix = ustar ? text(header.subarray(345, 500)) : "";
  const name = text(header.subarray(0, 100));
  const type = header[156] === 0 ? "0" : String.fromCharCode(header[156]!);
  return { name: prefix === "" ? name : `${prefix}/${name}`, size: numeric(header.subarray(124, 136)), type };
}

function text(field: Uint8Array): string {
  if (field[0] === 0) return "";
  const end = field.indexOf(0);
  return utf8Text(end === -1 ? field : field.subarray(0, end));
}

/** Spaces, digits, then spaces and zeros up to the field's end; undefined for anything else. */
function octal(field: Uint8Array): number | undefined {
  let at = 0;
  while (field[at] === 0x20) at++;
  const start = at;
  let value = 0;
  for (; field[at]! >= 0x30 && field[at]! <= 0x37; at++) value = value * 8 + field[at]! - 0x30;
  const end = at;
  while (field[at] === 0x20 || field[at] === 0) at++;
  return end === start || at < field.length ? undefined : value;
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

/** Records are `<length> <name>=<value>\n`, the length counting all of it. Those that link are refused, and those that rename where rules forbid it. */
async function readPax(reader: ByteReader, size: number, rules: TarRules, type: "x" | "g"): Promise<Said> {
  let said: Said = {};
  const bytes = await readSmall(reader, size);
  for (let at = 0; at < bytes.length; ) {
    const space = bytes.indexOf(0x20, at);
    const length = Number(latin1(bytes.subarray(at, space)));
    const record = bytes.subarray(space + 1, at + length - 1);
    const equals = record.indexOf(0x3d);
    if (space === -1 || !Number.isSafeInteger(length) || equals < 1 || bytes[at + length - 1] !== 0x0a)
      throw new ArchiveError("an extended header is malformed");
    const [name, value] = [latin1(record.subarray(0, equals)), record.subarray(equals + 1)];
    const renames = rules.mayRename && type === "x";
    if (name === "path" && renames) said = { ...said, name: utf8Text(value) };
    else if (name === "size" && renames) said = { ...said, size: sizeOf(latin1(value)) };
    else if (!PAX_HARMLESS.test(name)) throw new ArchiveError(`an extended header says ${show(name)} of a file`);
    at += length;
  }
  return said;
}

async function readLongName(reader: ByteReader, size: number): Promise<string> {
  const bytes = await readSmall(reader, size);
  return utf8Text(bytes.at(-1) === 0 ? bytes.subarray(0, -1) : bytes);
}

async function readSmall(reader: ByteReader, size: number): Promise<Uint8Array> {
  if (size > PAX_BYTES_MAX) throw new ArchiveError("an extended header is too large");
  const bytes = new Uint8Array(size);
  let at = 0;
  const content = new Body(reader, size);
  for await (const part of content) {
    bytes.set(part, at);
    at += part.length;
  }
  await content.finish();
  return bytes;
}

function sizeOf(digits: string): number {
  const size = /^\d+$/.test(digits) ? Number(digits) : NaN;
  if (!Number.isSafeInteger(size)) throw new ArchiveError("an extended header has no size");
  return size;
}

function utf8Text(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw new ArchiveError("a name is not UTF-8");
  }
}

function isZero(bytes: Uint8Array): boolean {
  for (let at = 0; at < bytes.length; at++) if (bytes[at] !== 0) return false;
  return true;
}

/** A name as it can be printed. */
export const show = (name: string): string => JSON.stringify(name.slice(0, SHOWN_MAX)).replaceAll(/[^ -~]/g, "?");
