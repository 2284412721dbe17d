// The host's side of a WASM policy: what the module imports, and the builtins that it calls, with values handed over as text.
import { BuiltinError, HaltError, LateError, StrictError } from "./errors.ts";
import type { Builtin, Builtins } from "./operands.ts";
import { parseValue, writeValue } from "./text.ts";
import { decodeText, encodeText } from "./utf8.ts";
import type { Value } from "./value.ts";

type Exported = { readonly [name: string]: (...arguments_: number[]) => number };

/** The longest value, as text, that a builtin may hand to the policy. */
const RESULT_CHARACTERS_MAX = 16 * 1024 * 1024;
const PLACEHOLDER = "x";

/** One instance's host: its imports, and the way in and out of its memory. */
export class Host {
  readonly memory: WebAssembly.Memory;
  readonly imports: WebAssembly.Imports;
  /** When an evaluation must be over, by `performance.now()`, and how much this thread has used of the processor then; a builtin called later ends it. */
  deadlineMs = Infinity;
  usedMsMax = Infinity;
  /** Whether a builtin's error ends the evaluation, in place of making its expression undefined. */
  strict = false;
  #exports: Exported = {};
  readonly #names: string[] = [];
  readonly #table: (Builtin | undefined)[] = [];
  readonly #decoder = new TextDecoder();

  readonly #usedMs: (() => number) | undefined;

  /** @param usedMs see EvaluationLimits; asked only once the deadline has passed. */
  constructor(memory: WebAssembly.Memory, usedMs?: () => number) {
    this.memory = memory;
    this.#usedMs = usedMs;
    const call = (id: number, _context: number, ...addresses: number[]) => this.#call(id, addresses);
    this.imports = {
      env: {
        memory,
        opa_abort: (address: number) => {
          throw new HaltError(this.#decoder.decode(this.bytesAt(address)));
        },
        opa_println: () => undefined,
        opa_builtin0: call,
        opa_builtin1: call,
        opa_builtin2: call,
        opa_builtin3: call,
        opa_builtin4: call,
      },
    };
  }

  /** @param builtins the implementations, by name; the module says which number stands for which. */
  bind(instance: WebAssembly.Instance, builtins: Builtins): void {
    this.#exports = instance.exports as unknown as Exported;
    for (const [name, id] of Object.entries(this.builtinIds())) {
      this.#table[id] = builtins[name];
      this.#names[id] = name;
    }
  }

  /** The builtins that the module asks its host for. */
  builtinIds(): { readonly [name: string]: number } {
    return JSON.parse(
      this.#decoder.decode(this.bytesAt(this.#exports["opa_json_dump"]!(this.#exports["builtins"]!()))),
    ) as {
      [name: string]: number;
    };
  }

  /** The bytes up to the next zero: a view, to be read before anything runs in the instance again. */
  bytesAt(address: number): Uint8Array {
    const memory = new Uint8Array(this.memory.buffer);
    return memory.subarray(address, memory.indexOf(0, address));
  }

  /** Whether the evaluation has taken more than it may. */
  get over(): boolean {
    return performance.now() > this.deadlineMs && (this.#usedMs === undefined || this.#usedMs() > this.usedMsMax);
  }

  #call(id: number, addresses: readonly number[]): number {
    if (this.over) throw new LateError("it is over its time");
    const builtin = this.#table[id];
    if (builtin === undefined) throw new HaltError(`not implemented: built-in function ${id}`);
    const operands = addresses.map((address) => this.#read(address));
    let result: Value | undefined;
    try {
      result = builtin(...operands);
    } catch (thrown) {
      if (!(thrown instanceof BuiltinError)) throw thrown;
      if (this.strict) throw new StrictError(`${this.#names[id]}: ${thrown.message}`);
      return 0;
    }
    return result === undefined ? 0 : this.#write(result);
  }

  #read(address: number): Value {
    const dumped = this.#exports["opa_value_dump"]!(address);
    const value = parseValue(decodeText(this.bytesAt(dumped)));
    this.#exports["opa_free"]!(dumped);
    return value;
  }

  #write(value: Value): number {
    if (typeof value === "string" && !value.isWellFormed()) return this.#writeBytes(encodeText(value));
    const text = writeValue(value);
    if (text.length > RESULT_CHARACTERS_MAX)
      throw new HaltError(`a builtin's result is longer than ${RESULT_CHARACTERS_MAX} characters`);
    const bytes = encodeText(text);
    const address = this.#exports["opa_malloc"]!(bytes.length);
    new Uint8Array(this.memory.buffer).set(bytes, address);
    const parsed = this.#exports["opa_value_parse"]!(address, bytes.length);
    if (parsed === 0) throw new HaltError("the policy could not read a builtin's result");
    return parsed;
  }

  /**
   * Text that is no UTF-8, which the module's parser would not take: it is given as much other text, and that is overwritten
   * where the value says it lies (`opa_string_t`: length at 4, address at 8).
   */
  #writeBytes(bytes: Uint8Array): number {
    const address = this.#write(PLACEHOLDER.repeat(bytes.length));
    const view = new DataView(this.memory.buffer, address);
    const [length, at] = [view.getUint32(4, true), view.getUint32(8, true)];
    const text = new Uint8Array(this.memory.buffer, at, length);
    if (length !== bytes.length || text.some((byte) => byte !== PLACEHOLDER.charCodeAt(0)))
      throw new HaltError("a builtin's result is no text, and the policy cannot hold it");
    text.set(bytes);
    return address;
  }
}
