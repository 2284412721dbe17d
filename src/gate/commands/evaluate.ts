// Evaluation: what an entrypoint of any active policy says of an input, as OPA's data API asks it. Nothing is enacted; that it was asked is evidence.
import { brief } from "../../core/brief.ts";
import type { EvaluationFault } from "../../core/errors.ts";
import type { HostRefusalCode } from "../../core/outcome.ts";
import { partsOf } from "../../policy/entrypoints.ts";
import type { EvaluationError } from "../../policy/evaluator.ts";
import { canonicalAnswer, valueAt } from "../../policy/answers.ts";
import type { Value } from "../../policy/builtins/value.ts";
import type { Command, Kept } from "./command.ts";

/** What is asked. */
export interface Evaluate {
  readonly tenantId: string;
  readonly entrypoint: string;
  /** From the entrypoint's value to what was asked for. */
  readonly below: readonly string[];
  /** Undefined: there is none, which is not the same as null. */
  readonly input: unknown;
  /** Whether an error of a builtin is that of the evaluation. */
  readonly strict?: boolean | undefined;
  /** What else the request said, for the record. */
  readonly metadata?: object | undefined;
  /** Of the batch that it came in. */
  readonly batchId?: string | undefined;
  readonly correlationId?: string | undefined;
}

type Decision =
  | {
      readonly outcome: "accepted";
      readonly value: Value | undefined;
      readonly text: string;
      readonly fault?: undefined;
    }
  | { readonly outcome: "refused"; readonly code: HostRefusalCode; readonly fault: EvaluationFault };

export interface EvaluationOutcome {
  /** The result's JSON; undefined where nothing is at the path, or there is a fault. */
  readonly resultText: string | undefined;
  readonly fault: EvaluationFault | undefined;
  readonly tookMs: number;
}

const POINTER_PART = /^[\w.~-]+$/;

export function evaluate(asked: Evaluate): Command<unknown, Decision, EvaluationOutcome> {
  const { tenantId, entrypoint, below, input, strict, batchId, correlationId } = asked;
  let tookMs = 0;
  const answer = (decision: Decision): EvaluationOutcome => ({
    resultText: decision.fault === undefined ? textAt(decision, below) : undefined,
    fault: decision.fault,
    tookMs,
  });
  return {
    entrypoint,
    ask: (law, name, text) => {
      const started = performance.now();
      try {
        return law.evaluateValue(name, text, strict);
      } finally {
        tookMs = performance.now() - started;
      }
    },
    tenantId,
    workloadId: null,
    correlationId,
    needs: () => [],
    input: () => input,
    recognise: (output) => {
      const value = output as Value | undefined;
      try {
        const text = value === undefined ? "" : canonicalAnswer(value);
        return { decision: { outcome: "accepted", value, text }, text };
      } catch (error) {
        return { problem: `it ${(error as Error).message}` };
      }
    },
    failClosed: (code, error) => ({ outcome: "refused", code, fault: faultOf(code, error) }),
    artifact: (kept) => artifactText(asked, kept),
    says: (_state, { decision }) => {
      const { resultText, fault } = answer(decision);
      return {
        event_type: "policy.evaluate",
        ...(fault && { outcome: "failed" as const }),
        subject: brief(pathText([...partsOf(entrypoint), ...below])),
        details: {
          entrypoint: brief(entrypoint),
          result: fault ? "error" : resultText === undefined ? "undefined" : "defined",
          ...(decision.outcome === "refused" && { error: decision.code, error_code: decision.fault.code }),
          ...(batchId !== undefined && { batch_decision_id: batchId }),
        },
      };
    },
    effect: (_state, _event, { decision }) => ({ changes: [], outcome: answer(decision) }),
  };
}

/** Of what lies below an entrypoint's value, the JSON; of all of it what is at hand. */
function textAt(
  { value, text }: Extract<Decision, { fault?: undefined }>,
  below: readonly string[],
): string | undefined {
  if (value === undefined) return undefined;
  if (below.length === 0) return text;
  const found = valueAt(value, below);
  return found === undefined ? undefined : canonicalAnswer(found);
}

/** `app/authz/allow`; a part that is no plain word is percent-encoded, as in a URL. */
function pathText(parts: readonly string[]): string {
  return parts.map((part) => (POINTER_PART.test(part) ? part : encodeURIComponent(part.toWellFormed()))).join("/");
}

/**
 * The artifact: the entrypoint's whole value as `decision`, whatever part of it was asked for, so that it can be evaluated again.
 * What is undefined is no JSON, and neither is an input that there was none of: both are left out.
 */
function artifactText({ entrypoint, metadata, strict }: Evaluate, kept: Kept<Decision>): string {
  const { decision, decisionText, inputText, problem } = kept;
  const isUndefined = decision.outcome === "accepted" && decision.value === undefined;
  const members = [
    problem === undefined && !isUndefined && `"decision":${decisionText}`,
    `"entrypoint":${JSON.stringify(entrypoint)}`,
    inputText !== undefined && `"input":${inputText}`,
    problem !== undefined && `"problem":${JSON.stringify(problem.toWellFormed())}`,
    metadata !== undefined && `"request_metadata":${JSON.stringify(metadata)}`,
    strict === true && `"strict_builtin_errors":true`,
    isUndefined && `"undefined":true`,
  ];
  return `{${members.filter((member) => member !== false).join(",")}}`;
}

/** What a policy throws where two values disagree, with the place that it stands at (OPA internal/compiler/wasm). */
const CONFLICT = /^(.*):(\d+):(\d+): (var assignment conflict|object insert conflict)$/s;
/** OPA's own words for the same. */
const CONFLICTS: Readonly<Record<string, string>> = {
  "var assignment conflict": "a rule or function produced conflicting values",
  "object insert conflict": "object keys must be unique",
};
/** Whatever else a policy throws is for the node's log. */
const UNTOLD = "the policy could not be evaluated; the node's log has the cause under this decision's id";

function faultOf(code: HostRefusalCode, error: EvaluationError | undefined): EvaluationFault {
  if (code === "policy_unavailable") return { code: "eval_internal_error", message: "no policy is active" };
  if (error === undefined) return { code: "eval_internal_error", message: UNTOLD };
  if (error.builtinError !== undefined) return { code: "eval_builtin_error", message: error.builtinError };
  if (error.thrown === undefined) return { code: "eval_cancel_error", message: error.message };
  const [, file, row, col, what] = CONFLICT.exec(error.thrown) ?? [];
  if (what === undefined) return { code: "eval_internal_error", message: UNTOLD };
  const location = { file: file!, row: Number(row), col: Number(col) };
  return { code: "eval_conflict_error", message: CONFLICTS[what]!, location };
}
