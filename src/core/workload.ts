// A workload's life as state: the facts of it that the law judges, and the fold of what was decided.
//
// No rule is here. `stepWorkload` asserts that an event continues the state that it was decided on.
import { briefly, REFERENCE_CHARS_MAX } from "./brief.ts";
import { must } from "./invariant.ts";
import type { MeshAdmission } from "./mesh.ts";
import {
  ENVELOPE_KINDS,
  type EnvelopeKind,
  type Level,
  LEVELS,
  WORKLOAD_STATES,
  type WorkloadState,
} from "./schema/base.ts";
import type { Obligation } from "./schema/decision.ts";
import type { AttestationFact, PlacedFact, WorkloadFact } from "./schema/input.ts";
import type { AttestationRequest } from "./schema/request.ts";
import type { Transition } from "./schema/workload.ts";
import { LifecycleDecisionSchema, type LifecycleDecision } from "./schema/law.ts";
import type { Placed } from "./mesh-state.ts";
import { faultOf, lazily, type Recognised } from "./outcome.ts";
import { one, type Change, type Need, type Reads } from "./state.ts";
import { timeMs, wholeSecondsUtc } from "./time.ts";

export type { LifecycleDecision };

/** Where a workload is placed, as the law is told of it. */
export const placementFacts = (placed: Placed | null): PlacedFact[] =>
  (placed ?? []).map(({ mesh_id, level }) => ({ mesh_id, level }));

export const workloadAt = (tenantId: string, workloadId: string): Need => one("workload", tenantId, workloadId);

/** One tenant's workload, live or destroyed. Immutable and plain JSON. */
export interface Workload {
  readonly workload_id: string;
  readonly tenant_id: string;
  readonly state: WorkloadState;
  /** The admitted envelope: the declared one, which is as strong as the required one or stronger. */
  readonly envelope_kind: EnvelopeKind;
  /** The declared platform of a tee. */
  readonly platform: string | null;
  /** Never falls while the workload lives. */
  readonly least_level: Level;
  readonly admission: Admission;
  readonly obligations: readonly Obligation[];
  /** The last attestation that counted; null where none did. */
  readonly attestation: RecordedAttestation | null;
  /** null where the envelope is not attested periodically. */
  readonly reattestation: Deadline | null;
  /** RFC 3339: the newest measurement that passed while it lives; absent where `attestation` is it, or none did. */
  readonly newest_measured_at?: string;
  /** Absent where nothing of it was declared that attestations are held to. */
  readonly bound?: Bound;
  /** The signing inputs' digests of the last tokens that a decision on it was made with, oldest first. */
  readonly used_tokens?: readonly string[];
}

/** What was declared, and each attestation of the workload must say. */
export interface Bound {
  /** `tee.init_data_digest`. */
  readonly init_data_digest?: string;
  /** Digests of the envelope's images, where its attestation named one. */
  readonly images?: readonly string[];
}

/** The admission in force. */
export interface Admission {
  readonly event_id: string;
  /** `occurred_at` of the event. */
  readonly at: string;
  readonly policy_snapshot_id: string | null;
  /** When the first of the bindings, links and exceptions that it rests on ends; null where it rests on none. */
  readonly valid_until: string | null;
  readonly crp: boolean;
  readonly governance_profile: string | null;
}

/** Beyond these a token is told by its time: all that is older than the newest that passed is refused as it is. */
const USED_TOKENS_MAX = 32;

/** What an attestation said. */
export interface AttestationDetails {
  readonly form: "token" | "report";
  readonly report_ref: string | null;
  readonly platform_type: string | null;
  readonly result: "pass" | "fail" | null;
  /** RFC 3339. */
  readonly measured_at: string | null;
  /** Of a token's signing input, where its signature holds. */
  readonly token_digest?: string;
}

export interface RecordedAttestation extends AttestationDetails {
  readonly standing: "passed" | "failed";
}

export interface Deadline {
  readonly interval_s: number;
  /** RFC 3339. */
  readonly by: string;
  readonly missed: boolean;
}

