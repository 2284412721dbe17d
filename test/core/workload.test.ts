// A workload's life as state, driven by the real law along random lives.
import test from "ava";
import { SAYS_NO_MORE } from "../../src/core/attestation.ts";
import fc from "fast-check";
import { InvariantError } from "../../src/core/invariant.ts";
import { LEVELS } from "../../src/core/schema/base.ts";
import type { AttestationFact } from "../../src/core/schema/input.ts";
import { timeMs } from "../../src/core/time.ts";
import {
  admissionFact,
  type AdmitDetails,
  lifecycleFacts,
  type LifecycleCommand,
  type LifecycleDecision,
  meshAdmission,
  reattestDetails,
  recogniseLifecycle,
  stepWorkload,
  transitionDetails,
  type Workload,
  type WorkloadEvent,
} from "../../src/core/workload.ts";
import { buildLaw, context } from "../mesh/law.ts";

const START = Date.UTC(2026, 0, 1);
const at = (nowMs: number) => new Date(nowMs).toISOString();

const admission = (over: Partial<AdmitDetails> = {}): AdmitDetails => ({
  workload_id: "w",
  envelope: { declared: "tee", required: "vm" },
  least_level: "hardware_isolated",
  obligations: [{ obligation: "reattest", by: "2026-01-01T00:15:00Z" }],
  reattestation_interval_s: 900,
  valid_until: null,
  crp: false,
  governance_profile: "baseline",
  platform: "intel-tdx",
  attestation: { form: "token", report_ref: "r", platform_type: "intel-tdx", result: "pass", measured_at: at(START) },
  ...over,
});

const event = (event_type: string, details: object, over: Partial<WorkloadEvent> = {}): WorkloadEvent => ({
  id: "e",
  event_type,
  occurred_at: at(START),
  tenant_id: "acme",
  outcome: "accepted",
  policy_snapshot_id: "sha256:0",
  details: details as AdmitDetails,
  ...over,
});

const admit = (current: Workload | null, over: Partial<AdmitDetails> = {}) =>
  stepWorkload(current, event("workload.admit", admission(over)))!;
const move = (current: Workload, transition: string, to_state: string) =>
  stepWorkload(
    current,
    event(`workload.envelope.${transition}`, {
      workload_id: "w",
      transition,
      from_state: current.state,
      to_state,
      error_code: null,
    }),
  )!;

test("an admission begins a life", (t) => {
  t.deepEqual(admit(null), {
    workload_id: "w",
    tenant_id: "acme",
    state: "admitted",
    envelope_kind: "tee",
    platform: "intel-tdx",
    least_level: "hardware_isolated",
    admission: {
      event_id: "e",
      at: at(START),
      policy_snapshot_id: "sha256:0",
      valid_until: null,
      crp: false,
      governance_profile: "baseline",
    },
    obligations: [{ obligation: "reattest", by: "2026-01-01T00:15:00Z" }],
    attestation: {
      form: "token",
      report_ref: "r",
      platform_type: "intel-tdx",
      result: "pass",
      measured_at: at(START),
      standing: "passed",
    },
    reattestation: { interval_s: 900, by: "2026-01-01T00:15:00Z", missed: false },
  });
});

test("a live workload admitted again keeps its state and never a lower level; a refusal changes nothing", (t) => {
  const running = move(move(admit(null, { least_level: "sandbox_isolated" }), "create", "created"), "start", "running");
  const weaker = admit(running, { least_level: "shared", envelope: { declared: "container", required: "container" } });
  t.like(weaker, { state: "running", least_level: "sandbox_isolated", envelope_kind: "container" });
  t.is(admit(running, { least_level: "hardware_isolated" }).least_level, "hardware_isolated");
  t.is(stepWorkload(running, event("workload.refuse", admission(), { outcome: "refused" })), running);
  t.deepEqual(meshAdmission(weaker), { least_level: "sandbox_isolated", crp: false, governance_profile: "baseline" });
  t.is(meshAdmission(null), null);
});

test("a destroyed workload is admitted anew", (t) => {
  const destroyed = move(admit(null), "destroy", "destroyed");
  t.like(destroyed, { state: "destroyed", obligations: [], reattestation: null });
  t.like(admit(destroyed, { least_level: "shared" }), { state: "admitted", least_level: "shared" });
});

