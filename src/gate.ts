// The pipeline, as the protocol reads: parse (at the door) → facts → decide → step → link → sign → append → respond.
import { EMPTY_SET, digestOf, type EventDraft } from "./core/event.ts";
import { buildInput, NO_TRUST, type TrustFacts } from "./core/facts.ts";
import { canonicalJson } from "./core/json.ts";
import { explain, hostRefusal, recognise, type Catalogue } from "./core/outcome.ts";
import type { Decision, PolicyDecision } from "./core/schema/decision.ts";
import type { EvidenceEvent } from "./core/schema/event.ts";
import type { AdmissionInput, Context } from "./core/schema/input.ts";
import type { AdmissionRequest } from "./core/schema/request.ts";
import { InvariantError } from "./core/invariant.ts";
import { attestationDetails, stepWorkload, type AdmitDetails, type Workload } from "./core/workload.ts";
import type { Entry, Ledger, Receipt } from "./evidence/ledger.ts";
import type { StateView } from "./evidence/state.ts";
import { EvaluationError } from "./policy/evaluator.ts";
import type { Policy } from "./policy/policy.ts";
import type { Blob, StateWrite } from "./store/store.ts";
import { authoritySnapshot, type Trust } from "./trust.ts";

export const ADMISSION = "railgate/admission/decision";

/** Who asks. `tenantId` null: an unauthenticated loopback listener, or the embedding host itself. */
export interface Caller {
  readonly tenantId: string | null;
  readonly actor: string;
}

/** What ties a command to the caller's own records. */
export interface Trace {
  readonly requestId?: string | undefined;
  /** W3C trace id, or an identifier the caller chose. */
  readonly traceId?: string | undefined;
}

/** A decision that is signed and durable. */
export class Admission {
  readonly decision: Decision;
  /** The record: a compact JWS that any JOSE library verifies. */
  readonly receipt: string;
  readonly position: number;
  /** The event's canonical bytes, as text. */
  readonly eventText: string;

  constructor(decision: Decision, receipt: Receipt) {
    this.decision = decision;
    this.receipt = receipt.record;
    this.eventText = receipt.eventText;
    this.position = receipt.position;
  }

  get event(): EvidenceEvent {
    return JSON.parse(this.eventText) as EvidenceEvent;
  }

  /** The answer on the wire: `{decision, event, receipt}`. */
  toText(): string {
    return `{"decision":${JSON.stringify(this.decision)},"event":${this.eventText},"receipt":"${this.receipt}"}`;
  }
}

/** Which policy decides, and when its source last confirmed it (null: it has no remote source, so no age). */
export interface ActivePolicy {
  readonly policy: Policy | null;
  readonly confirmedAtMs: number | null;
}

export interface GateParts {
  readonly ledger: Ledger;
  readonly states: StateView;
  readonly trust: Trust;
  readonly active: () => ActivePolicy;
  readonly partition: () => Context["partition"];
  readonly evidenceProfileId: string;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** A UUID, version 7. */
  readonly newId: () => string;
  readonly observe: GateObserver;
}

/** What operators measure and are told. */
export interface GateObserver {
  evaluated(ms: number): void;
  decided(decision: PolicyDecision): void;
  /** The cause of a POL-01 or POL-03, which the caller is not told. */
  policyFailed(problem: string, eventId: string): void;
}

/** What the tokens of a request prove, and the keys that proved it. */
interface Tokens {
  readonly facts: TrustFacts;
  readonly snapshot: Blob;
}

const NO_TOKENS: Tokens = { facts: NO_TRUST, snapshot: authoritySnapshot([]) };

/** A decision, with what its evidence must name. */
interface Decided {
  readonly request: AdmissionRequest;
  readonly tokens: Tokens;
  readonly nowMs: number;
  readonly policyDigest: string;
  readonly catalogue: Catalogue;
  readonly input: AdmissionInput;
  readonly inputText: string;
  readonly decision: PolicyDecision;
  /** Why the host refused in the policy's place. */
  readonly problem: string | undefined;
}

const encoder = new TextEncoder();

export class Gate {
  readonly #parts: GateParts;

  constructor(parts: GateParts) {
    this.#parts = parts;
  }

  /**
   * Decides an admission, accepted or refused.
   * @returns when the decision is signed and durable.
   * @throws EvidenceUnavailableError EVI-01: it could not be made durable, and nothing was admitted.
   */
  async admit(request: AdmissionRequest, caller: Caller, trace: Trace = {}): Promise<Admission> {
    const [admission] = await this.admitAll([request], caller, trace);
    return admission!;
  }