/** `details` of `workload.admit` and `workload.refuse`; the fold reads those of an acceptance. */
export interface AdmitDetails {
  readonly workload_id: string;
  readonly envelope: { readonly declared: string | null; readonly required: EnvelopeKind | null };
  readonly least_level: Level | null;
  readonly obligations: readonly Obligation[];
  readonly reattestation_interval_s: number | null;
  readonly valid_until: string | null;
  readonly crp: boolean;
  /** Of how many artifacts it was verified where they come from, and of how many only declared; absent in events of 0.1. */
  readonly provenance?: { readonly verified: number; readonly declared: number };
  readonly governance_profile: string | null;
  /** The declared `tee.platform`; absent or null for other envelopes. */
  readonly platform?: string | null;
  readonly bound?: Bound;
  /** The attestation that was judged; absent or null where none was given. */
  readonly attestation?: AttestationDetails | null;
}

/** `details` of `workload.envelope.create|start|stop|destroy`. */
export interface TransitionDetails {
  readonly workload_id: string;
  readonly transition: string;
  /** null where the workload is unknown. */
  readonly from_state: WorkloadState | null;
  /** null where refused. */
  readonly to_state: WorkloadState | null;
  readonly error_code: string | null;
  readonly trace_id?: string;
}

/** `details` of `workload.attestation`: a re-attestation, or, with standing `missed` and no attestation, a missed deadline. */
export interface ReattestDetails {
  readonly workload_id: string;
  readonly attestation: AttestationDetails | null;
  /** How the workload stands from now on; null where nothing changes. */
  readonly standing: "passed" | "failed" | "missed" | null;
  readonly obligations: readonly Obligation[];
  /** The deadline: the next one where passed, else the one in force. RFC 3339; null where there is none. */
  readonly next_by: string | null;
  readonly error_code: string | null;
  readonly trace_id?: string;
}

/** The decision of one node on one workload, as others must know it to tell which is stricter. */
export interface Standing {
  readonly node_id: string;
  readonly event_id: string;
  /** RFC 3339. */
  readonly at: string;
  readonly outcome: "accepted" | "refused";
  /** The declared envelope; null where none that is known was. */
  readonly envelope: string | null;
  /** null where refused. */
  readonly least_level: string | null;
  readonly refusal_reason_code: string | null;
  readonly policy_snapshot_id: string;
  /** What an acceptance binds to; null where refused. */
  readonly admission: AdmitDetails | null;
}

/** `details` of `decision.superseded`. */
export interface SupersededDetails {
  readonly workload_id: string;
  /** The decision that stands, on all nodes. */
  readonly standing: Standing;
  /** Those that no longer do. */
  readonly superseded: readonly Standing[];
  /** Those that are as strict as the one that stands, and say the same. */
  readonly alike: readonly Standing[];
  /** The record by which a node was told of it; absent where it found out itself. */
  readonly handed_down?: { readonly event_id: string; readonly chain_id: string };
}

/** As much of an event as the fold reads; attacker-controlled until its record is verified. */
export interface WorkloadEvent {
  readonly id: string;
  readonly event_type: string;
  readonly occurred_at: string;
  readonly tenant_id: string;
  readonly outcome: string;
  readonly policy_snapshot_id: string | null;
  readonly details?:
    | { readonly [name: string]: unknown }
    | AdmitDetails
    | TransitionDetails
    | ReattestDetails
    | SupersededDetails;
}

/** What the law is asked, `input.request` (entrypoint `railgate/lifecycle/decision`). */
export type LifecycleCommand =
  | { readonly command: "transition"; readonly workload_id: string; readonly transition: Transition }
  | { readonly command: "attest"; readonly workload_id: string; readonly attestation: AttestationRequest }
  | { readonly command: "deadline"; readonly workload_id: string };

/** What the host found out for a command, `input.facts`. Times are milliseconds since the epoch. */
export interface LifecycleFacts {
  readonly now_ms: number;
  readonly workload: LifecycleWorkload | null;
  /** Attest only: what the attestation says and whether it could be verified. */
  readonly attestation: AttestationFact | null;
  /** Attest only: what it is held to beside the envelope's kind and platform. */
  readonly bound?: {
    readonly tenant_id: string;
    readonly init_data_digest: string | null;
    readonly images: readonly string[];
  };
  /** Attest only: the deadline that follows if it is accepted; null where the envelope is not attested periodically. */
  readonly reattestation: { readonly interval_s: number; readonly by: string } | null;
  /** Where it is placed, sorted by mesh. */
  readonly placements: readonly PlacedFact[];
}

