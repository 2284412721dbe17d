// A candidate is tried before it decides: on what no policy may admit, on workloads that are placed or running, and on recent decisions.
import { changeBetween, FAILED_DECISION, type ChangeKind, type DecisionShape } from "../core/decision-change.ts";
import { eventTextOf } from "../core/event.ts";
import type { Placed } from "../core/mesh-state.ts";
import { ENVELOPE_KINDS, LEVELS } from "../core/schema/base.ts";
import type { EvidenceEvent } from "../core/schema/event.ts";
import type { Workload } from "../core/workload.ts";
import type { TooWeak, TrialReport, Violation } from "../core/schema/policies.ts";
import type { PolicyTrial } from "../policies/trial.ts";
import type { Policy } from "../policy/policy.ts";
import type { StoreReader } from "../store/store.ts";
import { ADMISSION } from "./commands/admission.ts";
import { conformanceCases, violationOf } from "./conformance.ts";
import { Pauses } from "./pauses.ts";

/** Of each outcome, the newest admissions that it is tried on. */
const DECISIONS_MAX = 200;
/** Workloads that it is tried on: some ten seconds of them. Those beyond are counted as untried. */
const WORKLOADS_MAX = 100_000;
/** Workloads that a report names. */
const LISTED_MAX = 100;
const PAGE = 200;

/** What a stored admission was decided on, and how. */
interface Stored {
  readonly inputText: string;
  readonly decision: Judged;
}

interface Judged extends DecisionShape {
  readonly rail?: { readonly least_level?: unknown } | null;
}

/** It evaluates in this thread, in turns, so that nobody who asks meanwhile waits for it. */
export function makeTrial(store: StoreReader, workloadsMax = WORKLOADS_MAX): PolicyTrial {
  return async (candidate, active) => {
    const pauses = new Pauses();
    const conformance = await conform(candidate, pauses);
    const admits = candidate.entrypoints.includes(ADMISSION);
    const workloads = admits ? await tryWorkloads(store, { candidate, active, workloadsMax }, pauses) : NO_WORKLOADS;
    const decisions = admits ? await tryDecisions(store, candidate, pauses) : NO_DECISIONS;
    const passes = (conformance?.violations.length ?? 0) === 0 && workloads.too_weak === 0;
    return { passes, conformance, workloads, decisions };
  };
}

const NO_WORKLOADS: TrialReport["workloads"] = { tried: 0, untried: 0, too_weak: 0, listed: [] };
const NO_DECISIONS: TrialReport["decisions"] = { tried: 0, newly_refused: 0, newly_admitted: 0, other_envelope: 0 };

async function conform(candidate: Policy, pauses: Pauses): Promise<TrialReport["conformance"]> {
  const cases = conformanceCases().filter(({ entrypoint }) => candidate.entrypoints.includes(entrypoint));
  if (cases.length === 0) return null;
  const violations: Violation[] = [];
  for (const each of cases) {
    await pauses.next();
    const violation = violationOf(each, candidate);
    if (violation) violations.push(violation);
  }
  return { cases: cases.length, violations };
}

interface Two {
  readonly candidate: Policy;
  readonly active: Policy | null;
  readonly workloadsMax: number;
}

async function tryWorkloads(
  store: StoreReader,
  { candidate, active, workloadsMax }: Two,
  pauses: Pauses,
): Promise<TrialReport["workloads"]> {
  let [tried, untried] = [0, 0];
  const weak: TooWeak[] = [];
  let tooWeak = 0;
  for await (const workload of liveWorkloads(store, pauses)) {
    const placed = await placedOf(store, workload);
    if (workload.state !== "running" && placed.length === 0) continue;
    const stored = tried < workloadsMax ? await storedDecision(store, workload.admission.event_id) : undefined;
    const now = stored && decide(candidate, stored);
    if (!stored || !now) {
      untried++;
      continue;
    }
    tried++;
    const before = (active && decide(active, stored)) ?? stored.decision;
    const found = tooWeakUnder(workload, placed, before, now);
    if (!found) continue;
    tooWeak++;
    if (weak.length < LISTED_MAX) weak.push(found);
  }
  return { tried, untried, too_weak: tooWeak, listed: weak };
}