  /** As `admit`, for several: decided in order, each seeing what the ones before it changed, in one commit. */
  async admitAll(requests: readonly AdmissionRequest[], caller: Caller, trace: Trace = {}): Promise<Admission[]> {
    const tokens = await this.#verifyTokens(requests);
    // From here to the append nothing is awaited, so that decisions are linked in the order they are made.
    const { steps, receipts } = this.#parts.states.attempt(() => {
      const steps = requests.map((request, i) => {
        const decided = this.#decide(request, caller, tokens[i]!);
        return this.#step(decided, caller, trace, this.#parts.ledger.appended + i + 1);
      });
      return { steps, receipts: this.#parts.ledger.append(steps.map(({ entry }) => entry)) };
    });
    const durable = await Promise.all(receipts);
    return steps.map(({ decided }, i) => new Admission(explain(decided.decision, decided.catalogue), durable[i]!));
  }

  /** What would be decided now. Nothing is recorded, so nothing is admitted. */
  async dryRun(request: AdmissionRequest, caller: Caller): Promise<Decision> {
    const [tokens] = await this.#verifyTokens([request]);
    const made = this.#decide(request, caller, tokens!);
    return explain(made.decision, made.catalogue);
  }

  /** Facts that take time to establish: who signed the tokens that came with the request. */
  async #verifyTokens(requests: readonly AdmissionRequest[]): Promise<Tokens[]> {
    const nowMs = this.#parts.now();
    return Promise.all(
      requests.map(async (request) => {
        const verified = await this.#parts.trust.verify(request, { nowMs, nonce: request.correlation_id });
        return verified ? { facts: verified.facts, snapshot: authoritySnapshot(verified.used) } : NO_TOKENS;
      }),
    );
  }

  /** Facts → decide. A policy that is missing, fails, or says what is no decision refuses (POL-01, POL-03). */
  #decide(request: AdmissionRequest, caller: Caller, tokens: Tokens): Decided {
    const { policy, confirmedAtMs } = this.#parts.active();
    const { tenant_id, workload_id } = request.workload;
    const workload = this.#parts.states.get<Workload>("workload", caller.tenantId ?? tenant_id, workload_id);
    const nowMs = this.#parts.now();
    const policyDigest = policy?.digest ?? digestOf(EMPTY_SET);
    const input = buildInput({
      request,
      nowMs,
      caller: caller.tenantId === null ? null : { tenant_id: caller.tenantId },
      trust: tokens.facts,
      workload: workload ? { state: workload.state, least_level: workload.least_level } : null,
      context: {
        partition: this.#parts.partition(),
        policy: { age_s: confirmedAtMs === null ? null : Math.floor((nowMs - confirmedAtMs) / 1000), snapshot_id: policyDigest },
        authority: { age_s: null, snapshot_id: tokens.snapshot.digest },
      },
    });
    const inputText = JSON.stringify(input);
    const { decision, problem } = this.#evaluate(policy, encoder.encode(inputText), declaredKind(request));
    return { request, tokens, nowMs, policyDigest, catalogue: policy?.catalogue ?? {}, input, inputText, decision, problem };
  }

  #evaluate(policy: Policy | null, input: Uint8Array, declared: unknown): { decision: PolicyDecision; problem: string | undefined } {
    if (!policy) return { decision: hostRefusal("policy_unavailable", declared), problem: "no policy is active" };
    const started = performance.now();
    try {
      const recognised = recognise(policy.evaluateText(ADMISSION, input), policy.catalogue);
      if ("decision" in recognised) return { decision: recognised.decision, problem: undefined };
      return { decision: hostRefusal("policy_error", declared), problem: `the policy's output is no decision: ${recognised.problem}` };
    } catch (error) {
      if (!(error instanceof EvaluationError)) throw error;
      return { decision: hostRefusal("policy_error", declared), problem: error.message };
    } finally {
      this.#parts.observe.evaluated(performance.now() - started);
    }
  }

  /** Step → evidence. A decision that would break an invariant is refused in the policy's place (POL-03). */
  #step(decided: Decided, caller: Caller, trace: Trace, ticket: number): { decided: Decided; entry: Entry } {
    try {
      return { decided, entry: this.#evidence(decided, caller, trace, ticket) };
    } catch (error) {
      if (!(error instanceof InvariantError)) throw error;
      const refused: Decided = { ...decided, decision: hostRefusal("policy_error", declaredKind(decided.request)), problem: error.message };
      return { decided: refused, entry: this.#evidence(refused, caller, trace, ticket) };
    }
  }

  /** What the decision changes, and the event that says so. */
  #evidence(decided: Decided, caller: Caller, trace: Trace, ticket: number): Entry {
    const { request, decision, nowMs, tokens } = decided;
    const { workload_id, tenant_id } = request.workload;
    const [refusal] = decision.refusals;
    const artifact = artifactText(decided);
    const artifactDigest = digestOf(artifact);
    const draft: EventDraft = {
      id: this.#parts.newId(),
      event_type: decision.outcome === "accepted" ? "workload.admit" : "workload.refuse",
      occurred_at: new Date(nowMs).toISOString(),
      tenant_id: caller.tenantId ?? tenant_id,
      actor: caller.actor,
      correlation_id: request.correlation_id ?? this.#parts.newId(),
      outcome: decision.outcome,
      evidence_profile_id: this.#parts.evidenceProfileId,
      evidence_pointer: `eosc://evidence/${artifactDigest}`,
      policy_snapshot_id: decided.policyDigest,
      authority_snapshot_id: tokens.snapshot.digest,
      subject: workload_id,
      ...(refusal && { refusal_reason_class: refusal.class, refusal_reason_code: refusal.code, refusal_subject: refusal.pointer }),
      details: { ...admissionDetails(decided), ...(trace.requestId && { request_id: trace.requestId }), ...(trace.traceId && { trace_id: trace.traceId }) },
    };
    const states = this.#foldWorkload(draft, workload_id, ticket);
    this.#parts.observe.decided(decision);
    if (decided.problem !== undefined) this.#parts.observe.policyFailed(decided.problem, draft.id);
    return {
      draft,
      artifact,
      artifactDigest,
      workloadId: workload_id,
      occurredAtMs: nowMs,
      blobs: tokens === NO_TOKENS ? [] : [tokens.snapshot],
      states,
    };
  }

  /** State is a fold over the evidence, so the event itself is what changes it. */
  #foldWorkload(draft: EventDraft, workloadId: string, ticket: number): StateWrite[] {
    const before = this.#parts.states.get<Workload>("workload", draft.tenant_id, workloadId);
    const after = stepWorkload(before ?? null, draft);
    if (after === null || after === before) return [];
    return [this.#parts.states.set("workload", draft.tenant_id, workloadId, after, ticket)];
  }
}