export interface LifecycleWorkload {
  readonly state: WorkloadState;
  readonly envelope_kind: EnvelopeKind;
  readonly platform: string | null;
  readonly governance_profile: string | null;
  readonly crp: boolean;
  readonly valid_until_ms: number | null;
  readonly attestation: { readonly measured_at_ms: number | null; readonly standing: "passed" | "failed" } | null;
  /** The newest measurement that passed, which a re-attestation must be newer than. */
  readonly measured_at_ms: number | null;
  readonly used_tokens: readonly string[];
  readonly reattestation: { readonly by_ms: number; readonly missed: boolean } | null;
  readonly least_level: Level;
}

/** The workload with what it is bound to because of where it is placed: to move up wherever it lies under its least level. */
export function withElevations(workload: Workload, placed: Placed | null): Workload {
  const { state, least_level, obligations } = workload;
  const under = (placed ?? []).filter(({ level }) => LEVELS.indexOf(level) < LEVELS.indexOf(least_level));
  if (state === "destroyed" || under.length === 0) return workload;
  const elevations = under.map(({ mesh_id }) => ({ obligation: "elevate", mesh_id, least_level }));
  return { ...workload, obligations: [...obligations, ...elevations] };
}

/** What the mesh law needs to know of an admission; null where the workload was never admitted. */
export function meshAdmission(workload: Workload | null): MeshAdmission | null {
  if (workload === null) return null;
  const { crp, governance_profile } = workload.admission;
  return { least_level: workload.least_level, crp, governance_profile };
}

/** What the admission law needs to know of an earlier admission; null where there was none. */
export function admissionFact(workload: Workload | null): WorkloadFact | null {
  if (workload === null) return null;
  const { state, least_level, reattestation } = workload;
  return {
    state,
    least_level,
    measured_at_ms: state === "destroyed" ? null : optionalMs(newestMeasuredAt(workload)),
    reattest_by_ms: reattestation && knownMs(reattestation.by),
  };
}

/**
 * The facts of a command, from the live state and what the host found out.
 * @param attestation what was found out about an attestation; only where the command brings one. The deadline that
 *   follows it is the workload's interval from now, in whole seconds.
 */
export function lifecycleFacts(
  workload: Workload | null,
  nowMs: number,
  attestation: AttestationFact | null = null,
  placements: readonly PlacedFact[] = [],
): LifecycleFacts {
  const interval_s = workload?.reattestation?.interval_s;
  const follows = attestation !== null && interval_s !== undefined;
  return {
    now_ms: nowMs,
    workload: workload && workloadFact(workload),
    attestation,
    ...(attestation !== null && workload !== null && { bound: boundFact(workload) }),
    reattestation: follows ? { interval_s, by: wholeSecondsUtc(nowMs + interval_s * 1000) } : null,
    placements,
  };
}

const boundFact = ({ tenant_id, bound }: Workload): NonNullable<LifecycleFacts["bound"]> => ({
  tenant_id,
  init_data_digest: bound?.init_data_digest ?? null,
  images: bound?.images ?? [],
});

/** RFC 3339; never falls while the workload lives. null where no measurement passed. */
function newestMeasuredAt({ newest_measured_at, attestation }: Workload): string | null {
  return newest_measured_at ?? (attestation?.standing === "passed" ? attestation.measured_at : null);
}

function workloadFact(workload: Workload): LifecycleWorkload {
  const { state, envelope_kind, platform, admission, attestation, reattestation, used_tokens, least_level } = workload;
  return {
    state,
    envelope_kind,
    platform,
    governance_profile: admission.governance_profile,
    crp: admission.crp,
    valid_until_ms: optionalMs(admission.valid_until),
    // What was measured of an earlier envelope says nothing of a container.
    attestation: envelope_kind === "container" ? null : attestation && attestationStanding(attestation),
    measured_at_ms: optionalMs(newestMeasuredAt(workload)),
    used_tokens: used_tokens ?? [],
    least_level,
    reattestation: reattestation && { by_ms: knownMs(reattestation.by), missed: reattestation.missed },
  };
}

function attestationStanding({ measured_at, standing }: RecordedAttestation): LifecycleWorkload["attestation"] {
  return { measured_at_ms: optionalMs(measured_at), standing };
}

function optionalMs(time: string | null): number | null {
  return time === null ? null : knownMs(time);
}

