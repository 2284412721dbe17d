// The WASM evaluator: the only place that knows OPA's ABI (1.2 and later of 1), and where what a module throws, keeps or breaks ends.
import * as sdk from "@open-policy-agent/opa-wasm";
import { RailgateError } from "../core/errors.ts";
import { DEFAULTS } from "../core/schema/defaults.ts";
import { LateError, StrictError } from "./builtins/errors.ts";
import { Host } from "./builtins/host.ts";
import type { Builtins } from "./builtins/operands.ts";
import { loadBuiltins, whyRefused } from "./builtins/registry.ts";
import type { Value } from "./builtins/value.ts";
import { compiledBuiltins } from "./compiled-builtins.ts";
import { exactResult, readResult } from "./results.ts";

// A CommonJS module, whose names Node cannot tell.
const { loadPolicySync } = (sdk as unknown as { default: typeof sdk }).default;

/** Evaluation threw, trapped, ran over its limit or returned nothing; refused as POL-03. */
export class EvaluationError extends RailgateError {
  static override code = "policy_error";
  /** What the policy itself threw, e.g. `authz.rego:7:1: var assignment conflict`; undefined where it took too long. */
  readonly thrown: string | undefined;
  /** Where builtins' errors count: that of one. */
  readonly builtinError: string | undefined;

  constructor(message: string, thrown?: string, builtinError?: string) {
    super(message);
    this.thrown = thrown;
    this.builtinError = builtinError;
  }
}

/** A policy calls builtins that this host does not have, see {@link MissingBuiltinsError.missing}. */
export class MissingBuiltinsError extends EvaluationError {
  /** By name, sorted, why each is not there. */
  readonly missing: readonly { readonly name: string; readonly why: string }[];

  constructor(missing: MissingBuiltinsError["missing"]) {
    super(
      `the policy calls builtins that it cannot have here: ${missing.map(({ name, why }) => `${name} (${why})`).join(", ")}`,
    );
    this.missing = missing;
  }
}

export interface EvaluationLimits {
  /** An evaluation that took longer is refused, whatever it said. */
  readonly evaluationMsMax: number;
  /**
   * Milliseconds of this thread's processor so far. Where it is there, an evaluation has taken what it used of them, and not for how long
   * the machine paused it meanwhile.
   */
  readonly usedMs?: () => number;
  /** Bound of the instance's memory, in MiB; an evaluation that needs more traps. */
  readonly memoryMiBMax: number;
}

export const DEFAULT_LIMITS: EvaluationLimits = {
  evaluationMsMax: DEFAULTS.evaluationMsMax,
  memoryMiBMax: 256,
};

/** To begin with, beside what the module's own data may take. */
const PAGES_INITIAL = 5;
const PAGES_PER_MIB = 16;
const PAGE_BYTES = 65_536;
const UTF8_BYTES_PER_CHAR_MAX = 3;
/** An instance that grew by more than this is replaced, since WASM memory is never given back. */
const GROWTH_KEPT_BYTES = 16 * 2 ** 20;
const ABI = { major: 1, minorMin: 2 };
/** Of `opa_eval`: the result as Rego's text and not as JSON, in which a set would look like an array in any order. */
const AS_VALUE = 1;

type Exports = WebAssembly.Exports & Record<string, (...arguments_: number[]) => number>;

/** An instance with its data, ready to evaluate. */
interface Loaded {
  readonly host: Host;
  readonly exports: Exports;
  readonly dataAddress: number;
  /** Of its memory, with the data in it. */
  readonly bytesInitial: number;
  /** What lies above is overwritten by each evaluation. */
  readonly heapAddress: number;
}

/** What the SDK's type leaves out. */
interface SdkPolicy {
  readonly mem: WebAssembly.Memory;
  readonly wasmInstance: WebAssembly.Instance;
}

const encoder = new TextEncoder();

export class Evaluator {
  readonly #module: WebAssembly.Module;
  readonly #pagesInitial: number;
  readonly #data: Uint8Array;
  readonly #limits: EvaluationLimits;
  readonly #builtins: Builtins;
  readonly #entrypoints: ReadonlyMap<string, number>;
  #instance: Loaded | undefined;
  readonly entrypoints: readonly string[];
  readonly #wasm: Uint8Array;
  #compiled: { readonly builtins: readonly string[] | undefined } | undefined;

