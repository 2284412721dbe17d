// One decision, decided again: from the artifact's exact bytes, in canonical form, and what a difference means.
import { changeBetween, FAILED_DECISION, type ChangeKind, type DecisionShape } from "../../core/decision-change.ts";
import { RailgateError } from "../../core/errors.ts";
import { digestOf } from "../../core/event.ts";
import { canonicalJson } from "../../core/json.ts";
import { hostRefusal } from "../../core/outcome.ts";
import { canonicalAnswer } from "../../policy/answers.ts";
import { readBundleData, readBundleFiles } from "../../policy/bundle-files.ts";
import { EvaluationError, Evaluator } from "../../policy/evaluator.ts";
import { JsonStream, JsonStreamError } from "../verify/json-stream.ts";

/** What was given is neither an export nor a data directory, or a bundle cannot be used. */
export class ReplayError extends RailgateError {
  static override code = "replay_impossible";
}

/** What was named holds no decisions that could be read. */
export class NoDecisionsError extends ReplayError {
  static override code = "no_export";
}

/** What a candidate policy would have changed. */
export type ReplayChange = ChangeKind | "other_result";

/** What of an event is needed to decide again, with the artifact that it points to. */
export interface ReplayItem {
  /** An evaluation (`policy.evaluate`), whose result may be anything, and nothing; any other event has a decision. */
  readonly evaluation: boolean;
  /** Digest of the bundle that decided. */
  readonly policy: string;
  /** Digest of the settings that were laid over the bundle's own; null where there were none. */
  readonly settings: string | null;
  /** Digest of the artifact. */
  readonly pointer: string;
  readonly artifact: Uint8Array;
}

export type ReplayFinding =
  | { readonly kind: "no_decision" }
  | { readonly kind: "reproduced" }
  /** No policy decided; the host refused in its place. */
  | { readonly kind: "host_refused"; readonly decidesNow: boolean }
  | { readonly kind: "mismatch"; readonly problem: string }
  | { readonly kind: "changed"; readonly change: ReplayChange; readonly rules: readonly string[] };

/** Longer than any evaluation that was let pass, so that a slow machine does not look like another policy. */
const LIMITS = { evaluationMsMax: 60_000, memoryMiBMax: 256 };
const utf8 = new TextDecoder("utf-8", { fatal: true });

/**
 * The WASM of a bundle. Signatures are not looked at: what decided is known by its digest, and a candidate may have none.
 * @param settings laid over the bundle's own. @throws BundleError, EvaluationError
 */
export async function loadForReplay(bundle: Uint8Array, settings?: Uint8Array): Promise<Evaluator> {
  const files = await readBundleFiles(bundle);
  const wasm = files.get("policy.wasm");
  if (!wasm) throw new EvaluationError("the bundle has no policy.wasm; build it with `opa build -t wasm`");
  const data = await readBundleData(files);
  if (settings === undefined) return Evaluator.load(wasm, data, LIMITS);
  const { readOverlay, withOverlay } = await import("../../policy/overlay.ts");
  return Evaluator.load(wasm, withOverlay(data, await readOverlay(settings, async () => {})), LIMITS);
}

interface Artifact {
  readonly entrypoint: string;
  /** As it was evaluated; empty where there was none. */
  readonly input: Uint8Array;
  /** Canonical JSON, as stored; undefined where the policy was undefined, or came to no result. */
  readonly decision: string | undefined;
  readonly problem: boolean;
  /** An evaluation in which a builtin's error counted. */
  readonly strict: boolean;
}

type Decided = { readonly output: unknown } | { readonly failure: string };
/** @param evaluator of the policy that decided; undefined where it is not here. */
export function checkDecision(item: ReplayItem, evaluator: Evaluator | undefined): ReplayFinding {
  if (digestOf(item.artifact) !== item.pointer)
    return { kind: "mismatch", problem: "the artifact is not the one that the event points to" };
  const artifact = readArtifact(item);
  if (artifact === undefined) return { kind: "no_decision" };
  if (item.evaluation) return checkEvaluation(item, artifact, evaluator);
  if (artifact.problem) return checkHostRefusal(artifact, evaluator);
  if (evaluator === undefined) return { kind: "mismatch", problem: `${whatDecided(item)} is not here` };
  const decided = decide(evaluator, artifact);
  if ("failure" in decided) return { kind: "mismatch", problem: decided.failure };
  return textOf(decided.output) === artifact.decision
    ? { kind: "reproduced" }
    : { kind: "mismatch", problem: "the policy decides otherwise on this input" };
}

/** What came of an evaluation must come of it again; what failed may have failed for want of time or memory. */
function checkEvaluation(item: ReplayItem, artifact: Artifact, evaluator: Evaluator | undefined): ReplayFinding {
  const evaluated = evaluator && evaluateAgain(evaluator, artifact);
  if (artifact.problem)
    return { kind: "host_refused", decidesNow: evaluated !== undefined && !("failure" in evaluated) };
  if (evaluated === undefined) return { kind: "mismatch", problem: `${whatDecided(item)} is not here` };
  if ("failure" in evaluated) return { kind: "mismatch", problem: evaluated.failure };
  return evaluated.output === artifact.decision
    ? { kind: "reproduced" }
    : { kind: "mismatch", problem: "the policy answers otherwise on this input" };
}

