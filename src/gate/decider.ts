// The decider: a command and the state, situation and law that it is judged by → the decision, the event that says so, and what changes with it. Pure.
import { briefPointer, mustFit } from "../core/brief.ts";
import { actorOf } from "../core/caller.ts";
import { EMPTY_SNAPSHOT, pointerTo } from "../core/digest.ts";
import { digestOf, type EventDraft } from "../core/event.ts";
import { InvariantError } from "../core/invariant.ts";
import { canonicalJson } from "../core/json.ts";
import { NO_SETTINGS } from "../core/kubernetes/settings.ts";
import { refusalReason, type HostRefusalCode } from "../core/outcome.ts";
import type { Context } from "../core/schema/input.ts";
import { settingsDetail } from "../core/snapshots.ts";
import type { Reads } from "../core/state.ts";
import { EvaluationError } from "../policy/evaluator.ts";
import type { Ruling, Command, Decided, Effect, Kept, Law, Situation, Tokens, Trace } from "./commands/command.ts";

/** What surrounds a decision. */
export interface Surroundings {
  readonly nowMs: number;
  readonly partition: Context["partition"];
  /** Since the policy's source last confirmed it; null: it has no remote source. */
  readonly policyAgeS: number | null;
}

/** A decision, with what its evidence must name. */
export interface Judged<I = unknown, D extends Decided = Decided> extends Ruling<I, D>, Kept<D> {
  readonly situation: Situation;
}

/** Names that are new with an event. */
export interface Stamp {
  readonly eventId: string;
  readonly correlationId: string;
  readonly evidenceProfileId: string;
}

/** What a decision says and does. */
export interface Enacted<O = unknown> extends Effect<O> {
  readonly judged: Judged;
  readonly event: EventDraft;
  /** Null: it lies with the event that this one accompanies. */
  readonly artifact: string | null;
  readonly artifactDigest: string;
}

export function situationOf(
  caller: Situation["caller"],
  tokens: Tokens,
  { nowMs, partition, policyAgeS }: Surroundings,
  law: Law | null,
): Situation {
  return {
    nowMs,
    caller,
    tokens,
    kubernetes: law?.kubernetes ?? NO_SETTINGS,
    context: {
      partition,
      policy: { age_s: policyAgeS, snapshot_id: law?.digest ?? EMPTY_SNAPSHOT },
      authority: { age_s: null, snapshot_id: tokens.snapshot.digest },
    },
    settings: law?.settings?.digest ?? null,
  };
}

/** What the law says. A policy that is missing, fails, or answers what is no decision refuses (POL-01, POL-03). */
export function judge<I, D extends Decided>(
  command: Command<I, D>,
  state: Reads,
  situation: Situation,
  law: Law | null,
): Judged<I, D> {
  const input = command.input(state, situation);
  const inputText = JSON.stringify(input) as string | undefined;
  const { tokens } = situation;
  const made = { situation, input, inputText, tokens, catalogue: law?.catalogue ?? {} };
  if (!law) return { ...made, ...refusedByHost(command, "policy_unavailable", "no policy is active") };
  const failed = (problem: string, error?: EvaluationError) => ({
    ...made,
    ...refusedByHost(command, "policy_error", `${command.entrypoint}: ${problem}`, error),
  });
  let output: unknown;
  try {
    output = (command.ask ?? askForJson)(law, command.entrypoint, inputText);
  } catch (error) {
    if (!(error instanceof EvaluationError)) throw error;
    return failed(error.message, error);
  }
  const recognised = command.recognise(output, law.catalogue);
  if ("problem" in recognised) return failed(`the policy's output is no decision: ${recognised.problem}`);
  const { decision, text = canonicalOf(decision) } = recognised;
  if (text === undefined) return failed("the policy's output has a number or text that JSON cannot carry safely");
  return { ...made, decision, decisionText: text, problem: undefined };
}

/** Every law of our own has an input. */
const askForJson: NonNullable<Command<never, Decided>["ask"]> = (law, entrypoint, input) =>
  law.evaluateText(entrypoint, input!);

