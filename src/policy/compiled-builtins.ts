// Which builtins a policy's WASM module calls that were compiled into it: they fail silently, as undefined, so nobody can be strict about their errors.

/** OPA's functions for builtins that can fail (internal/compiler/wasm `builtinsFunctions`); types, comparisons and membership cannot. */
const FALLIBLE =
  /^(?:opa_(?:arith_|array_(?:concat|flatten|reverse|slice)$|sets?_(?:diff|intersection|union)$|bits_|agg_|base64_|cidr_|glob_match$|json_(?:marshal|unmarshal|is_valid)$|strings_|template_string$|numbers_range$|to_number$|value_transitive_closure$|regex_)|builtin_(?:object|graph|json)_)/;

const [CUSTOM, IMPORTS, CODE] = [0, 2, 10];
const FUNCTION_NAMES = 1;
const [OF_FUNCTION, OF_TABLE, OF_MEMORY] = [0, 1, 2];
/** OPA leaves of what is never called a body that traps: no locals, `unreachable`, `end`. */
const STUB_BYTES = 3;
const HEADER_BYTES = 8;

/**
 * The functions of such builtins, e.g. `opa_to_number`, that are left in a module since its policy calls them.
 * @returns undefined where the module does not name its functions, so that it cannot be told.
 */
export function compiledBuiltins(wasm: Uint8Array): string[] | undefined {
  const reader = new Reader(wasm);
  let imported = 0;
  let sizes: number[] = [];
  let names: Map<number, string> | undefined;
  while (!reader.atEnd) {
    const id = reader.byte();
    const end = reader.number() + reader.at;
    if (id === IMPORTS) imported = importedFunctions(reader);
    else if (id === CODE) sizes = reader.list(() => reader.skipped());
    else if (id === CUSTOM && reader.text() === "name") names = functionNames(reader, end);
    reader.at = end;
  }
  if (names === undefined) return undefined;
  const live = sizes.flatMap((size, index) => (size > STUB_BYTES ? (names.get(index + imported) ?? []) : []));
  return live.filter((name) => FALLIBLE.test(name)).sort();
}

function importedFunctions(reader: Reader): number {
  const kinds = reader.list(() => {
    reader.skipped();
    reader.skipped();
    const kind = reader.byte();
    if (kind === OF_FUNCTION) reader.number();
    else if (kind === OF_TABLE || kind === OF_MEMORY) {
      if (kind === OF_TABLE) reader.byte();
      if (reader.byte() & 1) reader.number();
      reader.number();
    } else reader.at += 2;
    return kind;
  });
  return kinds.filter((kind) => kind === OF_FUNCTION).length;
}

function functionNames(reader: Reader, end: number): Map<number, string> {
  const names = new Map<number, string>();
  while (reader.at < end) {
    const id = reader.byte();
    const subsectionEnd = reader.number() + reader.at;
    if (id === FUNCTION_NAMES)
      for (const [index, name] of reader.list(() => [reader.number(), reader.text()] as const)) names.set(index, name);
    reader.at = subsectionEnd;
  }
  return names;
}

/** Of the binary format: https://webassembly.github.io/spec/core/binary. The module was compiled before, so it is well-formed. */
class Reader {
  at = HEADER_BYTES;
  readonly #bytes: Uint8Array;
  readonly #decoder = new TextDecoder();

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get atEnd(): boolean {
    return this.at >= this.#bytes.length;
  }

  byte(): number {
    return this.#bytes[this.at++]!;
  }

  /** LEB128. */
  number(): number {
    let [value, shift, byte] = [0, 0, 0];
    do {
      byte = this.byte();
      value |= (byte & 0x7f) << shift;
      shift += 7;
    } while (byte & 0x80);
    return value >>> 0;
  }

  list<T>(read: () => T): T[] {
    return Array.from({ length: this.number() }, read);
  }

  text(): string {
    const length = this.number();
    return this.#decoder.decode(this.#bytes.subarray(this.at, (this.at += length)));
  }

  /** What has its length before it. @returns that. */
  skipped(): number {
    const length = this.number();
    this.at += length;
    return length;
  }
}
