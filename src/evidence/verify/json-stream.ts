// Reads one large JSON object in pieces, handing over what its big members hold as it comes, so that memory stays flat.

/** How a member is handed over: an array by runs of elements, an object by member, an object of arrays by runs of elements of each. */
export type Streamed = "array" | "object" | "lists";

/**
 * Called with each value's bytes and where it stands: `[member]`, or `[member, name]` inside a streamed object; `offset` is that of
 * the value's first byte in the whole text. The bytes are good until the call returns, or as long as those that were written, where
 * they all came at once.
 */
export type OnValue = (path: readonly string[], json: Uint8Array, offset: number) => void;

/** Elements that follow one another in a streamed array. */
export interface ElementRun {
  /** From the first of the first to the last of the last, with what stands between them. */
  readonly bytes: Uint8Array;
  /** Where each begins and where it ends, in turn. */
  readonly bounds: Uint32Array;
}

/** Elements of a large array, whose bytes nobody else holds, so that they can be handed to another thread. */
export interface ElementChunk extends ElementRun {
  /** Number of the first, counted from 0. */
  readonly first: number;
}

/** Called with elements of a streamed array: `[member]`, or `[member, name]` of lists; the bytes are good until the call returns. */
export type OnRun = (path: readonly string[], run: ElementRun) => void;

/** The text is not the JSON object that it should be. */
export class JsonStreamError extends Error {}

const VALUE_BYTES_MAX = 1024 * 1024;
const DEPTH_MAX = 64;
const MEMBERS_MAX = 10_000;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const [QUOTE, BACKSLASH, COLON, COMMA] = [0x22, 0x5c, 0x3a, 0x2c] as const;
const [OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d] as const;

/** Inside which container the reader stands. `first`: nothing was read in it yet. */
type Place = {
  readonly kind: "object" | "array";
  readonly path: readonly string[];
  readonly streamed: Streamed | undefined;
  first: boolean;
};

/** Parses a value's bytes. @throws JsonStreamError */
export function parseJson(json: Uint8Array): unknown {
  try {
    return JSON.parse(utf8.decode(json)) as unknown;
  } catch {
    throw new JsonStreamError("it is not JSON in UTF-8");
  }
}

/** Parses the elements of a run, one after the other. @throws JsonStreamError at the first that is none */
export function* parseRun({ bytes, bounds }: ElementRun): Generator<unknown, void> {
  const text = asciiOf(bytes);
  for (let at = 0; at < bounds.length; at += 2) {
    const [from, to] = [bounds[at]!, bounds[at + 1]!];
    yield text === undefined ? parseJson(bytes.subarray(from, to)) : parseText(text.slice(from, to));
  }
}

/** The text of bytes of which each is a character; undefined where they are not all. */
function asciiOf(bytes: Uint8Array): string | undefined {
  try {
    const text = utf8.decode(bytes);
    return text.length === bytes.length ? text : undefined;
  } catch {
    return undefined;
  }
}

function parseText(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new JsonStreamError("it is not JSON in UTF-8");
  }
}

const NO_RUNS: OnRun = () => {
  throw new Error("arrays are streamed, and nobody takes their elements");
};

export class JsonStream {
  readonly #streamed: Readonly<Record<string, Streamed>>;
  readonly #onValue: OnValue;
  readonly #onRun: OnRun;
  readonly #names = new Set<string>();
  readonly #places: Place[] = [];
  /** What is left to be read is at its beginning. */
  #room: Uint8Array = new Uint8Array(0);
  #rest = 0;
  /** Where what is left to be read begins in the whole text. */
  #offset = 0;
  #started = false;

  constructor(streamed: Readonly<Record<string, Streamed>>, onValue: OnValue, onRun = NO_RUNS) {
    this.#streamed = streamed;
    this.#onValue = onValue;
    this.#onRun = onRun;
  }