/** What follows. A decision that would break an invariant is refused in the law's place (POL-03), and evidenced. */
export function enact<I, D extends Decided, O>(
  command: Command<I, D, O>,
  state: Reads,
  judged: Judged<I, D>,
  stamp: Stamp,
  trace: Trace = {},
): Enacted<O> {
  try {
    return enacted(command, state, judged, stamp, trace);
  } catch (error) {
    if (!(error instanceof InvariantError)) throw error;
    const refused = { ...judged, ...refusedByHost(command, "policy_error", error.message) };
    return enacted(command, state, refused, stamp, trace);
  }
}

function enacted<I, D extends Decided, O>(
  command: Command<I, D, O>,
  state: Reads,
  judged: Judged<I, D>,
  stamp: Stamp,
  trace: Trace,
): Enacted<O> {
  const artifact = command.artifact?.(judged) ?? artifactText(command.entrypoint, judged);
  const artifactDigest = digestOf(artifact);
  const said = eventOf(command, state, judged, artifactDigest, stamp, trace);
  const effect = command.effect(state, said, judged);
  const event = withRevision(said, command.revision?.(state), effect.changes.length > 0);
  return { ...effect, judged, event, artifact, artifactDigest };
}

/** Which version the event leads to; which one a refusal, or what changes nothing, was decided on (spec replicas §4). */
function withRevision(said: EventDraft, seen: number | undefined, changes: boolean): EventDraft {
  if (seen === undefined) return said;
  return {
    ...said,
    details: {
      ...said.details,
      ...((said.outcome === "refused" || !changes) && { seen_revision: seen }),
      ...(changes && { state_revision: seen + 1 }),
    },
  };
}

function eventOf<I, D extends Decided>(
  command: Command<I, D>,
  state: Reads,
  judged: Judged<I, D>,
  artifactDigest: string,
  { eventId, correlationId, evidenceProfileId }: Stamp,
  { requestId, traceId, traceparent }: Trace,
): EventDraft {
  const { nowMs, caller, context, settings } = judged.situation;
  const { event_type, outcome = judged.decision.outcome, subject, refusal, details } = command.says(state, judged);
  mustFit(details);
  return {
    id: eventId,
    event_type,
    occurred_at: new Date(nowMs).toISOString(),
    tenant_id: command.tenantId,
    actor: actorOf(caller),
    correlation_id: correlationId,
    outcome,
    evidence_profile_id: evidenceProfileId,
    evidence_pointer: pointerTo(artifactDigest),
    policy_snapshot_id: context.policy.snapshot_id,
    authority_snapshot_id: context.authority.snapshot_id,
    subject,
    ...(refusal && {
      refusal_reason: refusalReason(refusal.code, judged.catalogue),
      refusal_reason_class: refusal.class,
      refusal_reason_code: refusal.code,
      refusal_subject: briefPointer(refusal.pointer),
    }),
    details: {
      ...details,
      ...settingsDetail(settings),
      ...(requestId && { request_id: requestId }),
      ...(traceId && { trace_id: traceId }),
      ...(traceparent && { traceparent }),
    },
  };
}

function refusedByHost<D extends Decided>(
  command: Pick<Command<never, D>, "failClosed">,
  code: HostRefusalCode,
  problem: string,
  error?: EvaluationError,
): { decision: D; decisionText: string; problem: string } {
  const decision = command.failClosed(code, error);
  return { decision, decisionText: canonicalJson(decision), problem };
}

/** undefined for what does not round-trip (spec evidence §1): it could not be put on record. */
function canonicalOf(decision: unknown): string | undefined {
  try {
    return canonicalJson(decision);
  } catch {
    return undefined;
  }
}

/** The artifact: exactly what was evaluated and what came out (spec evidence §1, docs/decisions/0001). */
function artifactText(entrypoint: string, { decisionText, inputText, problem }: Kept<unknown>): string {
  const members = [`"decision":${decisionText}`, `"entrypoint":"${entrypoint}"`, `"input":${inputText}`];
  if (problem !== undefined) members.push(`"problem":${JSON.stringify(problem)}`);
  return `{${members.join(",")}}`;
}