test("events that continue no state are refused with the invariant that they would break", (t) => {
  const created = move(admit(null), "create", "created");
  const destroyed = move(created, "destroy", "destroyed");
  const reattested = (details: object) =>
    event("workload.attestation", {
      workload_id: "w",
      attestation: null,
      standing: null,
      obligations: [],
      next_by: null,
      error_code: null,
      ...details,
    });
  const passed = { form: "token", report_ref: "r", platform_type: "intel-tdx", result: "pass", measured_at: null };
  const cases: [Workload | null, WorkloadEvent, string][] = [
    [null, event("workload.admit", admission({ workload_id: "" })), "FAIL-CLOSED"],
    [null, event("workload.admit", admission({ envelope: { declared: "jar", required: "vm" } })), "FAIL-CLOSED"],
    [null, event("workload.admit", admission({ least_level: null })), "FAIL-CLOSED"],
    [created, event("workload.admit", admission(), { tenant_id: "other" }), "CONTINUITY"],
    [created, event("workload.admit", admission({ workload_id: "v" })), "CONTINUITY"],
    [
      null,
      event("workload.envelope.create", { workload_id: "w", from_state: null, to_state: "created" }),
      "FAIL-CLOSED",
    ],
    [
      created,
      event("workload.envelope.create", { workload_id: "w", from_state: "admitted", to_state: "created" }),
      "CONTINUITY",
    ],
    [
      created,
      event("workload.envelope.start", { workload_id: "w", from_state: "created", to_state: "flying" }),
      "FAIL-CLOSED",
    ],
    [
      destroyed,
      event("workload.envelope.start", { workload_id: "w", from_state: "destroyed", to_state: "running" }),
      "FINAL",
    ],
    [null, reattested({ standing: "passed" }), "FAIL-CLOSED"],
    [destroyed, reattested({ standing: "passed", attestation: passed }), "FINAL"],
    [created, reattested({ standing: "passed", next_by: "2026-01-01T00:30:00Z" }), "FAIL-CLOSED"],
    [
      created,
      reattested({ standing: "passed", attestation: { ...passed, result: "fail" }, next_by: "2026-01-01T00:30:00Z" }),
      "FAIL-CLOSED",
    ],
    [created, reattested({ standing: "passed", attestation: passed }), "CONTINUITY"],
    [created, reattested({ standing: "missed", next_by: "2026-01-01T00:16:00Z" }), "CONTINUITY"],
    [created, reattested({ standing: "failed" }), "FAIL-CLOSED"],
    [created, reattested({ standing: "odd" }), "FAIL-CLOSED"],
  ];
  for (const [current, wrong, invariant] of cases) {
    const error = t.throws(() => stepWorkload(current, wrong), { instanceOf: InvariantError }, JSON.stringify(wrong));
    t.is(error.invariant as string, `INV-LIFECYCLE-${invariant}`, JSON.stringify(wrong));
  }
});

test("an answer is recognised only when it leads on as its command must, or says why not", (t) => {
  const yes: LifecycleDecision = {
    outcome: "accepted",
    error_code: null,
    class: null,
    rule: null,
    pointer: null,
    params: {},
    to_state: "created",
    standing: null,
    obligations: [],
  };
  const no = {
    ...yes,
    outcome: "refused",
    error_code: "workload_unknown",
    class: "policy_denied",
    rule: "LIFE-01",
    pointer: "/workload_id",
    to_state: null,
  };
  t.deepEqual(recogniseLifecycle(yes, "transition"), { decision: yes });
  t.deepEqual(recogniseLifecycle(no, "transition") as unknown, { decision: no });
  for (const wrong of [
    undefined,
    null,
    {},
    { ...yes, to_state: null },
    { ...yes, standing: "passed" },
    { ...yes, error_code: "x" },
    { ...yes, outcome: "odd" },
    { ...yes, obligations: null },
  ])
    t.true("problem" in recogniseLifecycle(wrong, "transition"));
  for (const wrong of [{ class: "whim" }, { to_state: "created" }, { standing: "passed" }, { error_code: null }])
    t.true("problem" in recogniseLifecycle({ ...no, ...wrong }, "transition"));
  t.true("problem" in recogniseLifecycle(yes, "attest"));
  t.true("problem" in recogniseLifecycle({ ...yes, to_state: null }, "attest"));
});

