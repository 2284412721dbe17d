// What may leave the node of a decision, by the policies' own word: `system.log.drop` and `system.log.mask`.
import { readBundleData, readBundleFiles } from "../../policy/bundle-files.ts";
import { Evaluator } from "../../policy/evaluator.ts";
import { withOverlay } from "../../policy/overlay.ts";
import { textOf, withhold, type DecisionEvent } from "./decision-event.ts";
import { mask } from "./mask.ts";
import type { VerifiedPolicy } from "./report-messages.ts";

export const MASK = "system/log/mask";
export const DROP = "system/log/drop";

export class Censor {
  readonly #mask: Evaluator | Error | undefined;
  readonly #drop: Evaluator | Error | undefined;

  private constructor(toMask: Evaluator | Error | undefined, toDrop: Evaluator | Error | undefined) {
    this.#mask = toMask;
    this.#drop = toDrop;
  }

  /** A policy that cannot be loaded hides everything, see {@link pass}. */
  static async load(toMask: VerifiedPolicy | null, toDrop: VerifiedPolicy | null): Promise<Censor> {
    const masking = await evaluatorOf(toMask);
    return new Censor(masking, toDrop !== null && toDrop.bytes === toMask?.bytes ? masking : await evaluatorOf(toDrop));
  }

  /**
   * Masks in place. Where a mask fails, input and result stay here: what it would have hidden nobody knows. Where a drop fails, nothing is dropped.
   * @returns whether the decision is reported at all, and why something was withheld.
   */
  pass(event: DecisionEvent): { readonly reported: boolean; readonly withheld?: string } {
    if (this.#mask === undefined && this.#drop === undefined) return { reported: true };
    const text = Buffer.from(textOf(event));
    if (this.#dropped(text)) return { reported: false };
    try {
      if (this.#mask !== undefined) mask(event, evaluated(this.#mask, MASK, text));
      return { reported: true };
    } catch (error) {
      withhold(event, ["input", "result"], "mask_failed");
      return { reported: true, withheld: (error as Error).message };
    }
  }

  #dropped(text: Uint8Array): boolean {
    if (this.#drop === undefined) return false;
    try {
      return evaluated(this.#drop, DROP, text) === true;
    } catch {
      return false;
    }
  }
}

function evaluated(evaluator: Evaluator | Error, entrypoint: string, text: Uint8Array): unknown {
  if (evaluator instanceof Error) throw evaluator;
  return evaluator.evaluate(entrypoint, text);
}

async function evaluatorOf(policy: VerifiedPolicy | null): Promise<Evaluator | Error | undefined> {
  if (policy === null) return undefined;
  try {
    const files = await readBundleFiles(policy.bytes);
    const data = await readBundleData(files);
    return await Evaluator.load(
      files.get("policy.wasm")!,
      policy.settings === null ? data : withOverlay(data, policy.settings),
    );
  } catch (error) {
    return error as Error;
  }
}