function knownMs(time: string): number {
  const ms = timeMs(time);
  must("INV-LIFECYCLE-FAIL-CLOSED", ms !== undefined, `${time} is no time`);
  return ms;
}

const answerShape = lazily(LifecycleDecisionSchema);

/** The law's answer to a command, or why it is none (POL-03): an acceptance only where it leads somewhere. */
export function recogniseLifecycle(
  output: unknown,
  command: LifecycleCommand["command"],
): Recognised<LifecycleDecision> {
  if (!answerShape().Check(output)) return { problem: faultOf(answerShape(), output) };
  const decision = output as LifecycleDecision;
  const { outcome, to_state, standing } = decision;
  if (outcome === "accepted") {
    const [leads, stands] =
      command === "transition"
        ? [to_state !== null, null]
        : [to_state === null, command === "attest" ? "passed" : null];
    return leads && standing === stands ? { decision } : { problem: "it accepts what leads nowhere" };
  }
  return to_state === null && standing !== "passed"
    ? { decision }
    : { problem: "it refuses, and changes the workload nevertheless" };
}

/** The `details` of the event that records a transition; `workload` is the state that was decided on. */
export function transitionDetails(
  workload: Workload | null,
  command: Extract<LifecycleCommand, { command: "transition" }>,
  decision: LifecycleDecision,
  traceId?: string,
): TransitionDetails {
  return {
    workload_id: command.workload_id,
    transition: command.transition,
    from_state: workload?.state ?? null,
    to_state: decision.to_state,
    error_code: decision.error_code,
    ...(traceId !== undefined && { trace_id: traceId }),
  };
}

/** The `details` of the event that records a re-attestation or a missed deadline. */
export function reattestDetails(
  workload: Workload | null,
  facts: LifecycleFacts,
  command: Exclude<LifecycleCommand, { command: "transition" }>,
  decision: LifecycleDecision,
  traceId?: string,
): ReattestDetails {
  const next = decision.standing === "passed" ? facts.reattestation?.by : workload?.reattestation?.by;
  return {
    workload_id: command.workload_id,
    attestation: facts.attestation && attestationDetails(facts.attestation),
    standing: decision.standing,
    obligations: decision.obligations,
    next_by: next ?? null,
    error_code: decision.error_code,
    ...(traceId !== undefined && { trace_id: traceId }),
  };
}

/** What an event says of an attestation: no token, nothing personal. */
export function attestationDetails({
  form,
  report_ref,
  platform_type,
  result,
  measured_at_ms,
  token_digest,
}: AttestationFact): AttestationDetails {
  const measured_at = measured_at_ms === null ? null : new Date(measured_at_ms).toISOString();
  return {
    form,
    report_ref: briefly(report_ref, REFERENCE_CHARS_MAX),
    platform_type: briefly(platform_type),
    result,
    measured_at,
    ...(token_digest !== null && { token_digest }),
  };
}

/**
 * Folds one evidenced event into a workload's state; live, on restart and on replay alike. Refused events change
 * nothing, but that a failed or missed re-attestation is remembered.
 * @param current null where the workload was never admitted.
 * @throws InvariantError naming the invariant that the event would break; the state given stays as it was.
 */
export function stepWorkload(current: Workload | null, event: WorkloadEvent): Workload | null {
  const after = step(current, event);
  const token = (event.details as Partial<ReattestDetails> | undefined)?.attestation?.token_digest;
  const final = after === null || (after === current && after.state === "destroyed");
  return final || token === undefined ? after : withUsed(after, token);
}

function step(current: Workload | null, event: WorkloadEvent): Workload | null {
  if (event.event_type === "workload.attestation") return reattest(current, event.details as ReattestDetails);
  if (event.outcome !== "accepted") return current;
  if (event.event_type === "workload.admit") return admit(current, event, event.details as AdmitDetails);
  if (event.event_type === "decision.superseded") return supersede(current, event, event.details as SupersededDetails);
  if (event.event_type.startsWith("workload.envelope.")) return move(current, event.details as TransitionDetails);
  return current;
}

/** Whatever was decided with a token, it is used; the state stays the very same where that is known. */
function withUsed(workload: Workload, token: string): Workload {
  const before = workload.used_tokens ?? [];
  return before.includes(token) ? workload : { ...workload, used_tokens: [...before, token].slice(-USED_TOKENS_MAX) };
}