function declaredKind({ workload: { envelope } }: AdmissionRequest): unknown {
  return typeof envelope === "object" ? (envelope as { kind?: unknown }).kind : envelope;
}

function declaredPlatform(envelope: AdmissionRequest["workload"]["envelope"]): string | null {
  if (typeof envelope !== "object" || !("tee" in envelope)) return null;
  return (envelope.tee as { platform?: string }).platform ?? null;
}

/** The artifact: exactly what was evaluated and what came out (spec evidence §1). */
function artifactText({ decision, inputText, problem }: Decided): string {
  const members = [`"decision":${canonicalJson(decision)}`, `"entrypoint":"${ADMISSION}"`, `"input":${inputText}`];
  if (problem !== undefined) members.push(`"problem":${JSON.stringify(problem)}`);
  return `{${members.join(",")}}`;
}

/** All that an outsider needs to fold the workload's state, and nothing personal. */
function admissionDetails({ request, decision, input, tokens }: Decided): AdmitDetails & { codes: readonly string[] } {
  const { workload } = request;
  const { attestation, reattestation } = input.facts;
  return {
    workload_id: workload.workload_id,
    envelope: { declared: decision.envelope.declared, required: decision.envelope.required },
    least_level: decision.rail.least_level,
    obligations: decision.obligations,
    reattestation_interval_s: reattestation?.interval_s ?? null,
    valid_until: validUntil(decision, tokens),
    crp: workload.crp?.designated === true,
    governance_profile: workload.governance_profile ?? null,
    platform: declaredPlatform(workload.envelope),
    attestation: attestation && attestationDetails(attestation),
    codes: decision.refusals.map((refusal) => refusal.code),
  };
}

/** An admission that rests on something time-bound lasts no longer than that. */
function validUntil(decision: PolicyDecision, tokens: Tokens): string | null {
  const ends = (decision.exceptions ?? []).map((exception) => exception.not_after_ms);
  if (tokens.facts.authority?.valid_to_ms != null) ends.push(tokens.facts.authority.valid_to_ms);
  return ends.length === 0 ? null : new Date(Math.min(...ends)).toISOString();
}
