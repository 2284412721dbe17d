// The WASM evaluator: the only place that touches the OPA SDK, whose habits (it throws strings, keeps memory, breaks after a trap) end here.
import * as sdk from "@open-policy-agent/opa-wasm";
import { RailgateError } from "../core/errors.ts";
import { DEFAULTS } from "../core/schema/defaults.ts";

// The SDK's ES module has this function on its default export only, which its types leave out.
const { loadPolicySync } = (sdk as unknown as { default: typeof sdk }).default;

/** Evaluation threw, trapped, ran over its limit or returned nothing; refused as POL-03. */
export class EvaluationError extends RailgateError {
  static override code = "policy_error";
}

export interface EvaluationLimits {
  /** An evaluation that took longer is refused, whatever it said. */
  readonly evaluationMsMax: number;
  /** Bound of the instance's memory, in MiB; an evaluation that needs more traps. */
  readonly memoryMiBMax: number;
}

export const DEFAULT_LIMITS: EvaluationLimits = {
  evaluationMsMax: DEFAULTS.evaluationMsMax,
  memoryMiBMax: 256,
};

const PAGES_PER_MIB = 16;
/** An instance that grew past this is replaced, since WASM memory is never given back. */
const MEMORY_KEPT_MIB = 16;

type Loaded = ReturnType<typeof loadPolicySync>;

export class Evaluator {
  readonly #module: WebAssembly.Module;
  readonly #data: object;
  readonly #limits: EvaluationLimits;
  #instance: Loaded | undefined;
  readonly entrypoints: readonly string[];

  private constructor(module: WebAssembly.Module, data: object, limits: EvaluationLimits) {
    this.#module = module;
    this.#data = data;
    this.#limits = limits;
    this.#instance = this.#instantiate();
    this.entrypoints = Object.keys(this.#instance.entrypoints).sort();
  }

  /** @throws EvaluationError when the bytes are no WASM policy of an ABI we know. */
  static async load(wasm: Uint8Array, data: object, limits = DEFAULT_LIMITS): Promise<Evaluator> {
    try {
      const module = await WebAssembly.compile(wasm as Uint8Array<ArrayBuffer>);
      // Without these the SDK would write to the console and go on.
      for (const name of ["opa_wasm_abi_version", "opa_wasm_abi_minor_version"]) {
        if (!WebAssembly.Module.exports(module).some((exported) => exported.name === name))
          throw new Error(`it does not export ${name}`);
      }
      const evaluator = new Evaluator(module, data, limits);
      evaluator.#warmUp();
      return evaluator;
    } catch (thrown) {
      throw new EvaluationError(`the policy's WASM cannot be loaded: ${messageOf(thrown)}`);
    }
  }

  /**
   * Evaluates one entrypoint, synchronously.
   * @param input the input document as JSON text, in UTF-8.
   * @returns the entrypoint's value; `undefined` where it is undefined for this input.
   * @throws EvaluationError; the instance is replaced, so the next evaluation starts clean.
   */
  evaluate(entrypoint: string, input: Uint8Array): unknown {
    const started = performance.now();
    let results: { result: unknown }[];
    try {
      this.#instance ??= this.#instantiate();
      results = this.#instance.evaluate(exactBuffer(input), entrypoint) as { result: unknown }[];
    } catch (thrown) {
      this.#instance = undefined;
      throw new EvaluationError(`evaluating ${entrypoint} failed: ${messageOf(thrown)}`);
    }
    if (this.#memoryMiB() > MEMORY_KEPT_MIB) this.#instance = undefined;
    const took = performance.now() - started;
    if (took > this.#limits.evaluationMsMax) {
      throw new EvaluationError(
        `evaluating ${entrypoint} took ${Math.round(took)} ms, over the limit of ${this.#limits.evaluationMsMax} ms`,
      );
    }
    return results[0]?.result;
  }

  /** A first evaluation compiles as it goes, and would count against the limit of whoever asks first. */
  #warmUp(): void {
    for (const entrypoint of this.entrypoints) {
      try {
        this.#instance ??= this.#instantiate();
        this.#instance.evaluate({}, entrypoint);
      } catch {
        // It fails again, and is told, when someone asks.
        this.#instance = undefined;
      }
    }
  }

  #instantiate(): Loaded {
    const loaded = loadPolicySync(this.#module as unknown as BufferSource, {
      initial: 5,
      maximum: this.#limits.memoryMiBMax * PAGES_PER_MIB,
    });
    loaded.setData(this.#data);
    return loaded;
  }

  #memoryMiB(): number {
    return (this.#instance?.mem.buffer.byteLength ?? 0) / 2 ** 20;
  }
}

/** The SDK takes JSON text only as an ArrayBuffer that holds nothing else. */
function exactBuffer(bytes: Uint8Array): ArrayBuffer {
  if (bytes.byteOffset === 0 && bytes.byteLength === bytes.buffer.byteLength) return bytes.buffer as ArrayBuffer;
  // Not `bytes.slice()`: a Buffer's shares the memory.
  return new Uint8Array(bytes).buffer;
}

function messageOf(thrown: unknown): string {
  if (typeof thrown === "string") return thrown;
  return String((thrown as { message?: unknown } | null)?.message ?? thrown);
}