/** State is a fold over the evidence, so the event itself is what changes it. */
export function workloadWrites(
  state: Reads,
  event: WorkloadEvent,
  workloadId: string,
): (Change & { value: Workload })[] {
  const at = workloadAt(event.tenant_id, workloadId);
  const before = state.get<Workload>(at);
  const after = stepWorkload(before, event);
  if (after === null || after === before) return [];
  const { reattestation } = after;
  const due = reattestation && !reattestation.missed ? { due_ms: Date.parse(reattestation.by) } : {};
  return [{ at, value: after, ...due }];
}

/**
 * A live workload's admission is replaced; its state stays, its least level never falls, and a measurement no newer than
 * the one in force neither replaces it nor moves its deadline on. A destroyed one begins anew.
 */
function admit(current: Workload | null, event: WorkloadEvent, details: AdmitDetails): Workload {
  const { workload_id, envelope, least_level } = details;
  must(
    "INV-LIFECYCLE-FAIL-CLOSED",
    typeof workload_id === "string" && workload_id !== "",
    "the event names no workload",
  );
  must("INV-LIFECYCLE-FAIL-CLOSED", isOneOf(ENVELOPE_KINDS, envelope?.declared), "the event names no known envelope");
  must("INV-LIFECYCLE-FAIL-CLOSED", isOneOf(LEVELS, least_level), "the event names no known rail level");
  mustBeThe(current, event.tenant_id, workload_id);
  const live = current !== null && current.state !== "destroyed" ? current : null;
  return {
    workload_id,
    tenant_id: event.tenant_id,
    state: live?.state ?? "admitted",
    envelope_kind: envelope.declared,
    platform: details.platform ?? null,
    least_level: live ? stricter(live.least_level, least_level) : least_level,
    admission: {
      event_id: event.id,
      at: event.occurred_at,
      policy_snapshot_id: event.policy_snapshot_id,
      valid_until: details.valid_until ?? null,
      crp: details.crp,
      governance_profile: details.governance_profile,
    },
    obligations: details.obligations,
    ...measured(live, details.attestation ?? null),
    reattestation: firstDeadline(details, live?.reattestation ?? null),
    ...(details.bound && { bound: details.bound }),
    ...(current?.used_tokens && { used_tokens: current.used_tokens }),
  };
}

type Measured = Pick<Workload, "attestation" | "newest_measured_at">;

function measured(live: Workload | null, given: AttestationDetails | null): Measured {
  const before = live && newestMeasuredAt(live);
  const attestation = given && ({ ...given, standing: "passed" } as const);
  if (before === null || (given?.measured_at != null && knownMs(given.measured_at) > knownMs(before)))
    return { attestation };
  const { attestation: kept, newest_measured_at } = live!;
  return { attestation: kept ?? attestation, ...(newest_measured_at !== undefined && { newest_measured_at }) };
}

/** A deadline that was missed stays so until another is in force. */
function firstDeadline(
  { reattestation_interval_s, obligations }: AdmitDetails,
  running: Deadline | null,
): Deadline | null {
  const by = deadlineIn(obligations);
  return reattestation_interval_s === null || by === undefined
    ? null
    : { interval_s: reattestation_interval_s, by, missed: running?.by === by && running.missed };
}

/**
 * Another node's decision stands in place of the admission in force. A refusal ends it; a stricter acceptance takes its place,
 * with nothing attested here yet. The state stays, and the least level never falls.
 */
function supersede(
  current: Workload | null,
  { occurred_at }: WorkloadEvent,
  { standing, superseded }: SupersededDetails,
): Workload | null {
  const concerned = superseded.some(({ event_id }) => event_id === current?.admission.event_id);
  if (current === null || current.state === "destroyed" || !concerned) return current;
  const { admission: details, event_id, at, policy_snapshot_id } = standing;
  if (standing.outcome === "refused" || details === null) {
    const { valid_until } = current.admission;
    const ended = valid_until !== null && knownMs(valid_until) < knownMs(occurred_at);
    return { ...current, admission: { ...current.admission, valid_until: ended ? valid_until : occurred_at } };
  }
  must("INV-LIFECYCLE-FAIL-CLOSED", isOneOf(ENVELOPE_KINDS, details.envelope.declared), "no known envelope stands");
  must("INV-LIFECYCLE-FAIL-CLOSED", isOneOf(LEVELS, details.least_level), "no known rail level stands");
  const { obligations, valid_until, crp, governance_profile, bound } = details;
  const { bound: _, ...kept } = current;
  return {
    ...kept,
    ...(bound && { bound }),
    envelope_kind: details.envelope.declared,
    platform: details.platform ?? null,
    least_level: stricter(current.least_level, details.least_level),
    admission: { event_id, at, policy_snapshot_id, valid_until: valid_until ?? null, crp, governance_profile },
    obligations,
    attestation: null,
    ...passedBefore(current),
    reattestation: firstDeadline(details, null),
  };
}

