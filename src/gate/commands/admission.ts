// Admission: may this workload run, in which envelope, on which rail (spec law §2, §3).
import { isDigest } from "../../core/digest.ts";
import { briefly, countOf } from "../../core/brief.ts";
import { provenTenant, tenantActing, type Caller } from "../../core/caller.ts";
import { proofChanges, proofFact, proofNeeds, type About } from "../../core/challenge.ts";
import { buildInput, type TrustFacts } from "../../core/facts.ts";
import { placedAt, type Placed } from "../../core/mesh-state.ts";
import { explain, hostRefusal, recognise } from "../../core/outcome.ts";
import type { Decision, PolicyDecision } from "../../core/schema/decision.ts";
import type { AdmissionInput, AttestationFact } from "../../core/schema/input.ts";
import type { AdmissionRequest } from "../../core/schema/request.ts";
import type { Reads } from "../../core/state.ts";
import {
  admissionFact,
  attestationDetails,
  placementFacts,
  workloadAt,
  workloadWrites,
  type AdmitDetails,
  type Workload,
} from "../../core/workload.ts";
import { authoritySnapshot, type Trust } from "../../trust/trust.ts";
import { NO_TOKENS, type Ruling, type Command, type Situation, type Statement, type Tokens } from "./command.ts";

export const ADMISSION = "railgate/admission/decision";

/** What came of an admission, with the catalogue's words. */
export interface AdmissionOutcome {
  readonly decision: Decision;
}

/** A caller acts within its own tenant, so that is whose stream records even the refusal of another's workload (TEN-01). */
export function admission(
  request: AdmissionRequest,
  caller: Caller,
): Command<AdmissionInput, PolicyDecision, AdmissionOutcome> {
  const { workload_id, tenant_id } = request.workload;
  const tenantId = tenantActing(caller, tenant_id);
  const needs = [workloadAt(tenantId, workload_id), placedAt(tenantId, workload_id)] as const;
  const about: About = { tenantId, workloadId: workload_id, correlationId: request.correlation_id };
  return {
    entrypoint: ADMISSION,
    tenantId,
    workloadId: workload_id,
    correlationId: request.correlation_id,
    prove: (trust, nowMs) => verifyTokens(request, trust, nowMs),
    needs: (_state, { proof }) => [...needs, ...proofNeeds(about, proof)],
    revision: (state) => state.version(needs[0]),
    input: (state, situation) =>
      inputOf(request, state.get(needs[0]), state.get(needs[1]), heldTokens(state, about, situation)),
    recognise,
    failClosed: (code) => hostRefusal(code, declaredKind(request)),
    says: (_state, answer) => statementOf(request, answer),
    effect: (state: Reads, event, { input, decision, catalogue, tokens }) => ({
      changes: [
        ...workloadWrites(state, event, workload_id),
        ...proofChanges(state, about, tokens.proof, input.facts.now_ms),
      ],
      outcome: { decision: explain(decision, catalogue) },
    }),
  };
}

/** What its tokens prove. */
export async function verifyTokens(request: AdmissionRequest, trust: Trust, nowMs: number): Promise<Tokens> {
  const verified = await trust.verify(request, { nowMs, nonce: request.correlation_id });
  if (!verified) return NO_TOKENS;
  const { facts, used, materials, proof, blobs, states } = verified;
  return { facts, snapshot: authoritySnapshot(used, materials), proof, blobs, states };
}

/** The situation with what its tokens prove for this workload, now. */
export function heldTokens(state: Reads, about: About, situation: Situation): Situation {
  const { tokens, nowMs } = situation;
  if (tokens.proof === null) return situation;
  const attestation = proofFact(state, about, tokens.proof, nowMs);
  return { ...situation, tokens: { ...tokens, facts: { ...tokens.facts, attestation } } };
}