async function* liveWorkloads(store: StoreReader, pauses: Pauses): AsyncGenerator<Workload> {
  let after: { tenant_id: string; key: string } | undefined;
  for (;;) {
    const page = await store.states("workload", undefined, PAGE, after);
    for (const { value } of page) {
      await pauses.next();
      const workload = JSON.parse(value) as Workload;
      if (workload.state !== "destroyed") yield workload;
    }
    if (page.length < PAGE) return;
    after = page.at(-1)!;
  }
}

async function placedOf(store: StoreReader, { tenant_id, workload_id }: Workload): Promise<Placed> {
  const stored = await store.state("placed", tenant_id, workload_id);
  return stored === undefined ? [] : (JSON.parse(stored) as Placed);
}

/** What is too weak under the active policy is not the candidate's doing. */
function tooWeakUnder(workload: Workload, placed: Placed, before: Judged, now: Judged): TooWeak | undefined {
  const { tenant_id, workload_id, state, envelope_kind, least_level } = workload;
  const required = now.envelope?.required;
  const weaker = rank(ENVELOPE_KINDS, required) > rank(ENVELOPE_KINDS, envelope_kind);
  const worse = rank(ENVELOPE_KINDS, required) > rank(ENVELOPE_KINDS, before.envelope?.required);
  const least = now.rail?.least_level;
  const leastBefore = Math.max(rank(LEVELS, least_level), rank(LEVELS, before.rail?.least_level));
  const raised = rank(LEVELS, least) > leastBefore;
  const rails = placed
    .filter(({ level }) => raised && rank(LEVELS, level) < rank(LEVELS, least))
    .map(({ mesh_id, level }) => ({ mesh_id, level, least_level: String(least) }));
  const envelope = weaker && worse ? { admitted: envelope_kind, required: String(required) } : null;
  if (envelope === null && rails.length === 0) return undefined;
  return { tenant_id, workload_id, state, envelope, rails };
}

const rank = (order: readonly unknown[], value: unknown): number => order.indexOf(value);

async function tryDecisions(store: StoreReader, candidate: Policy, pauses: Pauses): Promise<TrialReport["decisions"]> {
  const counts: Record<ChangeKind, number> = { newly_refused: 0, newly_admitted: 0, other_envelope: 0 };
  let tried = 0;
  for (const event_type of ["workload.admit", "workload.refuse"]) {
    const { events } = await store.page({ event_type, order: "desc", limit: DECISIONS_MAX });
    for (const { record } of events) {
      await pauses.next();
      const stored = await storedDecision(store, eventIdOf(record));
      if (!stored) continue;
      tried++;
      const change = changeBetween(stored.decision, decide(candidate, stored) ?? FAILED_DECISION);
      if (change) counts[change]++;
    }
  }
  return { tried, ...counts };
}

/** undefined: its artifact was erased, altered, or is of no policy's making. */
async function storedDecision(store: StoreReader, eventId: string): Promise<Stored | undefined> {
  try {
    const artifact = await store.artifactOf(eventId);
    if (!artifact) return undefined;
    const { entrypoint, input, decision, problem } = JSON.parse(new TextDecoder().decode(artifact.bytes)) as {
      entrypoint?: unknown;
      input?: unknown;
      decision?: Judged;
      problem?: unknown;
    };
    if (entrypoint !== ADMISSION || problem !== undefined || !decision) return undefined;
    return { inputText: JSON.stringify(input), decision };
  } catch {
    return undefined;
  }
}

/** undefined: it cannot decide, and so admits nothing. */
function decide(candidate: Policy, { inputText }: Stored): Judged | undefined {
  try {
    return (candidate.evaluateText(ADMISSION, inputText) ?? undefined) as Judged | undefined;
  } catch {
    return undefined;
  }
}

const eventIdOf = (record: string): string => (JSON.parse(eventTextOf(record)) as EvidenceEvent).id;