function deadlineIn(obligations: readonly Obligation[]): string | undefined {
  return obligations.find(({ obligation }) => obligation === "reattest")?.by;
}

function move(current: Workload | null, details: TransitionDetails): Workload {
  must("INV-LIFECYCLE-FAIL-CLOSED", current !== null, "the workload was never admitted");
  mustBeThe(current, current.tenant_id, details.workload_id);
  must("INV-LIFECYCLE-FINAL", current.state !== "destroyed", `${current.workload_id} is destroyed`);
  must(
    "INV-LIFECYCLE-CONTINUITY",
    current.state === details.from_state,
    `${current.workload_id} is ${current.state}, not ${details.from_state}`,
  );
  must("INV-LIFECYCLE-FAIL-CLOSED", isOneOf(WORKLOAD_STATES, details.to_state), "the event names no known state");
  if (details.to_state !== "destroyed") return { ...current, state: details.to_state };
  return { ...current, state: "destroyed", obligations: [], reattestation: null };
}

function reattest(current: Workload | null, details: ReattestDetails): Workload | null {
  if (details.standing === null || details.standing === undefined) return current;
  must("INV-LIFECYCLE-FAIL-CLOSED", current !== null, "the workload was never admitted");
  mustBeThe(current, current.tenant_id, details.workload_id);
  must("INV-LIFECYCLE-FINAL", current.state !== "destroyed", `${current.workload_id} is destroyed`);
  const { attestation, standing, next_by } = details;
  switch (standing) {
    case "missed":
      must("INV-LIFECYCLE-CONTINUITY", current.reattestation?.by === next_by, "another deadline is in force");
      return { ...current, reattestation: { ...current.reattestation!, missed: true } };
    case "failed":
      must("INV-LIFECYCLE-FAIL-CLOSED", attestation !== null, "the event has no attestation");
      return {
        ...current,
        attestation: { ...(current.attestation ?? attestation), standing: "failed" },
        ...passedBefore(current),
      };
    case "passed":
      must(
        "INV-LIFECYCLE-FAIL-CLOSED",
        attestation !== null && attestation.result === "pass",
        "the attestation did not pass",
      );
      return {
        ...withoutNewest(current),
        attestation: { ...attestation, standing: "passed" },
        obligations: details.obligations,
        ...nextDeadline(current, next_by),
      };
    default:
      return must("INV-LIFECYCLE-FAIL-CLOSED", false, "the event knows another standing") as never;
  }
}

function passedBefore(current: Workload): Pick<Workload, "newest_measured_at"> {
  const newest_measured_at = newestMeasuredAt(current);
  return newest_measured_at === null ? {} : { newest_measured_at };
}

/** For an attestation that is the newest itself. */
function withoutNewest({ newest_measured_at: _, ...current }: Workload): Workload {
  return current;
}

function nextDeadline({ reattestation }: Workload, by: string | null): { reattestation: Deadline | null } {
  must(
    "INV-LIFECYCLE-CONTINUITY",
    (reattestation === null) === (by === null),
    "the next deadline is missing or for nothing",
  );
  return { reattestation: reattestation && { interval_s: reattestation.interval_s, by: by!, missed: false } };
}

function mustBeThe(current: Workload | null, tenantId: string, workloadId: string): void {
  const same = current === null || (current.tenant_id === tenantId && current.workload_id === workloadId);
  must("INV-LIFECYCLE-CONTINUITY", same, "the event is another workload's");
}

function stricter(a: Level, b: Level): Level {
  return LEVELS.indexOf(a) > LEVELS.indexOf(b) ? a : b;
}

function isOneOf<T extends string>(values: readonly T[], value: unknown): value is T {
  return values.includes(value as T);
}
