// An admission as a statement for other tools: a signed SLSA Verification Summary (VSA) and an in-toto Simple Verification Result (SVR)
// for each image, from its record and what it was decided on. Sources: slsa.dev/spec/v1.2/verification_summary; in-toto attestation, svr.
import { canonicalJson } from "../core/json.ts";
import { digestOf } from "../core/event.ts";
import { hexOfDigest, pointerTo } from "../core/digest.ts";
import { artifactsOf } from "../core/provenance.ts";
import type { AdmissionInput } from "../core/schema/input.ts";
import type { EvidenceEvent } from "../core/schema/event.ts";
import type { DsseEnvelope, SummaryItem } from "../core/schema/summaries.ts";

const PAYLOAD_TYPE = "application/vnd.in-toto+json";

export interface SummarySource {
  readonly event: EvidenceEvent;
  /** The compact JWS of the event. */
  readonly record: string;
  /** The event's artifact, parsed. */
  readonly artifact: { readonly decision?: { readonly outcome?: unknown }; readonly input?: AdmissionInput };
}

/** Signs with the node's event key; what it signs begins as DSSE's encoding does, and no record can. */
export type SignDsse = (preAuthEncoding: Uint8Array) => { readonly kid: string; readonly signature: Uint8Array };

/** One an artifact that is pinned, each once; none where nothing was admitted. */
export function summariesOf(source: SummarySource, sign: SignDsse): SummaryItem[] {
  const { event, artifact } = source;
  const { input } = artifact;
  if (event.event_type !== "workload.admit" || artifact.decision?.outcome !== "accepted" || !input) return [];
  const facts = new Map(input.facts.artifacts.map(({ pointer, provenance }) => [pointer, provenance]));
  const found = new Map<string, SummaryItem>();
  for (const { pointer, digest, name } of artifactsOf(input.request)) {
    if (digest === null || found.has(digest)) continue;
    const fact = facts.get(pointer);
    const about = {
      source,
      digest,
      name: name ?? digest,
      level: fact?.status === "verified" ? (fact.level ?? 0) : null,
    };
    found.set(digest, {
      artifact: digest,
      vsa: signed(vsaOf(about), sign),
      svr: signed(svrOf(about), sign),
    });
  }
  return [...found.values()];
}

interface About {
  readonly source: SummarySource;
  readonly digest: string;
  readonly name: string;
  /** Null where it was not verified. */
  readonly level: number | null;
}

const verifierOf = ({ chain_id }: EvidenceEvent): string => `urn:railgate:${chain_id}`;

const buildLevel = (level: number | null): string =>
  level === null ? "SLSA_BUILD_LEVEL_UNEVALUATED" : `SLSA_BUILD_LEVEL_${level}`;

const descriptorOf = (digest: string): object => ({ uri: pointerTo(digest), digest: { sha256: hexOfDigest(digest) } });

function statementOf({ digest, name }: About, predicateType: string, predicate: object): string {
  const subject = [{ name, digest: { sha256: hexOfDigest(digest) } }];
  return canonicalJson({ _type: "https://in-toto.io/Statement/v1", subject, predicateType, predicate });
}

function vsaOf(about: About): string {
  const { event, record } = about.source;
  return statementOf(about, "https://slsa.dev/verification_summary/v1", {
    verifier: { id: verifierOf(event) },
    timeVerified: event.occurred_at,
    resourceUri: about.name,
    policy: descriptorOf(event.policy_snapshot_id),
    // The record is the receipt; the authority material names the bundles and tokens that were verified.
    inputAttestations: [descriptorOf(digestOf(record)), descriptorOf(event.authority_snapshot_id)],
    verificationResult: "PASSED",
    verifiedLevels: [buildLevel(about.level)],
    slsaVersion: "1.2",
  });
}

function svrOf(about: About): string {
  const { event } = about.source;
  const { envelope } = event.details as { envelope?: { required?: string } };
  return statementOf(about, "https://in-toto.io/attestation/svr/v0.1", {
    verifier: { id: verifierOf(event), policies: [descriptorOf(event.policy_snapshot_id)] },
    timeCreated: event.occurred_at,
    properties: [
      "RAILGATE_ADMITTED",
      ...(envelope?.required === undefined ? [] : [`RAILGATE_ENVELOPE_${envelope.required.toUpperCase()}`]),
      buildLevel(about.level),
    ],
  });
}

/** DSSE v1 (github.com/secure-systems-lab/dsse), by the key that signed the event's record or the one that followed it. */
function signed(payload: string, sign: SignDsse): DsseEnvelope {
  const bytes = Buffer.from(payload);
  const head = Buffer.from(`DSSEv1 ${PAYLOAD_TYPE.length} ${PAYLOAD_TYPE} ${bytes.length} `);
  const { kid, signature } = sign(Buffer.concat([head, bytes]));
  return {
    payload: bytes.toString("base64"),
    payloadType: PAYLOAD_TYPE,
    signatures: [{ keyid: kid, sig: Buffer.from(signature).toString("base64") }],
  };
}
