// The steps that a bundle must pass, in order; where one fails, nothing that it says is used.
import type { ProvenanceStep } from "../../core/schema/input.ts";

/** A step failed, and why in words. */
export class StepError extends Error {
  readonly step: ProvenanceStep;

  constructor(step: ProvenanceStep, message: string) {
    super(message);
    this.step = step;
  }
}

/** Throws StepError unless it holds. */
export function must(holds: boolean, step: ProvenanceStep, message: string): asserts holds {
  if (!holds) throw new StepError(step, message);
}

/** What `work` gives; whatever it throws that is no StepError was this step's. */
export function within<T>(step: ProvenanceStep, message: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof StepError) throw error;
    throw new StepError(step, message);
  }
}
