// What an evaluation may take where it decides: time of the processor, so that a machine that pauses refuses nobody.
import { DEFAULT_LIMITS, type EvaluationLimits } from "../policy/evaluator.ts";

/** Of this thread. */
function usedMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

export function evaluationLimits(evaluationMsMax = DEFAULT_LIMITS.evaluationMsMax): EvaluationLimits {
  // Node has it from 23.9 on.
  return { ...DEFAULT_LIMITS, evaluationMsMax, ...("threadCpuUsage" in process && { usedMs }) };
}
