// Admission: may this workload run, in which envelope, on which rail (spec law §2, §3).
import { provenTenant, tenantActing, type Caller } from "../../core/caller.ts";
import { briefly, countOf } from "../../core/brief.ts";
import type { EventDraft } from "../../core/event.ts";
import { buildInput, type TrustFacts } from "../../core/facts.ts";
import { hostRefusal, recognise, type Catalogue, type HostRefusalCode } from "../../core/outcome.ts";
import type { PolicyDecision } from "../../core/schema/decision.ts";
import type { AdmissionInput } from "../../core/schema/input.ts";
import type { AdmissionRequest } from "../../core/schema/request.ts";
import {
  admissionFact,
  attestationDetails,
  stepWorkload,
  type AdmitDetails,
  type Workload,
} from "../../core/workload.ts";
import type { StateView } from "../../evidence/ledger/state.ts";
import type { StateWrite } from "../../store/store.ts";
import { authoritySnapshot, type Trust } from "../../trust/trust.ts";
import { NO_TOKENS, type Command, type Situation, type Statement, type Tokens } from "./command.ts";

export const ADMISSION = "railgate/admission/decision";

/** A caller acts within its own tenant, so that is whose stream records even the refusal of another's workload (TEN-01). */
export function admission(request: AdmissionRequest, caller: Caller): Command<AdmissionInput, PolicyDecision> {
  const { workload } = request;
  const tenantId = tenantActing(caller, workload.tenant_id);
  return {
    entrypoint: ADMISSION,
    tenantId,
    workloadId: workload.workload_id,
    correlationId: request.correlation_id,
    verify: (trust, nowMs) => verifyTokens(request, trust, nowMs),
    input: (states, situation) => inputOf(request, states.workload(tenantId, workload.workload_id), situation),
    recognise: (output: unknown, catalogue: Catalogue) => recognise(output, catalogue),
    failClosed: (code: HostRefusalCode) => hostRefusal(code, declaredKind(request)),
    statement: (input, decision, _states, { tokens }) => statementOf(request, input, decision, tokens),
    fold: (states, draft, ticket) => foldWorkload(states, draft, workload.workload_id, ticket),
  };
}

async function verifyTokens(request: AdmissionRequest, trust: Trust, nowMs: number): Promise<Tokens> {
  const verified = await trust.verify(request, { nowMs, nonce: request.correlation_id });
  return verified ? { facts: verified.facts, snapshot: authoritySnapshot(verified.used) } : NO_TOKENS;
}

function inputOf(
  request: AdmissionRequest,
  workload: Workload | undefined,
  { nowMs, caller, tokens, context }: Situation,
): AdmissionInput {
  const tenant_id = provenTenant(caller);
  return buildInput({
    request,
    nowMs,
    caller: tenant_id === null ? null : { tenant_id },
    trust: tokens.facts,
    workload: admissionFact(workload ?? null),
    context,
  });
}

function statementOf(
  request: AdmissionRequest,
  input: AdmissionInput,
  decision: PolicyDecision,
  tokens: Tokens,
): Statement {
  const [refusal] = decision.refusals;
  return {
    event_type: decision.outcome === "accepted" ? "workload.admit" : "workload.refuse",
    subject: request.workload.workload_id,
    refusal,
    details: {
      ...admitDetails(request, input, decision, tokens),
      codes: countOf(decision.refusals.map(({ code }) => code)),
    },
  };
}

/** All that an outsider needs to fold the workload's state, and nothing personal. */
function admitDetails(
  { workload }: AdmissionRequest,
  input: AdmissionInput,
  decision: PolicyDecision,
  tokens: Tokens,
): AdmitDetails {
  const { attestation, reattestation } = input.facts;
  return {
    workload_id: workload.workload_id,
    envelope: { declared: briefly(decision.envelope.declared), required: decision.envelope.required },
    least_level: decision.rail.least_level,
    // As many as there are meshes, and known from those at any time.
    obligations: decision.obligations.filter(({ obligation }) => obligation !== "elevate"),
    reattestation_interval_s: reattestation?.interval_s ?? null,
    valid_until: validUntil(decision, tokens.facts),
    crp: workload.crp?.designated === true,
    governance_profile: briefly(workload.governance_profile ?? null),
    platform: briefly(declaredPlatform(workload.envelope)),
    attestation: attestation && attestationDetails(attestation),
  };
}

/** An admission lasts no longer than the first of what it rests on: the binding, each exception that lifted something, and the links of both. */
function validUntil({ exceptions = [] }: PolicyDecision, { authority, exceptions: given }: TrustFacts): string | null {
  const lifted = exceptions.map((exception) => given.find(({ digest }) => digest === exception.digest)?.until_ms);
  const ends = [...lifted, authority?.until_ms].filter((ms) => ms != null);
  return ends.length === 0 ? null : new Date(Math.min(...ends)).toISOString();
}

/** State is a fold over the evidence, so the event itself is what changes it. */
export function foldWorkload(states: StateView, draft: EventDraft, workloadId: string, ticket: number): StateWrite[] {
  const before = states.workload(draft.tenant_id, workloadId) ?? null;
  const after = stepWorkload(before, draft);
  return after === null || after === before ? [] : [states.setWorkload(after, ticket)];
}

function declaredKind({ workload: { envelope } }: AdmissionRequest): unknown {
  return typeof envelope === "object" ? (envelope as { kind?: unknown }).kind : envelope;
}

function declaredPlatform(envelope: AdmissionRequest["workload"]["envelope"]): string | null {
  if (typeof envelope !== "object" || !("tee" in envelope)) return null;
  return (envelope.tee as { platform?: string }).platform ?? null;
}