/** The result's canonical JSON, as evaluations are recorded. */
function evaluateAgain(evaluator: Evaluator, { entrypoint, input, strict }: Artifact): Decided {
  try {
    const value = evaluator.evaluateExactly(entrypoint, input, strict);
    return { output: value === undefined ? undefined : canonicalAnswer(value) };
  } catch (error) {
    if (error instanceof EvaluationError || error instanceof RangeError) return { failure: error.message };
    throw error;
  }
}

const whatDecided = ({ policy, settings }: ReplayItem): string =>
  settings === null ? `the policy bundle ${policy}` : `the policy bundle ${policy}, or the settings ${settings},`;

/** What the candidate would have decided on the same input. */
export function compareDecision(item: ReplayItem, candidate: Evaluator): ReplayFinding {
  if (digestOf(item.artifact) !== item.pointer)
    return { kind: "mismatch", problem: "the artifact is not the one that the event points to" };
  const artifact = readArtifact(item);
  if (artifact === undefined) return { kind: "no_decision" };
  if (item.evaluation) return compareEvaluation(artifact, candidate);
  if (!candidate.entrypoints.includes(artifact.entrypoint))
    return { kind: "mismatch", problem: `the candidate has no entrypoint ${artifact.entrypoint}` };
  const before = JSON.parse(artifact.decision!) as DecisionShape;
  const decided = decide(candidate, artifact);
  const after = "failure" in decided ? FAILED_DECISION : ((decided.output ?? {}) as DecisionShape);
  const change = changeBetween(before, after);
  switch (change) {
    case undefined:
      return { kind: "reproduced" };
    case "newly_refused":
      return { kind: "changed", change, rules: rulesOf(after) };
    case "newly_admitted":
      return { kind: "changed", change, rules: rulesOf(before) };
    case "other_envelope": {
      const [from, to] = [before.envelope?.required, after.envelope?.required];
      return { kind: "changed", change, rules: [`${String(from)} → ${String(to)}`] };
    }
  }
}

/** A candidate without the entrypoint is of another bundle than the one that answered: several may be active. */
function compareEvaluation(artifact: Artifact, candidate: Evaluator): ReplayFinding {
  if (!candidate.entrypoints.includes(artifact.entrypoint)) return { kind: "no_decision" };
  const evaluated = evaluateAgain(candidate, artifact);
  const after = "failure" in evaluated ? "failed" : shown(evaluated.output);
  const before = artifact.problem ? "failed" : shown(artifact.decision);
  return after === before
    ? { kind: "reproduced" }
    : { kind: "changed", change: "other_result", rules: [artifact.entrypoint] };
}

const shown = (decision: unknown): string => (decision === undefined ? "undefined" : `defined: ${String(decision)}`);

/** The host refuses where no policy can decide, and only ever refuses (POL-01, POL-03, and where it asserts safety again). */
function checkHostRefusal(artifact: Artifact, evaluator: Evaluator | undefined): ReplayFinding {
  const recorded = JSON.parse(artifact.decision!) as DecisionShape;
  if (recorded.outcome !== "refused")
    return { kind: "mismatch", problem: "the host decided in the policy's place, and did not refuse" };
  const codes = (recorded.refusals ?? []).map(({ code }) => code);
  const [code] = codes;
  if (codes.length === 1 && (code === "policy_unavailable" || code === "policy_error")) {
    if (canonicalJson(hostRefusal(code, recorded.envelope?.declared)) !== artifact.decision)
      return { kind: "mismatch", problem: "the host's refusal is not of its form" };
  }
  const decided = evaluator && decide(evaluator, artifact);
  return {
    kind: "host_refused",
    decidesNow: decided !== undefined && "output" in decided && decided.output !== undefined,
  };
}

function decide(evaluator: Evaluator, { entrypoint, input }: Artifact): Decided {
  try {
    return { output: evaluator.evaluate(entrypoint, input) };
  } catch (error) {
    if (error instanceof EvaluationError) return { failure: error.message };
    throw error;
  }
}

function textOf(output: unknown): string | undefined {
  try {
    return canonicalJson(output);
  } catch {
    return undefined;
  }
}

function rulesOf({ refusals, error_code }: DecisionShape): string[] {
  const rules = (refusals ?? []).map(({ rule }) => String(rule));
  return rules.length > 0 ? [...new Set(rules)].sort() : [String(error_code ?? "none")];
}

/** @returns undefined where it is no decision of a policy. */
function readArtifact({
  artifact: bytes,
  evaluation,
}: Pick<ReplayItem, "artifact" | "evaluation">): Artifact | undefined {
  const members = new Map<string, Uint8Array>();
  const stream = new JsonStream({}, ([name], json) => members.set(name!, json));
  try {
    stream.write(bytes);
    stream.end();
  } catch (error) {
    if (error instanceof JsonStreamError) return undefined;
    throw error;
  }
  const [decision, entrypoint, input] = [members.get("decision"), members.get("entrypoint"), members.get("input")];
  if (!entrypoint || (!evaluation && (!decision || !input))) return undefined;
  // The evaluator takes a buffer that holds nothing else.
  return {
    entrypoint: JSON.parse(utf8.decode(entrypoint)) as string,
    input: input?.slice() ?? new Uint8Array(0),
    decision: decision && utf8.decode(decision),
    problem: members.has("problem"),
    strict: members.has("strict_builtin_errors"),
  };
}