interface Step {
  readonly waitMs: number;
  readonly act: "admit" | "weaken" | "create" | "start" | "stop" | "destroy" | "pass" | "fail" | "forge" | "tick";
}

const lives = fc.array(
  fc.record({
    waitMs: fc.constantFrom(0, 1000, 600_000, 1_000_000),
    act: fc.constantFrom<Step["act"][]>(
      "admit",
      "weaken",
      "create",
      "create",
      "start",
      "start",
      "start",
      "stop",
      "stop",
      "destroy",
      "pass",
      "pass",
      "fail",
      "forge",
      "tick",
    ),
  }),
  { maxLength: 40 },
);

const attestation = (nowMs: number, act: Step["act"]): AttestationFact => ({
  form: "token",
  status: act === "forge" ? "rejected" : "verified",
  error: act === "forge" ? "signature" : null,
  issuer: "i",
  format: "railgate",
  report_ref: "r",
  platform_type: "intel-tdx",
  result: act === "fail" ? "fail" : "pass",
  measured_at_ms: nowMs,
  debuggable: false,
  ...SAYS_NO_MORE,
  nonce: { form: "none", ok: false },
  token_digest: act === "forge" ? null : `sha256:${nowMs.toString(16).padStart(64, "0")}`,
});

function commandOf(act: Step["act"]): LifecycleCommand {
  if (act === "tick") return { command: "deadline", workload_id: "w" };
  if (act === "pass" || act === "fail" || act === "forge")
    return { command: "attest", workload_id: "w", attestation: { token: "t" } };
  return { command: "transition", workload_id: "w", transition: act as "create" };
}

/** What the host does for one step: facts, decision, details, fold. */
function next(
  law: (input: unknown) => unknown,
  current: Workload | null,
  act: Step["act"],
  nowMs: number,
): { event: WorkloadEvent; after: Workload | null } {
  const over = { occurred_at: at(nowMs) };
  const obligations = [{ obligation: "reattest", by: at(nowMs + 900_000) }];
  const measured = { ...admission().attestation!, measured_at: at(nowMs) };
  if (act === "admit" || act === "weaken") {
    const made = event(
      "workload.admit",
      admission({ obligations, attestation: measured, least_level: act === "admit" ? "hardware_isolated" : "shared" }),
      over,
    );
    return { event: made, after: stepWorkload(current, made) };
  }
  const command = commandOf(act);
  const facts = lifecycleFacts(current, nowMs, command.command === "attest" ? attestation(nowMs, act) : null);
  const recognised = recogniseLifecycle(law({ request: command, facts, context: context() }), command.command);
  if ("problem" in recognised) throw new Error(recognised.problem);
  const { decision } = recognised;
  const made =
    command.command === "transition"
      ? event(`workload.envelope.${command.transition}`, transitionDetails(current, command, decision), {
          ...over,
          outcome: decision.outcome,
        })
      : event("workload.attestation", reattestDetails(current, facts, command, decision), {
          ...over,
          outcome: decision.outcome,
        });
  return { event: made, after: stepWorkload(current, made) };
}

test("along random lives law and fold agree, and a replay of the events gives the same life", async (t) => {
  const law = await buildLaw("lifecycle");
  fc.assert(
    fc.property(lives, (steps) => {
      let current: Workload | null = null;
      let nowMs = START;
      const known: Known = { newestMs: -Infinity, usedMs: new Set() };
      const events: WorkloadEvent[] = [];
      for (const { waitMs, act } of steps) {
        nowMs += waitMs;
        const { event: made, after }: { event: WorkloadEvent; after: Workload | null } = next(law, current, act, nowMs);
        events.push(JSON.parse(JSON.stringify(made)));
        checkLife(t, current, after, act, nowMs, known);
        current = after;
      }
      t.deepEqual(events.reduce<Workload | null>(stepWorkload, null), current);
    }),
    { numRuns: 500, verbose: true },
  );
});

/** The newest measurement that passed in this life, and when the tokens used so far were made: one a millisecond. */
type Known = { newestMs: number; usedMs: Set<number> };

/** Whether an attestation says anything new; from then on it does not. */
function isNew(known: Known, act: Step["act"], nowMs: number): boolean {
  const fresh = nowMs > known.newestMs && !known.usedMs.has(nowMs);
  known.usedMs.add(nowMs);
  if (fresh && act === "pass") known.newestMs = nowMs;
  return fresh;
}