  private constructor(
    module: WebAssembly.Module,
    pagesInitial: number,
    data: object,
    limits: EvaluationLimits,
    builtins: Builtins,
    wasm: Uint8Array,
  ) {
    this.#module = module;
    this.#pagesInitial = pagesInitial;
    this.#data = encoder.encode(JSON.stringify(data));
    this.#limits = limits;
    this.#builtins = builtins;
    this.#wasm = wasm;
    this.#instance = this.#instantiate();
    const { host, exports } = this.#instance;
    const text = new TextDecoder().decode(host.bytesAt(exports["opa_json_dump"]!(exports["entrypoints"]!())));
    this.#entrypoints = new Map(Object.entries(JSON.parse(text) as { [name: string]: number }));
    this.entrypoints = [...this.#entrypoints.keys()].sort();
  }

  /**
   * @throws MissingBuiltinsError where it calls what the host lacks or what is not deterministic, with all names;
   *   EvaluationError when the bytes are no WASM policy of an ABI we know.
   */
  static async load(wasm: Uint8Array, data: object, limits = DEFAULT_LIMITS): Promise<Evaluator> {
    try {
      const module = await WebAssembly.compile(wasm as Uint8Array<ArrayBuffer>);
      const pagesInitial = pagesFor(wasm);
      const names = builtinsOf(module, pagesInitial);
      const missing = names.flatMap((name) => {
        const why = whyRefused(name);
        return why === undefined ? [] : [{ name, why }];
      });
      if (missing.length > 0) throw new MissingBuiltinsError(missing);
      const evaluator = new Evaluator(module, pagesInitial, data, limits, await loadBuiltins(names), wasm);
      evaluator.#warmUp();
      return evaluator;
    } catch (thrown) {
      if (thrown instanceof MissingBuiltinsError) throw thrown;
      throw new EvaluationError(`the policy's WASM cannot be loaded: ${messageOf(thrown)}`);
    }
  }

  /** See `compiledBuiltins`. Read when it is asked for, which few do. */
  get compiledBuiltins(): readonly string[] | undefined {
    this.#compiled ??= { builtins: compiledBuiltins(this.#wasm) };
    return this.#compiled.builtins;
  }

  /**
   * Evaluates one entrypoint, synchronously.
   * @param input the input document as JSON text, or that in UTF-8; where it is empty there is no input.
   * @returns the entrypoint's value, sets as arrays in order; `undefined` where it is undefined for this input.
   * @throws EvaluationError, also for a number in the result beyond 2^53−1, with its place; the instance is replaced where it
   *   threw, so the next evaluation starts clean.
   */
  evaluate(entrypoint: string, input: string | Uint8Array): unknown {
    return this.#evaluated(entrypoint, input, readResult);
  }

  /**
   * As `evaluate`, for whoever takes values as Rego has them: sets as sets, keys of any kind, numbers of any size.
   * @param strict an error of a builtin of the host's ends the evaluation (`builtinError`).
   */
  evaluateExactly(entrypoint: string, input: string | Uint8Array, strict = false): Value | undefined {
    return this.#evaluated(entrypoint, input, exactResult, strict);
  }

  #evaluated<T>(entrypoint: string, input: string | Uint8Array, read: (text: Uint8Array) => T, strict = false): T {
    const started = performance.now();
    const usedMs = this.#limits.usedMs?.();
    let result: T;
    let over: boolean;
    try {
      const instance = (this.#instance ??= this.#instantiate());
      instance.host.strict = strict;
      result = read(this.#run(instance, this.#entrypointId(entrypoint), input, started, usedMs));
      over = instance.host.over;
    } catch (thrown) {
      this.#instance = undefined;
      const late = thrown instanceof LateError;
      throw new EvaluationError(
        `evaluating ${entrypoint} failed: ${messageOf(thrown)}`,
        late ? undefined : messageOf(thrown),
        thrown instanceof StrictError ? thrown.message : undefined,
      );
    }
    if (this.#grownBytes() > GROWTH_KEPT_BYTES) this.#instance = undefined;
    if (over) {
      throw new EvaluationError(
        `evaluating ${entrypoint} took ${Math.round(performance.now() - started)} ms, over the limit of ${this.#limits.evaluationMsMax} ms`,
      );
    }
    return result;
  }

  #entrypointId(entrypoint: string): number {
    const id = this.#entrypoints.get(entrypoint);
    if (id === undefined) throw new Error(`entrypoint ${entrypoint} is not valid in this instance`);
    return id;
  }

  /** @returns the result set as text, in the instance's memory. */
  #run(
    { host, exports, dataAddress, heapAddress }: Loaded,
    id: number,
    input: string | Uint8Array,
    startedMs: number,
    usedMs = 0,
  ): Uint8Array {
    const { evaluationMsMax } = this.#limits;
    host.deadlineMs = startedMs + evaluationMsMax;
    host.usedMsMax = usedMs + evaluationMsMax;
    const length = place(input, host.memory, heapAddress);
    const inputAddress = length === 0 ? 0 : heapAddress;
    const heapAbove = heapAddress + length;
    return host.bytesAt(exports["opa_eval"]!(0, id, dataAddress, inputAddress, length, heapAbove, AS_VALUE));
  }

  /** A first evaluation compiles as it goes, and would count against the limit of whoever asks first. */
  #warmUp(): void {
    const input = encoder.encode("{}");
    for (const id of this.#entrypoints.values()) {
      try {
        this.#instance ??= this.#instantiate();
        this.#run(this.#instance, id, input, performance.now(), this.#limits.usedMs?.());
      } catch {
        // It fails again, and is told, when someone asks.
        this.#instance = undefined;
      }
    }
  }

