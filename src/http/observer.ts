// What a node tells of itself, as metrics and as lines of the log.
import type { Logger } from "pino";
import type { NodeObserver } from "../library/doors.ts";
import type { Metrics } from "./metrics.ts";

/** Tells metrics and log what the node tells. */
export function observer(log: Logger, metrics: Metrics): NodeObserver {
  return {
    evaluated: (ms) => metrics.evaluated(ms),
    decided: (decision) => metrics.decided(decision),
    commanded: (law, code) => metrics.commanded(law, code),
    answered: (entrypoint, result) => metrics.evaluatedFor(entrypoint, result),
    committed: (figures) => metrics.committed(figures),
    turned: (ms) => metrics.turned(ms),
    turnsWaiting: (commands) => metrics.turnsWaiting(commands),
    turnWaited: (ms) => metrics.turnWaited(ms),
    shadowed: (outcome) => metrics.shadowed(outcome),
    policyFailed: (problem, eventId) => {
      metrics.policyFailed();
      log.error({ decision_id: eventId, problem }, "the policy could not decide");
    },
    evidenceFailed: (message) => {
      metrics.evidenceFailed();
      log.error({ problem: message }, "evidence could not be recorded; nothing is admitted until it can");
    },
    clockSetBack: (behindMs, latest) =>
      log.error(
        { behind_s: Math.round(behindMs / 1000), latest },
        "the clock was set back; events bear its time, and are earlier than ones before them",
      ),
    policyWarned: (problem) => log.warn({ problem }, "a bundle was taken that should be another"),
    policyRejected: (problem) => log.error({ problem }, "the bundle was not taken"),
    reportFailed: (problem) => log.warn({ problem }, "what is reported to a service did not get there, or not whole"),
    bundleFailed: (problem) => log.warn({ problem }, "a bundle could not be fetched; it is tried again"),
    checkpointFailed: (message) => log.error({ problem: message }, "checkpoints could not be made; it is tried again"),
  };
}