function inputOf(
  request: AdmissionRequest,
  workload: Workload | null,
  placed: Placed | null,
  { nowMs, caller, tokens, context }: Situation,
): AdmissionInput {
  const tenant_id = provenTenant(caller);
  return buildInput({
    request,
    nowMs,
    caller: tenant_id === null ? null : { tenant_id },
    trust: tokens.facts,
    workload: admissionFact(workload),
    placements: placementFacts(placed),
    context,
  });
}

function statementOf(request: AdmissionRequest, answer: Ruling<AdmissionInput, PolicyDecision>): Statement {
  const { decision } = answer;
  const [refusal] = decision.refusals;
  return {
    event_type: decision.outcome === "accepted" ? "workload.admit" : "workload.refuse",
    subject: request.workload.workload_id,
    refusal,
    details: { ...admitDetails(request, answer), codes: countOf(decision.refusals.map(({ code }) => code)) },
  };
}

/** All that an outsider needs to fold the workload's state, and nothing personal. */
export function admitDetails(
  { workload }: AdmissionRequest,
  { input, decision, tokens }: Ruling<AdmissionInput, Omit<PolicyDecision, "refusals">>,
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
    provenance: countsOf(input.facts.artifacts),
    governance_profile: briefly(workload.governance_profile ?? null),
    platform: briefly(declaredPlatform(workload.envelope)),
    ...boundOf(workload.envelope, attestation),
    attestation: attestation && attestationDetails(attestation),
  };
}

/** Of how many artifacts the host verified where they come from, and of how many there is only the caller's word. */
function countsOf(artifacts: AdmissionInput["facts"]["artifacts"]): NonNullable<AdmitDetails["provenance"]> {
  let [verified, declared] = [0, 0];
  for (const { provenance } of artifacts) {
    if (provenance?.status === "verified") verified++;
    else if (provenance?.status === "declared") declared++;
  }
  return { verified, declared };
}

/** An admission lasts no longer than the first of what it rests on: the binding, each exception that lifted something, and the links of both. */
function validUntil(
  { exceptions = [] }: Pick<PolicyDecision, "exceptions">,
  { authority, exceptions: given }: TrustFacts,
): string | null {
  const lifted = exceptions.map((exception) => given.find(({ digest }) => digest === exception.digest)?.until_ms);
  const ends = [...lifted, authority?.until_ms].filter((ms) => ms != null);
  return ends.length === 0 ? null : new Date(Math.min(...ends)).toISOString();
}

function declaredKind({ workload: { envelope } }: AdmissionRequest): unknown {
  return typeof envelope === "object" ? (envelope as { kind?: unknown }).kind : envelope;
}

function declaredPlatform(envelope: AdmissionRequest["workload"]["envelope"]): string | null {
  if (typeof envelope !== "object" || !("tee" in envelope)) return null;
  return (envelope.tee as { platform?: string }).platform ?? null;
}

/** What later attestations of the workload are held to; nothing where nothing of it was declared, or none could say. */
function boundOf(
  envelope: AdmissionRequest["workload"]["envelope"],
  attestation: AttestationFact | null,
): Pick<AdmitDetails, "bound"> {
  const declared = profileOf(envelope);
  const images = attestation?.image_digests?.length ? digestsOf(declared.images) : [];
  const { init_data_digest } = declared;
  const bound = { ...(init_data_digest !== undefined && { init_data_digest }), ...(images.length > 0 && { images }) };
  return Object.keys(bound).length === 0 ? {} : { bound };
}

type Attested = { readonly init_data_digest?: string; readonly images?: readonly { readonly reference?: string }[] };

function profileOf(envelope: AdmissionRequest["workload"]["envelope"]): Attested {
  if (typeof envelope !== "object") return {};
  if ("tee" in envelope) return (envelope.tee ?? {}) as Attested;
  return "vm" in envelope ? ((envelope.vm ?? {}) as Attested) : {};
}

const digestsOf = (images: Attested["images"] = []): string[] => [
  ...new Set(images.map(({ reference = "" }) => reference.slice(reference.lastIndexOf("@") + 1)).filter(isDigest)),
];