  #instantiate(): Loaded {
    const { host, instance } = this.#hosted();
    host.bind(instance, this.#builtins);
    const exports = instance.exports as Exports;
    const address = exports["opa_malloc"]!(this.#data.length);
    new Uint8Array(host.memory.buffer).set(this.#data, address);
    const dataAddress = exports["opa_json_parse"]!(address, this.#data.length);
    if (dataAddress === 0) throw new Error("its data cannot be read");
    const bytesInitial = host.memory.buffer.byteLength;
    return { host, exports, dataAddress, bytesInitial, heapAddress: exports["opa_heap_ptr_get"]!() };
  }

  /**
   * OPA's SDK hosts what asks its host for nothing, as the shipped law does. It would hand values to builtins as JSON, in
   * which sets look like arrays, so what calls some has a host of ours (docs/decisions/0150).
   */
  #hosted(): { readonly host: Host; readonly instance: WebAssembly.Instance } {
    const pages = memoryOf(this.#pagesInitial, this.#limits.memoryMiBMax * PAGES_PER_MIB);
    if (Object.keys(this.#builtins).length === 0) {
      const { mem, wasmInstance } = loadPolicySync(this.#module, pages) as unknown as SdkPolicy;
      return { host: new Host(mem, this.#limits.usedMs), instance: wasmInstance };
    }
    const host = new Host(new WebAssembly.Memory(pages), this.#limits.usedMs);
    return { host, instance: new WebAssembly.Instance(this.#module, host.imports) };
  }

  #grownBytes(): number {
    return (this.#instance?.host.memory.buffer.byteLength ?? 0) - (this.#instance?.bytesInitial ?? 0);
  }
}

/** Writes an input into an instance's memory, which grows where it must. @returns its length in bytes. */
function place(input: string | Uint8Array, memory: WebAssembly.Memory, address: number): number {
  const room = memory.buffer.byteLength - address;
  if (typeof input === "string" && input.length * UTF8_BYTES_PER_CHAR_MAX <= room)
    return encoder.encodeInto(input, new Uint8Array(memory.buffer, address)).written;
  const bytes = typeof input === "string" ? encoder.encode(input) : input;
  if (bytes.length > room) memory.grow(Math.ceil((bytes.length - room) / PAGE_BYTES));
  new Uint8Array(memory.buffer).set(bytes, address);
  return bytes.length;
}

const memoryOf = (pagesInitial: number, pagesMax: number): WebAssembly.MemoryDescriptor => ({
  initial: pagesInitial,
  maximum: Math.max(pagesMax, pagesInitial),
});

const pagesFor = (wasm: Uint8Array): number => PAGES_INITIAL + Math.ceil(wasm.length / PAGE_BYTES);

/** The builtins that a policy's WASM asks its host for, sorted. @throws Error for what is no module of an ABI we know. */
export async function importedBuiltins(wasm: Uint8Array): Promise<string[]> {
  return builtinsOf(await WebAssembly.compile(wasm as Uint8Array<ArrayBuffer>), pagesFor(wasm));
}

/** The builtins that a module asks its host for, sorted. @throws Error for a module of another ABI. */
function builtinsOf(module: WebAssembly.Module, pagesInitial: number): string[] {
  const host = new Host(new WebAssembly.Memory(memoryOf(pagesInitial, PAGES_PER_MIB * DEFAULT_LIMITS.memoryMiBMax)));
  const instance = new WebAssembly.Instance(module, host.imports);
  const [major, minor] = ["opa_wasm_abi_version", "opa_wasm_abi_minor_version"].map(
    (name) => (instance.exports[name] as WebAssembly.Global | undefined)?.value as number | undefined,
  );
  if (major !== ABI.major || minor === undefined || minor < ABI.minorMin)
    throw new Error(`its ABI is ${major}.${minor}, not ${ABI.major}.${ABI.minorMin} or a later minor`);
  host.bind(instance, {});
  return Object.keys(host.builtinIds()).sort();
}

function messageOf(thrown: unknown): string {
  return String((thrown as { message?: unknown } | null)?.message ?? thrown);
}