/** What must hold of every step of a life, whoever decided it. */
function checkLife(
  t: { true(value: boolean, message?: string): void },
  before: Workload | null,
  after: Workload | null,
  act: Step["act"],
  nowMs: number,
  known: Known,
): void {
  const live = before !== null && before.state !== "destroyed" ? before : null;
  if (live && after)
    t.true(LEVELS.indexOf(after.least_level) >= LEVELS.indexOf(live.least_level), "the least level fell");
  if (before?.state === "destroyed" && act !== "admit" && act !== "weaken")
    t.true(after === before, "a destroyed workload lives");
  const started = after?.state === "running" && before?.state !== "running";
  if (started)
    t.true(
      act === "start" &&
        before!.attestation!.standing === "passed" &&
        !before!.reattestation!.missed &&
        nowMs <= timeMs(before!.reattestation!.by)!,
      "it started without a current attestation",
    );
  if (act === "forge") t.true(after === before, "a forged token changed something");
  if ((act === "pass" || act === "fail") && live) {
    const { attestation, reattestation } = after!;
    if (!isNew(known, act, nowMs)) t.true(attestation === live.attestation, "an attestation counts that is not new");
    else if (act === "fail") t.true(attestation!.standing === "failed", "a failed attestation is forgotten");
    else t.true(attestation!.standing === "passed" && !reattestation!.missed, "a passed attestation does not count");
  }
  if (act === "admit" || act === "weaken") known.newestMs = live ? Math.max(known.newestMs, nowMs) : nowMs;
  if (act === "tick" && live && nowMs > timeMs(live.reattestation!.by)!)
    t.true(after!.reattestation!.missed, "a missed deadline is forgotten");
}

test("a readmission whose attestation is not newer keeps what was measured and when the next is due", (t) => {
  const token_digest = `sha256:${"a".repeat(64)}`;
  const measured = { ...admission().attestation!, token_digest };
  const first = admit(null, { attestation: measured });
  t.deepEqual(admissionFact(first), {
    state: "admitted",
    least_level: "hardware_isolated",
    measured_at_ms: START,
    reattest_by_ms: START + 900_000,
  });
  const running = { ...first.reattestation!, missed: true };
  const failed = stepWorkload(
    { ...first, reattestation: running },
    event("workload.attestation", {
      workload_id: "w",
      attestation: { ...measured, result: "fail", measured_at: at(START + 1), token_digest: "sha256:b" },
      standing: "failed",
      obligations: [],
      next_by: running.by,
      error_code: "attestation_failed",
    }),
  )!;
  const again = admit(failed, { attestation: measured });
  t.deepEqual(again.attestation, failed.attestation);
  t.deepEqual(again.reattestation, running);
  t.deepEqual(again.used_tokens, [token_digest, "sha256:b"]);
  // Nor by way of an envelope that is not attested.
  const between = admit(failed, {
    envelope: { declared: "container", required: "container" },
    attestation: null,
    obligations: [],
    reattestation_interval_s: null,
  });
  t.is(lifecycleFacts(between, START).workload!.attestation, null);
  t.is(admissionFact(between)!.measured_at_ms, START);
  t.is(admit(between, { attestation: measured }).attestation!.standing, "failed");
  const newer = admit(failed, { attestation: { ...measured, measured_at: at(START + 2) } });
  t.like(newer, { attestation: { standing: "passed", measured_at: at(START + 2) } });
  t.is(newer.newest_measured_at, undefined);
  t.is(admissionFact({ ...newer, state: "destroyed" })!.measured_at_ms, null);
});

test("tokens of refused decisions are used as well, and only the last are remembered", (t) => {
  const first = admit(null);
  const refused = (n: number) =>
    event("workload.refuse", admission({ attestation: { ...admission().attestation!, token_digest: `sha256:${n}` } }), {
      outcome: "refused",
    });
  const after = Array.from({ length: 40 }, (_, n) => n).reduce((state, n) => stepWorkload(state, refused(n))!, first);
  t.deepEqual(
    after.used_tokens,
    Array.from({ length: 32 }, (_, n) => `sha256:${n + 8}`),
  );
  t.deepEqual({ ...after, used_tokens: undefined }, { ...first, used_tokens: undefined });
  t.is(stepWorkload(after, refused(39)), after);
  t.is(stepWorkload(null, refused(1)), null);
});
