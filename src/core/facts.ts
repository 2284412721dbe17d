// Builds the input document of the law: normalises what a caller declared into facts that rules compare, never parse.
import { SAYS_NO_MORE } from "./attestation.ts";
import type {
  AttestationFact,
  AuthorityFact,
  CallerFact,
  Context,
  ExceptionFact,
  Facts,
  PlacedFact,
  WorkloadFact,
  AdmissionInput,
} from "./schema/input.ts";
import type { AdmissionRequest, AttestationRequest, ContainerProfile } from "./schema/request.ts";
import { artifactsOf, envelopeKind, provenanceFact, withBundleDigests, type ProvenanceFacts } from "./provenance.ts";
import { saysNothing } from "./text.ts";
import { durationS, timeMs, wholeSecondsUtc } from "./time.ts";

/** What was found out about the tokens of a request. `attestation` is null where the request bears a report or none. */
export type TrustFacts = {
  authority: AuthorityFact | null;
  attestation: AttestationFact | null;
  exceptions: ExceptionFact[];
  /** Of what bundles speak; absent: of nothing. */
  provenance?: ProvenanceFacts;
};

/** The facts of a request that bears no token. */
export const NO_TRUST: TrustFacts = Object.freeze({ authority: null, attestation: null, exceptions: [] });

type Known = {
  request: AdmissionRequest;
  /** The one reading of the clock that this decision is made at, milliseconds since the epoch. */
  nowMs: number;
  caller: CallerFact | null;
  trust: TrustFacts;
  workload: WorkloadFact | null;
  /** Where the workload is placed, sorted by mesh. */
  placements?: readonly PlacedFact[];
  context: Context;
};

/** The input of `railgate/admission/decision`. Its members are always in the same order, so equal facts give equal bytes. */
export function buildInput({
  request,
  nowMs,
  caller,
  trust,
  workload,
  placements = [],
  context,
}: Known): AdmissionInput {
  const attestation = reportFact(request.attestation, request.correlation_id) ?? trust.attestation;
  const artifacts = artifactsOf(request);
  const facts: Facts = {
    now: new Date(nowMs).toISOString(),
    now_ms: nowMs,
    caller,
    artifacts: artifacts.map((artifact) => ({
      pointer: artifact.pointer,
      pinned: artifact.digest !== null,
      provenance: provenanceFact(artifact, trust.provenance),
    })),
    blank: blankTexts(request),
    reattestation: reattestation(request, nowMs, attestation, workload),
    authority: trust.authority,
    attestation,
    exceptions: trust.exceptions,
    workload,
    placements: [...placements],
  };
  return { request: withBundleDigests(request, artifacts), facts, context };
}

/** The texts that the law asks to state something, and do not; of a seccomp profile on this host, its name. */
function blankTexts({ workload: { envelope } }: AdmissionRequest): string[] {
  if (envelopeKind(envelope) !== "container") return [];
  const { writable_justification, seccomp } = (envelope as { container: ContainerProfile }).container;
  const said: [member: string, text: string | null | undefined][] = [
    ["seccomp", seccomp?.replace(/^Localhost\//, "")],
    ["writable_justification", writable_justification],
  ];
  return said.flatMap(([member, text]) =>
    typeof text === "string" && saysNothing(text) ? [`/workload/envelope/container/${member}`] : [],
  );
}

/** A measurement that is no newer than the one in force moves no deadline on (spec law §4). */
function reattestation(
  { workload: { envelope } }: AdmissionRequest,
  nowMs: number,
  attestation: AttestationFact | null,
  workload: WorkloadFact | null,
): Facts["reattestation"] {
  if (envelopeKind(envelope) !== "tee") return null;
  const { reattestation_interval: interval } = (envelope as { tee: { reattestation_interval?: string } }).tee;
  const interval_s = interval === undefined ? undefined : durationS(interval);
  if (interval_s === undefined) return null;
  const ends = [nowMs + interval_s * 1000];
  const before = workload?.measured_at_ms ?? null;
  if (before !== null && !((attestation?.measured_at_ms ?? -Infinity) > before))
    ends.push(workload!.reattest_by_ms ?? before + interval_s * 1000);
  return { interval_s, by: wholeSecondsUtc(Math.min(...ends)) };
}

/**
 * What a verifier's report says, or null where there is none. A nonce ties it to the request, so one that differs from
 * `expectedNonce` rejects it (TEE-02).
 */
export function reportFact(
  attestation: AttestationRequest | undefined,
  expectedNonce: string | undefined,
): AttestationFact | null {
  if (attestation === undefined || "token" in attestation) return null;
  const { report_ref, platform_type, result, measured_at, nonce } = attestation;
  const matches = nonce === undefined || nonce === expectedNonce;
  return {
    form: "report",
    status: matches ? "reported" : "rejected",
    error: matches ? null : "nonce",
    issuer: null,
    format: null,
    report_ref: stated(report_ref),
    platform_type: stated(platform_type),
    result: result ?? null,
    measured_at_ms: measured_at === undefined ? null : (timeMs(measured_at) ?? null),
    debuggable: null,
    ...SAYS_NO_MORE,
    nonce: { form: nonce !== undefined && matches ? "correlation" : "none", ok: nonce !== undefined && matches },
    token_digest: null,
  };
}

/** Null for text that states nothing, as for none. */
const stated = (text: string | undefined): string | null => (text === undefined || saysNothing(text) ? null : text);
