// What whoever measures a gate is told: how long the law took, and what came of each command.
import { EMPTY_SNAPSHOT } from "../core/digest.ts";
import type { PolicyDecision } from "../core/schema/decision.ts";
import type { Policy } from "../policy/policy.ts";
import type { AnyCommand, Law, SingleRefusal } from "./commands/command.ts";
import { isAdmission } from "./companions.ts";
import type { Enacted } from "./decider.ts";
import type { GateObserver } from "./parts.ts";

/** The law, its evaluations measured. */
export function timed(policy: Policy, observe: GateObserver): Law {
  const { digest, settings, catalogue, kubernetes } = policy;
  const measured = <T>(evaluate: () => T): T => {
    const started = performance.now();
    try {
      return evaluate();
    } finally {
      observe.evaluated?.(performance.now() - started);
    }
  };
  return {
    digest,
    settings,
    catalogue,
    kubernetes,
    evaluateText: (entrypoint, input) => measured(() => policy.evaluateText(entrypoint, input)),
    evaluateValue: (entrypoint, input, strict) => measured(() => policy.evaluateValue(entrypoint, input, strict)),
  };
}

export function count({ entrypoint }: AnyCommand, made: Enacted, observe: GateObserver): void {
  const { event, judged } = made;
  if (isAdmission(made)) observe.decided?.(judged.decision as PolicyDecision);
  else if (event.event_type === "policy.evaluate") {
    // Without a policy a path is whatever the caller makes it.
    const name = event.policy_snapshot_id === EMPTY_SNAPSHOT ? "none" : entrypoint;
    observe.answered?.(name, String(event.details?.["result"]));
  } else observe.commanded?.(entrypoint, (judged.decision as SingleRefusal).error_code);
}