  /** @throws JsonStreamError when what was read so far is no such object. */
  write(chunk: Uint8Array): void {
    const bytes = this.#rest === 0 ? chunk : this.#joined(chunk);
    let at = 0;
    for (let next = 0; next !== -1; ) {
      next = this.#step(bytes, at);
      if (next !== -1) at = next;
    }
    this.#keep(bytes, at);
    this.#offset += at;
    if (this.#rest > VALUE_BYTES_MAX)
      throw new JsonStreamError(`a value in it is larger than ${VALUE_BYTES_MAX} bytes`);
  }

  /** @throws JsonStreamError when the object is not complete. */
  end(): void {
    if (!this.#started || this.#places.length > 0 || skipSpace(this.#left, 0) < this.#rest)
      throw new JsonStreamError("it is cut off");
  }

  get #left(): Uint8Array {
    return this.#room.subarray(0, this.#rest);
  }

  /** What is left to be read, and a chunk behind it. */
  #joined(chunk: Uint8Array): Uint8Array {
    const length = this.#rest + chunk.length;
    if (length > this.#room.length) {
      const larger = new Uint8Array(2 * length);
      larger.set(this.#left);
      this.#room = larger;
    }
    this.#room.set(chunk, this.#rest);
    return this.#room.subarray(0, length);
  }

  /** Of what was read the rest is to be read again, with what follows it. */
  #keep(bytes: Uint8Array, from: number): void {
    this.#rest = bytes.length - from;
    if (bytes.buffer === this.#room.buffer) this.#room.copyWithin(0, from, bytes.length);
    else if (this.#rest > this.#room.length) this.#room = new Uint8Array(bytes.subarray(from));
    else this.#room.set(bytes.subarray(from));
  }

  /** Reads one thing, a value or a bracket. @returns where to go on; -1 when more bytes are needed. */
  #step(bytes: Uint8Array, from: number): number {
    const at = skipSpace(bytes, from);
    if (at === bytes.length) return -1;
    const place = this.#places.at(-1);
    if (place === undefined) return this.#open(bytes, at);
    const closing = place.kind === "object" ? CLOSE_OBJECT : CLOSE_ARRAY;
    if (bytes[at] === closing) {
      this.#places.pop();
      return at + 1;
    }
    if (place.kind === "array") return this.#elements(bytes, at, place);
    const start = place.first ? at : skipSpace(bytes, afterComma(bytes, at));
    const next = this.#member(bytes, start, place);
    if (next !== -1) place.first = false;
    return next;
  }

  /** As many as there are. What comes before something that is wrong is handed over all the same. */
  #elements(bytes: Uint8Array, from: number, place: Place): number {
    const bounds: number[] = [];
    let [at, first] = [from, -1];
    try {
      while (at < bytes.length && bytes[at] !== CLOSE_ARRAY) {
        const start = place.first ? at : skipSpace(bytes, afterComma(bytes, at));
        const end = start < bytes.length ? endOfValue(bytes, start) : -1;
        if (end === -1) break;
        if (first === -1) first = start;
        bounds.push(start - first, end - first);
        place.first = false;
        at = skipSpace(bytes, end);
      }
    } finally {
      if (bounds.length > 0)
        this.#onRun(place.path, {
          bytes: bytes.subarray(first, first + bounds.at(-1)!),
          bounds: Uint32Array.from(bounds),
        });
    }
    return bounds.length > 0 ? at : -1;
  }

  #open(bytes: Uint8Array, at: number): number {
    if (this.#started || bytes[at] !== OPEN_OBJECT)
      throw new JsonStreamError(this.#started ? "something follows the object" : "it is no JSON object");
    this.#started = true;
    this.#places.push({ kind: "object", path: [], streamed: undefined, first: true });
    return at + 1;
  }

  #member(bytes: Uint8Array, at: number, place: Place): number {
    if (at >= bytes.length) return -1;
    if (bytes[at] !== QUOTE) throw new JsonStreamError("a member has no name");
    const nameEnd = endOfString(bytes, at);
    if (nameEnd === -1) return -1;
    const colon = skipSpace(bytes, nameEnd);
    if (colon >= bytes.length) return -1;
    if (bytes[colon] !== COLON) throw new JsonStreamError("a member has no value");
    const value = skipSpace(bytes, colon + 1);
    if (value >= bytes.length) return -1;
    const name = parseJson(bytes.subarray(at, nameEnd)) as string;
    return this.#value(bytes, value, [...place.path, name], place);
  }

  #value(bytes: Uint8Array, at: number, path: readonly string[], place: Place): number {
    const streamed =
      path.length === 1 && Object.hasOwn(this.#streamed, path[0]!) ? this.#streamed[path[0]!] : undefined;
    const opens = kindOf(bytes[at]);
    const wanted =
      streamed === "array" || place.streamed === "lists" ? "array" : streamed === undefined ? undefined : "object";
    if (wanted !== undefined && opens !== wanted) throw new JsonStreamError(`${path.join(".")} is no ${wanted}`);
    if (wanted === undefined) return this.#whole(bytes, at, path);
    if (path.length === 1) this.#once(path[0]!);
    this.#places.push({ kind: wanted, path, streamed: streamed === "lists" ? "lists" : undefined, first: true });
    place.first = false;
    return at + 1;
  }

  #whole(bytes: Uint8Array, at: number, path: readonly string[]): number {
    const end = endOfValue(bytes, at);
    if (end === -1) return -1;
    if (path.length === 1 && !Object.hasOwn(this.#streamed, path[0]!)) this.#once(path[0]!);
    this.#onValue(path, bytes.subarray(at, end), this.#offset + at);
    return end;
  }

  #once(name: string): void {
    if (this.#names.has(name)) throw new JsonStreamError(`${JSON.stringify(name)} appears twice`);
    if (this.#names.size >= MEMBERS_MAX) throw new JsonStreamError(`it has more than ${MEMBERS_MAX} members`);
    this.#names.add(name);
  }
}

const kindOf = (byte: number | undefined) =>
  byte === OPEN_ARRAY ? "array" : byte === OPEN_OBJECT ? "object" : undefined;

function afterComma(bytes: Uint8Array, at: number): number {
  if (bytes[at] !== COMMA) throw new JsonStreamError("a comma is missing");
  return at + 1;
}

/** RFC 8259 §2: space, tab, line feed, carriage return. */
function skipSpace(bytes: Uint8Array, from: number): number {
  let at = from;
  while (at < bytes.length && (bytes[at] === 0x20 || bytes[at] === 0x0a || bytes[at] === 0x0d || bytes[at] === 0x09))
    at++;
  return at;
}

/** Behind the closing quote; -1 if it is not here yet. */
function endOfString(bytes: Uint8Array, start: number): number {
  for (let at = start + 1; at < bytes.length; at++) {
    const byte = bytes[at];
    if (byte === QUOTE) return at + 1;
    if (byte === BACKSLASH) at++;
  }
  return -1;
}

/** Behind a value that starts here; -1 if its end is not here yet. What is between the brackets is for a parser to judge. */
function endOfValue(bytes: Uint8Array, start: number): number {
  const first = bytes[start]!;
  if (first === QUOTE) return endOfString(bytes, start);
  if (first === COMMA || first === COLON || first === CLOSE_ARRAY || first === CLOSE_OBJECT)
    throw new JsonStreamError("a value is missing");
  if (first !== OPEN_ARRAY && first !== OPEN_OBJECT) return endOfLiteral(bytes, start);
  let depth = 0;
  for (let at = start; at < bytes.length; at++) {
    const byte = bytes[at]!;
    if (byte === QUOTE) {
      const end = endOfString(bytes, at);
      if (end === -1) return -1;
      at = end - 1;
    } else if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) {
      if (++depth > DEPTH_MAX) throw new JsonStreamError(`it is nested deeper than ${DEPTH_MAX} levels`);
    } else if ((byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) && --depth === 0) return at + 1;
  }
  return -1;
}

function endOfLiteral(bytes: Uint8Array, start: number): number {
  for (let at = start; at < bytes.length; at++) {
    const byte = bytes[at]!;
    if (byte === COMMA || byte === CLOSE_ARRAY || byte === CLOSE_OBJECT || skipSpace(bytes, at) > at) return at;
  }
  return -1;
}
